//! Loads over weeks in real time whose surges have a timetable: a market, jobs at the full hour, payroll.
//!
//! A load is made of blocks: so high for so many minutes of a day, begun within seconds at a moment and at
//! a height that scatter from day to day, and then falling to a share of that. Days off, half days and
//! what comes once are other lists of blocks for a day. What a person would write into a cron trigger is
//! the same list without the scatter, days off included, since a cron expression knows no holidays.
//!
//! What this does not do: scale, or say who meets it.

use fastrand::Rng;

use crate::chance::{Purpose, stream};

/// Seconds of a day, of an hour and of a minute.
const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
const MINUTE: u64 = 60;

/// A surge is there within so many seconds.
const RISES: u64 = 8;

/// One block of a day's load, in shares of the high load.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Block {
    /// When it begins, seconds of the day.
    at: u64,
    /// How long it is, seconds.
    long: u64,
    /// How high at its beginning, and at its end.
    from: f64,
    /// At its end.
    to: f64,
    /// How far its beginning scatters to either side, seconds.
    jitter: u64,
}

/// A load over days, in shares of the high load.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Days {
    /// One entry a second.
    pub shares: Vec<f64>,
    /// What a person knows ahead: from when to when, in seconds, and how high.
    pub timetable: Vec<(u64, u64, f64)>,
}

const fn block(at: u64, long: u64, (from, to): (f64, f64), jitter: u64) -> Block {
    Block {
        at,
        long,
        from,
        to,
        jitter,
    }
}

/// Opening, midday, closing auction and netting of a trading day.
const TRADING: [Block; 5] = [
    block(6 * HOUR, 16 * HOUR, (0.02, 0.02), 0),
    block(9 * HOUR + 30 * MINUTE, 30 * MINUTE, (0.85, 0.35), 20),
    block(10 * HOUR, 6 * HOUR, (0.3, 0.2), 0),
    block(16 * HOUR, 10 * MINUTE, (0.9, 0.8), 20),
    block(18 * HOUR, 30 * MINUTE, (0.65, 0.65), 20),
];

/// The same where the market closes at one.
const HALF: [Block; 5] = [
    TRADING[0],
    TRADING[1],
    block(10 * HOUR, 3 * HOUR, (0.3, 0.2), 0),
    block(13 * HOUR, 10 * MINUTE, (0.9, 0.8), 20),
    block(15 * HOUR, 30 * MINUTE, (0.65, 0.65), 20),
];

/// A burst that never comes again.
const ONCE: Block = block(12 * HOUR, 15 * MINUTE, (0.95, 0.9), 0);

/// The days of `market` that are different, counted from 0, a Monday.
const HOLIDAY: u64 = 9;
const ONE_OFF: u64 = 11;
const HALF_DAY: u64 = 17;

/// Before this day clocks are put forward: the load comes an hour earlier by UTC.
pub(crate) const CLOCKS_CHANGE: u64 = 14;

// === impl Days ===

impl Days {
    /// Three weeks of a market, from a Monday on.
    pub fn market() -> Self {
        Self::of(21, 1, |day| {
            let is_trading = day % 7 < 5;
            let blocks = match day {
                _ if !is_trading => Vec::new(),
                HOLIDAY => TRADING[..1].to_vec(),
                HALF_DAY => HALF.to_vec(),
                ONE_OFF => [&TRADING[..], &[ONCE]].concat(),
                _ => TRADING.to_vec(),
            };
            let earlier = if day >= CLOCKS_CHANGE { HOUR } else { 0 };
            (
                blocks,
                if is_trading {
                    TRADING.to_vec()
                } else {
                    Vec::new()
                },
                earlier,
            )
        })
    }

    /// Eleven days of jobs of eight minutes, five minutes after each full hour, over a quiet load.
    pub fn hourly() -> Self {
        Self::of(11, 2, |_| {
            let jobs = (0..24).map(|hour| {
                let at = hour * HOUR + 5 * MINUTE;
                block(at, 8 * MINUTE, (0.85, 0.8), 40)
            });
            let jobs: Vec<Block> = jobs.collect();
            let quiet = block(0, DAY, (0.15, 0.15), 0);
            ([&[quiet], &jobs[..]].concat(), jobs, 0)
        })
    }

    /// Days of a quiet office, with payroll for two hours at ten on those for which `is_payday` holds.
    pub fn payroll(days: u64, is_payday: impl Fn(u64) -> bool) -> Self {
        Self::of(days, 3, |day| {
            let quiet = block(0, DAY, (0.05, 0.05), 0);
            let office = block(7 * HOUR, 11 * HOUR, (0.08, 0.08), 0);
            let payroll = block(10 * HOUR, 2 * HOUR, (0.85, 0.85), 20);
            let mut blocks = vec![quiet];
            if day % 7 < 5 {
                blocks.push(office);
            }
            let known = if is_payday(day) {
                vec![payroll]
            } else {
                Vec::new()
            };
            blocks.extend(&known);
            (blocks, known, 0)
        })
    }

    /// Days, each of these blocks, of what is known of it ahead, and earlier by so many seconds.
    fn of(days: u64, seed: u64, day: impl Fn(u64) -> (Vec<Block>, Vec<Block>, u64)) -> Self {
        let mut chance = stream(seed, Purpose::Arrivals, 1);
        let mut all = Self::default();
        let seconds = usize::try_from(days * DAY).unwrap_or(0);
        all.shares.resize(seconds, 0.0);
        for number in 0..days {
            let (blocks, known, earlier) = day(number);
            let start = number * DAY;
            for block in blocks {
                all.add(block, start.saturating_sub(earlier), &mut chance);
            }
            let known = known.iter().map(|block| {
                let at = (start + block.at).saturating_sub(earlier);
                (at, at + block.long, block.from)
            });
            all.timetable.extend(known);
        }
        all
    }

    /// The greater of what there is and the block, which rises within [`RISES`] seconds.
    fn add(&mut self, block: Block, start: u64, chance: &mut Rng) {
        let late = chance.u64(0..=2 * block.jitter);
        let times = if block.jitter == 0 {
            1.0
        } else {
            0.9 + 0.2 * chance.f64()
        };
        let from = (start + block.at + late).saturating_sub(block.jitter);
        for second in 0..block.long {
            let share = second as f64 / block.long as f64;
            let rises = ((second + 1) as f64 / RISES as f64).min(1.0);
            let height = (block.from + (block.to - block.from) * share) * times * rises;
            let place = usize::try_from(from + second).unwrap_or(usize::MAX);
            if let Some(there) = self.shares.get_mut(place) {
                *there = there.max(height);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: &Days, day: u64, hour: u64, minute: u64) -> f64 {
        let second = day * DAY + hour * HOUR + minute * MINUTE;
        days.shares[usize::try_from(second).unwrap()]
    }

    #[test]
    fn the_market_has_days_off_and_an_hour_less_after_the_clocks() {
        let market = Days::market();
        assert_eq!(market.shares.len(), 21 * 86_400);
        let opens = |day, hour| at(&market, day, hour, 32) > 0.7;
        assert!(opens(0, 9) && opens(11, 9) && opens(14, 8) && !opens(14, 9));
        assert!(!opens(5, 9) && !opens(HOLIDAY, 9));
        assert!(at(&market, ONE_OFF, 12, 5) > 0.8 && at(&market, ONE_OFF + 1, 12, 5) < 0.5);
        assert!(at(&market, HALF_DAY, 12, 5) > 0.7 && at(&market, HALF_DAY, 15, 5) < 0.1);
        // A cron expression knows no holiday.
        assert_eq!(market.timetable.len(), 15 * TRADING.len());
    }

    #[test]
    fn jobs_come_every_hour_and_payroll_when_it_is_payday() {
        let hourly = Days::hourly();
        assert!((0..24).all(|hour| at(&hourly, 3, hour, 8) > 0.7));
        assert!((0..24).all(|hour| at(&hourly, 3, hour, 30) < 0.2));
        let payroll = Days::payroll(10, |day| day == 4);
        assert!(at(&payroll, 4, 11, 0) > 0.7 && at(&payroll, 3, 11, 0) < 0.1);
    }
}
