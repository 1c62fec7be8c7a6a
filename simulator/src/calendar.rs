//! What knowing the past is worth: weeks in real time, evenkeel with and without a calendar, rivals that
//! look ahead with the same past, and both oracles.
//!
//! Who takes part and what is run is here; how it is written down, and held against its goals, is in
//! `calendar/page`. The same plan gives the same bytes on any machine and any number of threads.

mod page;

use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel_engine::Past;

use crate::chance::whole;
use crate::contender::{Contender, Knowledge};
use crate::outcome::Outcome;
use crate::rivals::{Clocks, Even, Evenkeel, Forecast, KedaTriggers, Model, default_policy};
use crate::run::Run;
use crate::scaler::Scaler;
use crate::scenario::{WEEKS, Weeks};
use crate::sweep::Row;
use crate::workload::TraceError;

pub use page::page;

/// The median start of a pod, in seconds, on loads that recur; the others are run with the middle one.
pub const STARTS: [u64; 3] = [20, 60, 180];

/// The loads that recur within days: what their goals are is stricter.
pub const RECURRING: [&str; 3] = ["market", "hourly", "machine"];

/// The utilization that everybody plans for: the product's default.
const UTILIZATION: f64 = 0.8;

/// Seconds of a pod's capacity that the rivals' lag threshold is worth.
const LAG_SECONDS: f64 = 10.0;

/// The lead of a person's cron trigger beyond the start of a pod, seconds.
const BY_HAND: u64 = 60;

/// The lead of a quantile, in minutes, and its headroom: kedastral's defaults.
const QUANTILE_LEAD: usize = 10;
const QUANTILE_HEADROOM: f64 = 1.2;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seeds for everybody on every load.
    pub seeds: u64,
    /// Threads.
    pub threads: usize,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Ours, knowing the past and the time zone.
    Evenkeel,
    /// Ours, not knowing when clocks change.
    NoZone,
    /// Ours without a calendar.
    Off,
    /// The oracle that knows the present.
    Reactive,
    /// The oracle that knows the next minutes.
    Clairvoyant,
    /// KEDA with a cron trigger.
    Cron,
    /// A forecast of yesterday.
    SeasonalNaive,
    /// A forecast of level, trend and season.
    HoltWinters,
    /// A forecast of quantiles.
    HourQuantile,
}

/// One load with one start of pods, and how everybody did.
#[derive(Clone, Debug)]
pub struct Table {
    /// The load.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The median start, seconds.
    pub start_seconds: u64,
    /// How long it was run, seconds.
    pub seconds: u64,
    /// In the order of [`Party::ALL`], those that take part.
    pub rows: Vec<(Party, Row)>,
}

// === impl Party ===

impl Party {
    /// Everybody, in the order of the page.
    pub const ALL: [Self; 9] = [
        Self::Evenkeel,
        Self::NoZone,
        Self::Off,
        Self::Reactive,
        Self::Clairvoyant,
        Self::Cron,
        Self::SeasonalNaive,
        Self::HoltWinters,
        Self::HourQuantile,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::NoZone => "evenkeel, without `calendarTimeZone`",
            Self::Off => "evenkeel, `calendar: \"off\"`",
            Self::Reactive => "reactive oracle",
            Self::Clairvoyant => "clairvoyant oracle",
            Self::Cron => "KEDA lag + rate + cron by hand",
            Self::SeasonalNaive => "KEDA lag + rate + yesterday",
            Self::HoltWinters => "KEDA lag + rate + Holt-Winters",
            Self::HourQuantile => "KEDA lag + rate + quantile of the hour",
        }
    }

    /// Whether it differs from the others on this load.
    fn takes_part(self, weeks: &Weeks) -> bool {
        match self {
            Self::NoZone => weeks.clocks_change.is_some(),
            Self::Cron => !weeks.timetable.is_empty(),
            _ => true,
        }
    }

    /// One run.
    fn run(self, weeks: &Weeks, start_seconds: u64, seed: u64) -> Outcome {
        let scenario = &weeks.scenario;
        let kept = match self {
            Self::Evenkeel | Self::NoZone | Self::Off => Contender::evenkeel(),
            Self::Reactive => Contender::Reactive(UTILIZATION),
            Self::Clairvoyant => Contender::Clairvoyant(UTILIZATION),
            _ => Contender::KedaLagRate(UTILIZATION),
        };
        let scaler: Box<dyn Scaler> = match self {
            Self::Reactive | Self::Clairvoyant => {
                kept.scaler(scenario, Knowledge::Times(1.0), seed)
            }
            Self::Evenkeel | Self::NoZone | Self::Off => Box::new(self.ours(weeks, seed)),
            _ => Box::new(self.forecast(weeks, start_seconds)),
        };
        Run::new(
            &scenario.workload,
            scenario.world,
            scaler,
            kept.object(scenario),
            0,
            seed,
        )
        .to_the_end()
    }

    fn ours(self, weeks: &Weeks, seed: u64) -> Evenkeel {
        let scenario = &weeks.scenario;
        let mut policy = default_policy(Some(scenario.world.capacity), scenario.startup_seconds);
        policy.max_replicas = Some(scenario.max_replicas);
        policy.learns_calendar = self != Self::Off;
        let clocks = Clocks {
            begins: weeks.begins,
            change: weeks.clocks_change.filter(|_| self == Self::Evenkeel),
        };
        let past = Past::of(weeks.past.iter().copied());
        let ours = Evenkeel::new(policy, false, seed);
        ours.with_clocks(clocks).with_past(&past)
    }

    fn forecast(self, weeks: &Weeks, start_seconds: u64) -> Forecast {
        let capacity = weeks.scenario.world.capacity;
        let planned = capacity * UTILIZATION;
        let triggers = KedaTriggers {
            lag_threshold_records: whole(LAG_SECONDS * capacity).max(1),
            rate_threshold: Some(planned),
            even: Even::No,
        };
        let lead = start_seconds + BY_HAND;
        let minutes = usize::try_from(lead.div_ceil(60)).unwrap_or(1);
        let (model, planning) = match self {
            Self::SeasonalNaive => (Model::SeasonalNaive, (minutes, planned)),
            Self::HoltWinters => (Model::holt_winters(), (minutes, planned)),
            Self::HourQuantile => (
                Model::HourQuantile,
                (QUANTILE_LEAD, capacity / QUANTILE_HEADROOM),
            ),
            _ => {
                let times = weeks.timetable.iter().map(|(from, to, rate)| {
                    let replicas = whole((rate / planned).ceil());
                    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
                    (from.saturating_sub(lead), *to, replicas)
                });
                (Model::Cron(times.collect()), (minutes, planned))
            }
        };
        Forecast::new(triggers, model, planning, &weeks.past)
    }
}

/// Runs everything. `done` is told what there is after each load, and how many loads there are.
///
/// # Errors
/// When a built-in trace cannot be read.
pub fn play(plan: Plan, mut done: impl FnMut(&[Table], usize)) -> Result<Vec<Table>, TraceError> {
    let mut loads = Vec::new();
    for name in WEEKS {
        let starts = if RECURRING.contains(&name) {
            &STARTS[..]
        } else {
            &STARTS[1..2]
        };
        loads.extend(starts.iter().map(|start| (name, *start)));
    }
    let mut tables = Vec::new();
    let count = loads.len();
    for (name, start_seconds) in loads {
        if let Some(weeks) = Weeks::named(name, start_seconds)? {
            tables.push(table(&weeks, start_seconds, plan));
        }
        done(&tables, count);
    }
    Ok(tables)
}

/// Everybody on one load, on as many threads as there are.
fn table(weeks: &Weeks, start_seconds: u64, plan: Plan) -> Table {
    let parties = Party::ALL
        .into_iter()
        .filter(|party| party.takes_part(weeks));
    let runs: Vec<(Party, u64)> = parties
        .flat_map(|party| (0..plan.seeds).map(move |seed| (party, seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let mut numbered: Vec<(usize, Outcome)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((party, seed)) = runs.get(number) else {
                    return mine;
                };
                mine.push((number, party.run(weeks, start_seconds, *seed)));
            }
        };
        let workers: Vec<_> = (0..plan.threads.max(1))
            .map(|_| scope.spawn(worker))
            .collect();
        let joined = workers.into_iter().filter_map(|worker| worker.join().ok());
        joined.flatten().collect()
    });
    numbered.sort_by_key(|(number, _)| *number);
    let outcomes: Vec<Outcome> = numbered.into_iter().map(|(_, outcome)| outcome).collect();
    let seeds = usize::try_from(plan.seeds.max(1)).unwrap_or(1);
    let rows = runs.chunks(seeds).zip(outcomes.chunks(seeds));
    let rows = rows.filter_map(|(runs, outcomes)| {
        let (party, _) = runs.first()?;
        Some((
            *party,
            Row::named(party.name().to_owned(), String::new(), outcomes),
        ))
    });
    Table {
        name: weeks.scenario.name,
        about: weeks.scenario.about,
        start_seconds,
        seconds: weeks.scenario.workload.seconds(),
        rows: rows.collect(),
    }
}
