//! Two oracles: what could be done with perfect knowledge.
//!
//! The reactive one knows the true rate, backlog and capacity of this moment, and nothing of the
//! next; the clairvoyant one also knows the load of the next minute and a half, the time that a pod
//! takes. Both size for the busiest member under the group's assignor, come down by an HPA window of
//! 300 s, and are asked by the same KEDA and HPA as everybody else. What they have that nobody can
//! have is knowledge; they are not optimal controllers.

use crate::chance::whole;
use crate::hpa::Metric;
use crate::scaler::{Answer, Scaler, Sight};
use crate::workload::Workload;
use crate::world::{Protocol, World};

/// The time in which a backlog is worked off: the product's own default.
const CATCH_UP_SECONDS: f64 = 120.0;

/// An oracle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oracle {
    /// The utilization up to which the busiest pod is planned: the headroom is its knob.
    pub utilization: f64,
    /// How far it sees into the future.
    pub ahead_seconds: u64,
    /// What one pod can do, records per second.
    pub capacity: f64,
}

// === impl Oracle ===

impl Scaler for Oracle {
    fn look(&mut self, _: Sight<'_>) {}

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        let now = sight.world.now();
        let worst = (now..=now + self.ahead_seconds)
            .max_by(|a, b| sight.workload.rate(*a).total_cmp(&sight.workload.rate(*b)))
            .unwrap_or(now);
        let waiting = sight.world.waiting();
        let rates = rates(sight.workload, sight.world, worst);
        let needs: Vec<f64> = rates
            .into_iter()
            .zip(waiting)
            .map(|(rate, waiting)| {
                // What came in this very second is no backlog.
                let backlog = (waiting - rate).max(0.0) / CATCH_UP_SECONDS;
                (rate / self.utilization).max(rate + backlog)
            })
            .collect();
        let total: f64 = needs.iter().sum();
        let replicas = if total > 0.0 {
            enough(sight.world.protocol(), &needs, self.capacity)
        } else {
            0
        };
        Answer::Metrics {
            metrics: vec![Metric {
                value_milli: Some(u64::from(replicas) * 1_000),
                target_milli: 1_000,
            }],
            active: Some(total > 0.0),
        }
    }

    fn pushes(&self) -> bool {
        true
    }
}

/// Records per second into each partition at `second`.
fn rates(workload: &Workload, world: &World, second: u64) -> Vec<f64> {
    let shares = world.shares().iter().enumerate();
    shares
        .map(|(partition, share)| workload.partition_rate(second, partition, *share))
        .collect()
}

/// The smallest number of pods whose busiest has to do no more than `capacity`; a partition counts
/// for one pod's work at most. Never more than partitions.
pub(crate) fn enough(protocol: Protocol, needs: &[f64], capacity: f64) -> u32 {
    let most = needs.len().max(1);
    let total: f64 = needs.iter().map(|need| need.min(capacity)).sum();
    let least = usize::try_from(whole(total / capacity))
        .unwrap_or(most)
        .clamp(1, most);
    let limit = capacity * (1.0 + 1e-9);
    let count = (least..=most)
        .find(|&count| busiest(protocol, needs, capacity, count) <= limit)
        .unwrap_or(most);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What the busiest of `count` pods has to do when the group is assigned afresh.
fn busiest(protocol: Protocol, needs: &[f64], capacity: f64, count: usize) -> f64 {
    let (block, extra) = (needs.len() / count, needs.len() % count);
    let mut loads = vec![0.0; count];
    for (partition, need) in needs.iter().enumerate() {
        let member = match protocol {
            Protocol::Eager => {
                let longer = extra * (block + 1);
                if partition < longer {
                    partition / (block + 1)
                } else {
                    extra + (partition - longer) / block.max(1)
                }
            }
            Protocol::Cooperative | Protocol::Consumer => partition % count,
        };
        if let Some(load) = loads.get_mut(member) {
            *load += need.min(capacity);
        }
    }
    loads.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_the_first_count_whose_busiest_pod_copes() {
        let check = |needs: &[f64], expected| {
            for protocol in [Protocol::Eager, Protocol::Cooperative] {
                assert_eq!(enough(protocol, needs, 100.0), expected, "{protocol:?}");
            }
        };
        check(&[40.0; 24], 12);
        check(&[50.0; 24], 12);
        check(&[51.0; 24], 24);
        check(&[250.0; 3], 3);
        check(&[0.0; 24], 1);
    }
}
