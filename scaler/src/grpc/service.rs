//! The five calls of KEDA's protocol, answered from memory.
//!
//! The first call of a ScaledObject registers it as a target; from then on a loop observes it and
//! publishes decisions, and every call reads the newest. No handler does I/O. GetMetricSpec answers
//! the same constant at once whatever Kafka does and whatever is wrong with the metadata, because KEDA
//! asks it when it builds the HPA, drops a trigger whose spec it cannot get, and drops the words of that
//! error; those of GetMetrics it puts into the ScaledObject's events. GetMetrics and IsActive answer an error where nothing
//! is known, never 0: an error makes KEDA and the HPA leave the replicas alone, and KEDA's fallback
//! count.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_engine::Desired;
use futures::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

use super::forward::{Call, Forward, Leader, handed_on};
use super::metadata;
use super::status::Refusal;
use super::wire::external_scaler_server::ExternalScaler;
use super::wire::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::registry::Registry;
use crate::control::target::{Published, StreamGuard, Target, TargetKey};

/// The one metric. KEDA puts it into the HPA as it is, so it keeps to letters that a URL takes;
/// another name would be another metric to every HPA there is.
pub const METRIC_NAME: &str = "evenkeel-replicas";

/// One replica a unit: with AverageValue the HPA then lands on exactly the number given.
const TARGET_SIZE: i64 = 1;

/// How long GetMetrics and IsActive wait for the first observation of a new target. Kafka answers
/// within a second where it answers at all; KEDA has no deadline of its own here and holds a lock
/// while it waits, so longer would stop push activations of other ScaledObjects.
pub const FIRST_OBSERVATION_WAIT: Duration = Duration::from_secs(2);

/// Refused triggers that are remembered, so that each is logged once and not with every call.
const MAX_REFUSED: usize = 1_024;

/// What the calls read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scaler {
    config: Arc<Config>,
    registry: Arc<Registry>,
    clock: Clock,
    forward: Forward,
    shutdown: CancellationToken,
    refused: Arc<Mutex<BTreeSet<TargetKey>>>,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

// === impl Scaler ===

impl Scaler {
    /// Reads targets from `registry` and registers new ones there; answers as long as this replica
    /// leads, and hands calls on by `forward` where another does; ends its streams when `shutdown` is
    /// cancelled.
    pub fn new(
        config: Arc<Config>,
        registry: Arc<Registry>,
        clock: Clock,
        forward: Forward,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            config,
            registry,
            clock,
            forward,
            shutdown,
            refused: Arc::default(),
        }
    }

    /// The target that `scaled_object` means, registered now if it was not.
    fn target(&self, scaled_object: &ScaledObjectRef) -> Result<Arc<Target>, Refusal> {
        let ScaledObjectRef {
            name,
            namespace,
            scaler_metadata,
        } = scaled_object;
        let span = Span::current();
        span.record("namespace", namespace.as_str());
        span.record("name", name.as_str());
        let now = self.clock.now();
        let key = metadata::key(namespace, name, scaler_metadata);
        if let Some(target) = self.registry.get(&key, now) {
            return Ok(target);
        }
        let spec = match metadata::parse(namespace, name, scaler_metadata, &self.config) {
            Ok(spec) => spec,
            Err(errors) => {
                if self.is_new(key) {
                    tracing::warn!(%namespace, %name, "refused: {errors}");
                }
                return Err(errors.into());
            }
        };
        let notes = spec.notes.clone();
        let target = self.registry.register(spec, now)?;
        tracing::info!(%namespace, %name, "registered");
        for note in notes {
            tracing::warn!(%namespace, %name, "{note}");
        }
        Ok(target)
    }

    /// Whether this refused trigger was not refused before.
    fn is_new(&self, key: TargetKey) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MAX_REFUSED {
            refused.clear();
        }
        refused.insert(key)
    }

    /// The target's newest decision; waits a little for the first.
    async fn published(&self, target: &Target) -> Result<Arc<Published>, Refusal> {
        if let Some(published) = target.published() {
            return Ok(published);
        }
        let mut decisions = target.subscribe();
        let first = async {
            match decisions.wait_for(Option::is_some).await {
                Ok(published) => published.clone(),
                Err(_) => None,
            }
        };
        let not_yet = Refusal::NotYet {
            waited: FIRST_OBSERVATION_WAIT,
        };
        tokio::select! {
            first = tokio::time::timeout(FIRST_OBSERVATION_WAIT, first) => {
                first.ok().flatten().ok_or(not_yet)
            }
            () = self.shutdown.cancelled() => Err(Refusal::ShuttingDown),
        }
    }

    /// What `published` still says now: replicas, and whether the target is awake.
    fn answer(&self, published: &Published) -> Result<(u32, bool), Refusal> {
        let now = self.clock.now();
        match published.decision.desired {
            _ if now > published.decision.valid_until => Err(Refusal::Stale {
                age: now.since(published.decision.at),
                problems: published.problems.clone(),
            }),
            Desired::Unknown { cause } => Err(Refusal::Unknown {
                cause,
                problems: published.problems.clone(),
            }),
            Desired::Known { replicas, active } => Ok((replicas, active)),
        }
    }

    async fn decided(&self, scaled_object: &ScaledObjectRef) -> Result<(u32, bool), Refusal> {
        let target = self.target(scaled_object)?;
        let published = self.published(&target).await?;
        self.answer(&published)
    }

    /// The spec, which is the same for all. Registers the target, so that it is observed by the time that
    /// KEDA asks for a value; why it cannot be registered is GetMetrics' to say.
    fn spec(&self, scaled_object: &ScaledObjectRef) -> GetMetricSpecResponse {
        let _said_by_get_metrics = self.target(scaled_object);
        metric_spec()
    }

    /// Observes the target of a call that the leader answers, so as to go on where it ends. What is
    /// wrong with it the leader says.
    fn keep_warm(&self, scaled_object: &ScaledObjectRef) -> Option<Arc<Target>> {
        self.target(scaled_object).ok()
    }

    /// The leader's stream, as long as it leads and this connection may last; then it ends with OK.
    fn relayed(&self, stream: Streaming<IsActiveResponse>) -> Replies<IsActiveResponse> {
        let (end, shutdown) = (self.stream_end(), self.shutdown.clone());
        let mut leadership = self.forward.leadership().clone();
        let role = leadership.role();
        let ended = async move {
            let changed = async {
                while leadership.role() == role {
                    leadership.changed().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(end) => {}
                () = shutdown.cancelled_owned() => {}
            }
        };
        // An error is the leader's end: KEDA comes back sooner after an OK.
        let replies = stream.take_while(|reply| std::future::ready(reply.is_ok()));
        replies.take_until(Box::pin(ended)).boxed()
    }

    /// When a stream opened now ends by itself. A connection that has reached its age closes only
    /// once its streams have ended; KEDA opens them anew on a new connection after an OK.
    fn stream_end(&self) -> Instant {
        Instant::now() + self.config.grpc.max_connection_age
    }
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    type StreamIsActiveStream = Replies<IsActiveResponse>;
    type StreamMetricSpecStream = Replies<GetMetricSpecResponse>;

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let (metadata, _, scaled_object) = request.into_parts();
        let call = IsActive(self, scaled_object);
        let answer = self.forward.answered(&metadata, call).await?;
        Ok(Response::new(answer))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let (metadata, _, scaled_object) = request.into_parts();
        let call = StreamIsActive(self, scaled_object);
        let replies = self.forward.answered(&metadata, call).await?;
        Ok(Response::new(replies))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        Ok(Response::new(self.spec(request.get_ref())))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let call = GetMetrics(self, asked);
        let answer = self.forward.answered(&metadata, call).await?;
        Ok(Response::new(answer))
    }

    async fn stream_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamMetricSpecStream>, Status> {
        let spec = self.spec(request.get_ref());
        let end = self.stream_end();
        let shutdown = self.shutdown.clone();
        let ended = async move {
            tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                () = shutdown.cancelled_owned() => {}
            }
        };
        let stays_open = futures::stream::once(ended).filter_map(|()| async { None });
        let replies = futures::stream::once(async { Ok(spec) }).chain(stays_open);
        Ok(Response::new(replies.boxed()))
    }
}

/// IsActive.
struct IsActive<'a>(&'a Scaler, ScaledObjectRef);

impl Call for IsActive<'_> {
    type Answer = IsActiveResponse;

    async fn here(&self) -> Result<IsActiveResponse, Status> {
        let (_, result) = self.0.decided(&self.1).await?;
        Ok(IsActiveResponse { result })
    }

    async fn there(&self, mut leader: Leader) -> Result<IsActiveResponse, Status> {
        self.0.keep_warm(&self.1);
        let answer = leader.is_active(handed_on(self.1.clone())).await?;
        Ok(answer.into_inner())
    }
}

/// GetMetrics.
struct GetMetrics<'a>(&'a Scaler, GetMetricsRequest);

impl GetMetrics<'_> {
    fn scaled_object(&self) -> Result<&ScaledObjectRef, Refusal> {
        let scaled_object = self.1.scaled_object_ref.as_ref();
        scaled_object.ok_or(Refusal::NoScaledObject)
    }
}

impl Call for GetMetrics<'_> {
    type Answer = GetMetricsResponse;

    async fn here(&self) -> Result<GetMetricsResponse, Status> {
        let (replicas, _) = self.0.decided(self.scaled_object()?).await?;
        Ok(metric_value(self.1.metric_name.clone(), replicas))
    }

    async fn there(&self, mut leader: Leader) -> Result<GetMetricsResponse, Status> {
        let target = self.0.keep_warm(self.scaled_object()?);
        let answer = leader.get_metrics(handed_on(self.1.clone())).await?;
        let answer = answer.into_inner();
        if let (Some(target), [value]) = (target, answer.metric_values.as_slice()) {
            target.hear(u32::try_from(value.metric_value).unwrap_or(u32::MAX));
        }
        Ok(answer)
    }
}

/// StreamIsActive.
struct StreamIsActive<'a>(&'a Scaler, ScaledObjectRef);

impl Call for StreamIsActive<'_> {
    type Answer = Replies<IsActiveResponse>;

    async fn here(&self) -> Result<Replies<IsActiveResponse>, Status> {
        let Self(scaler, scaled_object) = self;
        let target = scaler.target(scaled_object)?;
        let edges = Edges {
            decisions: target.subscribe(),
            _guard: target.open_stream(),
            scaler: Scaler::clone(scaler),
            end: scaler.stream_end(),
            last: None,
        };
        Ok(edges.into_stream())
    }

    async fn there(&self, mut leader: Leader) -> Result<Replies<IsActiveResponse>, Status> {
        let Self(scaler, scaled_object) = self;
        scaler.keep_warm(scaled_object);
        let opened = leader.stream_is_active(handed_on(scaled_object.clone()));
        Ok(scaler.relayed(opened.await?.into_inner()))
    }
}

/// One open StreamIsActive: the state on opening, then every waking up.
///
/// KEDA ignores a pushed `false`, and each repeated `true` restarts the cooldown, so neither is
/// sent: only what changes from asleep to awake. A decision that is not known changes nothing.
struct Edges {
    decisions: watch::Receiver<Option<Arc<Published>>>,
    _guard: StreamGuard,
    scaler: Scaler,
    end: Instant,
    /// What the client has been told, or would have been had it been worth telling.
    last: Option<bool>,
}

// === impl Edges ===

impl Edges {
    fn into_stream(self) -> Replies<IsActiveResponse> {
        futures::stream::unfold(self, |mut edges| async move {
            let active = edges.next().await?;
            Some((Ok(IsActiveResponse { result: active }), edges))
        })
        .boxed()
    }

    /// The next state worth telling; none when the stream has ended.
    async fn next(&mut self) -> Option<bool> {
        let mut leadership = self.scaler.forward.leadership().clone();
        loop {
            if self.scaler.shutdown.is_cancelled() || !leadership.answers() {
                return None;
            }
            let published = self.decisions.borrow_and_update().clone();
            if let Some(published) = published
                && let Ok((_, active)) = self.scaler.answer(&published)
            {
                let before = self.last.replace(active);
                if before.is_none() || (before == Some(false) && active) {
                    return Some(active);
                }
            }
            tokio::select! {
                changed = self.decisions.changed() => changed.ok()?,
                () = leadership.changed() => {}
                () = tokio::time::sleep_until(self.end) => return None,
                () = self.scaler.shutdown.cancelled() => return None,
            }
        }
    }
}

/// The constant spec: int and float, because KEDA before 2.17 reads only the former.
fn metric_spec() -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![MetricSpec {
            metric_name: METRIC_NAME.to_owned(),
            target_size: TARGET_SIZE,
            target_size_float: 1.0,
        }],
    }
}

/// Exactly one value: KEDA hands every value it gets to the HPA, which adds them up.
fn metric_value(metric_name: String, replicas: u32) -> GetMetricsResponse {
    GetMetricsResponse {
        metric_values: vec![MetricValue {
            metric_name,
            metric_value: i64::from(replicas),
            metric_value_float: f64::from(replicas),
        }],
    }
}
