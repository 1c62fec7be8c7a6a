//! The inbound-rate baseline from Prometheus: one number for one query, or the reason why not.
//!
//! # How old is an answer?
//! An instant query answers with the time at which it was evaluated, not with the time of the
//! samples it was evaluated from. Three things together bound the age of what is used:
//! - the server is asked to look back no further than `LOOKBACK` for samples (servers before 2.44
//!   ignore that and look back their own five minutes; ranges in the query itself, `rate(x[2m])`,
//!   are not touched, and a scrape target that is gone ends its series at once in any version);
//! - an answer that was evaluated longer than `CLOCK_TOLERANCE` before it was asked for is stale:
//!   a cache stands in between, or the clocks disagree;
//! - the reading carries the time at which it was asked for, by our own clock, and the engine stops
//!   counting a reading that grows old.
//!
//! The evaluation time is left to the server: its samples are dated by its own clock, and an
//! instant taken from ours would miss them when the clocks differ.
//!
//! # Cold start
//! A query that has answered nothing since it is known and answers nothing now is asked once more
//! over the last `HISTORY`: a series that was there a moment ago (a restart of its source, a gap
//! between two scrapes) gives its newest value with its age, and one that never was gives the
//! sentence that its name is probably wrong.
//!
//! A whole past, for backtests and for calendars, is in `history`.
//!
//! Not here: which queries are asked when (`control`), what a missing baseline means (the engine).

mod access;
mod answer;
mod history;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Cause, PrometheusObservation, Timestamp};
use reqwest::{Client, Url};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::access::PrometheusAccess;
use self::answer::{Sample, quoted};
pub use self::history::{POINTS_A_REQUEST, Past};
use super::Problem;
use super::reach::{self, LeadsToClosed, OpenOnly};
use crate::clock::Clock;
use crate::metrics::{Metrics, PrometheusRequestLabels};

/// How far back the server may look for a sample. Two minutes are two scrapes at Prometheus' own
/// default interval of one minute, so one missed scrape does not take the baseline away; the
/// server's own default of five minutes would keep a surge or a stop hidden for as long.
const LOOKBACK: Duration = Duration::from_secs(120);

/// How far an evaluation may lie before its request. A healthy pair of clocks differs by well under
/// a second and an evaluation takes seconds at most; beyond a minute the answer is of the past,
/// whatever the reason.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How far back a cold start asks. The engine's slow window is of this length: what is older would
/// count for nothing.
const HISTORY: Duration = Duration::from_secs(300);

/// The distance of two values in that history, and so how exactly the age of the last one is known:
/// the default poll interval, at which age is judged anyway. It makes 61 values of some 20 bytes.
const HISTORY_STEP: Duration = Duration::from_secs(5);

/// Bytes of one answer. One series takes some hundred bytes; what is larger by so much is a query
/// that returns thousands of series, which is no rate in any case.
const ANSWER_BYTES: usize = 256 * 1024;

/// One question for one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrometheusQuery {
    /// The server's base URL.
    pub url: String,
    /// The profile that says who the scaler is there; nobody where absent.
    pub profile: Option<String>,
    /// The query, in PromQL.
    pub query: String,
}

/// What Prometheus said to one query.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineReading {
    /// The rate, or why it is not known.
    pub observation: PrometheusObservation,
    /// What went wrong, for people.
    pub problem: Option<Problem>,
}

/// Asks Prometheus servers for baselines.
pub trait ObservePrometheus: Send + Sync + 'static {
    /// One query. Bounded in time by the adapter's own timeout. `cold` says that this query has not
    /// had a value yet, so that its recent past is worth asking for.
    fn observe(
        &self,
        query: &PrometheusQuery,
        cold: bool,
    ) -> impl Future<Output = BaselineReading> + Send;

    /// The values of a query at so many moments, a minute apart from `first` on, with these moments. A
    /// moment without a usable value is left out. Bounded in time by the adapter's own timeout.
    fn minutes(
        &self,
        query: &PrometheusQuery,
        first: Timestamp,
        points: u32,
    ) -> impl Future<Output = Result<Vec<(Timestamp, f64)>, Problem>> + Send;
}

/// How Prometheus is asked.
#[derive(Clone, Copy, Debug)]
pub struct PrometheusObserverConfig {
    /// One request, from the first byte to the last.
    pub request_timeout: Duration,
    /// Requests in flight, all servers together.
    pub concurrency: usize,
}

/// The real thing, over HTTP.
#[derive(Debug)]
pub struct PrometheusObserver {
    /// For profiles that say nothing about access.
    client: Client,
    /// For addresses that are no profile's.
    adhoc: Client,
    permits: Semaphore,
    request_timeout: Duration,
    access: BTreeMap<String, Arc<PrometheusAccess>>,
    clock: Clock,
    metrics: Metrics,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for Prometheus cannot be made: {0}")]
pub struct PrometheusClientError(#[from] reqwest::Error);

/// One kind of request to the API.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Instant,
    Range { end: Timestamp },
}

// === impl PrometheusObserver ===

impl PrometheusObserver {
    /// An observer that has asked nothing yet. rustls' process-wide provider has to be installed.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        config: PrometheusObserverConfig,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, PrometheusClientError> {
        let builder = |is_adhoc: bool| {
            let builder = Client::builder();
            let builder = match is_adhoc {
                true => builder.dns_resolver(OpenOnly),
                false => builder,
            };
            builder
                .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
                // A redirect from an API is nearly always a login page; following it would answer
                // with HTML, and could leave the server that was configured.
                .redirect(reqwest::redirect::Policy::none())
                .timeout(config.request_timeout)
        };
        let client = |is_adhoc: bool| match builder(is_adhoc).build() {
            Ok(client) => Ok(client),
            Err(error) => {
                // A small image may hold no certificate authorities at all. Plain HTTP needs none.
                tracing::warn!(
                    error = chain(&error),
                    "no system certificates: Prometheus over https will not be trusted"
                );
                builder(is_adhoc).tls_certs_only([]).build()
            }
        };
        Ok(Self {
            client: client(false)?,
            adhoc: client(true)?,
            permits: Semaphore::new(config.concurrency.max(1)),
            request_timeout: config.request_timeout,
            access: BTreeMap::new(),
            clock,
            metrics,
        })
    }

    /// The same with what profiles say about access, by their names.
    #[must_use]
    pub fn with_access(mut self, access: BTreeMap<String, Arc<PrometheusAccess>>) -> Self {
        self.access = access;
        self
    }

    async fn ask_and_judge(
        &self,
        query: &PrometheusQuery,
        cold: bool,
    ) -> Result<(f64, Timestamp), Problem> {
        let asked_at = self.clock.now();
        match self.ask(query, Ask::Instant).await? {
            Some(sample) => {
                let age = asked_at.since(sample.evaluated_at);
                if age > CLOCK_TOLERANCE {
                    return Err(Problem {
                        cause: Cause::Stale,
                        sentence: format!(
                            "was answered with a value evaluated {} s before it was asked for: a \
                             cache stands in between, or the clocks of both hosts differ",
                            age.as_secs()
                        ),
                    });
                }
                Ok((sample.records_per_second, asked_at))
            }
            None if cold => self.recent_past(query, asked_at).await,
            None => Err(Problem {
                cause: Cause::NotFound,
                sentence: "returns nothing: its series have ended, or their labels have changed"
                    .to_owned(),
            }),
        }
    }

    async fn recent_past(
        &self,
        query: &PrometheusQuery,
        end: Timestamp,
    ) -> Result<(f64, Timestamp), Problem> {
        let Some(sample) = self.ask(query, Ask::Range { end }).await? else {
            return Err(Problem {
                cause: Cause::NotFound,
                sentence: format!(
                    "returns nothing, and has not in the last {} s: check the metric's name and \
                     labels on the server's own page",
                    HISTORY.as_secs()
                ),
            });
        };
        let age = end.since(sample.evaluated_at);
        if age > LOOKBACK {
            return Err(Problem {
                cause: Cause::Stale,
                sentence: format!("returns nothing, and last did {} s ago", age.as_secs()),
            });
        }
        Ok((sample.records_per_second, sample.evaluated_at))
    }

    async fn ask(&self, query: &PrometheusQuery, ask: Ask) -> Result<Option<Sample>, Problem> {
        let outcome = self.permitted(self.request(query, ask)).await;
        self.count(match &outcome {
            Ok(Some(_)) => "ok",
            Ok(None) => Cause::NotFound.label(),
            Err(problem) => problem.cause.label(),
        });
        outcome
    }

    /// Waits until there are not too many requests in flight.
    async fn permitted<T>(
        &self,
        request: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        match self.permits.acquire().await {
            Ok(_permit) => request.await,
            // Nobody closes the semaphore; should that change, nothing was asked.
            Err(_) => Err(Problem {
                cause: Cause::NotYetObserved,
                sentence: "was not asked: the server is shutting down".to_owned(),
            }),
        }
    }

    fn count(&self, result: &'static str) {
        self.metrics
            .prometheus_requests
            .get_or_create(&PrometheusRequestLabels { result })
            .inc();
    }

    async fn request(&self, query: &PrometheusQuery, ask: Ask) -> Result<Option<Sample>, Problem> {
        match ask {
            Ask::Instant => {
                let body = self.fetch(query, "query", &[], ANSWER_BYTES).await?;
                answer::instant(&body)
            }
            Ask::Range { end } => {
                let range = range((end.minus(HISTORY), end), HISTORY_STEP);
                let body = self.fetch(query, "query_range", &range, ANSWER_BYTES);
                answer::newest_of_range(&body.await?)
            }
        }
    }

    /// The body of an answer of at most `limit` bytes that says it succeeded.
    async fn fetch(
        &self,
        query: &PrometheusQuery,
        endpoint: &str,
        parameters: &[(&str, String)],
        limit: usize,
    ) -> Result<Vec<u8>, Problem> {
        let url = Url::parse(&query.url).map_err(|error| Problem {
            cause: Cause::Refused,
            sentence: format!("has no usable address: {error}"),
        })?;
        let url = format!("{}/api/v1/{endpoint}", url.as_str().trim_end_matches('/'));
        let lookback = format!("{}s", LOOKBACK.as_secs());
        let request = |client: &Client| {
            client
                .get(url)
                .query(&[("query", &query.query), ("lookback_delta", &lookback)])
                .query(parameters)
        };
        let closed = || Problem {
            cause: Cause::Refused,
            sentence: format!("was not asked: {}", reach::refusal("its address")),
        };
        let access = query.profile.as_ref().map(|name| self.access.get(name));
        let answer = match access {
            None if reach::names_closed(&query.url) => return Err(closed()),
            None => match request(&self.adhoc).send().await {
                Err(error) if is_closed(&error) => return Err(closed()),
                answer => answer,
            },
            Some(None) => request(&self.client).send().await,
            Some(Some(access)) => {
                let deadline = Instant::now() + self.request_timeout;
                let signed = async {
                    let client = access.client()?;
                    let request = access.sign(request(&client), deadline).await?;
                    Ok((client, request))
                };
                let signed: Result<_, String> = signed.await;
                let (client, request) = signed.map_err(|why| Problem {
                    cause: Cause::Refused,
                    sentence: format!("was not asked: {why}"),
                })?;
                client.execute(request).await
            }
        };
        let mut response = answer.map_err(|error| self.transport(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            if body.len() + chunk.len() > limit {
                return Err(Problem {
                    cause: Cause::Malformed,
                    sentence: format!(
                        "returns more than {limit} bytes, which is far more than one number: wrap \
                         it in sum(...)"
                    ),
                });
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            let mut problem = answer::refusal(status.as_u16(), &body);
            if problem.cause == Cause::Refused
                && let Some(Some(access)) = access
            {
                problem.sentence.push_str(access.refused());
            }
            return Err(problem);
        }
        Ok(body)
    }

    fn transport(&self, error: &reqwest::Error) -> Problem {
        if error.is_timeout() {
            Problem {
                cause: Cause::Timeout,
                sentence: format!(
                    "was not answered within {} ms (poll.requestTimeout)",
                    self.request_timeout.as_millis()
                ),
            }
        } else if error.is_builder() {
            Problem {
                cause: Cause::Refused,
                sentence: format!("has no usable address: {}", chain(error)),
            }
        } else if error.is_connect() {
            Problem {
                cause: Cause::Unreachable,
                sentence: format!("did not reach the server: {}", chain(error)),
            }
        } else {
            Problem {
                cause: Cause::Failed,
                sentence: format!("broke off: {}", chain(error)),
            }
        }
    }
}

impl ObservePrometheus for PrometheusObserver {
    async fn observe(&self, query: &PrometheusQuery, cold: bool) -> BaselineReading {
        match self.ask_and_judge(query, cold).await {
            Ok((records_per_second, at)) => BaselineReading {
                observation: PrometheusObservation::Known {
                    records_per_second,
                    at,
                },
                problem: None,
            },
            Err(problem) => BaselineReading {
                observation: PrometheusObservation::Unknown(problem.cause),
                problem: Some(Problem {
                    cause: problem.cause,
                    sentence: format!("{query} {}", problem.sentence),
                }),
            },
        }
    }

    async fn minutes(
        &self,
        query: &PrometheusQuery,
        first: Timestamp,
        points: u32,
    ) -> Result<Vec<(Timestamp, f64)>, Problem> {
        let values = self
            .permitted(self.minutes_from(query, first, points))
            .await;
        self.count(match &values {
            // A day of which nothing is known is no failure.
            Ok(_) => "ok",
            Err(problem) => problem.cause.label(),
        });
        values
    }
}

// === impl PrometheusQuery ===

impl std::fmt::Display for PrometheusQuery {
    /// The query and its server as people may see them: an address can carry a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let server = Url::parse(&self.url)
            .ok()
            .and_then(|url| {
                let host = url.host_str()?.to_owned();
                Some(match url.port_or_known_default() {
                    Some(port) => format!("{host}:{port}"),
                    None => host,
                })
            })
            .unwrap_or_else(|| "an unreadable address".to_owned());
        write!(
            f,
            "the Prometheus query `{}` at {server}",
            quoted(&self.query)
        )
    }
}

/// Whether it is because of where an ad-hoc name leads.
fn is_closed(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.any(|cause| cause.is::<LeadsToClosed>())
}

/// An error with everything beneath it, without the address (which may carry a password).
fn chain(error: &reqwest::Error) -> String {
    let mut sentence = String::new();
    let mut source = error.source();
    while let Some(error) = source {
        if !sentence.is_empty() {
            sentence.push_str(": ");
        }
        sentence.push_str(&error.to_string());
        source = error.source();
    }
    if sentence.is_empty() {
        sentence.push_str("the request failed");
    }
    quoted(&sentence)
}

/// What a range query has of its own.
fn range((start, end): (Timestamp, Timestamp), step: Duration) -> [(&'static str, String); 3] {
    let step = format!("{}.{:03}", step.as_secs(), step.subsec_millis());
    [
        ("start", seconds(start)),
        ("end", seconds(end)),
        ("step", step),
    ]
}

/// A moment as Prometheus takes it.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.as_millis() / 1_000, at.as_millis() % 1_000)
}
