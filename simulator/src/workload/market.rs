//! A market day: quiet hours, an opening and a closing burst, and a netting batch after the close.
//!
//! Nine hours of a made-up back office, in shares of its high load. The shape is the product's own
//! case: trades follow the market's hours, both ends of them come within seconds, and when the
//! market has closed everything is netted once more in one batch, after which nothing comes at all.

/// The day's turning points: seconds since its start, and the share of the high load. Straight lines
/// between them; two points a few seconds apart are a burst.
const DAY: &[(u64, f64)] = &[
    // Before the market: nothing for twenty minutes, then the first orders.
    (0, 0.0),
    (1_200, 0.0),
    (1_210, 0.03),
    (3_590, 0.06),
    // The opening: ten times within ten seconds, and a decay over half an hour.
    (3_600, 0.95),
    (3_900, 0.80),
    (5_400, 0.35),
    // Midday.
    (9_000, 0.22),
    (12_600, 0.18),
    (16_200, 0.28),
    // News: a burst out of nothing.
    (17_100, 0.30),
    (17_105, 0.75),
    (17_400, 0.70),
    (17_520, 0.32),
    // The closing auction.
    (21_590, 0.45),
    (21_600, 1.00),
    (22_200, 0.90),
    (22_210, 0.02),
    (23_400, 0.01),
    // The netting batch.
    (23_405, 0.70),
    (25_200, 0.70),
    (25_205, 0.0),
    (32_400, 0.0),
];

/// Records per second, one entry a second, with this high load.
pub fn market_day(high: f64) -> Vec<f64> {
    DAY.windows(2)
        .flat_map(|pair| {
            let &[(from, low), (until, then)] = pair else {
                return Vec::new();
            };
            let length = (until - from) as f64;
            let rate = |second: u64| low + (then - low) * ((second - from) as f64 / length);
            (from..until).map(|second| rate(second) * high).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_opens_with_a_burst_and_ends_with_nothing() {
        let day = market_day(1_000.0);
        assert_eq!(day.len(), 32_400);
        assert!(day[3_600] > 15.0 * day[3_590]);
        assert_eq!(day[24_000], 700.0);
        assert!(day[25_205..].iter().all(|rate| *rate == 0.0));
    }
}
