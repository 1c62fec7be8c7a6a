//! Where the logs of a run ended a while ago: what a scaler that starts asks of them.

use std::collections::VecDeque;

use evenkeel_engine::{Observation, PartitionHistory, Reading, SLOW_WINDOW, Timestamp};

/// What the log would answer when it is asked where it ended a while ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// Seconds on the clock of the world, and the ends in the order of partitions.
    ends: VecDeque<(Timestamp, Vec<Option<u64>>)>,
}

// === impl Past ===

impl Past {
    /// Keeps where the logs end now.
    pub fn note(&mut self, observation: &Observation) {
        let at = observation.at;
        if self.ends.back().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        let partitions = observation
            .topics
            .iter()
            .filter_map(|topic| topic.partitions.known());
        let ends = partitions.flatten();
        let ends = ends
            .map(|partition| partition.log.known().map(|log| log.end))
            .collect();
        self.ends.push_back((at, ends));
        while self
            .ends
            .get(1)
            .is_some_and(|(second, _)| at.since(*second) >= SLOW_WINDOW)
        {
            self.ends.pop_front();
        }
    }

    /// The observation of a scaler that has just started: with the past asked of the log.
    pub fn remembered(&self, observation: &Observation, started_at: Timestamp) -> Observation {
        let mut observation = observation.clone();
        // It is asked once, for the time before the start.
        let Some((at, ends)) = self
            .ends
            .iter()
            .rev()
            .find(|(at, _)| started_at.since(*at) >= SLOW_WINDOW)
            .or_else(|| self.ends.front())
        else {
            return observation;
        };
        let mut ends = ends.iter();
        for topic in &mut observation.topics {
            if let Reading::Known(partitions) = &mut topic.partitions {
                for partition in partitions {
                    let end = ends.next().copied().flatten();
                    partition.history = end.map(|end| PartitionHistory { at: *at, end });
                }
            }
        }
        observation
    }
}
