//! Recorded loads: how a file of samples becomes records in each second.
//!
//! A trace is replayed at another size and another speed than it was recorded at. Its size is set by
//! its 99 % quantile, not by its greatest sample: one freak sample would otherwise make the rest of a
//! spiky trace too small to need a second replica. What lies above is cut at a limit that a full
//! group can just carry, since no policy can do anything about more. Between two samples the load is
//! a straight line.

/// The samples of one recorded load.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Seconds since the first sample, ascending, and records per second.
    samples: Vec<(f64, f64)>,
}

/// How a trace is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    /// How many recorded seconds pass in a second.
    pub speed: f64,
    /// What its 99 % quantile becomes, in records per second.
    pub high: f64,
    /// What is more than this is cut, in records per second.
    pub limit: f64,
}

/// A text that is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A line that is not `seconds,records per second`.
    #[error(
        "line {line} is \"{text}\": it has to be seconds and records per second, such as 300,41.5, \
         both 0 or more, the seconds ascending"
    )]
    Line {
        /// Counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// No load at all.
    #[error("there are {samples} samples: a load needs at least two, one of them above 0")]
    TooFew {
        /// Samples read.
        samples: usize,
    },
}

// === impl Trace ===

impl Trace {
    /// Reads `t_seconds,records_per_second` lines; a first line of words is a heading.
    ///
    /// # Errors
    /// The first line that makes no sense, or that there is no load.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut samples: Vec<(f64, f64)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let heading = index == 0 && line.starts_with(|first: char| first.is_alphabetic());
            if line.is_empty() || heading {
                continue;
            }
            let numbers = line.split_once(',').and_then(|(at, rate)| {
                let at: f64 = at.trim().parse().ok()?;
                let rate: f64 = rate.trim().parse().ok()?;
                let last = samples.last().map_or(-1.0, |last| last.0);
                (at.is_finite() && rate.is_finite() && at >= 0.0 && rate >= 0.0 && at > last)
                    .then_some((at, rate))
            });
            samples.push(numbers.ok_or_else(|| TraceError::Line {
                line: index + 1,
                text: line.chars().take(80).collect(),
            })?);
        }
        Self::new(samples)
    }

    /// A trace of samples: seconds, ascending, and records per second, neither negative.
    ///
    /// # Errors
    /// When there is no load in it.
    pub fn new(samples: Vec<(f64, f64)>) -> Result<Self, TraceError> {
        if samples.len() < 2 || samples.iter().all(|sample| sample.1 <= 0.0) {
            return Err(TraceError::TooFew {
                samples: samples.len(),
            });
        }
        let first = samples.first().map_or(0.0, |sample| sample.0);
        let samples = samples.into_iter().map(|(at, rate)| (at - first, rate));
        Ok(Self {
            samples: samples.collect(),
        })
    }

    /// The part from one recorded second to another.
    ///
    /// # Errors
    /// When there is no load in it.
    pub fn part(&self, from: f64, until: f64) -> Result<Self, TraceError> {
        let samples = self.samples.iter();
        let part = samples.filter(|(at, _)| (from..=until).contains(at));
        Self::new(part.copied().collect())
    }

    /// How long it was recorded for, in seconds.
    pub fn recorded_seconds(&self) -> f64 {
        self.samples.last().map_or(0.0, |sample| sample.0)
    }

    /// The load that 99 % of the samples do not exceed.
    pub fn high(&self) -> f64 {
        let mut rates: Vec<f64> = self.samples.iter().map(|sample| sample.1).collect();
        rates.sort_by(f64::total_cmp);
        let place = (rates.len() * 99 / 100).min(rates.len() - 1);
        let high = rates.get(place).copied().unwrap_or(0.0);
        if high > 0.0 {
            high
        } else {
            rates.last().copied().unwrap_or(0.0)
        }
    }

    /// Records per second, one entry a second.
    pub fn replay(&self, replay: Replay) -> Vec<f64> {
        let scale = replay.high / self.high();
        let seconds = crate::chance::whole(self.recorded_seconds() / replay.speed);
        let mut per_second = Vec::new();
        let mut pairs = self.samples.windows(2);
        let mut pair = pairs.next();
        for second in 0..seconds {
            let at = second as f64 * replay.speed;
            while let Some([_, end]) = pair
                && end.0 < at
            {
                pair = pairs.next();
            }
            let Some(&[start, end]) = pair else {
                break;
            };
            let share = (at - start.0) / (end.0 - start.0);
            let rate = (start.1 + (end.1 - start.1) * share) * scale;
            per_second.push(rate.min(replay.limit));
        }
        per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_a_line_between_its_samples() {
        let trace = Trace::parse("t_seconds,records_per_second\n0,0\n10,100\n20,100\n").unwrap();
        let replay = |speed, high, limit| trace.replay(Replay { speed, high, limit });
        let plain = replay(1.0, 100.0, 1e9);
        assert_eq!(plain.len(), 20);
        assert_eq!(plain[..3], [0.0, 10.0, 20.0]);
        assert_eq!(plain[15], 100.0);
        let quick = replay(5.0, 1_000.0, 800.0);
        assert_eq!(quick, [0.0, 500.0, 800.0, 800.0]);
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        let refused = |text: &str| Trace::parse(text).unwrap_err().to_string();
        assert!(refused("0,1\n5;2\n").starts_with("line 2 is \"5;2\""));
        assert!(refused("0,1\n0,2\n").starts_with("line 2"));
        assert!(refused("0,1\n1,-2\n").starts_with("line 2"));
        assert!(refused("0,1\n1,NaN\n").starts_with("line 2"));
        assert!(refused("0,0\n1,0\n").starts_with("there are 2 samples"));
        assert!(refused("").starts_with("there are 0 samples"));
    }
}
