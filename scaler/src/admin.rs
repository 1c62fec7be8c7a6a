//! What people and Prometheus see: the web page, the documents, `/metrics`, health, and the JSON API.
//!
//! It reads published decisions and computes nothing. Read-only: every route is a GET that takes no
//! body and answers from memory; only a recording waits, for the decisions that it is asked for. What is
//! shown are names, figures and sentences, never credentials; who
//! may see it is decided in `access`. Looking at a target does not keep it alive: only KEDA's asking does.

mod access;
pub mod api;
mod docs;
mod exposition;
mod listener;
mod page;
mod readiness;
pub mod views;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use evenkeel_engine::Timestamp;
use serde::Deserialize;
use tokio::net::TcpListener;

pub use access::AdminToken;
pub use listener::{IDLE_TIMEOUT, MAX_CONNECTIONS};
pub use readiness::{Phase, Readiness};

use crate::clock::Clock;
use crate::config::Limits;
use crate::control::recording::Recording;
use crate::control::registry::Registry;
use crate::control::target::Target;
use crate::leader::{Leadership, Role};
use crate::metrics::Metrics;
use crate::notices::Notices;
use api::{ApiError, History, TargetDetail, TargetList};

/// Known targets that a 404 lists: enough to recognise a typing error, few enough to read.
const LISTED_TARGETS: usize = 20;

/// How long the decisions of a recording may take: the most of them at polls of 10 s.
pub const RECORDING_TIMEOUT: Duration = Duration::from_secs(600);

/// What the handlers read.
#[derive(Debug)]
struct Shared {
    targets: Arc<Registry>,
    exposition: prometheus_client::registry::Registry,
    notices: Notices,
    clock: Clock,
    readiness: Readiness,
    leadership: Leadership,
}

/// Which trigger of a ScaledObject, from when on, and how many decisions from now on.
#[derive(Debug, Default, Deserialize)]
struct Selection {
    trigger: Option<String>,
    since: Option<u64>,
    decisions: Option<usize>,
}

/// An answer that is no success, and its sentence.
#[derive(Debug)]
struct Refusal(StatusCode, String);

/// The routes of the admin server; with a `token` the page and the API only for those who show it.
pub fn router(
    targets: Arc<Registry>,
    metrics: &Metrics,
    limits: Limits,
    clock: Clock,
    (readiness, leadership): (Readiness, Leadership),
    token: Option<&Arc<AdminToken>>,
) -> Router {
    let shared = Arc::new(Shared {
        exposition: exposition::registry(Arc::clone(&targets), metrics, limits, clock, &leadership),
        targets,
        notices: metrics.notices.clone(),
        clock,
        readiness,
        leadership,
    });
    let api = Router::new()
        .route("/api/v1/targets", get(serve_targets))
        .route("/api/v1/targets/{namespace}/{name}", get(serve_target))
        .route(
            "/api/v1/targets/{namespace}/{name}/history",
            get(serve_history),
        )
        .route(
            "/api/v1/targets/{namespace}/{name}/recording",
            get(serve_recording),
        );
    Router::new()
        .merge(access::guard(page::routes(), token, true))
        .merge(access::guard(docs::routes(), token, true))
        .merge(access::guard(api, token, false))
        .route("/metrics", get(serve_metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(serve_readiness))
        .fallback(async || {
            let sentence = "There is nothing here: see /, /docs/, /metrics, /livez, /readyz and \
                            /api/v1/targets.";
            refuse(StatusCode::NOT_FOUND, sentence.to_owned())
        })
        .with_state(shared)
}

/// Serves `router` until `shutdown`, then lets requests in flight finish.
///
/// # Errors
/// When the listener is of no use.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener::BoundedListener::new(listener), router)
        .with_graceful_shutdown(shutdown)
        .await
}

async fn serve_metrics(State(shared): State<Arc<Shared>>) -> Response {
    match exposition::render(&shared.exposition) {
        Ok(text) => with_type(exposition::CONTENT_TYPE, text),
        Err(error) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("The metrics could not be written: {error}."),
        ),
    }
}

async fn serve_readiness(State(shared): State<Arc<Shared>>) -> Response {
    let (status, sentence) = match shared.readiness.phase() {
        Phase::Starting => (
            StatusCode::SERVICE_UNAVAILABLE,
            starting(&shared.leadership),
        ),
        Phase::Serving => (StatusCode::OK, ready(&shared.leadership)),
        Phase::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            "draining: a shutdown has begun\n".to_owned(),
        ),
    };
    (status, sentence).into_response()
}

fn starting(leadership: &Leadership) -> String {
    match leadership.role() {
        Role::Silent { why } => format!("starting: {why}\n"),
        _ => "starting: the servers are not up yet\n".to_owned(),
    }
}

/// Ready, and who answers where there are several replicas.
fn ready(leadership: &Leadership) -> String {
    match leadership.role() {
        Role::Answer if !leadership.is_among_others() => "ready\n".to_owned(),
        Role::Answer => "ready: this replica leads\n".to_owned(),
        Role::Forward(peer) => format!("ready: {} leads\n", peer.identity),
        Role::Silent { why } => format!("ready, and no replica leads: {why}\n"),
    }
}

async fn serve_targets(State(shared): State<Arc<Shared>>) -> Json<TargetList> {
    let now = shared.clock.now();
    let targets = shared.targets.all();
    Json(TargetList {
        now_millis: now.as_millis(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        notices: shared.notices(|_| true),
        targets: targets
            .iter()
            .map(|target| views::summary(target, target.published().as_deref(), now))
            .collect(),
    })
}

async fn serve_target(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Result<Response, Refusal> {
    let now = shared.clock.now();
    let target = shared.find(&namespace, &name, selection.trigger.as_deref())?;
    let published = target.published();
    let detail = TargetDetail {
        now_millis: now.as_millis(),
        target: views::summary(&target, published.as_deref(), now),
        source: views::source(&target.spec),
        policy: views::policy(&target.spec.policy),
        decision: published.as_deref().map(views::decision),
        problems: published
            .as_ref()
            .map(|published| published.problems.clone())
            .unwrap_or_default(),
        notices: shared.notices(|setting| views::concerns(&target.spec, setting)),
        calendar: published.as_ref().map_or_else(Vec::new, |published| {
            views::calendar(&target.spec.calendar, &published.upcoming, now)
        }),
        foresight: published.as_ref().and_then(|published| {
            let foresight = published.foresight.as_ref()?;
            Some(views::foresight(&target.spec.local_time, foresight, now))
        }),
        notes: target.spec.notes.clone(),
        triggers: shared.triggers(&namespace, &name),
    };
    Ok(Json(detail).into_response())
}

async fn serve_history(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Result<Response, Refusal> {
    let target = shared.find(&namespace, &name, selection.trigger.as_deref())?;
    let since = selection.since.map(Timestamp::from_millis);
    let history = target.history();
    let history = History {
        now_millis: shared.clock.now().as_millis(),
        namespace,
        name,
        trigger: views::trigger(&target),
        points: history
            .iter()
            .filter(|point| since.is_none_or(|since| point.at > since))
            .map(views::point)
            .collect(),
    };
    Ok(Json(history).into_response())
}

async fn serve_recording(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Result<Response, Refusal> {
    let target = shared.find(&namespace, &name, selection.trigger.as_deref())?;
    let Some(recorded) = target.record(selection.decisions.unwrap_or(1)) else {
        let sentence =
            format!("{namespace}/{name} is being recorded already: wait for that to end.");
        return Err(Refusal(StatusCode::CONFLICT, sentence));
    };
    let Ok(Ok(ticks)) = tokio::time::timeout(RECORDING_TIMEOUT, recorded).await else {
        let sentence = format!(
            "So many decisions about {namespace}/{name} were not made within {} s, or the target is gone: \
             ask for fewer.",
            RECORDING_TIMEOUT.as_secs()
        );
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, sentence));
    };
    let recording = Recording {
        namespace,
        name,
        policy: target.spec.policy.clone(),
        ticks,
    };
    match recording.to_text() {
        Ok(text) => Ok(with_type("application/json", text)),
        Err(error) => Err(Refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("The recording could not be written: {error}."),
        )),
    }
}

// === impl Shared ===

impl Shared {
    /// What has to be known beside the targets: first of all where this is not the replica that answers.
    fn notices(&self, concerns: impl Fn(&str) -> bool) -> Vec<String> {
        let standing = match self.leadership.role() {
            Role::Answer => None,
            Role::Forward(peer) => Some(format!(
                "This replica does not answer KEDA: {} leads. What is decided here is what would be \
                 answered from here.",
                peer.identity
            )),
            Role::Silent { why } => Some(format!("No replica answers KEDA: {why}.")),
        };
        let sentences = self.notices.sentences(concerns);
        standing.into_iter().chain(sentences).collect()
    }

    /// The target, or a 404 that names those there are.
    fn find(
        &self,
        namespace: &str,
        name: &str,
        trigger: Option<&str>,
    ) -> Result<Arc<Target>, Refusal> {
        let found = match trigger {
            None => self.targets.find(namespace, name),
            Some(trigger) => self
                .of_object(namespace, name)
                .into_iter()
                .find(|target| views::trigger(target) == trigger),
        };
        found.ok_or_else(|| {
            let what = match trigger {
                None => format!("There is no target {namespace}/{name}."),
                Some(trigger) => format!("The target {namespace}/{name} has no trigger {trigger}."),
            };
            Refusal(StatusCode::NOT_FOUND, self.unknown(&what))
        })
    }

    fn unknown(&self, what: &str) -> String {
        let mut known: Vec<String> = self
            .targets
            .all()
            .iter()
            .map(|target| format!("{}/{}", target.spec.key.namespace, target.spec.key.name))
            .collect();
        known.dedup();
        if known.is_empty() {
            return format!(
                "{what} None are registered yet: a target appears when KEDA first asks for it, so \
                 look at the ScaledObject's status and KEDA's log."
            );
        }
        let more = known.len().saturating_sub(LISTED_TARGETS);
        known.truncate(LISTED_TARGETS);
        let listed = known.join(", ");
        if more == 0 {
            format!("{what} Known are: {listed}.")
        } else {
            format!("{what} Known are: {listed} and {more} more, see /api/v1/targets.")
        }
    }

    fn of_object(&self, namespace: &str, name: &str) -> Vec<Arc<Target>> {
        let mut targets = self.targets.all();
        targets.retain(|target| {
            target.spec.key.namespace == namespace && target.spec.key.name == name
        });
        targets
    }

    fn triggers(&self, namespace: &str, name: &str) -> Vec<String> {
        let targets = self.of_object(namespace, name);
        targets
            .iter()
            .map(|target| views::trigger(target))
            .collect()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse(self.0, self.1)
    }
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(ApiError { error })).into_response()
}

fn with_type(content_type: &'static str, body: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}
