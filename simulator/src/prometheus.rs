//! A Prometheus that scrapes the broker's counter, and `rate()` over it.
//!
//! Late as in life: a rate over a minute of scrapes knows of a step 15 s after it at the earliest,
//! and in full after more than a minute.

use std::collections::VecDeque;

/// How often it scrapes.
const SCRAPE_SECONDS: u64 = 15;

/// The range of `rate(...[1m])`, the blueprint's query.
const RANGE_SECONDS: u64 = 60;

/// The scrapes of the last range.
#[derive(Clone, Debug, Default)]
pub struct Prometheus {
    scrapes: VecDeque<(u64, f64)>,
}

// === impl Prometheus ===

impl Prometheus {
    /// Looks at the counter; scrapes it when it is time.
    pub fn second(&mut self, now: u64, written: f64) {
        if !now.is_multiple_of(SCRAPE_SECONDS) {
            return;
        }
        self.scrapes.push_back((now, written));
        while self
            .scrapes
            .front()
            .is_some_and(|&(at, _)| at + RANGE_SECONDS < now)
        {
            self.scrapes.pop_front();
        }
    }

    /// The rate and when it was last scraped; `None` with fewer than two scrapes.
    pub fn rate(&self) -> Option<(f64, u64)> {
        let (first, last) = (self.scrapes.front()?, self.scrapes.back()?);
        (last.0 > first.0).then(|| ((last.1 - first.1) / (last.0 - first.0) as f64, last.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_in_full_only_after_a_minute() {
        let mut prometheus = Prometheus::default();
        let mut written = 0.0;
        let mut known = Vec::new();
        for now in 0..=420 {
            prometheus.second(now, written);
            written += if now < 300 { 100.0 } else { 500.0 };
            if now % 30 == 0 && now >= 300 {
                known.push(prometheus.rate().map(|rate| rate.0));
            }
        }
        let expected = [100.0, 300.0, 500.0, 500.0, 500.0].map(Some);
        assert_eq!(known, expected);
    }
}
