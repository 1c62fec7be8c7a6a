//! Rivals that look ahead: KEDA's lag and rate triggers, and beside them what is foretold.
//!
//! A cron trigger set by hand knows the true times and heights, and asks for what they take from before
//! they begin. The others forecast the rate by what each minute of the past brought: the same minute of
//! yesterday (seasonal-naive); level, trend and a season of a day (Holt and Winters, additive); or the 90 %
//! quantile of the hour of the day with a lead of ten minutes and a headroom of 1.2, as kedastral's
//! baseline does. The greatest of the metrics counts, as in every HPA; none of them can lower.

use super::KedaTriggers;
use crate::chance::whole;
use crate::hpa::Metric;
use crate::scaler::{Answer, Scaler, Sight};

/// Minutes of a day and of an hour.
const DAY: usize = 1_440;
const HOUR: usize = 60;

/// Holt and Winters' weights of the newest minute in level, trend and season.
const LEVEL: f64 = 0.2;
const TREND: f64 = 0.01;
const SEASON: f64 = 0.3;

/// The share of an hour's minutes that its quantile is not exceeded by.
const QUANTILE: f64 = 0.9;

/// How something is foretold.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// By hand: from when to when, in seconds of the run, and how many replicas.
    Cron(Vec<(u64, u64, u32)>),
    /// What the same minutes of yesterday brought.
    SeasonalNaive,
    /// Level, trend and season.
    HoltWinters {
        /// Records per second.
        level: f64,
        /// The same a minute.
        trend: f64,
        /// What each minute of a day is above the level.
        season: Vec<f64>,
    },
    /// The quantile of the hour of the day.
    HourQuantile,
}

/// A rival that looks ahead.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    triggers: KedaTriggers,
    model: Model,
    /// How far ahead it looks, in minutes.
    lead: usize,
    /// Records per second that it plans for a replica.
    planned: f64,
    /// What each minute brought, records per second, from a midnight on.
    minutes: Vec<f64>,
    /// The records of the present minute.
    minute: f64,
    /// What it takes now.
    replicas: u32,
}

// === impl Model ===

impl Model {
    /// Holt and Winters' model, before it has seen anything.
    pub fn holt_winters() -> Self {
        Self::HoltWinters {
            level: 0.0,
            trend: 0.0,
            season: vec![0.0; DAY],
        }
    }

    /// Takes in the minute of this number.
    fn learn(&mut self, number: usize, rate: f64) {
        let Self::HoltWinters {
            level,
            trend,
            season,
        } = self
        else {
            return;
        };
        let Some(season) = season.get_mut(number % DAY) else {
            return;
        };
        let before = *level;
        if number < DAY {
            // The first day is the season around its mean so far.
            *level += (rate - before) / (number + 1) as f64;
            *season = rate - *level;
            return;
        }
        *level = LEVEL * (rate - *season) + (1.0 - LEVEL) * (before + *trend);
        *trend = TREND * (*level - before) + (1.0 - TREND) * *trend;
        *season = SEASON * (rate - *level) + (1.0 - SEASON) * *season;
    }

    /// The rate that is expected `ahead` minutes after the minutes that are known.
    fn rate(&self, minutes: &[f64], ahead: usize) -> f64 {
        let then = minutes.len() + ahead;
        let of = |number: usize| minutes.get(number).copied().unwrap_or(0.0);
        match self {
            Self::Cron(_) => 0.0,
            Self::SeasonalNaive => then.checked_sub(DAY).map_or(0.0, of),
            Self::HoltWinters {
                level,
                trend,
                season,
            } => {
                let season = season.get(then % DAY).copied().unwrap_or(0.0);
                (level + trend * (ahead + 1) as f64 + season).max(0.0)
            }
            Self::HourQuantile => {
                let hour = then / HOUR % 24;
                let hours = minutes.chunks_exact(HOUR).skip(hour).step_by(24);
                let mut rates: Vec<f64> = hours.flatten().copied().collect();
                rates.sort_by(f64::total_cmp);
                let place = usize::try_from(whole(rates.len() as f64 * QUANTILE)).unwrap_or(0);
                rates.get(place).copied().unwrap_or(0.0)
            }
        }
    }
}

// === impl Forecast ===

impl Forecast {
    /// A rival beside these triggers that looks so many minutes ahead, plans so much for a replica, and
    /// knows what each minute brought, from a midnight on.
    pub fn new(
        triggers: KedaTriggers,
        mut model: Model,
        (lead, planned): (usize, f64),
        past: &[(u32, f64)],
    ) -> Self {
        let minutes: Vec<f64> = past.iter().map(|(_, rate)| *rate).collect();
        for (number, rate) in minutes.iter().enumerate() {
            model.learn(number, *rate);
        }
        Self {
            triggers,
            model,
            lead,
            planned,
            minutes,
            minute: 0.0,
            replicas: 0,
        }
    }

    /// What it takes at this second.
    fn foretold(&self, second: u64) -> u32 {
        if let Model::Cron(times) = &self.model {
            let now = times
                .iter()
                .filter(|(from, to, _)| (*from..*to).contains(&second));
            return now.map(|(.., replicas)| *replicas).max().unwrap_or(0);
        }
        let ahead = (0..=self.lead).map(|ahead| self.model.rate(&self.minutes, ahead));
        let replicas = whole((ahead.fold(0.0, f64::max) / self.planned).ceil());
        u32::try_from(replicas).unwrap_or(u32::MAX)
    }
}

impl Scaler for Forecast {
    fn look(&mut self, sight: Sight<'_>) {
        let now = sight.world.now();
        // What has come in until now, as a counter tells.
        self.minute += sight.workload.rate(now.saturating_sub(1));
        if now.is_multiple_of(60) {
            let rate = self.minute / 60.0;
            self.model.learn(self.minutes.len(), rate);
            self.minutes.push(rate);
            self.minute = 0.0;
            self.replicas = self.foretold(now);
        }
    }

    fn answer(&mut self, sight: Sight<'_>) -> Answer {
        let mut answer = self.triggers.answer(sight);
        if let Answer::Metrics { metrics, active } = &mut answer {
            metrics.push(Metric {
                value_milli: Some(u64::from(self.replicas) * 1_000),
                target_milli: 1_000,
            });
            *active = active.map(|active| active || self.replicas > 0);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_repeats_is_foretold_by_each_model() {
        let day = |minute: usize| if minute % DAY == 600 { 900.0 } else { 100.0 };
        let minutes: Vec<f64> = (0..5 * DAY + 595).map(day).collect();
        let mut winters = Model::holt_winters();
        for (number, rate) in minutes.iter().enumerate() {
            winters.learn(number, *rate);
        }
        for model in [Model::SeasonalNaive, winters] {
            let at = |ahead| model.rate(&minutes, ahead);
            assert!((at(4) - 100.0).abs() < 60.0, "{model:?}: {}", at(4));
            assert!((at(5) - 900.0).abs() < 250.0, "{}", at(5));
        }
        // One minute in 60 is beyond the quantile.
        assert_eq!(Model::HourQuantile.rate(&minutes, 5), 100.0);
    }
}
