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
//! A rise that only makes up for a stall is told from a surge in `rate/arrivals`.
//!
//! What a rise leads to while replicas start is in `rate/trend`.
//!
//! What this does not do: forecast what has not begun, and tell records from offsets. Where offsets are not records
//! (transaction markers, compaction), rates and lag are in offsets alike, and so is a capacity that
//! was learned; docs/ALGORITHM.md says what that means for a configured one.

mod arrivals;
mod trend;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::{Cause, PrometheusObservation};
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::tuning::Tuning;

pub(crate) use arrivals::Arrivals;
pub(crate) use trend::{Rise, Trend};

/// The window for coming down, and the one that a restart recovers by asking the log for the offset
/// of that time. As long as the HPA's own scale-down window, so that neither waits for the other.
pub const SLOW_WINDOW: Duration = Duration::from_secs(300);

/// The memory of how the load divides over partitions. Long, because division is a property of keys,
/// which change slowly, and because 300 s of batches still scatter by some 10 % a partition: enough
/// to make a uniform topic look skewed to the assignor and cost a whole class of replicas.
const USUAL_TIME: Duration = Duration::from_secs(1_800);

/// The short window reaches back at least so many polls, however far apart they are: over fewer, a
/// producer's hiccup cannot be told from a surge.
pub(crate) const SHORT_SAMPLES: u32 = 3;

/// A Prometheus sample older than this is no witness: KEDA users scrape every 15..60 s, and one
/// missed scrape of a minute must not degrade a decision.
const PROMETHEUS_FRESH: Duration = Duration::from_secs(90);

/// Prometheus further than this factor from every window of the offsets contradicts them. A query over
/// the wrong topic, bytes instead of records and a scrape job that counts everything twice lie beyond
/// it; a `rate(...[1m])` on a moving load does not, because it is held against all windows.
const MISMATCH_FACTOR: f64 = 1.5;

/// The slopes of one or of all partitions, in records per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slopes {
    /// Over the policy's fast window.
    pub fast: f64,
    /// Over as long before that.
    pub before: f64,
    /// Over the policy's short window.
    pub short: f64,
    /// Over [`SLOW_WINDOW`].
    pub slow: f64,
}

/// The inbound rate of a target as decisions use it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inbound {
    /// Records per second to go up by; `None` while no witness has spoken.
    pub up: Option<f64>,
    /// Where `up` leads to, where it rises.
    pub rise: Option<Rise>,
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
        self.before += other.before;
        self.short += other.short;
        self.slow += other.slow;
    }

    /// What each of so many partitions has of all these, dealt evenly; none of none.
    pub fn dealt(all: impl Iterator<Item = Self>, count: f64) -> Option<Self> {
        let mut sum: Option<Self> = None;
        for one in all {
            sum.get_or_insert_default().add(one);
        }
        sum.map(|sum| Self {
            fast: sum.fast / count,
            before: sum.before / count,
            short: sum.short / count,
            slow: sum.slow / count,
        })
    }

    /// The rate to go up by: in a surge the rate of now and where it leads, otherwise the mean of what
    /// is usual and what is now, which halves the scatter of the one and the delay of the other. A
    /// surge that only makes up for a stall is none: then the rate since the stall counts. It leads
    /// somewhere only if it rose before the short window too: a step in the middle of a poll looks like
    /// one that rises, but not for so long.
    ///
    /// A rate that has clearly fallen is what it is now: a mean with what was usual would follow the
    /// slow window down, and every count on the way would be a rebalance.
    fn up(self, arrivals: &Arrivals, policy: &Policy) -> f64 {
        if self.fell(policy) {
            return self.short;
        }
        if !self.surges(policy) {
            return f64::midpoint(self.short, self.slow);
        }
        let before = arrivals.before_short(policy);
        let lasting = before.map_or(0.0, |before| (self.earliest() - before).max(0.0));
        let leads_to = self.now(policy) + self.rise().min(lasting) * policy.tuning.surge_lead;
        // The poll that reads a log again after minutes has all that came meanwhile: that is no rate.
        arrivals
            .since_stall(policy)
            .unwrap_or(leads_to)
            .min(leads_to)
    }

    /// The rate at the end of the short window. The fast window says so by itself only where it lies
    /// above the short one by more than a hiccup: a poll that is read late shows its records in the
    /// time of the next one. Below that, a rate that rises has its middle one window back.
    fn now(self, policy: &Policy) -> f64 {
        let fast_window = policy.tuning.fast_window.max(policy.poll_interval);
        let seconds = fast_window.as_secs_f64();
        if exceeds(self.fast, self.short, seconds, &policy.tuning) {
            self.fast
        } else {
            self.short + self.rise()
        }
    }

    /// How much the rate has risen in each fast window, for as long as the short one reaches back. A
    /// step is new in one or two of them and rises in none of the others: it leads nowhere.
    fn rise(self) -> f64 {
        (self.fast - self.before)
            .min(self.before - self.earliest())
            .max(0.0)
    }

    /// Over the first third of the short window.
    fn earliest(self) -> f64 {
        3.0 * self.short - self.fast - self.before
    }

    /// Whether the short window lies above the slow one by more than records scatter.
    fn surges(self, policy: &Policy) -> bool {
        let seconds = short_window(policy).as_secs_f64();
        exceeds(self.short, self.slow, seconds, &policy.tuning)
    }

    /// Whether the short window lies below the slow one by as much as a surge lies above it.
    fn fell(self, policy: &Policy) -> bool {
        let seconds = short_window(policy).as_secs_f64();
        exceeds(self.slow, self.short, seconds, &policy.tuning)
    }

    /// The rate that a lower count has to carry. The window over recommendations sees to it that what
    /// was needed minutes ago still counts; a slow rate in it would count it twice.
    fn down(self) -> f64 {
        self.short
    }
}

// === impl Inbound ===

impl Inbound {
    /// The rise as a share of the rate: how many times `up` it leads to, and how many times `up` it
    /// gains in each second.
    pub fn relative_rise(&self) -> Option<Rise> {
        let (up, rise) = (self.up?, self.rise?);
        Some(Rise {
            soon: rise.soon / up,
            ahead: rise.ahead / up,
            slope: rise.slope / up,
        })
    }

    /// Weighs the offsets' witness against Prometheus'. Until the slow window is one that was
    /// `watched` as a whole, nothing can be called a hiccup against it: the fastest window counts.
    pub fn weigh(
        (offsets, arrivals, rise): (Option<Slopes>, &Arrivals, Option<Rise>),
        prometheus: PrometheusObservation,
        watched: bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let (prometheus, mut trouble) = match usable(prometheus, now) {
            Ok(rate) => (rate, WitnessTrouble::None),
            Err(cause) => (None, WitnessTrouble::Missing(cause)),
        };
        let mut up = offsets.map(|slopes| {
            let up = slopes.up(arrivals, policy);
            if watched {
                up
            } else {
                up.max(slopes.short).max(slopes.fast)
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
            rise: rise.filter(|rise| up.is_some_and(|up| up > 0.0 && rise.ahead > up)),
            down,
            offsets,
            prometheus,
            trouble,
        }
    }
}

/// How long the short window is: it reaches back three polls, however far apart they are.
pub(crate) fn short_window(policy: &Policy) -> Duration {
    let polls = policy.poll_interval.saturating_mul(SHORT_SAMPLES);
    policy.tuning.short_window.max(polls)
}

/// How long a span is that a trend compares, at least: no shorter than a poll.
fn trend_span(policy: &Policy) -> Duration {
    policy.tuning.trend_span.max(policy.poll_interval)
}

/// Whether a rate over so many seconds lies above the usual one by more than a hiccup, and by more than
/// independent records scatter.
fn exceeds(rate: f64, usual: f64, seconds: f64, tuning: &Tuning) -> bool {
    let usual = usual * seconds;
    let excess = rate * seconds - usual;
    let scatter = usual.sqrt() * tuning.surge_deviations;
    excess > (usual * (tuning.surge_factor - 1.0)).max(scatter)
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
pub(crate) fn even_evidence(capacity: Option<f64>, tuning: &Tuning) -> f64 {
    let seconds = tuning.even_evidence.as_secs_f64();
    capacity.map_or(1.0, |capacity| capacity * seconds)
}

/// A partition's share of the whole: the usual one, or the newer one where it has really shifted.
/// `usual_records` and its total fade slowly, `slow` and its total are rates of the slow window;
/// `evidence` is what [`even_evidence`] says and `count` the number of partitions.
pub(crate) fn share(
    (usual_records, usual_total): (f64, f64),
    (slow, slow_total): (f64, f64),
    evidence: f64,
    count: f64,
    tuning: &Tuning,
) -> f64 {
    let of = |records: f64, total: f64| (records + evidence) / (total + evidence * count);
    let window = SLOW_WINDOW.as_secs_f64();
    let known = of(usual_records, usual_total);
    let newer = of(slow * window, slow_total * window);
    if newer > known * tuning.share_shift {
        newer
    } else {
        known
    }
}

/// Takes the scatter out of `shares`: each moves by `even_share` of the even share towards it, and
/// not beyond. Afterwards they sum to 1 as before, or to 0.
pub(crate) fn take_scatter_out(shares: &mut [f64], even: f64, tuning: &Tuning) {
    let scatter = even * tuning.even_share;
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
