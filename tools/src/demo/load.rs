//! The load of a demo: rates that follow each other, each for some time.
//!
//! Written `RATE` or `RATE:SECONDS`, comma separated; steps without seconds share what the whole run
//! leaves. One step is where a reversal is counted: within it nothing changes that would call for a
//! change of direction.

use std::time::Duration;

/// The shortest step: two HPA syncs, so that every step is seen at least once.
const MIN_STEP: Duration = Duration::from_secs(30);

/// One rate and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Records per second.
    pub rate: f64,
    /// For this long.
    pub duration: Duration,
}

/// The steps of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// In order; at least one.
    steps: Vec<Step>,
}

// === impl Load ===

impl Load {
    /// Reads `text`; steps without seconds share what is left of `total`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn parse(text: &str, total: Duration) -> Result<Self, String> {
        let mut steps = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (rate, seconds) = match part.split_once(':') {
                Some((rate, seconds)) => (rate, Some(seconds)),
                None => (part, None),
            };
            let wrong =
                || format!("{part:?} is no step: write RATE or RATE:SECONDS, for example 200:75");
            let rate: f64 = rate.parse().map_err(|_| wrong())?;
            if !rate.is_finite() || rate < 0.0 {
                return Err(wrong());
            }
            let seconds: Option<u64> = seconds
                .map(|seconds| seconds.parse().map_err(|_| wrong()))
                .transpose()?;
            steps.push((rate, seconds.map(Duration::from_secs)));
        }
        let given: Duration = steps.iter().filter_map(|(_, duration)| *duration).sum();
        let open = steps
            .iter()
            .filter(|(_, duration)| duration.is_none())
            .count();
        let share = total
            .saturating_sub(given)
            .checked_div(u32::try_from(open).unwrap_or(u32::MAX))
            .unwrap_or(Duration::ZERO);
        let steps: Vec<Step> = steps
            .into_iter()
            .map(|(rate, duration)| Step {
                rate,
                duration: duration.unwrap_or(share),
            })
            .collect();
        if steps.iter().any(|step| step.duration < MIN_STEP) {
            return Err(format!(
                "a step would be shorter than {} s: give it more seconds or the run more minutes",
                MIN_STEP.as_secs()
            ));
        }
        Ok(Self { steps })
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How long all of them take.
    pub fn duration(&self) -> Duration {
        self.steps.iter().map(|step| step.duration).sum()
    }

    /// Which step is on `elapsed` after the start; the last one afterwards.
    pub fn index_at(&self, elapsed: Duration) -> usize {
        let mut end = Duration::ZERO;
        for (index, step) in self.steps.iter().enumerate() {
            end += step.duration;
            if elapsed < end {
                return index;
            }
        }
        self.steps.len().saturating_sub(1)
    }

    /// The rate `elapsed` after the start; nothing once the run is over.
    pub fn rate_at(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.duration() {
            return 0.0;
        }
        self.steps
            .get(self.index_at(elapsed))
            .map_or(0.0, |step| step.rate)
    }

    /// From when to when the highest rate lasts: where the steady state is measured.
    pub fn peak(&self) -> (Duration, Duration) {
        let mut start = Duration::ZERO;
        let mut peak = (Duration::ZERO, Duration::ZERO);
        let mut highest = f64::NEG_INFINITY;
        for step in &self.steps {
            let end = start + step.duration;
            if step.rate > highest {
                highest = step.rate;
                peak = (start, end);
            }
            start = end;
        }
        peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, total_seconds: u64, expected: Result<&[(f64, u64)], &str>) {
        let parsed = Load::parse(text, Duration::from_secs(total_seconds));
        match (parsed, expected) {
            (Ok(load), Ok(steps)) => {
                let found: Vec<(f64, u64)> = load
                    .steps()
                    .iter()
                    .map(|step| (step.rate, step.duration.as_secs()))
                    .collect();
                assert_eq!(found, steps, "{text}");
            }
            (Err(said), Err(part)) => assert!(said.contains(part), "{text}: {said}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }

    #[test]
    fn steps_without_seconds_share_what_is_left() {
        check(
            "200:80,1000:170,0",
            420,
            Ok(&[(200.0, 80), (1000.0, 170), (0.0, 170)]),
        );
        check(
            "200, 1000, 0",
            360,
            Ok(&[(200.0, 120), (1000.0, 120), (0.0, 120)]),
        );
        check("50:90", 10, Ok(&[(50.0, 90)]));
    }

    #[test]
    fn what_makes_no_load_is_refused() {
        check("", 360, Err("RATE:SECONDS"));
        check("fast", 360, Err("RATE:SECONDS"));
        check("-5", 360, Err("RATE:SECONDS"));
        check("5:x", 360, Err("RATE:SECONDS"));
        check("200,1000:350", 360, Err("shorter than 30 s"));
    }

    #[test]
    fn every_moment_has_a_step() {
        let load = Load::parse("200:80,1000:170,0:170", Duration::ZERO).expect("a load");
        let at = |seconds| load.rate_at(Duration::from_secs(seconds));
        assert_eq!((at(0), at(79), at(80)), (200.0, 200.0, 1000.0));
        assert_eq!((at(250), at(419), at(420)), (0.0, 0.0, 0.0));
        assert_eq!(load.index_at(Duration::from_secs(999)), 2);
        let (from, to) = load.peak();
        assert_eq!((from.as_secs(), to.as_secs()), (80, 250));
    }
}
