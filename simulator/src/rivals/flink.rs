//! A policy like the autoscaler of Flink's Kubernetes operator, for a consumer group.
//!
//! Its arithmetic, with the operator's documented basic configuration scaled to a consumer that
//! restarts in seconds: the true arrival rate over a window that begins anew after each rescale, a
//! dead band of utilization, headroom plus catch-up plus what a restart will cost, alignment to the
//! partitions, and coming down to the largest recommendation of an interval. Capacity is given, as to
//! everybody here; what it learns of it in life is left out. It sets the parallelism itself.

use std::collections::VecDeque;

use crate::chance::whole;
use crate::scaler::{Answer, Scaler, Sight};

/// `metrics.window`.
const WINDOW_SECONDS: u64 = 300;
/// `stabilization.interval`.
const STABILIZATION_SECONDS: u64 = 60;
/// `restart.time`.
const RESTART_SECONDS: f64 = 30.0;
/// `catch-up.duration`.
const CATCH_UP_SECONDS: f64 = 300.0;
/// `scale-down.interval`.
const SCALE_DOWN_SECONDS: u64 = 600;
/// The dead band around the target utilization.
const BAND: f64 = 0.2;
/// Lag of more than this, at the arrival rate, is a backlog: no scale-down then.
const BACKLOG_SECONDS: f64 = 300.0;
/// `scale-down.max-factor`.
const MAX_DOWN: f64 = 0.6;
/// How often the operator evaluates.
const CYCLE_SECONDS: u64 = 15;

/// The policy and what it remembers.
#[derive(Clone, Debug)]
pub struct Flink {
    utilization: f64,
    capacity: f64,
    max_replicas: u32,
    /// Records written, by second, since the last rescale settled.
    window: VecDeque<(u64, f64)>,
    window_opens_at: u64,
    lower: VecDeque<(u64, u32)>,
    lower_since: Option<u64>,
    wanted: Option<u32>,
}

// === impl Flink ===

impl Flink {
    /// Target utilization, capacity of a subtask in records per second, most subtasks.
    pub fn new(utilization: f64, capacity: f64, max_replicas: u32) -> Self {
        Self {
            utilization,
            capacity,
            max_replicas,
            window: VecDeque::new(),
            window_opens_at: 0,
            lower: VecDeque::new(),
            lower_since: None,
            wanted: None,
        }
    }

    fn rescale(&mut self, to: u32, now: u64) {
        self.wanted = Some(to);
        self.window.clear();
        self.window_opens_at = now + STABILIZATION_SECONDS;
        self.lower.clear();
        self.lower_since = None;
    }

    fn evaluate(&mut self, rate: f64, lag: f64, there: u32, partitions: u32, now: u64) {
        let catch_up = lag / CATCH_UP_SECONDS;
        let restart = rate * RESTART_SECONDS / CATCH_UP_SECONDS;
        let throughput = self.capacity * f64::from(there);
        let backlog = rate > 0.0 && lag / rate > BACKLOG_SECONDS;
        let high = if backlog {
            1.0
        } else {
            (self.utilization + BAND).min(1.0)
        };
        let low = if backlog {
            0.0
        } else {
            self.utilization - BAND
        };
        let too_slow = throughput < catch_up + rate / high;
        let too_fast = low > 0.0 && throughput > catch_up + restart + rate / low;
        if !too_slow && !too_fast {
            self.lower.clear();
            self.lower_since = None;
            return;
        }
        let target = catch_up + restart + rate / self.utilization;
        let factor = (target / throughput).max(1.0 - MAX_DOWN);
        let wanted = u32::try_from(whole((factor * f64::from(there)).ceil())).unwrap_or(u32::MAX);
        let wanted = wanted.clamp(1, self.max_replicas.min(partitions));
        let wanted = aligned(wanted, there, partitions);
        if wanted > there {
            self.rescale(wanted, now);
        } else if wanted < there {
            let since = *self.lower_since.get_or_insert(now);
            self.lower.push_back((now, wanted));
            if now - since >= SCALE_DOWN_SECONDS {
                let largest = self.lower.iter().map(|entry| entry.1).max();
                let largest = largest.unwrap_or(there);
                if largest < there {
                    self.rescale(largest, now);
                }
            }
        }
    }
}

/// BALANCED: the first parallelism from the target upward that divides the partitions evenly, or
/// makes the fullest subtask's count smaller.
fn aligned(target: u32, present: u32, partitions: u32) -> u32 {
    let end = if target > present {
        partitions
    } else {
        present
    };
    (target..=end)
        .find(|&count| partitions.is_multiple_of(count) || partitions / count < partitions / target)
        .unwrap_or(target)
}

impl Scaler for Flink {
    fn look(&mut self, sight: Sight<'_>) {
        let (now, there) = (sight.world.now(), sight.world.replicas());
        if !now.is_multiple_of(CYCLE_SECONDS) || now < self.window_opens_at {
            return;
        }
        let written = sight.world.written();
        self.window.push_back((now, written));
        while self
            .window
            .front()
            .is_some_and(|&(at, _)| at + WINDOW_SECONDS < now)
        {
            self.window.pop_front();
        }
        if there == 0 {
            // A job is started by hand; here by the first record.
            if sight.world.lags().iter().any(|lag| *lag > 0) {
                self.rescale(1, now);
            }
            return;
        }
        let Some(&(first, before)) = self.window.front() else {
            return;
        };
        if now - first < WINDOW_SECONDS {
            return;
        }
        let rate = (written - before) / (now - first) as f64;
        let lags = sight.world.lags();
        let lag: u64 = lags.iter().sum();
        let partitions = u32::try_from(lags.len()).unwrap_or(u32::MAX);
        self.evaluate(rate, lag as f64, there, partitions, now);
    }

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        Answer::Replicas(self.wanted.unwrap_or_else(|| sight.world.replicas()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_takes_the_next_count_that_divides_or_helps() {
        let check = |target, present, expected| {
            assert_eq!(
                aligned(target, present, 24),
                expected,
                "{target} from {present}"
            );
        };
        check(5, 3, 6);
        check(7, 3, 8);
        check(13, 3, 24);
        check(9, 24, 12);
        check(5, 6, 6);
    }

    #[test]
    fn it_goes_up_for_headroom_catch_up_and_restart_in_one_step() {
        let mut flink = Flink::new(0.6, 100.0, 24);
        flink.evaluate(1_000.0, 1_000.0, 4, 24, 400);
        // 1,000 / 0.6 + 1,000 / 300 + 1,000 * 30 / 300 = 1,770 records/s: 18, aligned to 24.
        assert_eq!(flink.wanted, Some(24));
        assert_eq!(flink.window_opens_at, 460);
    }

    #[test]
    fn it_comes_down_after_the_interval_to_the_largest_of_it() {
        let mut flink = Flink::new(0.6, 100.0, 24);
        for step in 0..=40 {
            let rate = if step == 10 { 500.0 } else { 300.0 };
            assert_eq!(flink.wanted, None);
            flink.evaluate(rate, 0.0, 24, 24, step * 15);
        }
        assert_eq!(flink.wanted, Some(12));
    }
}
