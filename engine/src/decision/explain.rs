//! A decision in words: the trail, the findings, the reason of the number and the one verdict.
//!
//! Written for an engineer on call who has one minute: every sentence carries its figures, and says
//! what to do where there is something to do. It decides nothing.
//!
//! Of everything that is true, the verdict is what explains the count best, in this order: no data;
//! a change that was made now; something that keeps a wanted change from being made; something that
//! is wrong with the consumers; a reason for not going down; something wrong with a witness.

mod calendar;
mod findings;
mod reason;

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use super::gates::Gate;
use super::pipeline::Picture;
use super::recommend::{Direction, Recommendation};
use super::{Finding, Stage, State, Step, Verdict};
use crate::capacity::Source;
use crate::observation::Cause;
use crate::partition::Intake;
use crate::policy::Policy;
use crate::rate::WitnessTrouble;
use crate::replicas::Known as Replicas;
use crate::time::Timestamp;

/// A decision in words.
pub(super) struct Told {
    pub verdict: Verdict,
    pub reason: String,
    pub findings: Vec<Finding>,
    pub trail: Vec<Step>,
}

/// A figure as people read it: whole from ten up, with one decimal below.
struct Figure(f64);

/// A figure that may be unknown.
struct Known(Option<f64>);

/// So many of something, by its word for one of them.
struct Count(u32, &'static str);

/// What a count may not pass.
enum Bound {
    MaxReplicas,
    /// The ScaledObject's.
    MaxReplicaCount,
    Partitions,
    MinReplicas,
    /// The ScaledObject's.
    MinReplicaCount,
    /// The HPA's.
    Tolerance,
}

/// Who speaks.
struct Speaker<'a> {
    policy: &'a Policy,
    state: &'a State,
    picture: &'a Picture,
    recommendation: &'a Recommendation,
    now: Timestamp,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, word) = self;
        write!(f, "{count} {word}{}", one_or_many(*count, "", "s"))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.abs() >= 10.0 || self.0 == 0.0 {
            write!(f, "{:.0}", self.0)
        } else {
            write!(f, "{:.1}", self.0)
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(figure) => Figure(figure).fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// Puts a decision into words.
pub(super) fn tell(
    policy: &Policy,
    state: &State,
    picture: &Picture,
    recommendation: &Recommendation,
    now: Timestamp,
) -> Told {
    let speaker = Speaker {
        policy,
        state,
        picture,
        recommendation,
        now,
    };
    let findings = speaker.findings();
    Told {
        verdict: speaker.verdict(&findings),
        reason: speaker.reason(),
        findings,
        trail: speaker.trail(),
    }
}

/// Why there is no answer.
pub(super) fn no_answer(policy: &Policy, intake: &Intake, cause: Cause) -> String {
    let most = policy.max_staleness.as_secs();
    match (&intake.never_known, &intake.first_missing) {
        (Some((what, cause)), _) => format!(
            "{what} has never been read ({}): nothing is decided until it has been.",
            cause.label()
        ),
        (None, Some((what, last))) => format!(
            "{what} could not be read for more than {most} s (last: {}): nothing is decided until \
             it can be, and KEDA keeps what is there.",
            last.label()
        ),
        (None, None) if cause == Cause::NotFound => {
            "There is no partition to look at: check the topic, topicPattern and \
             partitionLimitation, or whether the group has ever committed."
                .to_owned()
        }
        (None, None) => format!("What is known is more than {most} s old: nothing is decided."),
    }
}

/// The word for one, or for any other number.
fn one_or_many(count: u32, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

// === impl Speaker ===

impl Speaker<'_> {
    fn trail(&self) -> Vec<Step> {
        let it = self.recommendation;
        let observed = self.picture.observed;
        let step = |stage, before, after, why| Step {
            stage,
            before,
            after,
            why,
        };
        let mut trail = vec![
            step(Stage::Observed, it.base, observed, self.observed()),
            step(Stage::Rate, observed, it.by_rate, self.rate()),
            step(Stage::Lag, it.by_rate, it.by_lag, self.lag()),
            step(Stage::Hold, it.by_lag, it.held, self.hold()),
            step(Stage::Stabilize, it.held, it.stabilized, self.stabilize()),
        ];
        if self.picture.outlook.knows() {
            let why = self.calendar();
            trail.push(step(Stage::Calendar, it.stabilized, it.raised, why));
        }
        trail.push(step(Stage::Limit, it.raised, it.limited, self.limit()));
        trail
    }

    fn observed(&self) -> String {
        let picture = self.picture;
        let (members, state) = self
            .state
            .group
            .as_ref()
            .map_or((0, "unknown"), |group| (group.members, group.state.label()));
        let flight = match picture.flight.replicas {
            0 => String::new(),
            missing => format!(", {missing} of them still starting"),
        };
        let base = self.recommendation.base;
        format!(
            "{} {} in the group ({}, {state}); {base} {} asked for last{flight}.",
            self.who(),
            one_or_many(picture.observed, "is", "are"),
            Count(members, "member"),
            one_or_many(base, "was", "were")
        )
    }

    /// The replicas that are there, and how that is known.
    fn who(&self) -> String {
        let observed = self.picture.observed;
        match self.picture.replicas.known {
            Replicas::Read(workload) => {
                let ready = workload
                    .ready
                    .map_or(String::new(), |ready| format!(", {ready} ready"));
                let updating = if workload.updating {
                    ", an update goes on"
                } else {
                    ""
                };
                format!(
                    "{}, as Kubernetes says ({} asked for, {} there{ready}{updating}),",
                    Count(observed, "pod"),
                    workload.asked,
                    workload.exist
                )
            }
            Replicas::Counted(each) => format!(
                "{}, counted with {} members each as long as Kubernetes does not answer,",
                Count(observed, "replica"),
                Figure(each)
            ),
            Replicas::Guessed => {
                format!("{}, guessed from addresses,", Count(observed, "replica"))
            }
        }
    }

    fn rate(&self) -> String {
        let inbound = &self.picture.inbound;
        let (fast, slow) = (
            inbound.offsets.map(|slopes| slopes.fast),
            inbound.offsets.map(|slopes| slopes.slow),
        );
        let prometheus = match (inbound.prometheus, inbound.trouble) {
            (None, WitnessTrouble::None | WitnessTrouble::Mismatch) => String::new(),
            (known, _) => format!("; Prometheus: {}", Known(known)),
        };
        let witnesses = format!(
            "{} records/s come in (offsets: {} now, {} over 5 min{prometheus})",
            Known(inbound.up),
            Known(fast),
            Known(slow),
        );
        if !self.picture.active {
            return format!("{witnesses}; there is no work.");
        }
        let witnesses = match inbound.rise {
            Some(rise) => format!(
                "{witnesses}, {} more in each second, followed to {}",
                Figure(rise.slope),
                Figure(rise.ahead)
            ),
            None => witnesses,
        };
        match self.recommendation.capacity {
            Some(capacity) => format!(
                "{witnesses}; replicas of {} records/s ({}) at {:.0} % utilization over {}: {}.",
                Figure(capacity.up),
                match capacity.source {
                    Source::Configured => "configured",
                    Source::Learned => "learned",
                    Source::Shown => "what they do, whatever was told",
                    Source::Proven => "proven: more was never carried",
                },
                self.policy.target_utilization * 100.0,
                Count(self.picture.partitions, "partition"),
                self.recommendation.by_rate
            ),
            None => format!(
                "{witnesses}; what a replica can do is not known yet, so the rate cannot be turned \
                 into replicas."
            ),
        }
    }

    fn lag(&self) -> String {
        let lag = &self.picture.lag;
        let unheld: f64 = if lag.due_unheld.is_empty() {
            lag.due.iter().sum()
        } else {
            lag.due_unheld.iter().sum()
        };
        let counted = format!(
            "{} records are not committed{}, {} of them above the {} s that commits normally take",
            lag.total_records,
            match lag.excluded_records {
                0 => String::new(),
                excluded => format!(
                    ", {excluded} of them not counted, in partitions that are stuck, stalled, owned by \
                     nobody or excluded, or whose owner commits elsewhere"
                ),
            },
            Figure(unheld),
            Figure(
                self.picture
                    .commit_interval
                    .saturating_add(self.policy.poll_interval)
                    .as_secs_f64()
            ),
        );
        if !self.picture.active {
            return format!("{counted}; nothing is asked for it.");
        }
        if self.recommendation.capacity.is_none() {
            return format!(
                "{counted}: one replica each {} (lagThreshold): {}.",
                self.policy.lag_threshold_records, self.recommendation.by_lag
            );
        }
        format!(
            "{counted}; working that off in {} s: {}.",
            self.policy.horizon().as_secs(),
            self.recommendation.by_lag
        )
    }

    fn hold(&self) -> String {
        let holding = self.picture.holding;
        match self.recommendation.refused {
            Some(gate) => self.shut(gate),
            None if holding.spent => {
                "A rebalance goes on and its hold is spent: lag counts again.".to_owned()
            }
            None if holding.rebalancing => {
                "A rebalance goes on; lag asks for no more, so nothing is held.".to_owned()
            }
            None => "No rebalance: nothing is held back.".to_owned(),
        }
    }

    fn stabilize(&self) -> String {
        let it = self.recommendation;
        match it.direction {
            Direction::UpForRate | Direction::UpForLag => {
                format!("Up from {} to {} in one step.", it.base, it.stabilized)
            }
            Direction::Down => format!(
                "Down from {} to {}: nothing in {} s has asked for more.",
                it.base,
                it.stabilized,
                self.policy.scale_down_window.as_secs()
            ),
            Direction::StayThoughLower(gate) => {
                let lower = it.lower.unwrap_or(it.base);
                format!("{lower} would do, {} stay: {}.", it.base, self.shut(gate))
            }
            Direction::Stay if it.held > it.stabilized && it.stabilized == it.base => format!(
                "{} are within the tolerated load: nothing changes before their busiest one is too \
                 busy.",
                it.base
            ),
            Direction::Stay => format!("{} are right.", it.stabilized),
        }
    }

    /// Why a gate is shut: a sentence about the backlog, or the reason why fewer replicas are not asked for.
    fn shut(&self, gate: Gate) -> String {
        let (policy, picture) = (self.policy, self.picture);
        let window = policy.scale_down_window;
        match gate {
            Gate::LagRebalance => {
                let held = Duration::from_secs_f64(picture.holding.held_seconds.clamp(0.0, 1e9));
                format!(
                    "A rebalance goes on: what lag grew since is not counted for up to {} s more; \
                     the rate is.",
                    policy.rebalance_hold.saturating_sub(held).as_secs()
                )
            }
            Gate::LagInFlight => format!(
                "{} {} still starting: what lag grows meanwhile is not counted; the rate is.",
                Count(picture.flight.replicas, "replica"),
                one_or_many(picture.flight.replicas, "is", "are")
            ),
            Gate::LagStepTaken => format!(
                "A rebalance goes on and its hold is spent: the backlog asks once each \
                 {} s, and it has asked.",
                policy.rebalance_hold.as_secs()
            ),
            Gate::LagDownstream => {
                let left = picture.blocked_until.map(|until| until.since(self.now));
                format!(
                    "More replicas did not bring more throughput twice: the backlog may not ask for \
                     more for another {} s.",
                    left.unwrap_or_default().as_secs()
                )
            }
            Gate::Partial => "not everything could be read".to_owned(),
            Gate::Rebalance => "a rebalance goes on".to_owned(),
            Gate::InFlight => "replicas are still starting".to_owned(),
            Gate::Stalled => "members that hold lag commit nothing".to_owned(),
            Gate::Prometheus => "Prometheus is missing and may know of more".to_owned(),
            Gate::Warmup => format!(
                "the scaler has not watched for {} s yet, {} s to go",
                window.as_secs(),
                self.state.down.missing(window, self.now).as_secs()
            ),
            Gate::Window => format!(
                "more was needed within the last {} s, at least {} s to go",
                window.as_secs(),
                self.state
                    .down
                    .extreme_leaves_in(window, self.now)
                    .as_secs()
            ),
            Gate::Surplus => format!(
                "they were added to work a backlog off, less than {} s ago",
                self.policy.tuning.surplus_kept.as_secs()
            ),
            Gate::Tolerated => "the HPA would take that for what is there".to_owned(),
            Gate::NotWorthIt => format!(
                "a pause of {} s would cost more than that saves",
                Figure(self.state.rebalance.pause().as_secs_f64())
            ),
        }
    }

    fn limit(&self) -> String {
        let it = self.recommendation;
        let least = it.least;
        match self.bound() {
            Some(Bound::MaxReplicas) => format!("No more than maxReplicas, {}.", it.most),
            Some(Bound::MaxReplicaCount) => {
                format!(
                    "No more than the ScaledObject's maxReplicaCount, {}.",
                    it.most
                )
            }
            Some(Bound::Partitions) => format!("No more than the {} partitions.", it.most),
            Some(Bound::MinReplicas) => format!("No fewer than minReplicas, {least}."),
            Some(Bound::MinReplicaCount) => {
                format!("No fewer than the ScaledObject's minReplicaCount, {least}.")
            }
            Some(Bound::Tolerance) => format!(
                "The HPA takes {} for the {} that are there: {}.",
                it.raised,
                self.picture
                    .replicas
                    .workload()
                    .map_or(0, |workload| workload.exist),
                it.limited
            ),
            None if it.most == u32::MAX => format!("At least {least}; there is no maxReplicas."),
            None => format!("Within {least} and {}.", it.most),
        }
    }

    /// What has changed the count last, if a bound did.
    fn bound(&self) -> Option<Bound> {
        let it = self.recommendation;
        let by_tolerance = it.limited != it.raised && self.picture.replicas.tolerates(it.raised);
        match it.limited.cmp(&it.raised) {
            _ if by_tolerance => Some(Bound::Tolerance),
            Ordering::Less if self.policy.max_replicas == Some(it.most) => Some(Bound::MaxReplicas),
            Ordering::Less
                if it.most < self.picture.partitions || self.policy.allow_idle_consumers =>
            {
                Some(Bound::MaxReplicaCount)
            }
            Ordering::Less => Some(Bound::Partitions),
            Ordering::Greater if it.least > self.policy.min_replicas => {
                Some(Bound::MinReplicaCount)
            }
            Ordering::Greater => Some(Bound::MinReplicas),
            Ordering::Equal => None,
        }
    }
}
