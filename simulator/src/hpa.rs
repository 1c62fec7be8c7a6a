//! What the HPA makes of its metrics: Kubernetes' own arithmetic, so that the pods of the simulator
//! and of the demo come and go as they would in a cluster.
//!
//! Pure: metric values and the time in, a replica count out. It follows the autoscaler's controller
//! for external metrics of type AverageValue (the type KEDA uses): the ratio's dead band, the
//! division in thousandths, the greatest of several metrics, the stabilization windows, and the
//! policies that limit how much may change within a period. Not modelled: other metric types, and
//! readiness, which AverageValue does not look at.

use std::collections::VecDeque;
use std::time::Duration;

use evenkeel_engine::Timestamp;

/// How long events and recommendations are remembered: the longest window the API accepts.
const MEMORY: Duration = Duration::from_secs(3_600);

/// The tolerance of every HPA that does not name its own.
pub const DEFAULT_TOLERANCE: f64 = 0.1;

/// One external metric of type AverageValue, in thousandths, as the controller counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// What the metrics API answers; `None` when it answers with an error.
    pub value_milli: Option<u64>,
    /// The target a replica.
    pub target_milli: u64,
}

/// How a ratio is held against the tolerance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToleranceRule {
    /// Kubernetes 1.33 and later: `1 - down <= ratio <= 1 + up`. A ratio of exactly 1.1 is within.
    #[default]
    Between,
    /// Before: `abs(1 - ratio) <= tolerance`. In floating point a ratio of exactly 1.1 is outside.
    Distance,
}

/// How an HPA scales: its limits and its `behavior`.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// Never fewer; at least 1, since going to zero is KEDA's.
    pub min_replicas: u32,
    /// Never more.
    pub max_replicas: u32,
    /// `behavior.scaleUp`.
    pub up: Rules,
    /// `behavior.scaleDown`.
    pub down: Rules,
    /// Which Kubernetes compares.
    pub tolerance_rule: ToleranceRule,
}

/// The rules of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// `stabilizationWindowSeconds`.
    pub stabilization: Duration,
    /// `tolerance`: how far the ratio may be from 1 before anything changes.
    pub tolerance: f64,
    /// `policies`; none means no limit.
    pub policies: Vec<ScalingPolicy>,
    /// `selectPolicy`.
    pub select: Select,
}

/// How much may change within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingPolicy {
    /// So many pods.
    Pods {
        /// How many.
        count: u32,
        /// Within this.
        period: Duration,
    },
    /// So much of what there was when the period began.
    Percent {
        /// Of 100; may be more.
        percent: u32,
        /// Within this.
        period: Duration,
    },
}

/// Which policy counts when there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one that allows the greatest change.
    Max,
    /// The one that allows the smallest change.
    Min,
}

/// What came of one sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the metric alone asks for.
    pub recommended: u32,
    /// What the HPA sets.
    pub desired: u32,
    /// What made the two differ, if they do.
    pub limited: Option<Limited>,
}

/// What held the HPA back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// The ratio was within the tolerance.
    Tolerance,
    /// A stabilization window.
    Stabilization,
    /// A scaling policy.
    Policy,
    /// The minimum or the maximum.
    Bounds,
}

/// One HPA and what it remembers.
#[derive(Clone, Debug)]
pub struct Hpa {
    behavior: Behavior,
    recommendations: VecDeque<(Timestamp, u32)>,
    added: VecDeque<(Timestamp, u32)>,
    removed: VecDeque<(Timestamp, u32)>,
}

// === impl Metric ===

impl Metric {
    /// The replicas that it asks for, tolerance apart; `None` when it does not answer.
    fn replicas(&self) -> Option<u32> {
        let wanted = self.value_milli?.div_ceil(self.target_milli.max(1));
        Some(u32::try_from(wanted).unwrap_or(u32::MAX))
    }
}

// === impl Rules ===

impl Rules {
    /// Kubernetes' defaults for scaling up, which come into force once `behavior` is given: at most
    /// double or four pods a 15 s period, at once.
    pub fn default_up(tolerance: f64) -> Self {
        let period = Duration::from_secs(15);
        Self {
            stabilization: Duration::ZERO,
            tolerance,
            policies: vec![
                ScalingPolicy::Pods { count: 4, period },
                ScalingPolicy::Percent {
                    percent: 100,
                    period,
                },
            ],
            select: Select::Max,
        }
    }

    /// Up or down by any amount once `stabilization` is over.
    pub fn unlimited(stabilization: Duration, tolerance: f64) -> Self {
        Self {
            stabilization,
            tolerance,
            policies: Vec::new(),
            select: Select::Max,
        }
    }

    /// The published blueprint's `scaleUp`: after 60 s, the smaller of 10 pods and 500 % a minute.
    pub fn blueprint_up() -> Self {
        let period = Duration::from_secs(60);
        Self {
            stabilization: period,
            tolerance: DEFAULT_TOLERANCE,
            policies: vec![
                ScalingPolicy::Pods { count: 10, period },
                ScalingPolicy::Percent {
                    percent: 500,
                    period,
                },
            ],
            select: Select::Min,
        }
    }

    /// The published blueprint's `scaleDown`: after 120 s, half in 120 s.
    pub fn blueprint_down() -> Self {
        let period = Duration::from_secs(120);
        Self {
            stabilization: period,
            tolerance: DEFAULT_TOLERANCE,
            policies: vec![ScalingPolicy::Percent {
                percent: 50,
                period,
            }],
            select: Select::Max,
        }
    }
}

// === impl ScalingPolicy ===

impl ScalingPolicy {
    fn period(self) -> Duration {
        match self {
            Self::Pods { period, .. } | Self::Percent { period, .. } => period,
        }
    }

    fn raised(self, from: u32) -> u32 {
        match self {
            Self::Pods { count, .. } => from.saturating_add(count),
            Self::Percent { percent, .. } => {
                let hundredths = u64::from(from) * (100 + u64::from(percent));
                u32::try_from(hundredths.div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }

    fn lowered(self, from: u32) -> u32 {
        match self {
            Self::Pods { count, .. } => from.saturating_sub(count),
            Self::Percent { percent, .. } => {
                let hundredths = u64::from(from) * u64::from(100_u32.saturating_sub(percent));
                u32::try_from(hundredths / 100).unwrap_or(u32::MAX)
            }
        }
    }
}

// === impl Limited ===

impl Limited {
    /// In a word, for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tolerance => "tolerance",
            Self::Stabilization => "stabilization",
            Self::Policy => "scaling policy",
            Self::Bounds => "min/max",
        }
    }
}

// === impl Hpa ===

impl Hpa {
    /// An HPA that has just been made.
    pub fn new(behavior: Behavior) -> Self {
        Self {
            behavior,
            recommendations: VecDeque::new(),
            added: VecDeque::new(),
            removed: VecDeque::new(),
        }
    }

    /// One sync over all `metrics`, with `current` replicas. None when nothing is to be done: at zero
    /// replicas the HPA is off, and when no metric answers it changes nothing.
    pub fn sync(&mut self, now: Timestamp, current: u32, metrics: &[Metric]) -> Option<Outcome> {
        if current == 0 || metrics.iter().all(|metric| metric.value_milli.is_none()) {
            return None;
        }
        if self.recommendations.is_empty() {
            self.recommendations.push_back((now, current));
        }
        let wanted = metrics.iter().filter_map(Metric::replicas).max();
        let wanted = wanted.unwrap_or(current);
        let proposals = metrics
            .iter()
            .filter_map(|metric| self.outside_tolerance(current, metric));
        let mut recommended = proposals.max().unwrap_or(current);
        // A metric that does not answer might have asked for more than the others.
        if metrics.iter().any(|metric| metric.value_milli.is_none()) {
            recommended = recommended.max(current);
        }
        let mut limited = (recommended != wanted).then_some(Limited::Tolerance);

        let stabilized = self.stabilize(now, current, recommended);
        if stabilized != recommended {
            limited = Some(Limited::Stabilization);
        }
        let rated = self.limit_rate(now, current, stabilized);
        if rated != stabilized {
            limited = Some(Limited::Policy);
        }
        let (low, high) = (
            self.behavior.min_replicas.max(1),
            self.behavior.max_replicas,
        );
        let desired = rated.min(high).max(low);
        if desired != rated {
            limited = Some(Limited::Bounds);
        }
        self.remember(now, current, desired);
        Some(Outcome {
            recommended: wanted,
            desired,
            limited,
        })
    }

    /// What a metric asks for, unless its ratio is within the tolerance.
    fn outside_tolerance(&self, current: u32, metric: &Metric) -> Option<u32> {
        let wanted = metric.replicas()?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 thousandths")]
        let ratio =
            metric.value_milli? as f64 / (metric.target_milli.max(1) as f64 * f64::from(current));
        let (up, down) = (self.behavior.up.tolerance, self.behavior.down.tolerance);
        let within = match self.behavior.tolerance_rule {
            ToleranceRule::Between => (1.0 - down..=1.0 + up).contains(&ratio),
            ToleranceRule::Distance if ratio < 1.0 => (1.0 - ratio).abs() <= down,
            ToleranceRule::Distance => (1.0 - ratio).abs() <= up,
        };
        Some(if within { current } else { wanted })
    }

    /// Up only to the lowest, down only to the highest recommendation of the direction's window.
    fn stabilize(&mut self, now: Timestamp, current: u32, recommended: u32) -> u32 {
        let within = |window: Duration, at: Timestamp| at > now.minus(window);
        let (mut up, mut down) = (recommended, recommended);
        for &(at, earlier) in &self.recommendations {
            if within(self.behavior.up.stabilization, at) {
                up = up.min(earlier);
            }
            if within(self.behavior.down.stabilization, at) {
                down = down.max(earlier);
            }
        }
        self.recommendations.push_back((now, recommended));
        current.max(up).min(down)
    }

    fn limit_rate(&self, now: Timestamp, current: u32, wanted: u32) -> u32 {
        // What there was when a period began, seen from now.
        let at_start = |period: Duration| {
            let within = |events: &VecDeque<(Timestamp, u32)>| -> u32 {
                let recent = events.iter().filter(|(at, _)| now.since(*at) < period);
                recent.map(|(_, count)| count).sum()
            };
            current
                .saturating_add(within(&self.removed))
                .saturating_sub(within(&self.added))
        };
        if wanted > current {
            let rules = &self.behavior.up;
            let limits = rules.policies.iter();
            let limits = limits.map(|policy| policy.raised(at_start(policy.period())));
            let limit = match rules.select {
                Select::Max => limits.max(),
                Select::Min => limits.min(),
            };
            limit.map_or(wanted, |limit| wanted.min(limit.max(current)))
        } else {
            let rules = &self.behavior.down;
            let limits = rules.policies.iter();
            let limits = limits.map(|policy| policy.lowered(at_start(policy.period())));
            let limit = match rules.select {
                Select::Max => limits.min(),
                Select::Min => limits.max(),
            };
            limit.map_or(wanted, |limit| wanted.max(limit.min(current)))
        }
    }

    fn remember(&mut self, now: Timestamp, current: u32, desired: u32) {
        if desired > current {
            self.added.push_back((now, desired - current));
        }
        if desired < current {
            self.removed.push_back((now, current - desired));
        }
        for events in [
            &mut self.recommendations,
            &mut self.added,
            &mut self.removed,
        ] {
            while events
                .front()
                .is_some_and(|(at, _)| now.since(*at) > MEMORY)
            {
                events.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlimited() -> Behavior {
        Behavior {
            min_replicas: 1,
            max_replicas: 100,
            up: Rules::unlimited(Duration::ZERO, DEFAULT_TOLERANCE),
            down: Rules::unlimited(Duration::ZERO, DEFAULT_TOLERANCE),
            tolerance_rule: ToleranceRule::Between,
        }
    }

    fn metric(value: u64, target: u64) -> Metric {
        Metric {
            value_milli: Some(value * 1_000),
            target_milli: target * 1_000,
        }
    }

    /// One sync a line: second, current replicas, value and target in whole units, and what is set.
    fn check(behavior: Behavior, syncs: &[(u64, u32, u64, u64, u32)]) {
        let mut hpa = Hpa::new(behavior);
        for &(second, current, value, target, desired) in syncs {
            let now = Timestamp::from_secs(10_000 + second);
            let outcome = hpa.sync(now, current, &[metric(value, target)]);
            let outcome = outcome.expect("there are replicas");
            assert_eq!(
                outcome.desired, desired,
                "second {second}: {current} replicas, {value}/{target} gave {outcome:?}"
            );
        }
    }

    #[test]
    fn an_integer_against_target_one_lands_exactly() {
        check(
            unlimited(),
            &[
                (0, 1, 13, 1, 13),
                (15, 13, 24, 1, 24),
                (30, 24, 3, 1, 3),
                (45, 9, 10, 1, 10),
            ],
        );
    }

    #[test]
    fn a_ratio_within_the_tolerance_changes_nothing() {
        // 22/20 is exactly 1.1, which the controller counts as within since 1.33.
        check(
            unlimited(),
            &[
                (0, 20, 21, 1, 20),
                (0, 20, 22, 1, 20),
                (0, 20, 23, 1, 23),
                (0, 20, 18, 1, 20),
                (0, 20, 17, 1, 17),
                (0, 10, 10_900, 1_000, 10),
                (0, 10, 11_001, 1_000, 12),
            ],
        );
        let mut exact = unlimited();
        exact.up.tolerance = 0.0;
        exact.down.tolerance = 0.0;
        check(exact, &[(0, 20, 21, 1, 21), (0, 21, 20, 1, 20)]);
    }

    #[test]
    fn down_waits_for_the_whole_window_and_up_does_not() {
        let mut behavior = unlimited();
        behavior.down.stabilization = Duration::from_secs(60);
        check(
            behavior,
            &[
                (0, 4, 12, 1, 12),
                (15, 12, 3, 1, 12),
                (30, 12, 6, 1, 12),
                (45, 12, 3, 1, 12),
                (60, 12, 3, 1, 6),
                (75, 6, 20, 1, 20),
            ],
        );
    }

    #[test]
    fn up_waits_where_it_has_a_window() {
        let mut behavior = unlimited();
        behavior.up.stabilization = Duration::from_secs(60);
        check(
            behavior,
            &[
                (0, 4, 12, 1, 4),
                (59, 4, 20, 1, 4),
                (60, 4, 15, 1, 15),
                (75, 15, 40, 1, 15),
            ],
        );
    }

    #[test]
    fn the_defaults_double_or_add_four_a_period() {
        let mut behavior = unlimited();
        behavior.up = Rules::default_up(DEFAULT_TOLERANCE);
        check(
            behavior,
            &[
                (0, 1, 50, 1, 5),
                (15, 5, 50, 1, 10),
                (30, 10, 50, 1, 20),
                (31, 20, 50, 1, 20),
            ],
        );
    }

    #[test]
    fn the_smaller_of_two_policies_counts_where_min_is_selected() {
        let mut behavior = unlimited();
        behavior.up.policies = Rules::blueprint_up().policies;
        behavior.up.select = Rules::blueprint_up().select;
        behavior.down.policies = Rules::blueprint_down().policies;
        check(
            behavior,
            &[
                (0, 1, 90, 1, 6),
                (15, 6, 90, 1, 6),
                (60, 6, 90, 1, 16),
                (120, 16, 90, 1, 26),
                (300, 82, 10, 1, 41),
                (315, 41, 10, 1, 41),
                (420, 41, 10, 1, 20),
            ],
        );
    }

    #[test]
    fn it_is_off_at_zero_and_never_sets_zero() {
        let mut hpa = Hpa::new(unlimited());
        assert_eq!(hpa.sync(Timestamp::from_secs(1), 0, &[metric(5, 1)]), None);
        check(unlimited(), &[(0, 5, 0, 1, 1), (0, 5, 500, 1, 100)]);
    }

    #[test]
    fn the_old_rule_moves_at_exactly_the_tolerance() {
        let mut old = unlimited();
        old.tolerance_rule = ToleranceRule::Distance;
        check(old, &[(0, 20, 22, 1, 22), (15, 22, 21, 1, 22)]);
        check(unlimited(), &[(0, 20, 22, 1, 20)]);
    }

    #[test]
    fn the_greatest_metric_counts_and_one_without_an_answer_lowers_nothing() {
        let mut hpa = Hpa::new(unlimited());
        let missing = Metric {
            value_milli: None,
            target_milli: 1_000,
        };
        let now = Timestamp::from_secs(10_000);
        let mut desired = |metrics: &[Metric]| hpa.sync(now, 10, metrics).map(|sync| sync.desired);
        assert_eq!(desired(&[metric(3, 1), metric(140, 10)]), Some(14));
        assert_eq!(desired(&[metric(3, 1), missing]), Some(10));
        assert_eq!(desired(&[missing, metric(12, 1)]), Some(12));
        assert_eq!(desired(&[missing, missing]), None);
    }
}
