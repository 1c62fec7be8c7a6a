//! Axes: where a value lies between the two ends of a plot, and what is written beside it.
//!
//! A logarithmic axis has a floor: whatever is at it or below, zero included, lies on its end, which
//! is then marked "≤". Nothing is left out because it is too small or too great: the ends contain
//! every value that they were made for.

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By decades, from this value up.
    Log {
        /// What is not more than this lies on the end of the axis.
        floor: f64,
    },
}

/// A scale between its two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Between two marks of a linear axis.
    step: f64,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// From 0, the low end, to 1.
    pub place: f64,
    /// What is written there.
    pub text: String,
}

/// Marks on a linear axis at most: more would touch each other on a phone.
const LINEAR_TICKS: f64 = 5.0;

/// A linear axis begins at 0 unless all values lie above this share of the greatest.
const ZERO_BELOW: f64 = 0.5;

/// A logarithmic axis is worth its strangeness from this ratio of its ends on.
const WORTH_LOG: f64 = 30.0;

// === impl Scale ===

impl Scale {
    /// Logarithmic above `floor` where the values differ so much that it helps, linear elsewhere.
    pub fn fitting(values: impl Iterator<Item = f64> + Clone, floor: f64) -> Self {
        let greatest = values.clone().fold(0.0, f64::max);
        let least = values.fold(f64::INFINITY, f64::min);
        if greatest > WORTH_LOG * least.max(floor) {
            Self::Log { floor }
        } else {
            Self::Linear
        }
    }
}

// === impl Axis ===

impl Axis {
    /// An axis that holds all `values`; those that are no finite number are not its business.
    pub fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let least = finite.clone().fold(f64::INFINITY, f64::min);
        let greatest = finite.fold(0.0, f64::max);
        match scale {
            Scale::Linear => {
                let low = if least.is_finite() && least > ZERO_BELOW * greatest {
                    least
                } else {
                    0.0
                };
                let step = nice_step(if greatest > low {
                    greatest - low
                } else {
                    greatest.max(1.0)
                });
                let low = (low / step).floor() * step;
                let high = (greatest / step).ceil() * step;
                Self {
                    scale,
                    low,
                    high: if high > low { high } else { low + step },
                    step,
                }
            }
            Scale::Log { floor } => Self {
                scale,
                low: floor,
                high: 10_f64.powf((greatest / floor).max(10.0).log10().ceil()) * floor,
                step: 0.0,
            },
        }
    }

    /// The same from 0, for areas, whose size would lie otherwise.
    pub fn from_zero(values: impl Iterator<Item = f64> + Clone) -> Self {
        Self::of(Scale::Linear, values.chain([0.0]))
    }

    /// The greatest value on it.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// Where `value` lies: 0 at the low end, 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log { floor } if value <= floor => 0.0,
            Scale::Log { .. } => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        place.clamp(0.0, 1.0)
    }

    /// The marks, from the low end up.
    pub fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => {
                let count = crate::chance::whole(((self.high - self.low) / self.step).round());
                let values = (0..=count).map(|nth| self.low + self.step * nth as f64);
                values.map(|value| self.tick(value, "")).collect()
            }
            Scale::Log { .. } => {
                let decades = crate::chance::whole((self.high / self.low).log10().round());
                // Six marks are enough for any number of decades.
                let every = decades.div_ceil(6).max(1);
                (0..=decades)
                    .filter(|decade| decade.is_multiple_of(every))
                    .map(|decade| {
                        let value = self.low * 10_f64.powf(decade as f64);
                        self.tick(value, if decade == 0 { "≤ " } else { "" })
                    })
                    .collect()
            }
        }
    }

    fn tick(&self, value: f64, before: &str) -> Tick {
        let text = match self.scale {
            // One unit for all of them: 5k below 10k, not 5000.
            Scale::Linear if value > 0.0 => in_unit(value, unit(self.high)),
            _ => short(value),
        };
        Tick {
            place: self.place(value),
            text: format!("{before}{text}"),
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that at most [`LINEAR_TICKS`] steps make `span`.
fn nice_step(span: f64) -> f64 {
    let raw = span / LINEAR_TICKS;
    let power = 10_f64.powf(raw.log10().floor());
    // Half a per mill more room, so that the same span is not judged differently after rounding.
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power * 1.0005 >= raw);
    factor.unwrap_or(10.0) * power
}

/// A number as short as it may be beside an axis.
pub(crate) fn short(value: f64) -> String {
    in_unit(value, unit(value))
}

/// Thousands and more have a letter from ten thousand on.
fn unit(value: f64) -> (f64, &'static str) {
    match value {
        value if value >= 1e9 => (1e9, "G"),
        value if value >= 1e6 => (1e6, "M"),
        value if value >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    }
}

fn in_unit(value: f64, (divisor, letter): (f64, &str)) -> String {
    let value = value / divisor;
    let text = if value >= 1_000.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scale: Scale, values: &[f64], ticks: &[&str]) {
        let axis = Axis::of(scale, values.iter().copied());
        let texts: Vec<String> = axis.ticks().into_iter().map(|tick| tick.text).collect();
        assert_eq!(texts, ticks, "{values:?}");
        let places = axis.ticks().into_iter().map(|tick| tick.place);
        assert!(places.is_sorted_by(|a, b| a < b), "{values:?}");
    }

    #[test]
    fn an_axis_holds_its_values_between_round_numbers() {
        check(Scale::Linear, &[3.0, 17.2], &["0", "5", "10", "15", "20"]);
        check(
            Scale::Linear,
            &[14.0, 17.2],
            &["14", "15", "16", "17", "18"],
        );
        check(Scale::Linear, &[0.0], &["0", "0.2"]);
        check(Scale::Linear, &[], &["0", "0.2"]);
        check(
            Scale::Linear,
            &[1.0, 1.16],
            &["1", "1.05", "1.1", "1.15", "1.2"],
        );
        check(Scale::Linear, &[5.0, 5.0], &["5", "6"]);
        check(
            Scale::Linear,
            &[0.0, 23_400.0],
            &["0", "5k", "10k", "15k", "20k", "25k"],
        );
        let log = Scale::Log { floor: 0.01 };
        check(log, &[0.0, 0.5, 16.0], &["≤ 0.01", "0.1", "1", "10", "100"]);
        check(log, &[0.0], &["≤ 0.01", "0.1"]);
    }

    #[test]
    fn what_is_at_the_floor_or_below_lies_on_the_end() {
        let axis = Axis::of(Scale::Log { floor: 0.1 }, [0.0, 10.0].into_iter());
        for (value, place) in [(0.0, 0.0), (0.1, 0.0), (1.0, 0.5), (10.0, 1.0), (99.0, 1.0)] {
            assert!((axis.place(value) - place).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn decades_are_used_where_values_lie_far_apart() {
        let fitting = |values: &[f64]| Scale::fitting(values.iter().copied(), 0.01);
        assert_eq!(fitting(&[0.0, 16.0]), Scale::Log { floor: 0.01 });
        assert_eq!(fitting(&[5.0, 16.0]), Scale::Linear);
        assert_eq!(fitting(&[0.0, 0.0]), Scale::Linear);
    }
}
