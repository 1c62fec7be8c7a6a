//! What happens in a run: the load, the consumers' starts, what the ScaledObjects say, and the spans of
//! time that figures are about.
//!
//! The blueprint is the published one: 1,000 records/s, 5,000, and the fall back to 1,000, on 10 replicas
//! that have caught up. The rise begins asleep and goes to 900 records/s in 5 minutes, the climb from one
//! replica to 500. The step is from 280 records/s to 900 on a group that was asleep: 300 would be exactly
//! what four replicas are for, so that who measures 300.6 asks for a fifth. The surge comes at once, and has
//! come at the same time on earlier days. Everybody's settings are the same within a scenario.

use std::time::Duration;

/// A stretch of load in a straight line, records/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// At its begin.
    pub from: f64,
    /// At its end.
    pub to: f64,
    /// How long.
    pub seconds: u64,
}

/// A span of time that figures are worked out for; a change belongs to the span in which it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is called in the tables.
    pub name: &'static str,
    /// Its first second.
    pub from: u64,
    /// The second after its last.
    pub to: u64,
}

/// When the ScaledObject is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// So long before the load begins: everybody has seen the group at rest.
    Before(Duration),
    /// So long after it has begun.
    After(Duration),
}

/// The HPA's behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// The blueprint's: up 10 pods or 500 % a minute after 60 s, down 50 % in 120 s after 120 s.
    Published,
    /// Kubernetes' own.
    Default,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// As it is called in options and files.
    pub name: &'static str,
    /// One sentence for readers.
    pub about: &'static str,
    /// Partitions of the topic.
    pub partitions: u32,
    /// The load.
    pub load: Vec<Stretch>,
    /// What figures are about.
    pub spans: Vec<Span>,
    /// From a pod to its process; it is Ready [`READY`] later.
    pub start: Duration,
    /// Replicas that work before the load begins.
    pub replicas: u32,
    /// When the ScaledObject comes.
    pub apply: Apply,
    /// `minReplicaCount`.
    pub min_replicas: u32,
    /// `maxReplicaCount`.
    pub max_replicas: u32,
    /// `cooldownPeriod`.
    pub cooldown: Duration,
    /// `lagThreshold`.
    pub lag_threshold_records: u32,
    /// The HPA's behavior, which evenkeel's ScaledObject gets moved over.
    pub behavior: Behavior,
    /// Whether the load came at the same time on earlier days, which Prometheus knows.
    pub came_before: bool,
    /// What evenkeel is held to.
    pub goal: Goal,
}

/// What evenkeel is held to in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// One step up, at most two down, no reversal, and a steady message time that is settled.
    OneStep,
    /// The same counts at the end of each span with one consumer a pod and with two.
    SameCounts,
    /// No more message time in the first span than lag and rate at no more replica-minutes, and at most
    /// three steps up.
    AtMostLagAndRate,
    /// With a calendar, no step up once the surge has begun, and at most a tenth of the message time above
    /// a batch's.
    ReadyBefore,
}

/// From a pod's process to Ready: with the start, the blueprint's minute.
pub const READY: Duration = Duration::from_secs(2);

const START: Duration = Duration::from_secs(58);

// === impl Stretch ===

impl Stretch {
    /// As the producer's command line takes it.
    pub fn rate(&self) -> String {
        if self.is_level() {
            self.from.to_string()
        } else {
            format!("{}..{}", self.from, self.to)
        }
    }

    fn is_level(&self) -> bool {
        self.from.total_cmp(&self.to).is_eq()
    }
}

// === impl Span ===

impl Span {
    /// Whether `second` lies in it.
    pub fn holds(&self, second: u64) -> bool {
        (self.from..self.to).contains(&second)
    }
}

// === impl Scenario ===

impl Scenario {
    /// All of them, the most important first.
    pub fn all() -> Vec<Self> {
        let blueprint = |name, partitions| Self::blueprint(name, partitions);
        vec![
            blueprint("blueprint-100", 100),
            Self::rise(),
            Self::climb(),
            blueprint("blueprint-120", 120),
            blueprint("blueprint-300", 300),
            Self::step(),
            Self::surge(),
        ]
    }

    fn blueprint(name: &'static str, partitions: u32) -> Self {
        Self {
            name,
            about: "The published blueprint: 1,000 records/s for 5 min, 5,000 for 10, then 1,000 again. \
                    10 replicas have caught up when the load begins; the ScaledObject comes 67 s later.",
            partitions,
            load: vec![
                level(1_000.0, 300),
                level(5_000.0, 600),
                level(1_000.0, 420),
            ],
            spans: vec![
                span("at 1,000/s", 0, 300),
                span("at 5,000/s", 300, 900),
                span("after the fall", 900, 1_320),
            ],
            start: START,
            replicas: 10,
            apply: Apply::After(between_looks(60)),
            min_replicas: 0,
            max_replicas: 100,
            cooldown: Duration::from_secs(300),
            lag_threshold_records: 10_000,
            behavior: Behavior::Published,
            came_before: false,
            goal: Goal::OneStep,
        }
    }

    fn rise() -> Self {
        Self {
            name: "rise",
            about: "From zero to 900 records/s in 5 min, 3 min at 900, then nothing. The group has committed \
                    before and is asleep; the ScaledObject is there 67 s before the load.",
            load: vec![ramp(0.0, 900.0, 300), level(900.0, 180), level(0.0, 150)],
            replicas: 0,
            min_replicas: 0,
            ..Self::climb()
        }
    }

    fn climb() -> Self {
        Self {
            name: "climb",
            about: "From one replica at rest to 500 records/s in 5 min, 3 min at 500, then nothing. The \
                    ScaledObject is there 67 s before the load.",
            partitions: 24,
            load: vec![ramp(0.0, 500.0, 300), level(500.0, 180), level(0.0, 150)],
            spans: vec![
                span("the first 6 min", 0, 360),
                span("the next 2 min", 360, 480),
                span("after the fall", 480, 630),
            ],
            start: START,
            replicas: 1,
            apply: Apply::Before(between_looks(60)),
            min_replicas: 1,
            max_replicas: 24,
            cooldown: Duration::from_secs(60),
            lag_threshold_records: 1_000,
            behavior: Behavior::Default,
            came_before: false,
            goal: Goal::AtMostLagAndRate,
        }
    }

    fn step() -> Self {
        Self {
            name: "step",
            about: "280 records/s for 2 min, 900 for 4, then nothing. The group has committed before and is \
                    asleep; the ScaledObject is there 37 s before the load.",
            load: vec![level(280.0, 120), level(900.0, 240), level(0.0, 150)],
            spans: vec![
                span("at 280/s", 0, 120),
                span("at 900/s", 120, 360),
                span("after the fall", 360, 510),
            ],
            start: Duration::from_secs(3),
            replicas: 0,
            min_replicas: 0,
            apply: Apply::Before(between_looks(30)),
            goal: Goal::SameCounts,
            ..Self::climb()
        }
    }

    fn surge() -> Self {
        Self {
            name: "surge",
            about: "Nothing for 5 min, 900 records/s at once for 6, then nothing. It came at the same time on \
                    each of the 8 days before, which Prometheus knows. The group has committed before and is \
                    asleep; the ScaledObject is there 127 s before the first of these minutes.",
            load: vec![level(0.0, 300), level(900.0, 360), level(0.0, 300)],
            spans: vec![
                span("before it", 0, 300),
                span("at 900/s", 300, 660),
                span("after the fall", 660, 960),
            ],
            replicas: 0,
            min_replicas: 0,
            apply: Apply::Before(between_looks(120)),
            came_before: true,
            goal: Goal::ReadyBefore,
            ..Self::climb()
        }
    }

    /// How long before the load the ScaledObject comes.
    pub fn before(&self) -> Duration {
        match self.apply {
            Apply::Before(time) => time,
            Apply::After(_) => Duration::ZERO,
        }
    }

    /// The same with every time divided, to try the program itself; its figures mean nothing.
    pub fn shortened(mut self, by: u32) -> Self {
        let seconds = |seconds: u64| seconds / u64::from(by.max(1));
        for stretch in &mut self.load {
            stretch.seconds = seconds(stretch.seconds);
        }
        for span in &mut self.spans {
            (span.from, span.to) = (seconds(span.from), seconds(span.to));
        }
        self.start /= by.max(1);
        self.cooldown /= by.max(1);
        self.apply = match self.apply {
            Apply::Before(time) => Apply::Before(time / by.max(1)),
            Apply::After(time) => Apply::After(time / by.max(1)),
        };
        self
    }

    /// How long the load lasts.
    pub fn seconds(&self) -> u64 {
        self.load.iter().map(|stretch| stretch.seconds).sum()
    }

    /// The load at `second`; nothing after its end.
    pub fn rate_at(&self, second: u64) -> f64 {
        let mut begin = 0;
        for stretch in &self.load {
            if second < begin + stretch.seconds {
                #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
                let share = (second - begin) as f64 / stretch.seconds as f64;
                return stretch.from + (stretch.to - stretch.from) * share;
            }
            begin += stretch.seconds;
        }
        0.0
    }
}

/// `seconds` and half of the HPA's 15 s. The HPA looks from the ScaledObject on, and loads change at multiples
/// of 15 s: without it each change came in the very second of a look, when no answer can know of it.
const fn between_looks(seconds: u64) -> Duration {
    Duration::from_secs(seconds + 7)
}

fn level(rate: f64, seconds: u64) -> Stretch {
    ramp(rate, rate, seconds)
}

fn ramp(from: f64, to: f64, seconds: u64) -> Stretch {
    Stretch { from, to, seconds }
}

fn span(name: &'static str, from: u64, to: u64) -> Span {
    Span { name, from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_of_a_load_lies_in_one_span() {
        for scenario in Scenario::all() {
            for second in 0..scenario.seconds() {
                let spans = scenario.spans.iter().filter(|span| span.holds(second));
                assert_eq!(spans.count(), 1, "{} at {second}", scenario.name);
            }
            let end = scenario.spans.last().map(|span| span.to);
            assert_eq!(end, Some(scenario.seconds()), "{}", scenario.name);
        }
    }

    #[test]
    fn a_ramp_is_a_straight_line() {
        let rise = Scenario::rise();
        assert_eq!((rise.rate_at(0), rise.rate_at(150)), (0.0, 450.0));
        assert_eq!((rise.rate_at(400), rise.rate_at(500)), (900.0, 0.0));
        assert_eq!(rise.load[0].rate(), "0..900");
        assert_eq!(rise.load[1].rate(), "900");
    }
}
