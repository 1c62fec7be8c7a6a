//! The inbound rate: how many records arrive, from the log's own ends and from Prometheus.
//!
//! The intuition: a log end offset moves whether anybody consumes or not, so its slope is the one
//! signal that no rebalance can bend. Three windows over it answer three questions: has something
//! just changed (fast), is that change real (short), what is usual (slow). Prometheus is a second
//! witness: the higher one counts on the way up, both have to drop on the way down, and where they
//! contradict each other the log is believed, because it is what has to be consumed.
//!
//! How the total divides over the partitions is asked of a much longer memory, the records that each
//! has brought ([`USUAL_TIME`]): a producer's batches make a single partition's slope jump about, the
//! total's hardly. What may still be scatter is taken for even.
//!
//! What this does not do: forecast, and tell records from offsets. Where offsets are not records
//! (transaction markers, compaction), rates and lag are in offsets alike, and so is a capacity that
//! was learned; docs/ALGORITHM.md says what that means for a configured one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::{Cause, PrometheusObservation};
use crate::time::Timestamp;

/// The window that sees a surge within one poll. Polls are 5 s apart by default; a window shorter
/// than that would be noise on fast polls of sleeping targets (1 s). In the sketch behind
/// docs/ALGORITHM.md shorter windows made fewer records late at the same replica-hours, down to 16 s
/// where the sketch stopped.
pub(crate) const FAST_WINDOW: Duration = Duration::from_secs(5);

/// The window that tells a surge from a hiccup: a producer that stalls for one poll and then sends
/// twice as much is 2x over 5 s and 1x over 15 s. Three polls.
pub(crate) const SHORT_WINDOW: Duration = Duration::from_secs(15);

/// The window for coming down, and the one that a restart recovers by asking the log for the offset
/// of that time. As long as the HPA's own scale-down window, so that neither waits for the other.
pub const SLOW_WINDOW: Duration = Duration::from_secs(300);

/// The memory of how the load divides over partitions. Long, because division is a property of keys,
/// which change slowly, and because 300 s of batches still scatter by some 10 % a partition: enough
/// to make a uniform topic look skewed to the assignor and cost a whole class of replicas.
const USUAL_TIME: Duration = Duration::from_secs(1_800);

/// A partition whose share over the slow window is this many times its usual one has really become
/// hotter: then the newer share counts at once. Batch scatter over 300 s stays far below.
const SHARE_SHIFT: f64 = 1.5;

/// Until a partition has brought as many records as one replica does in this time, its share is held
/// to be more even than it looks: the first 5 s of a burst are some hundred records a partition, which
/// scatter by 10 %, and the busiest two of them would ask for a class of replicas that nobody needs.
/// In the time of a replica, so that the scale of the load does not matter (law 11).
const EVEN_EVIDENCE: Duration = Duration::from_secs(4);

/// A share this near an even one, relative to it, counts as even. Five hundred records a
/// partition scatter by 5 %, and hashing 100,000 keys by 2 %: at its word, that would cost an even
/// topic a whole class of replicas (24 instead of 12 for 24 partitions at 83 % each, as the demo showed). What
/// it hides is bounded: a replica accepted at 87 % carries 93 % at worst, where the trigger lies. It
/// is relative, so that a load and a capacity ten times as large still give the same count (law 11).
const EVEN_SHARE: f64 = 0.07;

/// The short window has to exceed the slow one by this factor before the fast window is believed.
const SURGE_FACTOR: f64 = 1.15;

/// A Prometheus sample older than this is no witness: KEDA users scrape every 15..60 s, and one
/// missed scrape of a minute must not degrade a decision.
const PROMETHEUS_FRESH: Duration = Duration::from_secs(90);

/// Prometheus further than this factor from every window of the offsets contradicts them. Twice is
/// what a query over the wrong topic, a doubled scrape job or bytes instead of records exceed, and
/// what a `rate(...[1m])` on a moving load does not, because it is held against all windows.
const MISMATCH_FACTOR: f64 = 2.0;

/// The slopes of one or of all partitions, in records per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slopes {
    /// Over [`FAST_WINDOW`].
    pub fast: f64,
    /// Over [`SHORT_WINDOW`].
    pub short: f64,
    /// Over [`SLOW_WINDOW`].
    pub slow: f64,
}

/// The inbound rate of a target as decisions use it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inbound {
    /// Records per second to go up by; `None` while no witness has spoken.
    pub up: Option<f64>,
    /// Records per second that a lower count has to carry.
    pub down: Option<f64>,
    /// The offsets' witness, where there are two samples of any partition.
    pub offsets: Option<Slopes>,
    /// Prometheus, where it is fresh and makes sense.
    pub prometheus: Option<f64>,
    /// What is wrong with the witnesses.
    pub trouble: WitnessTrouble,
}

/// What is wrong with the witnesses of the inbound rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WitnessTrouble {
    /// Nothing.
    None,
    /// Prometheus is configured and cannot be used.
    Missing(Cause),
    /// Prometheus contradicts the offsets by more than [`MISMATCH_FACTOR`].
    Mismatch,
}

// === impl Slopes ===

impl Slopes {
    /// Adds another partition's.
    pub fn add(&mut self, other: Self) {
        self.fast += other.fast;
        self.short += other.short;
        self.slow += other.slow;
    }

    /// The rate to go up by. A surge that the short window confirms counts with the fast window's
    /// full slope; a falling load counts with the mean of old and new.
    fn up(self) -> f64 {
        if self.short > self.slow * SURGE_FACTOR {
            self.short.max(self.fast)
        } else {
            self.short.max(f64::midpoint(self.short, self.slow))
        }
    }

    /// The rate that a lower count has to carry.
    fn down(self) -> f64 {
        self.short.max(self.slow)
    }
}

// === impl Inbound ===

impl Inbound {
    /// Weighs the offsets' witness against Prometheus'. Until the slow window is one that was
    /// `watched` as a whole, nothing can be called a hiccup against it: the fastest window counts.
    pub fn weigh(
        offsets: Option<Slopes>,
        prometheus: PrometheusObservation,
        watched: bool,
        now: Timestamp,
    ) -> Self {
        let (prometheus, mut trouble) = match usable(prometheus, now) {
            Ok(rate) => (rate, WitnessTrouble::None),
            Err(cause) => (None, WitnessTrouble::Missing(cause)),
        };
        let mut up = offsets.map(|slopes| {
            if watched {
                slopes.up()
            } else {
                slopes.up().max(slopes.short).max(slopes.fast)
            }
        });
        let mut down = offsets.map(Slopes::down);
        if let Some(rate) = prometheus {
            if offsets.is_some_and(|slopes| contradicts(rate, slopes)) {
                trouble = WitnessTrouble::Mismatch;
            } else {
                up = Some(up.unwrap_or(rate).max(rate));
                down = Some(down.unwrap_or(rate).max(rate));
            }
        }
        Self {
            up,
            down,
            offsets,
            prometheus,
            trouble,
        }
    }
}

/// Prometheus' rate, `None` where there is no query, the cause where it cannot be used.
fn usable(prometheus: PrometheusObservation, now: Timestamp) -> Result<Option<f64>, Cause> {
    match prometheus {
        PrometheusObservation::NotConfigured => Ok(None),
        PrometheusObservation::Unknown(cause) => Err(cause),
        PrometheusObservation::Known {
            records_per_second,
            at,
        } => {
            if !records_per_second.is_finite() || records_per_second < 0.0 {
                Err(Cause::Malformed)
            } else if now.since(at) > PROMETHEUS_FRESH {
                Err(Cause::Stale)
            } else {
                Ok(Some(records_per_second))
            }
        }
    }
}

/// Whether Prometheus lies outside what any window of the offsets would allow.
fn contradicts(rate: f64, slopes: Slopes) -> bool {
    let highest = slopes.fast.max(slopes.short).max(slopes.slow);
    let lowest = slopes.fast.min(slopes.short).min(slopes.slow);
    rate > highest * MISMATCH_FACTOR || rate < lowest / MISMATCH_FACTOR
}

/// The records that a partition's usual share is taken from: all that came, older ones fading.
pub(crate) fn usual(previous: f64, new_records: f64, elapsed: Duration) -> f64 {
    let fading = USUAL_TIME.as_secs_f64();
    previous * (fading / (fading + elapsed.as_secs_f64())) + new_records
}

/// How many records of evidence an even share is worth, a partition.
pub(crate) fn even_evidence(capacity: Option<f64>) -> f64 {
    capacity.map_or(1.0, |capacity| capacity * EVEN_EVIDENCE.as_secs_f64())
}

/// A partition's share of the whole: the usual one, or the newer one where it has really shifted.
/// `usual_records` and its total fade slowly, `slow` and its total are rates of the slow window;
/// `evidence` is what [`even_evidence`] says and `count` the number of partitions.
pub(crate) fn share(
    (usual_records, usual_total): (f64, f64),
    (slow, slow_total): (f64, f64),
    evidence: f64,
    count: f64,
) -> f64 {
    let of = |records: f64, total: f64| (records + evidence) / (total + evidence * count);
    let window = SLOW_WINDOW.as_secs_f64();
    let known = of(usual_records, usual_total);
    let newer = of(slow * window, slow_total * window);
    if newer > known * SHARE_SHIFT {
        newer
    } else {
        known
    }
}

/// Takes the scatter out of `shares`: each moves by [`EVEN_SHARE`] of the even share towards it, and
/// not beyond. Afterwards they sum to 1 as before, or to 0.
pub(crate) fn take_scatter_out(shares: &mut [f64], even: f64) {
    let scatter = even * EVEN_SHARE;
    for share in shares.iter_mut() {
        *share = if *share > even {
            (*share - scatter).max(even)
        } else {
            (*share + scatter).min(even)
        };
    }
    let total: f64 = shares.iter().sum();
    if total > 0.0 {
        shares.iter_mut().for_each(|share| *share /= total);
    }
}

/// Whole records of a finite, non-negative figure; saturating.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate, and NaN becomes 0"
)]
pub(crate) fn whole_records(figure: f64) -> u64 {
    figure as u64
}

#[cfg(test)]
mod tests;
