//! Where the load comes from, and which world it meets.
//!
//! # Gaps in a history
//! Prometheus leaves out what it does not have. What is missing before the first value and after the
//! last is cut off. Between values, a gap of up to [`MAX_GAP_SECONDS`] is bridged by a straight line,
//! as long as no more than [`MAX_MISSING_PERCENT`] of the time is missing; both are said in the
//! output. Anything else is an error: a load that was made up would be simulated as if it had been.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use evenkeel_engine::coarse::{EvenLoad, is_worth_saying, others};
use evenkeel_sim::chance::Spread;
use evenkeel_sim::report::lasting;
use evenkeel_sim::rivals::default_policy;
use evenkeel_sim::scenario::Scenario;
use evenkeel_sim::workload::{Replay, Skew, Trace, Workload};
use indicatif::ProgressBar;

use super::bar_style;
use super::options::{OwnWorld, Plan, Source, lasts};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::PrometheusConfig;
use evenkeel_scaler::metrics::Metrics;
use evenkeel_scaler::observe::prometheus::{
    Past, PrometheusAccess, PrometheusObserver, PrometheusObserverConfig, PrometheusQuery,
};

/// A load in its world.
#[derive(Debug)]
pub(super) struct Load {
    pub title: String,
    pub about: String,
    pub scenario: Scenario,
    /// What has to be known before the figures are believed.
    pub notes: Vec<String>,
}

/// Why there is no load.
#[derive(Debug)]
pub(super) enum Error {
    /// It is not usable: the user's to mend.
    Input(String),
    /// It could not be had.
    Failed(anyhow::Error),
}

/// The largest trace that is read: two months of seconds in long lines.
const MAX_TRACE_BYTES: u64 = 256 * 1_024 * 1_024;

/// The longest gap that is bridged. Longer than a restart or an upgrade of a Prometheus, shorter than
/// anything that a load does over a day.
const MAX_GAP_SECONDS: u64 = 3_600;

/// How much of a history may be missing in all.
const MAX_MISSING_PERCENT: u64 = 10;

/// One request for a piece of history: a server may have to read months from disk.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(60);

/// Days of a recording in which a calendar has had something to expect.
const DAYS_OF_A_CALENDAR: u64 = 4;

/// What a load is taken apart into, where it is asked what partitions cost: a minute of it is read at once.
const SECONDS_A_BLOCK: usize = 60;

/// ... and so many different rates are told apart.
const PIECES: usize = 500;

/// How far pods differ from the median in how long they start: as in the built-in worlds.
const START_SPREAD: [f64; 5] = [2.0 / 3.0, 0.83, 1.0, 1.23, 1.5];

/// Gets it.
pub(super) async fn fetch(plan: &Plan) -> Result<Load, Error> {
    let mut load = match &plan.source {
        Source::BuiltIn(name) => built_in(name)?,
        Source::Steps(steps) => {
            let steps_in_words: Vec<String> = steps
                .iter()
                .map(|(rate, seconds)| format!("{rate} for {}", lasting(*seconds)))
                .collect();
            Load {
                title: "steps".to_owned(),
                about: format!("records/s: {}", steps_in_words.join(", ")),
                scenario: own("steps", Workload::steps(steps), plan.world),
                notes: Vec::new(),
            }
        }
        Source::Trace(path) => {
            let trace = read(path)
                .map_err(|why| Error::Input(format!("--trace {}: {why}", path.display())))?;
            let about = format!(
                "recorded over {}",
                lasting(whole_seconds(trace.recorded_seconds()))
            );
            let name = path.file_name().unwrap_or(path.as_os_str());
            replayed(name.to_string_lossy().into_owned(), about, &trace, plan)?
        }
        Source::Prometheus {
            query,
            access,
            hours,
            step_seconds,
        } => {
            let profile = access.as_deref();
            let (trace, notes, begins) = history(query, profile, *hours, *step_seconds).await?;
            let about = format!(
                "recorded by Prometheus over the last {}: {}",
                lasting(whole_seconds(trace.recorded_seconds())),
                query.query
            );
            let mut load = replayed("backtest".to_owned(), about, &trace, plan)?;
            load.notes.splice(0..0, notes);
            if plan.calendar {
                load.scenario.begins_at_minute = begins;
                load.notes.extend(too_short(&load.scenario));
            }
            load
        }
    };
    load.notes.extend(beyond_reach(&load.scenario));
    load.notes.extend(coarse_partitions(&load.scenario));
    Ok(load)
}

fn built_in(name: &str) -> Result<Load, Error> {
    let scenario = Scenario::named(name).map_err(|error| Error::Failed(error.into()))?;
    let scenario =
        scenario.ok_or_else(|| Error::Failed(anyhow!("the scenario {name} is missing")))?;
    Ok(Load {
        title: name.to_owned(),
        about: scenario.about.to_owned(),
        scenario,
        notes: Vec::new(),
    })
}

/// A load of the user's own in a world of his own.
fn own(name: &'static str, workload: Workload, world: OwnWorld) -> Scenario {
    let mut scenario = Scenario::usual(name, "a load of your own", workload, world.protocol);
    scenario.world.partitions = world.partitions;
    scenario.world.capacity = world.capacity;
    scenario.max_replicas = world.max_replicas;
    if let Some(median) = world.start_seconds {
        let quantiles = START_SPREAD.map(|share| share * median);
        // The simulator's distributions are constants; this one is made once a process.
        scenario.world.start = Spread(Box::leak(Box::new(quantiles)));
    }
    // As in the built-in worlds, the run begins with what the first second needs at 80 %.
    let needed = scenario.workload.rate(0) / (world.capacity * 0.8);
    let pods = u32::try_from(whole_seconds(needed.ceil())).unwrap_or(u32::MAX);
    scenario.world.pods_at_start = pods.min(world.max_replicas);
    scenario
}

fn read(path: &Path) -> Result<Trace, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_TRACE_BYTES {
        return Err(format!("is larger than {MAX_TRACE_BYTES} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Trace::parse(&text).map_err(|error| error.to_string())
}

fn replayed(title: String, about: String, trace: &Trace, plan: &Plan) -> Result<Load, Error> {
    let seconds = whole_seconds(trace.recorded_seconds() / plan.speed);
    lasts(seconds).map_err(|why| Error::Input(format!("{title}: {why}")))?;
    let replay = Replay {
        speed: plan.speed,
        high: plan.peak.unwrap_or_else(|| trace.high()),
        limit: f64::INFINITY,
    };
    let mut about = about;
    if plan.speed != 1.0 {
        about.push_str(&format!(", {} times as fast", plan.speed));
    }
    if let Some(peak) = plan.peak {
        about.push_str(&format!(", 99 % of it at most {peak} records/s"));
    }
    let workload = Workload::even(trace.replay(replay));
    Ok(Load {
        title,
        about,
        scenario: own("trace", workload, plan.world),
        notes: Vec::new(),
    })
}

/// Says for how much of the time more comes than any policy could carry.
fn beyond_reach(scenario: &Scenario) -> Option<String> {
    let world = &scenario.world;
    let members = u32::try_from(world.partitions).unwrap_or(u32::MAX);
    let most = members.min(scenario.max_replicas);
    let limit = f64::from(most) * world.capacity;
    let rates = &scenario.workload.per_second;
    let above = rates.iter().filter(|rate| **rate > limit).count();
    (above > 0).then(|| {
        format!(
            "For {:.1} % of the time more comes than {most} pods can do ({limit} records/s): no \
             policy keeps up then. Is the capacity right?",
            100.0 * above as f64 / rates.len().max(1) as f64
        )
    })
}

/// Whether more partitions would take far fewer replica-hours over the whole load, held for a window each
/// time, as far as the rate alone decides.
fn coarse_partitions(scenario: &Scenario) -> Option<String> {
    let (world, workload) = (&scenario.world, &scenario.workload);
    if workload.skew != Skew::Even || workload.per_second.is_empty() {
        return None;
    }
    let policy = default_policy(Some(world.capacity), scenario.startup_seconds);
    let partitions = u32::try_from(world.partitions).unwrap_or(u32::MAX);
    // Where nothing else was said, it is the partitions that bound the replicas.
    let most = Some(scenario.max_replicas).filter(|most| *most < partitions);
    let minutes: Vec<f64> = workload
        .per_second
        .chunks(SECONDS_A_BLOCK)
        .map(|block| block.iter().sum::<f64>() / block.len() as f64)
        .collect();
    let window = usize::try_from(policy.scale_down_window.as_secs()).unwrap_or(SECONDS_A_BLOCK);
    let window = window.div_ceil(SECONDS_A_BLOCK).max(1);
    let held = minutes.windows(window.min(minutes.len()));
    let mut held: Vec<f64> = held
        .map(|rates| rates.iter().copied().fold(0.0, f64::max))
        .collect();
    held.sort_by(f64::total_cmp);
    // The replicas follow from the rate alone, so rates that are nearly the same are counted at once.
    let piece = held.len().div_ceil(PIECES).max(1);
    let pieces: Vec<(EvenLoad, f64)> = held
        .chunks(piece)
        .filter_map(|rates| Some((rates.last().copied()?, rates.len() as f64)))
        .filter(|(rate, _)| *rate > 0.0)
        .map(|(rate, count)| (EvenLoad::new(&policy, rate, world.capacity), count))
        .collect();
    let mean = |partitions: u32| {
        let replicas = |load: EvenLoad| {
            let replicas = load.replicas(partitions);
            f64::from(most.map_or(replicas, |most| replicas.min(most)))
        };
        let sum: f64 = pieces
            .iter()
            .map(|(load, count)| replicas(*load) * count)
            .sum();
        sum / held.len() as f64
    };
    let (here, hours) = (mean(partitions), workload.seconds() as f64 / 3_600.0);
    let better = others(partitions).find(|other| is_worth_saying(here, mean(*other)))?;
    let there = mean(better);
    Some(format!(
        "{partitions} partitions need {:.1} replica-hours for this load, and {better} partitions would \
         need {:.1}, {:.0} % fewer: partitions do not divide (CoarsePartitions)",
        here * hours,
        there * hours,
        100.0 * (1.0 - there / here)
    ))
}

/// Says that nothing can have come on three days before.
fn too_short(scenario: &Scenario) -> Option<String> {
    let days = scenario.workload.seconds() / 86_400;
    (days < DAYS_OF_A_CALENDAR).then(|| {
        format!(
            "A calendar has to have seen a surge on three days: of {days} days hardly anything can be \
             expected, so ask for two weeks (--hours 336)"
        )
    })
}

/// The values, what has to be known about them, and the minute since 1970 of the first.
async fn history(
    query: &PrometheusQuery,
    profile: Option<&PrometheusConfig>,
    hours: f64,
    step_seconds: u64,
) -> Result<(Trace, Vec<String>, u32), Error> {
    evenkeel_scaler::tls::use_ring();
    let clock = Clock::start();
    let config = PrometheusObserverConfig {
        request_timeout: HISTORY_TIMEOUT,
        concurrency: 1,
    };
    let metrics = Metrics::default();
    let access = profile
        .zip(query.profile.as_ref())
        .and_then(|(profile, name)| {
            let access = PrometheusAccess::of(name, profile, HISTORY_TIMEOUT, &metrics)?;
            Some((name.clone(), access.into()))
        });
    let observer = PrometheusObserver::new(config, clock, metrics)
        .map_err(|error| Error::Failed(error.into()))?
        .with_access(access.into_iter().collect());
    let seconds = whole_seconds(hours * 3_600.0);
    let past = Past {
        start: clock.now().minus(Duration::from_secs(seconds)),
        step: Duration::from_secs(step_seconds),
        points: seconds / step_seconds + 1,
    };
    let bar = ProgressBar::new(past.points).with_style(bar_style("values"));
    let values = observer
        .history(query, past, |points| bar.set_position(points))
        .await;
    bar.finish_and_clear();
    let values = values.map_err(|sentence| Error::Failed(anyhow!(sentence)))?;
    let samples: Vec<(f64, f64)> = values
        .iter()
        .map(|(at, rate)| (at.since(past.start).as_secs_f64(), *rate))
        .collect();
    let notes = judge(&samples, step_seconds, past.points)
        .map_err(|why| Error::Failed(anyhow!("{query} {why}")))?;
    let trace = Trace::new(samples)
        .map_err(|error| Error::Failed(anyhow!("{query} has no load: {error}")))?;
    let begins = values.first().map_or(0, |(at, _)| at.as_millis() / 60_000);
    Ok((trace, notes, u32::try_from(begins).unwrap_or(u32::MAX)))
}

/// The gap rule: notes on what was cut off or bridged, or why the history cannot be used.
fn judge(samples: &[(f64, f64)], step: u64, points: u64) -> Result<Vec<String>, String> {
    let asked = lasting(points.saturating_sub(1) * step);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Err(format!(
            "returned nothing in the last {asked}: check the metric's name and labels on the \
             server's own page"
        ));
    };
    let covered = whole_seconds((last.0 - first.0).round());
    let gaps: Vec<u64> = samples
        .windows(2)
        .filter_map(|pair| match pair {
            [before, after] => Some(whole_seconds((after.0 - before.0).round())),
            _ => None,
        })
        // Half a step more than one is a missing value; less is rounding.
        .filter(|gap| gap * 2 > step * 3)
        .collect();
    let longest = gaps.iter().copied().max().unwrap_or(0);
    let missing: u64 = gaps.iter().map(|gap| gap - step).sum();
    let found = format!(
        "{} gap{}, {} in all, the longest {}",
        gaps.len(),
        if gaps.len() == 1 { "" } else { "s" },
        lasting(missing),
        lasting(longest)
    );
    if longest > MAX_GAP_SECONDS {
        return Err(format!(
            "has {found}: gaps of more than {} are not made up; ask for fewer --hours, or with \
             last_over_time(...) for a longer range",
            lasting(MAX_GAP_SECONDS)
        ));
    }
    if missing * 100 > covered * MAX_MISSING_PERCENT {
        return Err(format!(
            "has {found}: more than {MAX_MISSING_PERCENT} % of the time is missing; is it scraped \
             less often than every 2 minutes?"
        ));
    }
    let mut notes = Vec::new();
    let had = lasting(covered);
    if covered + step < points.saturating_sub(1) * step && had != asked {
        notes.push(format!(
            "The history is shorter than asked for: {had} of {asked}; what is missing before it and \
             after it is cut off."
        ));
    }
    if !gaps.is_empty() {
        notes.push(format!(
            "The history has {found}: a straight line bridges what is missing."
        ));
    }
    Ok(notes)
}

/// A figure that is not negative, its fraction dropped.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the cast keeps within 0 and the greatest number, and what is no number becomes 0"
)]
fn whole_seconds(figure: f64) -> u64 {
    figure as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(capacity: f64) -> OwnWorld {
        OwnWorld {
            partitions: 10,
            capacity,
            protocol: evenkeel_sim::world::Protocol::Cooperative,
            start_seconds: Some(60.0),
            max_replicas: 8,
        }
    }

    #[test]
    fn a_world_of_ones_own_begins_with_what_the_load_needs() {
        let scenario = own("steps", Workload::steps(&[(300.0, 600)]), world(100.0));
        assert_eq!(
            scenario.world.pods_at_start, 4,
            "300 / (100 * 0.8), whole pods"
        );
        assert_eq!((scenario.world.partitions, scenario.max_replicas), (10, 8));
        // Nobody is told how long starts take: evenkeel has its default, as with users.
        assert_eq!(scenario.startup_seconds, 60);
        let greatest = scenario.world.start.0.last().copied();
        assert_eq!(greatest, Some(90.0));
    }

    #[test]
    fn a_load_that_nobody_could_carry_is_said() {
        let steps = Workload::steps(&[(799.0, 300), (801.0, 100)]);
        let note = beyond_reach(&own("steps", steps, world(100.0))).unwrap();
        assert!(note.starts_with("For 25.0 % of the time more comes than 8 pods can do (800"));
        let steps = Workload::steps(&[(800.0, 300)]);
        assert_eq!(beyond_reach(&own("steps", steps, world(100.0))), None);
    }

    /// A history of a value every 15 s over an hour, without those at which `missing` says so.
    fn judged(missing: impl Fn(u64) -> bool) -> Result<Vec<String>, String> {
        let present = (0..241).filter(|nth| !missing(*nth));
        let samples: Vec<(f64, f64)> = present.map(|nth| ((nth * 15) as f64, 1.0)).collect();
        judge(&samples, 15, 241)
    }

    #[test]
    fn gaps_are_bridged_said_or_refused() {
        assert_eq!(judged(|_| false), Ok(vec![]));
        let notes = judged(|nth| (10..12).contains(&nth) || nth == 50).unwrap();
        assert_eq!(
            notes,
            [
                "The history has 2 gaps, 45 s in all, the longest 45 s: a straight line bridges what \
                 is missing."
            ]
        );
        let notes = judged(|nth| nth < 100).unwrap();
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("35 minutes of 60 minutes"),
            "{}",
            notes[0]
        );
        // Five minutes of a fortnight are no figure that differs.
        let fortnight: Vec<(f64, f64)> = (20..80_641_u64)
            .map(|nth| ((nth * 15) as f64, 1.0))
            .collect();
        assert_eq!(judge(&fortnight, 15, 80_641), Ok(vec![]));
        let check_refused = |missing: &dyn Fn(u64) -> bool, words: &str| {
            let refused = judged(missing).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        };
        check_refused(
            &|nth| nth % 4 == 1,
            "60 gaps, 15 minutes in all, the longest 30 s: more",
        );
        check_refused(&|_| true, "returned nothing in the last 60 minutes");
        let long = judge(&[(0.0, 1.0), (4_000.0, 1.0), (90_000.0, 1.0)], 15, 6_001);
        assert!(long.unwrap_err().contains("not made up"));
    }
}
