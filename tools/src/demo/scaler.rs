//! Who is asked for the metric: evenkeel over gRPC, call for call as KEDA does, or KEDA's own lag
//! rule.
//!
//! KEDA asks GetMetricSpec, then GetMetrics, then IsActive, on each of its polls and again on each
//! of the HPA's requests, and it keeps StreamIsActive open, opening it again when it ends. It takes
//! the float of a value where it is above zero and the integer otherwise, and rounds to thousandths.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_sim::keda::{LagMetric, LagRule};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use evenkeel_scaler::admin::api::{History, StepView, TargetDetail};
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};

/// How long one call may take. KEDA has no bound of its own; evenkeel promises two seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long KEDA waits before it opens an ended stream again.
const STREAM_PAUSE: Duration = Duration::from_secs(2);

/// How much of an answer of the admin server is read.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// What one round of questions brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The metric, in thousandths.
    pub value_milli: u64,
    /// Its target a replica, in thousandths.
    pub target_milli: u64,
    /// Whether there is work.
    pub active: bool,
}

/// Who decides.
#[derive(Debug)]
pub enum Policy {
    /// evenkeel.
    Evenkeel(Box<Evenkeel>),
    /// KEDA's `kafka` trigger.
    KedaLag {
        /// Its `lagThreshold`.
        threshold_records: u64,
    },
}

/// A running `evenkeel serve`, as KEDA sees it.
#[derive(Debug)]
pub struct Evenkeel {
    client: ExternalScalerClient<Channel>,
    scaled_object: ScaledObjectRef,
    admin: SocketAddr,
}

// === impl Policy ===

impl Policy {
    /// Asks once, with the `lags` that KEDA's own rule would read at this moment.
    ///
    /// # Errors
    /// A sentence, when there is no answer: KEDA and the HPA then leave things as they are.
    pub async fn ask(&mut self, lags: Option<&[u64]>) -> Result<Answer, String> {
        match self {
            Self::Evenkeel(evenkeel) => evenkeel.ask().await,
            Self::KedaLag { threshold_records } => {
                let lags = lags.ok_or("the lag could not be read")?;
                let metric = LagMetric::of(lags, *threshold_records, LagRule::Capped);
                Ok(Answer {
                    value_milli: metric.value_records.saturating_mul(1_000),
                    target_milli: threshold_records.saturating_mul(1_000),
                    active: metric.active,
                })
            }
        }
    }

    /// Why the metric is what it is, in a sentence.
    pub async fn reason(&self, answer: &Answer) -> String {
        match self {
            Self::Evenkeel(evenkeel) => evenkeel
                .reason()
                .await
                .unwrap_or_else(|| "the admin server gave no reason".to_owned()),
            Self::KedaLag { threshold_records } => format!(
                "lag {} over a threshold of {threshold_records} a replica",
                answer.value_milli / 1_000
            ),
        }
    }
}

// === impl Evenkeel ===

impl Evenkeel {
    /// The scaler at `grpc`, asked for one ScaledObject. Does no I/O.
    ///
    /// # Errors
    /// When the address makes no sense.
    pub fn new(
        grpc: SocketAddr,
        admin: SocketAddr,
        metadata: HashMap<String, String>,
    ) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{grpc}"))?
            .connect_timeout(CALL_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        Ok(Self {
            client: ExternalScalerClient::new(endpoint.connect_lazy()),
            scaled_object: ScaledObjectRef {
                name: "workers".to_owned(),
                namespace: "demo".to_owned(),
                scaler_metadata: metadata,
            },
            admin,
        })
    }

    /// Whether it answers at all: what is asked first when KEDA sees a new ScaledObject.
    ///
    /// # Errors
    /// A sentence, when it does not.
    pub async fn metric_spec(&mut self) -> Result<(String, u64), String> {
        let spec = self
            .client
            .get_metric_spec(self.scaled_object.clone())
            .await
            .map_err(|status| sentence("GetMetricSpec", &status))?
            .into_inner();
        let spec = spec
            .metric_specs
            .first()
            .ok_or("GetMetricSpec named no metric")?;
        let target = milli(spec.target_size_float, spec.target_size);
        Ok((spec.metric_name.clone(), target))
    }

    async fn ask(&mut self) -> Result<Answer, String> {
        let (metric_name, target_milli) = self.metric_spec().await?;
        let request = GetMetricsRequest {
            scaled_object_ref: Some(self.scaled_object.clone()),
            metric_name,
        };
        let metrics = self
            .client
            .get_metrics(request)
            .await
            .map_err(|status| sentence("GetMetrics", &status))?
            .into_inner();
        let active = self
            .client
            .is_active(self.scaled_object.clone())
            .await
            .map_err(|status| sentence("IsActive", &status))?
            .into_inner();
        // The HPA sums whatever comes back under the name.
        let values = metrics.metric_values.iter();
        Ok(Answer {
            value_milli: values
                .map(|value| milli(value.metric_value_float, value.metric_value))
                .sum(),
            target_milli,
            active: active.result,
        })
    }

    /// Keeps StreamIsActive open as KEDA's `external-push` does, and hands on what it pushes, until
    /// nobody listens any more.
    pub fn listen(&self) -> mpsc::Receiver<bool> {
        let (send, receive) = mpsc::channel(16);
        let (mut client, scaled_object) = (self.client.clone(), self.scaled_object.clone());
        tokio::spawn(async move {
            while !send.is_closed() {
                if let Ok(stream) = client.stream_is_active(scaled_object.clone()).await {
                    let mut stream = stream.into_inner();
                    while let Ok(Some(pushed)) = stream.message().await {
                        if send.send(pushed.result).await.is_err() {
                            return;
                        }
                    }
                }
                tokio::time::sleep(STREAM_PAUSE).await;
            }
        });
        receive
    }

    /// Why the number is what it is, from the admin server: the verdict under which it was last
    /// changed, and the last stage of the newest decision that changed anything.
    async fn reason(&self) -> Option<String> {
        let ScaledObjectRef {
            namespace, name, ..
        } = &self.scaled_object;
        let path = format!("/api/v1/targets/{namespace}/{name}");
        let detail: TargetDetail = get_json(self.admin, &path).await.ok()?;
        let history: History = get_json(self.admin, &format!("{path}/history"))
            .await
            .ok()?;
        let decision = detail.decision?;
        let verdict = verdict_of_change(&history).unwrap_or(decision.verdict);
        let changed = |step: &&StepView| step.before_replicas != step.after_replicas;
        let trail = &decision.trail;
        let step = trail.iter().rev().find(changed).or(trail.last());
        Some(match step {
            Some(step) => format!("{verdict}: {}", step.why),
            None => verdict,
        })
    }
}

/// The verdict of the newest point whose number differs from the one before it.
fn verdict_of_change(history: &History) -> Option<String> {
    let pairs = history.points.windows(2).rev();
    pairs
        .filter_map(|pair| match pair {
            [before, after] => Some((before, after)),
            _ => None,
        })
        .find(|(before, after)| before.desired_replicas != after.desired_replicas)
        .map(|(_, after)| after.verdict.clone())
}

/// The float where it is above zero, the integer otherwise, as KEDA reads both; in thousandths.
fn milli(float: f64, integer: i64) -> u64 {
    if float > 0.0 && float.is_finite() {
        let thousandths = (float * 1_000.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and a float cast saturates"
        )]
        return thousandths as u64;
    }
    u64::try_from(integer).unwrap_or(0).saturating_mul(1_000)
}

fn sentence(call: &str, status: &tonic::Status) -> String {
    format!("{call}: {:?}: {}", status.code(), status.message())
}

async fn get_json<T: DeserializeOwned>(admin: SocketAddr, path: &str) -> std::io::Result<T> {
    serde_json::from_str(&get(admin, path).await?).map_err(std::io::Error::other)
}

/// The body of one GET of our own admin server on the loopback, whatever its status. HTTP/1.0, so that
/// the end of the answer is the end of the connection.
///
/// # Errors
/// When nobody answers.
pub async fn get(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream
            .take(MAX_ANSWER_BYTES)
            .read_to_string(&mut answer)
            .await?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(body.to_owned())
    };
    tokio::time::timeout(CALL_TIMEOUT, exchange).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_scaler::admin::api::PointView;

    #[test]
    fn the_float_counts_where_it_is_above_zero() {
        assert_eq!(milli(13.0, 13), 13_000);
        assert_eq!(milli(0.0, 13), 13_000);
        assert_eq!(milli(1.0004, 1), 1_000);
        assert_eq!(milli(0.0, 0), 0);
        assert_eq!(milli(f64::NAN, 2), 2_000);
        assert_eq!(milli(-4.0, -4), 0);
    }

    #[test]
    fn the_verdict_is_the_one_of_the_last_change() {
        let point = |verdict: &str, desired_replicas| PointView {
            at_millis: 0,
            verdict: verdict.to_owned(),
            desired_replicas,
            observed_replicas: None,
            lag_records: None,
            lag_seconds: None,
            inbound_records_per_second: None,
            processing_records_per_second: None,
            rebalancing: false,
        };
        let check = |points: &[(&str, Option<u32>)], expected: Option<&str>| {
            let points = points.iter();
            let history = History {
                now_millis: 0,
                namespace: "demo".to_owned(),
                name: "workers".to_owned(),
                trigger: String::new(),
                points: points
                    .map(|(verdict, desired)| point(verdict, *desired))
                    .collect(),
            };
            let found = verdict_of_change(&history);
            assert_eq!(found.as_deref(), expected, "{history:?}");
        };
        check(&[], None);
        check(&[("SteadyState", Some(1)), ("SteadyState", Some(1))], None);
        check(
            &[
                ("ColdStart", Some(1)),
                ("RateUp", Some(3)),
                ("SteadyState", Some(3)),
            ],
            Some("RateUp"),
        );
    }
}
