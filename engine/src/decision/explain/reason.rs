//! Why the count is what it is: one sentence with the arithmetic, for whoever reads nothing else.
//!
//! It is about the number alone. What else is true of the target (a poison record, a source that is
//! missing) stands among the findings. It decides nothing.

use super::{Bound, Count, Figure, Known, Speaker};
use crate::assignor::Needs;
use crate::capacity::Capacity;
use crate::decision::gates::Gate;
use crate::decision::recommend::Direction;
use crate::sizing::accepted_utilization;

impl Speaker<'_> {
    /// The reason of the number, without a full stop.
    pub(super) fn reason(&self) -> String {
        let it = self.recommendation;
        let why = self.why();
        match self.bound() {
            Some(Bound::MaxReplicas) => format!(
                "{} would be right, and maxReplicas is {}: {why}",
                it.raised, it.most
            ),
            Some(Bound::Partitions) => format!(
                "{} would be right, and there are {} partitions: {why}",
                it.raised, it.most
            ),
            Some(Bound::MaxReplicaCount) => format!(
                "{} would be right, and the ScaledObject's maxReplicaCount is {}: {why}",
                it.raised, it.most
            ),
            Some(Bound::MinReplicas) => {
                format!("minReplicas is {}: {why}", self.policy.min_replicas)
            }
            Some(Bound::MinReplicaCount) => {
                format!("the ScaledObject's minReplicaCount is {}: {why}", it.least)
            }
            Some(Bound::Tolerance) => format!(
                "{} would be right, and the HPA takes that for what is there: {why}",
                it.raised
            ),
            None => why,
        }
    }

    fn why(&self) -> String {
        let (it, picture) = (self.recommendation, self.picture);
        if let Some(why) = self.ahead() {
            return why;
        }
        if let Direction::StayThoughLower(gate) = it.direction {
            let lower = it.lower.unwrap_or(it.base);
            return format!("{lower} would do, and {}", self.shut(gate));
        }
        if !picture.active {
            return format!(
                "there is no work, {} records are not committed and {} records/s come in",
                picture.lag.total_records,
                Known(picture.inbound.up)
            );
        }
        let Some(capacity) = it.capacity else {
            return format!(
                "what a replica can do is not known yet, so there is one for each {} records of lag \
                 (lagThreshold), and never fewer than before",
                self.policy.lag_threshold_records
            );
        };
        match it.direction {
            Direction::UpForLag => format!(
                "{} records more than normal wait, to be worked off in {} s beside {} records/s that \
                 come in",
                Figure(picture.lag.due.iter().sum()),
                self.policy.horizon().as_secs(),
                Known(picture.inbound.up)
            ),
            Direction::UpForRate => self.up_for_rate(capacity),
            Direction::Down => format!(
                "{}; nothing in {} s has asked for more",
                self.by_rate(capacity, it.stabilized),
                self.policy.scale_down_window.as_secs()
            ),
            _ => match it.refused {
                Some(Gate::LagRebalance | Gate::LagStepTaken) => format!(
                    "{}; what lag asks for is the rebalance's",
                    self.by_rate(capacity, it.stabilized)
                ),
                Some(Gate::LagDownstream) => format!(
                    "{}; the backlog asks for more, and more did not help twice",
                    self.by_rate(capacity, it.stabilized)
                ),
                _ => self.by_rate(capacity, it.stabilized),
            },
        }
    }

    /// What the rate takes, and what the replicas beyond that are for.
    fn up_for_rate(&self, capacity: Capacity) -> String {
        let (it, picture) = (self.recommendation, self.picture);
        let settled = it.settled.unwrap_or(it.stabilized).min(it.stabilized);
        let rate = match picture.inbound.rise {
            Some(rise) => format!(
                "{} records/s come in, {} more in each second, which is followed to {}, beyond the start \
                 of a replica",
                Known(picture.inbound.up),
                Figure(rise.slope),
                Figure(rise.ahead)
            ),
            None => self.by_rate(capacity, settled),
        };
        if it.stabilized == settled {
            return rate;
        }
        format!(
            "{rate}; {} work off in {} s what waits until they start",
            it.stabilized,
            self.policy.horizon().as_secs()
        )
    }

    /// What the busiest of `count` replicas gets of the rate, beside the most that is accepted and what
    /// it would get of the next lower useful count.
    fn by_rate(&self, capacity: Capacity, count: u32) -> String {
        let picture = self.picture;
        let count = count.max(1);
        let needs = Needs::new(&picture.layout, &picture.inbound_up);
        let accepted = capacity.up * accepted_utilization(self.policy);
        let fewer = match picture.layout.useful_at_most(count) {
            1 => String::new(),
            least => {
                let next = picture.layout.useful_at_most(least - 1);
                format!("; of {next} it would get {}", Figure(needs.busiest(next)))
            }
        };
        let busiest = if count == 1 {
            "the only replica".to_owned()
        } else {
            format!("the busiest of {count} replicas")
        };
        format!(
            "{} records/s come in over {}; {busiest} gets {} and may get {}{fewer}",
            Known(picture.inbound.up),
            Count(picture.partitions, "partition"),
            Figure(needs.busiest(count)),
            Figure(accepted)
        )
    }
}
