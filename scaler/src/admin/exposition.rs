//! `/metrics`: the counters of the process, and every target rendered from its published decision.
//!
//! Target series are made when Prometheus asks and kept nowhere, so a target that is gone leaves no
//! stale series, and their number is bounded by `limits.targets`. What is unknown has no sample: an
//! absent series says so, a 0 would lie. Prometheus' base units; the last unit stands in the name.

use std::fmt;
use std::sync::Arc;

use evenkeel_engine::{Desired, Foresight, Inputs, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;

use super::{api::Status, views};
use crate::clock::Clock;
use crate::config::Limits;
use crate::control::registry::Registry;
use crate::control::target::{Published, Target};
use crate::leader::Leadership;
use crate::metrics::Metrics;

/// The content type of what [`render`] answers.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that `/metrics` renders, in one registry.
pub(super) fn registry(
    targets: Arc<Registry>,
    metrics: &Metrics,
    limits: Limits,
    clock: Clock,
    leadership: &Leadership,
) -> prometheus_client::registry::Registry {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register(
        "evenkeel_build",
        "What runs here",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    registry.register_collector(Box::new(Process {
        started_at: clock.now(),
        limits,
        leadership: leadership.clone(),
    }));
    metrics.register(&mut registry);
    registry.register_collector(Box::new(Targets {
        targets,
        clock,
        leadership: leadership.clone(),
    }));
    registry
}

/// The whole text.
///
/// # Errors
/// Never in practice: only when writing into the string fails.
pub(super) fn render(
    registry: &prometheus_client::registry::Registry,
) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// What is of the process and not of a target.
#[derive(Debug)]
struct Process {
    started_at: Timestamp,
    limits: Limits,
    leadership: Leadership,
}

/// All targets.
#[derive(Debug)]
struct Targets {
    targets: Arc<Registry>,
    clock: Clock,
    leadership: Leadership,
}

/// One target at the moment of a scrape.
struct Scraped {
    target: Arc<Target>,
    published: Option<Arc<Published>>,
    now: Timestamp,
}

/// A metric with a sample for every target of which it is known.
struct TargetMetric {
    name: &'static str,
    help: &'static str,
    value: fn(&Scraped) -> Option<f64>,
}

const TARGET_GAUGES: [TargetMetric; 19] = [
    TargetMetric {
        name: "evenkeel_target_asked_age_seconds",
        help: "Seconds since somebody asked for this target, 0 while a stream is open",
        value: |it| {
            let age = it.now.since(it.target.asked_at());
            Some(if it.target.streams() > 0 {
                0.0
            } else {
                views::seconds(age)
            })
        },
    },
    TargetMetric {
        name: "evenkeel_target_data_age_seconds",
        help: "Age of the data behind the last decision",
        value: |it| {
            let data_at = it.published.as_ref()?.data_at?;
            Some(views::seconds(it.now.since(data_at)))
        },
    },
    TargetMetric {
        name: "evenkeel_target_desired_replicas",
        help: "Replicas decided, which is what the HPA is told",
        value: |it| it.desired().map(|(replicas, _)| f64::from(replicas)),
    },
    TargetMetric {
        name: "evenkeel_target_active",
        help: "1 while there is work, which is what KEDA wakes and sleeps by",
        value: |it| it.desired().map(|(_, active)| truth(active)),
    },
    TargetMetric {
        name: "evenkeel_target_observed_replicas",
        help: "Replicas seen in the consumer group",
        value: |it| Some(f64::from(it.inputs()?.observed_replicas)),
    },
    TargetMetric {
        name: "evenkeel_target_in_flight_replicas",
        help: "Replicas asked for that have not joined the group yet",
        value: |it| Some(f64::from(it.inputs()?.replicas_in_flight)),
    },
    TargetMetric {
        name: "evenkeel_target_calendar_floor_replicas",
        help: "Replicas that an event takes which is known ahead, while it is prepared for or goes on",
        value: |it| it.inputs()?.calendar_floor.map(f64::from),
    },
    TargetMetric {
        name: "evenkeel_target_min_replicas",
        help: "The lower limit of the trigger's metadata",
        value: |it| Some(f64::from(it.target.spec.policy.min_replicas)),
    },
    TargetMetric {
        name: "evenkeel_target_max_replicas",
        help: "The upper limit of the trigger's metadata, where it names one",
        value: |it| it.target.spec.policy.max_replicas.map(f64::from),
    },
    TargetMetric {
        name: "evenkeel_target_partitions",
        help: "Partitions that count",
        value: |it| Some(f64::from(it.inputs()?.partitions)),
    },
    TargetMetric {
        name: "evenkeel_target_lag_records",
        help: "Records not yet committed, all partitions",
        value: |it| Some(count(it.inputs()?.lag_records)),
    },
    TargetMetric {
        name: "evenkeel_target_lag_counted_records",
        help: "The lag that sizing counted, after the dead band, stuck partitions and holds",
        value: |it| Some(count(it.inputs()?.lag_counted_records)),
    },
    TargetMetric {
        name: "evenkeel_target_lag_seconds",
        help: "Seconds that the worst partition is behind",
        value: |it| it.inputs()?.lag_seconds,
    },
    TargetMetric {
        name: "evenkeel_target_processing_records_per_second",
        help: "Records committed by the group, fast window",
        value: |it| it.inputs()?.processing_rate,
    },
    TargetMetric {
        name: "evenkeel_target_capacity_records_per_second",
        help: "What one replica can do, configured or learned",
        value: |it| it.inputs()?.capacity_per_replica,
    },
    TargetMetric {
        name: "evenkeel_target_capacity_learned",
        help: "1 when the capacity was learned, 0 when it was configured",
        value: |it| {
            let inputs = it.inputs()?;
            inputs
                .capacity_per_replica
                .map(|_| truth(inputs.capacity_learned))
        },
    },
    TargetMetric {
        name: "evenkeel_target_utilization_ratio",
        help: "The inbound rate over what the observed replicas can do",
        value: |it| views::utilization(it.inputs()?),
    },
    TargetMetric {
        name: "evenkeel_target_rebalancing",
        help: "1 while a rebalance episode goes on",
        value: |it| Some(truth(it.inputs()?.rebalancing)),
    },
    TargetMetric {
        name: "evenkeel_target_rebalance_held_seconds",
        help: "Seconds that the lag term has been held in this rebalance episode",
        value: |it| Some(it.inputs()?.held_seconds),
    },
];

/// A counter with a sample for every target of which it is known. They begin anew with the process.
const TARGET_COUNTERS: [TargetMetric; 4] = [
    TargetMetric {
        name: "evenkeel_target_rebalances",
        help: "Rebalance episodes seen since the target was registered",
        value: |it| Some(count(it.inputs()?.rebalances)),
    },
    TargetMetric {
        name: "evenkeel_target_calendar_hits",
        help: "Surges that were expected because they came on earlier days, and came",
        value: |it| Some(count(it.foresight()?.hits)),
    },
    TargetMetric {
        name: "evenkeel_target_calendar_misses",
        help: "Surges that were expected because they came on earlier days, and did not come",
        value: |it| Some(count(it.foresight()?.misses)),
    },
    TargetMetric {
        name: "evenkeel_target_calendar_missed_replica_seconds",
        help: "Replicas times seconds that were asked for because of surges that did not come",
        value: |it| Some(it.foresight()?.missed_replica_seconds),
    },
];

/// A source of the inbound rate: its label, `witness` since the first release, and its figure.
type RateSource = (&'static str, fn(&Inputs) -> Option<f64>);

const RATE_SOURCES: [RateSource; 5] = [
    ("used_up", |inputs| inputs.inbound_up),
    ("used_down", |inputs| inputs.inbound_down),
    ("offsets_fast", |inputs| inputs.inbound_offsets_fast),
    ("offsets_slow", |inputs| inputs.inbound_offsets_slow),
    ("prometheus", |inputs| inputs.inbound_prometheus),
];

// === impl Process ===

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let started = ConstGauge::new(count(self.started_at.as_millis()) / 1_000.0);
        started.encode(encoder.encode_descriptor(
            "process_start_time_seconds",
            "When the process started, since the Unix epoch",
            None,
            MetricType::Gauge,
        )?)?;
        let leads = ConstGauge::new(truth(self.leadership.answers()));
        leads.encode(encoder.encode_descriptor(
            "evenkeel_leader",
            "1 where this replica answers KEDA, 0 where it hands calls on or nobody leads",
            None,
            MetricType::Gauge,
        )?)?;
        let mut family = encoder.encode_descriptor(
            "evenkeel_limit",
            "The bounds of the process, by their names in the configuration",
            None,
            MetricType::Gauge,
        )?;
        for (name, value) in limits(&self.limits) {
            ConstGauge::new(value).encode(family.encode_family(&[("name", name)])?)?;
        }
        Ok(())
    }
}

/// Every limit by name. Taken apart in full, so that a new limit does not compile without a metric.
fn limits(limits: &Limits) -> [(&'static str, f64); 8] {
    let Limits {
        targets,
        target_idle,
        adhoc_clusters,
        grpc_message_bytes,
        grpc_concurrency,
        kafka_frame_bytes,
        history_points,
        prometheus_concurrency,
    } = *limits;
    [
        ("targets", size(targets)),
        ("target_idle_seconds", views::seconds(target_idle)),
        ("adhoc_clusters", size(adhoc_clusters)),
        ("grpc_message_bytes", size(grpc_message_bytes)),
        ("grpc_concurrency", size(grpc_concurrency)),
        ("kafka_frame_bytes", size(kafka_frame_bytes)),
        ("history_points", size(history_points)),
        ("prometheus_concurrency", size(prometheus_concurrency)),
    ]
}

// === impl Targets ===

impl Collector for Targets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.targets.all();
        ConstGauge::new(size(all.len())).encode(encoder.encode_descriptor(
            "evenkeel_targets",
            "Targets registered",
            None,
            MetricType::Gauge,
        )?)?;
        // What a replica decides that does not answer is no decision: of two, one has the series.
        let all = if self.leadership.answers() {
            all
        } else {
            Vec::new()
        };
        let scraped = scrape(all, self.clock.now());
        encode_valid(&mut encoder, &scraped)?;
        for gauge in &TARGET_GAUGES {
            let mut family =
                encoder.encode_descriptor(gauge.name, gauge.help, None, MetricType::Gauge)?;
            for it in &scraped {
                if let Some(value) = (gauge.value)(it) {
                    ConstGauge::new(value).encode(family.encode_family(&it.labels())?)?;
                }
            }
        }
        encode_inbound(&mut encoder, &scraped)?;
        encode_stages(&mut encoder, &scraped)?;
        encode_counters(&mut encoder, &scraped)?;
        encode_verdicts(&mut encoder, &scraped)
    }
}

/// One entry a ScaledObject. The same labels must not appear twice, so of several triggers, or of
/// old and new metadata, the one counts that KEDA asked for last, as in [`Registry::find`].
fn scrape(all: Vec<Arc<Target>>, now: Timestamp) -> Vec<Scraped> {
    let mut chosen: Vec<Arc<Target>> = Vec::with_capacity(all.len());
    for target in all {
        // Sorted by namespace and name, so the same ScaledObject's targets are neighbours.
        match chosen.last_mut() {
            Some(last) if same_object(last, &target) => {
                if target.asked_at() >= last.asked_at() {
                    *last = target;
                }
            }
            _ => chosen.push(target),
        }
    }
    chosen
        .into_iter()
        .map(|target| Scraped {
            published: target.published(),
            target,
            now,
        })
        .collect()
}

fn same_object(one: &Target, other: &Target) -> bool {
    one.spec.key.namespace == other.spec.key.namespace && one.spec.key.name == other.spec.key.name
}

/// With the Kafka cluster, by which alerts tell an outage from a target of its own.
fn encode_valid(encoder: &mut DescriptorEncoder<'_>, scraped: &[Scraped]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "evenkeel_target_valid",
        "1 while KEDA is answered a decision, 0 while it is answered an error",
        None,
        MetricType::Gauge,
    )?;
    for it in scraped {
        let [namespace, name] = it.labels();
        let cluster = it.target.spec.cluster.to_string();
        let labels = [namespace, name, ("kafka_cluster", cluster.as_str())];
        let is_valid = ConstGauge::new(truth(it.status() == Status::Valid));
        is_valid.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_inbound(encoder: &mut DescriptorEncoder<'_>, scraped: &[Scraped]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "evenkeel_target_inbound_records_per_second",
        "The inbound rate by source; used_up and used_down are what sizing took from them",
        None,
        MetricType::Gauge,
    )?;
    for it in scraped {
        for (source, rate) in RATE_SOURCES {
            if let Some(value) = it.inputs().and_then(rate) {
                let [namespace, name] = it.labels();
                let labels = [namespace, name, ("witness", source)];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

/// A decision without a count has a trail of one step that repeats what was asked last: no sample.
fn encode_stages(encoder: &mut DescriptorEncoder<'_>, scraped: &[Scraped]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "evenkeel_target_stage_replicas",
        "Replicas after each stage of the last decision",
        None,
        MetricType::Gauge,
    )?;
    for it in scraped.iter().filter(|it| it.desired().is_some()) {
        let decision = it.published.as_ref().map(|published| &published.decision);
        for step in decision.into_iter().flat_map(|decision| &decision.trail) {
            let [namespace, name] = it.labels();
            let labels = [namespace, name, ("stage", views::stage(step.stage))];
            ConstGauge::new(f64::from(step.after)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_counters(encoder: &mut DescriptorEncoder<'_>, scraped: &[Scraped]) -> fmt::Result {
    for counter in &TARGET_COUNTERS {
        let mut family =
            encoder.encode_descriptor(counter.name, counter.help, None, MetricType::Counter)?;
        for it in scraped {
            if let Some(value) = (counter.value)(it) {
                ConstCounter::new(value).encode(family.encode_family(&it.labels())?)?;
            }
        }
    }
    Ok(())
}

fn encode_verdicts(encoder: &mut DescriptorEncoder<'_>, scraped: &[Scraped]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "evenkeel_target_verdict",
        "1 for the verdict of the last decision; the others have no sample",
        None,
        MetricType::Gauge,
    )?;
    for it in scraped {
        if let Some(published) = &it.published {
            let [namespace, name] = it.labels();
            let labels = [
                namespace,
                name,
                ("verdict", published.decision.verdict.label()),
            ];
            ConstGauge::new(1.0).encode(family.encode_family(&labels)?)?;
        }
    }
    let mut family = encoder.encode_descriptor(
        "evenkeel_target_finding",
        "1 for everything else that the last decision found worth saying",
        None,
        MetricType::Gauge,
    )?;
    for it in scraped {
        for finding in it.findings() {
            let [namespace, name] = it.labels();
            let labels = [namespace, name, ("finding", finding)];
            ConstGauge::new(1.0).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

// === impl Scraped ===

impl Scraped {
    fn labels(&self) -> [(&'static str, &str); 2] {
        let key = &self.target.spec.key;
        [("namespace", &key.namespace), ("name", &key.name)]
    }

    fn status(&self) -> Status {
        views::status(self.published.as_deref(), self.now)
    }

    fn foresight(&self) -> Option<&Foresight> {
        self.published.as_ref()?.foresight.as_ref()
    }

    fn inputs(&self) -> Option<&Inputs> {
        self.published.as_ref()?.decision.figures()
    }

    fn desired(&self) -> Option<(u32, bool)> {
        match self.published.as_ref()?.decision.desired {
            Desired::Known { replicas, active } => Some((replicas, active)),
            Desired::Unknown { .. } => None,
        }
    }

    /// The findings' labels, each once: two partitions may be hot, and a series exists only once.
    fn findings(&self) -> std::collections::BTreeSet<&'static str> {
        let decision = self.published.as_ref().map(|published| &published.decision);
        decision
            .into_iter()
            .flat_map(|decision| &decision.findings)
            .map(|finding| finding.verdict.label())
            .collect()
    }
}

const fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// A count as a sample. Above 2^53 it rounds, which a chart of lag survives.
const fn count(value: u64) -> f64 {
    value as f64
}

fn size(value: usize) -> f64 {
    count(u64::try_from(value).unwrap_or(u64::MAX))
}
