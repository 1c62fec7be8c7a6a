//! One run: what is set up, what happens each second, and how it is taken down.
//!
//! The order of taking down is that of the data: first the load, then the consumers, then the scaler,
//! last the database and the broker, so that nothing complains about what is already gone.

use std::time::Duration;

use evenkeel_engine::Timestamp;
use evenkeel_sim::hpa::Hpa;
use evenkeel_sim::keda::Activation;
use tempfile::TempDir;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::broker::topics::TopicAdmin;
use super::broker::{BrokerOptions, EmbeddedBroker, Progress};
use super::driver::Driver;
use super::pods::{PodTemplate, Pods};
use super::postgres::EmbeddedPostgres;
use super::programs::{LogFolder, Producer, Programs, ScalerProcess, io};
use super::report::{Change, Counts, Report, Sample, TableCounts};
use super::scaler::{Evenkeel, Policy};
use super::view::{Now, View};
use super::watch::{Sight, Watch};
use super::{DemoError, Options, PolicyChoice, SinkChoice, settings};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::observe::kafka::KafkaObserver;

/// The group's name where the cluster is ours.
const GROUP: &str = "workers";

/// The topic's name where the cluster is ours.
const TOPIC: &str = "trades";

/// How long the scaler, and Kafka's group coordinator, may take until they answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often they are asked meanwhile.
const START_POLL: Duration = Duration::from_millis(100);

/// How long consumers may work the rest off when the load is over.
const DRAIN: Duration = Duration::from_secs(120);

/// Everything that runs.
#[derive(Debug)]
pub struct Run {
    clock: Clock,
    driver: Driver,
    pods: Pods,
    producer: Option<Producer>,
    scaler: Option<ScalerProcess>,
    watch: Watch<KafkaObserver>,
    topics: TopicAdmin,
    /// The topic to remove at the end, where the cluster is not ours.
    guest_topic: Option<String>,
    broker: Option<EmbeddedBroker>,
    database: Option<EmbeddedPostgres>,
    view: View,
    behavior: String,
    _folder: TempDir,
}

/// What has been written down so far.
#[derive(Debug, Default)]
struct Record {
    samples: Vec<Sample>,
    changes: Vec<Change>,
    counts: Counts,
    last_sight: Option<(Timestamp, Sight)>,
}

// === impl Run ===

impl Run {
    /// Sets everything up; the load begins at the end of it.
    ///
    /// # Errors
    /// When a part cannot be started. Dropping what is there ends the others.
    pub async fn start(options: &Options) -> Result<Self, DemoError> {
        let programs = Programs::find(options.bin_folder.as_deref())?;
        let folder = tempfile::Builder::new()
            .prefix("evenkeel-demo-")
            .tempdir()
            .map_err(io("making a folder for the demo"))?;
        let logs = LogFolder::new(folder.path().to_owned());
        let clock = Clock::start();

        let place = Place::find(options, clock.now()).await?;
        let servers = &place.bootstrap_servers;
        let partitions = i32::try_from(options.partitions).unwrap_or(i32::MAX);
        // -1 lets a cluster that is not ours choose its own replication.
        let replication = if place.broker.is_some() { 1 } else { -1 };
        place
            .topics
            .create_topic(&place.topic, partitions, replication, &[])
            .await?;

        let mut watch = Watch::of(servers, &place.topic, &place.group, clock);
        wait_for_coordinator(&mut watch, clock).await;

        let (policy, scaler, hints) = match options.policy {
            PolicyChoice::KedaLag { threshold_records } => {
                (Policy::KedaLag { threshold_records }, None, Vec::new())
            }
            PolicyChoice::Evenkeel => {
                let mut scaler = ScalerProcess::start(&programs, &logs, servers)?;
                let metadata = settings::metadata(options, &place.topic, &place.group);
                let hints = settings::hints(&programs.evenkeel, &scaler, &metadata);
                let mut evenkeel = Evenkeel::new(scaler.grpc, scaler.admin, metadata)?;
                wait_for_answer(&mut scaler, &mut evenkeel).await?;
                (Policy::Evenkeel(Box::new(evenkeel)), Some(scaler), hints)
            }
        };
        let database = match options.sink {
            SinkChoice::Simulate => None,
            SinkChoice::Postgres => Some(EmbeddedPostgres::start().await?),
        };
        let template = PodTemplate {
            program: programs.consumer.clone(),
            arguments: settings::consumer_arguments(
                options.group_protocol,
                servers,
                &place.topic,
                &place.group,
                settings::CAPACITY_PER_REPLICA,
                database.as_ref().map(EmbeddedPostgres::url).as_deref(),
            ),
            start_delay: options.pod_start,
        };
        let producer = Producer::start(&programs, &logs, servers, &place.topic, &options.load)?;
        let activation = Activation::new(0, options.cooldown);
        let hpa = Hpa::new(settings::behavior(options));
        Ok(Self {
            clock,
            driver: Driver::new(policy, activation, hpa, clock.now()),
            pods: Pods::new(template, logs),
            producer: Some(producer),
            scaler,
            watch,
            view: View::new(settings::heading(options, servers), hints),
            behavior: settings::behavior_in_words(options),
            guest_topic: place.broker.is_none().then(|| place.topic.clone()),
            topics: place.topics,
            broker: place.broker,
            database,
            _folder: folder,
        })
    }

    /// Plays it second by second until the load is over and worked off, or `stop` is cancelled.
    ///
    /// # Errors
    /// When a part ends too early.
    pub async fn go_on(
        &mut self,
        options: &Options,
        stop: &CancellationToken,
    ) -> Result<Report, DemoError> {
        self.view.open();
        let started = self.clock.now();
        let mut record = Record::default();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupted = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    interrupted = true;
                    break;
                }
                _ = seconds.tick() => {}
            }
            let elapsed = self.clock.now().since(started);
            self.second(options, elapsed, &mut record).await?;
            if elapsed >= options.load.duration() {
                self.end_producer(&mut record.counts).await;
                let over = elapsed >= options.load.duration() + DRAIN;
                if over || is_worked_off(&record) {
                    break;
                }
            }
        }
        self.end_producer(&mut record.counts).await;
        record.counts.table = self.table().await;
        let mut report = self.report(options, record);
        report.interrupted = interrupted;
        self.view.close(&report);
        Ok(report)
    }

    /// Ends everything, in order.
    pub async fn stop(&mut self) {
        self.end_producer(&mut Counts::default()).await;
        self.pods.end().await;
        if let Some(mut scaler) = self.scaler.take() {
            scaler.end().await;
        }
        if let Some(topic) = self.guest_topic.take() {
            // A cluster that does not answer any more keeps its topic; there is nobody to tell.
            let _ = self.topics.delete_topic(&topic).await;
        }
        if let Some(mut database) = self.database.take() {
            database.crash().await;
        }
        if let Some(mut broker) = self.broker.take() {
            broker.stop().await;
        }
    }

    /// One second: look, ask, scale, write down, show.
    async fn second(
        &mut self,
        options: &Options,
        elapsed: Duration,
        record: &mut Record,
    ) -> Result<(), DemoError> {
        if let Some(producer) = &mut self.producer {
            producer.check()?;
        }
        if let Some(scaler) = &mut self.scaler {
            scaler.check()?;
        }
        let now = self.clock.now();
        let sight = self.watch.look(now).await;
        let lags = sight.as_ref().map(|sight| sight.lags.as_slice());
        let settings = self.driver.tick(now, self.pods.replicas(), lags).await;
        for setting in settings {
            self.pods.scale_to(setting.to, now).await;
            let change = Change {
                second: elapsed.as_secs(),
                from: setting.from,
                to: setting.to,
                by: setting.by,
                why: setting.why,
            };
            self.view.changed(&change);
            record.changes.push(change);
        }
        self.pods.tick(now)?;
        let sample = self.sample(options, elapsed, now, sight, record);
        record.samples.push(sample);
        if let Some(producer) = &self.producer {
            record.counts.acknowledged_records = producer.line().acknowledged_total;
        }
        let problem = self.watch.problem().or(self.driver.errors().1);
        self.view.show(&Now {
            samples: &record.samples,
            changes: &record.changes,
            load: &options.load,
            acknowledged_records: record.counts.acknowledged_records,
            problem,
        });
        Ok(())
    }

    fn sample(
        &mut self,
        options: &Options,
        elapsed: Duration,
        now: Timestamp,
        sight: Option<Sight>,
        record: &mut Record,
    ) -> Sample {
        let tally = self.pods.tally();
        let inbound = match (&record.last_sight, &sight) {
            (Some((at, before)), Some(after)) => {
                let arrived = after.log_end_total.saturating_sub(before.log_end_total);
                let seconds = now.since(*at).as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "one second's records")]
                let rate = arrived as f64 / seconds.max(0.001);
                Some(rate)
            }
            _ => None,
        };
        let group = self.watch.group();
        let sample = Sample {
            second: elapsed.as_secs(),
            load_records_per_second: options.load.rate_at(elapsed),
            inbound_records_per_second: inbound,
            processed_records_per_second: tally.records,
            lag_records: sight.as_ref().map(Sight::lag_records),
            message_age_mean_seconds: tally.age_mean_seconds,
            message_age_max_seconds: tally.age_max_seconds,
            wanted_replicas: self.driver.wanted(),
            replicas: self.pods.replicas(),
            running_replicas: self.pods.running(),
            members: group.map(|group| group.members),
            group_state: group.map(|group| group.state),
        };
        if let Some(sight) = sight {
            record.last_sight = Some((now, sight));
        }
        sample
    }

    async fn end_producer(&mut self, counts: &mut Counts) {
        if let Some(mut producer) = self.producer.take() {
            let line = producer.end().await;
            counts.acknowledged_records = line.acknowledged_total;
            counts.failed_records = line.failed_total;
        }
    }

    /// What is in the database, where there is one. One that does not answer shows as no rows at all.
    async fn table(&self) -> Option<TableCounts> {
        let database = self.database.as_ref()?;
        let query = "SELECT count(*), count(DISTINCT (kafka_partition, kafka_offset)) FROM trades";
        let said = database.ask(query).await.unwrap_or_default();
        let counts = said.trim().split_once('|');
        let number = |text: &str| text.parse().unwrap_or(0);
        Some(
            counts.map_or_else(TableCounts::default, |(rows, distinct)| TableCounts {
                rows: number(rows),
                distinct_rows: number(distinct),
            }),
        )
    }

    fn report(&mut self, options: &Options, record: Record) -> Report {
        let mut counts = record.counts;
        // Only the last second's sight says how it ended.
        let last = record.samples.last();
        if let Some((_, sight)) = record.last_sight
            && last.is_some_and(|sample| sample.lag_records.is_some())
        {
            counts.log_end_records = Some(sight.log_end_total);
            counts.committed_records = Some(sight.committed_total);
        }
        counts.written_records = self.pods.processed_total();
        counts.pod_crashes = self.pods.crashes();
        counts.rebalances = self.watch.rebalances().count();
        counts.partition_moves = self.watch.rebalances().moves();
        counts.unanswered = self.driver.errors().0;
        Report::new(
            options.policy.label(),
            self.behavior.clone(),
            options.partitions,
            &options.load,
            counts,
            record.changes,
            record.samples,
        )
    }
}

/// Where Kafka is, and what the topic and the group are called there.
#[derive(Debug)]
struct Place {
    bootstrap_servers: String,
    topics: TopicAdmin,
    topic: String,
    group: String,
    broker: Option<EmbeddedBroker>,
}

// === impl Place ===

impl Place {
    async fn find(options: &Options, now: Timestamp) -> Result<Self, DemoError> {
        if let Some(servers) = &options.bootstrap_servers {
            // Names of their own, so that nothing of the user's is touched.
            let suffix = now.as_millis();
            let addresses = servers.split(',').map(|server| server.trim().to_owned());
            return Ok(Self {
                bootstrap_servers: servers.clone(),
                topics: TopicAdmin::new(addresses.collect()),
                topic: format!("evenkeel-demo-{TOPIC}-{suffix}"),
                group: format!("evenkeel-demo-{GROUP}-{suffix}"),
                broker: None,
            });
        }
        let broker = EmbeddedBroker::start(BrokerOptions {
            properties: settings::timing_of_a_cluster(),
            progress: Progress::shown(),
            ..BrokerOptions::default()
        })
        .await?;
        Ok(Self {
            bootstrap_servers: broker.bootstrap_servers(),
            topics: broker.topics(),
            topic: TOPIC.to_owned(),
            group: GROUP.to_owned(),
            broker: Some(broker),
        })
    }
}

async fn wait_for_answer(
    scaler: &mut ScalerProcess,
    evenkeel: &mut Evenkeel,
) -> Result<(), DemoError> {
    let deadline = tokio::time::Instant::now() + START_TIMEOUT;
    loop {
        scaler.check()?;
        match evenkeel.metric_spec().await {
            Ok(_) => return Ok(()),
            Err(said) if tokio::time::Instant::now() >= deadline => {
                return Err(DemoError::NoAnswer {
                    seconds: START_TIMEOUT.as_secs(),
                    said,
                });
            }
            Err(_) => tokio::time::sleep(START_POLL).await,
        }
    }
}

/// Waits until Kafka can tell about the group: the first question makes it create the topic that
/// groups live in, which takes seconds that are nobody's policy. The demo begins without it if need
/// be.
async fn wait_for_coordinator(watch: &mut Watch<KafkaObserver>, clock: Clock) {
    let deadline = tokio::time::Instant::now() + START_TIMEOUT;
    while watch.look(clock.now()).await.is_none() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(START_POLL).await;
    }
}

/// Whether everything acknowledged has been committed.
fn is_worked_off(record: &Record) -> bool {
    let last = record.samples.last();
    let end = record.last_sight.as_ref();
    last.is_some_and(|sample| sample.lag_records == Some(0))
        && end.is_some_and(|(_, sight)| sight.log_end_total >= record.counts.acknowledged_records)
}
