//! What is worth saying beside the count, and which of it is the verdict.

use super::{Bound, Figure, Known, Speaker};
use crate::capacity::Source;
use crate::coarse::EvenLoad;
use crate::decision::recommend::Direction;
use crate::decision::{Finding, Verdict};
use crate::observation::{Cause, Paused};
use crate::rate::WitnessTrouble;
use crate::sizing::accepted_utilization;

/// A load is even where no partition gets more than this many times its even part.
const MOST_OF_EVEN: f64 = 1.1;

// === impl Speaker ===

impl Speaker<'_> {
    /// All findings, in pipeline order.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |verdict, why| findings.push(Finding { verdict, why });
        self.say_data(&mut say);
        self.say_witnesses(&mut say);
        self.say_consumers(&mut say);
        self.say_ahead(&mut say);
        self.say_limited(&mut say);
        self.say_held(&mut say);
        self.say_coarse(&mut say);
        findings
    }

    fn say_data(&self, say: &mut impl FnMut(Verdict, String)) {
        let intake = &self.picture.intake;
        if let Some(cause) = self.picture.replicas.unread
            && cause != Cause::NotYetObserved
        {
            say(
                Verdict::Degraded,
                format!(
                    "Kubernetes does not say which pods there are ({}): they are told from the group's \
                     members.",
                    cause.label()
                ),
            );
        }
        if let Some((what, cause)) = &intake.first_missing {
            let others = match intake.missing {
                0 | 1 => String::new(),
                missing => format!(" and {} more", missing - 1),
            };
            let verdict = if intake.anything_read {
                Verdict::Degraded
            } else {
                Verdict::Stale
            };
            let stands = match self.picture.part {
                Some(_) => "the rest may ask for more".to_owned(),
                None => {
                    let left = self.state.valid_until.since(self.now).as_secs();
                    format!("the last values stand for {left} s more")
                }
            };
            say(
                verdict,
                format!(
                    "{what}{others} could not be read ({}): {stands}, and nothing is lowered.",
                    cause.label()
                ),
            );
        }
        if let Some((name, count)) = &self.picture.lag.unowned {
            say(
                Verdict::Degraded,
                format!(
                    "{name}{} no member of the group owns, though it is Stable: they ask for no \
                     replicas. Does this group read this topic? A new partition is owned once the \
                     clients have noticed it.",
                    match count {
                        0 | 1 => String::new(),
                        count => format!(" and {} more", count - 1),
                    }
                ),
            );
        }
        if !intake.resets.is_empty() {
            let more = match intake.resets.len() {
                1 => String::new(),
                count => format!(" So are {} more partitions.", count - 1),
            };
            let first = intake.resets.first().map_or("", String::as_str);
            say(Verdict::Degraded, format!("{first}{more}"));
        }
    }

    fn say_witnesses(&self, say: &mut impl FnMut(Verdict, String)) {
        let inbound = &self.picture.inbound;
        match inbound.trouble {
            WitnessTrouble::None => {}
            WitnessTrouble::Missing(cause) => say(
                Verdict::Degraded,
                format!(
                    "Prometheus does not answer usably ({}): the log's own offsets decide alone.",
                    cause.label()
                ),
            ),
            WitnessTrouble::Mismatch => say(
                Verdict::RateMismatch,
                format!(
                    "Prometheus says {} records/s and the log's offsets say {}: the offsets count. \
                     Check that the query sums records of this topic only.",
                    Known(inbound.prometheus),
                    Known(inbound.offsets.map(|slopes| slopes.short))
                ),
            ),
        }
    }

    fn say_consumers(&self, say: &mut impl FnMut(Verdict, String)) {
        let picture = self.picture;
        self.say_hot(say);
        self.say_doubt(say);
        if let Some((name, waiting, count)) = &picture.lag.stuck {
            let more = match count {
                0 | 1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            say(
                Verdict::StuckPartition,
                format!(
                    "{name}{more} has not moved for {} s though its owner works elsewhere: a \
                     record that cannot be processed? Its lag is not counted.",
                    waiting.as_secs()
                ),
            );
        }
        if picture.lag.stalled_members > 0 {
            say(
                Verdict::MembersStalled,
                format!(
                    "{} members hold lag and have committed nothing for {} s: look at their logs. \
                     Their lag is not counted, and for half an hour nothing is lowered.",
                    picture.lag.stalled_members,
                    picture.lag.stalled_for.as_secs()
                ),
            );
        }
        if picture.flight.overdue > 0 {
            say(
                Verdict::PodsNotJoining,
                format!(
                    "{} of {} replicas have not joined in {} s: {}.",
                    picture.flight.overdue,
                    self.recommendation.base,
                    picture.flight.missing_for.as_secs(),
                    self.why_not_joining()
                ),
            );
        }
        let source = self.recommendation.capacity.map(|capacity| capacity.source);
        let sized_by = match source {
            None => "lagThreshold, never lower",
            Some(Source::Proven) => "the most that replicas have carried without a backlog",
            Some(Source::Configured | Source::Learned | Source::Shown) => "",
        };
        if !sized_by.is_empty() && picture.active {
            say(
                Verdict::ColdStart,
                format!(
                    "What a replica can do is not known yet ({} of 3 samples): sized by \
                     {sized_by}. capacityPerReplica would say it.",
                    self.state.capacity.samples()
                ),
            );
        }
    }

    /// What the number of partitions costs, where the load is even over those of one topic.
    fn say_coarse(&self, say: &mut impl FnMut(Verdict, String)) {
        let (it, picture) = (self.recommendation, self.picture);
        let (Some(capacity), Some(inbound), 1) = (
            it.capacity.filter(|_| picture.active),
            picture.inbound.up,
            picture.layout.topic_sizes.len(),
        ) else {
            return;
        };
        let accepted = capacity.up * accepted_utilization(self.policy);
        let even = inbound / f64::from(picture.partitions.max(1));
        let skewed = picture
            .inbound_up
            .iter()
            .any(|rate| *rate > even * MOST_OF_EVEN);
        let alone = picture.layout.members_per_replica == 1 && !self.policy.allow_idle_consumers;
        if skewed || !alone || it.limited < it.by_rate {
            return;
        }
        let load = EvenLoad::new(self.policy, inbound, capacity.up);
        if let Some(other) = load.better((picture.partitions, it.by_rate)) {
            say(
                Verdict::CoarsePartitions,
                format!(
                    "{} partitions need {} replicas for {} records/s, and {} partitions would need {}: \
                     partitions do not divide, and the busiest replica may get {}.",
                    picture.partitions,
                    it.by_rate,
                    Figure(inbound),
                    other.partitions,
                    other.replicas,
                    Figure(accepted)
                ),
            );
        }
    }

    /// What replicas that do not join wait for.
    fn why_not_joining(&self) -> String {
        let Some(workload) = self.picture.replicas.workload() else {
            return "look for pending or crashing pods, quotas, the ScaledObject's maxReplicaCount, and \
                    the HPA's tolerance of 10 %"
                .to_owned();
        };
        let (asked, exist) = (workload.asked, workload.exist);
        let ready = workload.ready.unwrap_or(exist);
        if asked < self.recommendation.base {
            format!(
                "Kubernetes is asked for {asked} only: look at the events of the HPA and of the \
                 ScaledObject, and at the policies of its behavior"
            )
        } else if exist < asked {
            format!(
                "{exist} of the {asked} pods asked for have been created: look for a quota, or for an \
                 admission webhook that refuses them"
            )
        } else if ready < exist {
            format!(
                "{ready} of {exist} pods are ready: look for those that are pending, pulling their image \
                 or crashing"
            )
        } else {
            format!(
                "{exist} pods are there and {} are in the group: do the others read this topic as this \
                 group, and can they reach the brokers?",
                self.picture.observed
            )
        }
    }

    /// What KEDA and the HPA will not do about the count.
    fn say_limited(&self, say: &mut impl FnMut(Verdict, String)) {
        let it = self.recommendation;
        let Some(workload) = self.picture.replicas.workload() else {
            return;
        };
        let wanted = it.limited;
        let kept = match workload.scaling.paused {
            Paused::All => wanted != workload.asked,
            Paused::Up => wanted > workload.asked,
            Paused::Down => wanted < workload.asked,
            Paused::No => false,
        };
        if kept {
            say(
                Verdict::ScalingLimited,
                format!(
                    "{wanted} replicas are right and {} stay: an annotation of the ScaledObject pauses \
                     {}.",
                    workload.asked,
                    match workload.scaling.paused {
                        Paused::Up => "scaling out",
                        Paused::Down => "scaling in",
                        Paused::All | Paused::No => "its scaling",
                    }
                ),
            );
        }
        if matches!(self.bound(), Some(Bound::MaxReplicaCount)) {
            say(
                Verdict::ScalingLimited,
                format!(
                    "{} replicas are right and the ScaledObject's maxReplicaCount is {}.",
                    it.raised, workload.scaling.max
                ),
            );
        }
        let tolerance = match it.tolerated.map(|wanted| (wanted, wanted > workload.exist)) {
            Some((wanted, true)) => Some((wanted, workload.scaling.tolerance_up)),
            Some((wanted, false)) => Some((wanted, workload.scaling.tolerance_down)),
            None => None,
        };
        if let Some((wanted, tolerance)) = tolerance {
            say(
                Verdict::ScalingLimited,
                format!(
                    "{wanted} replicas are right and {} are there: the HPA's tolerance of {} % takes \
                     that for the same. A tolerance of 0 in the ScaledObject's behavior would follow.",
                    workload.exist,
                    Figure(tolerance * 100.0)
                ),
            );
        }
    }

    fn say_hot(&self, say: &mut impl FnMut(Verdict, String)) {
        let Some(capacity) = self.recommendation.capacity else {
            return;
        };
        let rates = self.picture.inbound_up.iter();
        let names = self.state.partitions.topics.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| (topic.name.as_str(), partition.number))
        });
        let hottest = rates
            .zip(names)
            .filter(|(rate, _)| **rate > capacity.up)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((rate, (topic, number))) = hottest {
            say(
                Verdict::HotPartition,
                format!(
                    "{topic}-{number} gets {} records/s and a replica does {}: no number of \
                     replicas helps it. Spread its keys or add partitions.",
                    Figure(*rate),
                    Figure(capacity.up)
                ),
            );
        }
    }

    fn say_doubt(&self, say: &mut impl FnMut(Verdict, String)) {
        if let Some(capacity) = self.recommendation.capacity
            && (capacity.source == Source::Shown || capacity.backlog < capacity.up)
        {
            say(
                Verdict::CapacityMismatch,
                format!(
                    "capacityPerReplica says {} records/s, and replicas with a backlog do {}: a \
                     backlog is sized by that. Set it to what they do, unless something slows them.",
                    Known(self.policy.capacity_per_replica),
                    Figure(capacity.backlog)
                ),
            );
        }
    }

    fn say_held(&self, say: &mut impl FnMut(Verdict, String)) {
        if self.picture.holding.storm {
            say(
                Verdict::RebalanceStorm,
                "Rebalances took up half of the last ten minutes: lag counts in spite of them. Look \
                 for members that come and go (session timeouts, crashes, slow polls)."
                    .to_owned(),
            );
        }
        if let Some(gate) = self.recommendation.refused {
            say(gate.verdict(), self.hold());
        }
        if let Direction::StayThoughLower(gate) = self.recommendation.direction {
            say(gate.verdict(), self.stabilize());
        }
    }

    /// The one verdict, in the order that the file above gives.
    pub(super) fn verdict(&self, findings: &[Finding]) -> Verdict {
        let found = |verdict: Verdict| findings.iter().any(|finding| finding.verdict == verdict);
        if found(Verdict::Stale) {
            return Verdict::Stale;
        }
        let it = self.recommendation;
        if it.is_ahead && it.limited > it.base {
            return Verdict::Ahead;
        }
        match it.direction {
            Direction::UpForRate => return Verdict::RateUp,
            Direction::UpForLag => return Verdict::LagUp,
            Direction::Down if !it.is_ahead || it.limited < it.base => return Verdict::ScaleDown,
            Direction::Down | Direction::Stay | Direction::StayThoughLower(_) => {}
        }
        const ORDER: [Verdict; 15] = [
            Verdict::DownstreamLimited,
            Verdict::LagHeld,
            Verdict::RebalanceStorm,
            Verdict::ScalingLimited,
            Verdict::PodsNotJoining,
            Verdict::MembersStalled,
            Verdict::HotPartition,
            Verdict::StuckPartition,
            Verdict::Ahead,
            Verdict::ColdStart,
            Verdict::Warmup,
            Verdict::DownHeld,
            Verdict::CapacityMismatch,
            Verdict::RateMismatch,
            Verdict::Degraded,
        ];
        ORDER
            .into_iter()
            .find(|&verdict| found(verdict))
            .unwrap_or(Verdict::SteadyState)
    }
}
