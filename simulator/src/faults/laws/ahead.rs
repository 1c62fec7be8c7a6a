//! Laws 14 and 15: a past, whatever it says, only raises, by no more than the largest of the days that
//! agree took; and one day alone changes nothing.
//!
//! The pasts lie: of other heights than any load has, partial, an hour off, told twice. Each is looked at
//! from the run's own states, beside the same decision without it.

use evenkeel_engine::{Decision, Event, EventLoad, Past, Stage, State, decide};
use fastrand::Rng;

use super::super::plan::Plan;
use super::{Tick, known};
use crate::chance::{Purpose, stream};

/// Minutes of a day.
const DAY: u32 = 1_440;

/// The local minute at which the runs begin, by clocks so far ahead: a Wednesday.
const BEGINS: u32 = 20_768 * DAY + 300;
const AHEAD_MINUTES: i32 = 20_768 * 1_440 + 300 - 60;

/// Days that are told of.
const DAYS: u32 = 8;

/// One decision in so many of those that are sampled.
const ONE_IN: u64 = 4;

/// Heights are kept with seven digits.
const ROUNDED: f64 = 1.000_001;

/// Minutes between two surges of a day that agree.
const APART: u32 = 25;

/// What the past says, and the highest of it.
#[derive(Debug)]
pub(super) struct Ahead {
    agreeing: Past,
    highest: f64,
    alone: Past,
}

// === impl Ahead ===

impl Ahead {
    pub fn of(plan: &Plan) -> Self {
        let mut chance = stream(plan.seed, Purpose::Faults, 7);
        let seconds = plan.scenario.workload.seconds();
        let usual = plan.scenario.workload.rate(0).max(10.0);
        let (agreeing, highest) = agreeing(&mut chance, usual, seconds);
        let day = chance.u32(1..=DAYS);
        let at = chance.u32(0..APART);
        let alone = told(|back, minute| {
            let surge = back == day && (minute + APART - at) % APART < 5;
            Some(if surge { usual * 8.0 } else { usual })
        });
        Self {
            agreeing,
            highest,
            alone,
        }
    }

    pub fn look(&self, tick: &mut Tick<'_>) {
        if !tick.sampled || tick.clock_behind || !tick.second.is_multiple_of(ONE_IN) {
            return;
        }
        let state = || tick.before.clone();
        let told_twice = |past: &Past| state().with_past(past).with_past(past);
        let plain = decided(tick, state(), None);
        let alone = decided(tick, told_twice(&self.alone), None);
        let told = decided(tick, told_twice(&self.agreeing), None);
        let event = Event {
            starts_at: tick.now,
            ends_at: tick.now.plus(std::time::Duration::from_secs(60)),
            load: EventLoad::RecordsPerSecond(self.highest * ROUNDED),
            learned: false,
        };
        let largest = decided(tick, state(), Some(event));
        let same = without_calendar(&alone) == without_calendar(&plain);
        tick.check_of(14, same, Some(&alone), || {
            format!(
                "one day alone: {:?}, without it {:?}",
                alone.desired, plain.desired
            )
        });
        if let (Some((with, active)), Some((without, was_active)), Some((most, _))) =
            (known(&told), known(&plain), known(&largest))
        {
            let holds = with >= without && (active || !was_active) && with <= most.max(without);
            tick.check_of(15, holds, Some(&told), || {
                format!(
                    "{with} with the past, {without} without, {most} for the largest of its days"
                )
            });
        }
    }
}

fn decided(tick: &Tick<'_>, state: State, event: Option<Event>) -> Decision {
    let mut observation = tick.observation.clone();
    observation.utc_offset_minutes = AHEAD_MINUTES;
    observation.events.extend(event);
    decide(&tick.plan.policy, state, &observation, tick.now).1
}

/// A decision in bytes without the stage that tells of what is to come.
fn without_calendar(decision: &Decision) -> Vec<u8> {
    let mut decision = decision.clone();
    decision.trail.retain(|step| step.stage != Stage::Calendar);
    serde_json::to_vec(&decision).unwrap_or_default()
}

/// Surges all along the run, at about the same time on each day; of some days an hour off, of others
/// only a part; and the highest of them.
fn agreeing(chance: &mut Rng, usual: f64, seconds: u64) -> (Past, f64) {
    let times: Vec<f64> = (0..DAYS).map(|_| 1.5 + chance.f64() * 8.0).collect();
    let late: Vec<u32> = (0..DAYS).map(|_| chance.u32(0..3)).collect();
    let shifted = chance.u32(0..3);
    let partial = chance.u32(0..DAYS + 4);
    let lies = if chance.bool() { 1.0 } else { 1_000.0 };
    let of = |list: &[u32], back: u32| list.get(back as usize - 1).copied().unwrap_or(0);
    let highest = times.iter().copied().fold(0.0, f64::max) * usual * lies;
    let last = u32::try_from(seconds / 60).unwrap_or(DAY);
    let past = told(|back, minute| {
        let shift = if shifted == 0 && back > 2 { 60 } else { 0 };
        let place = (minute + APART * 3 - of(&late, back) + shift) % APART;
        if back == partial && minute > last / 2 {
            return None;
        }
        let times = times.get(back as usize - 1).copied().unwrap_or(1.0);
        Some(if place < 4 {
            usual * times * lies
        } else {
            usual
        })
    });
    (past, highest)
}

/// The days before the run: what `rate` says of each, so many days ago and so many minutes after the run
/// began.
fn told(rate: impl Fn(u32, u32) -> Option<f64>) -> Past {
    let minutes = (1..=DAYS)
        .rev()
        .flat_map(|back| (0..DAY).map(move |minute| (back, minute)));
    Past::of(
        minutes
            .filter_map(|(back, minute)| Some((BEGINS + minute - back * DAY, rate(back, minute)?))),
    )
}
