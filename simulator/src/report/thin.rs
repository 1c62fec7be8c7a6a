//! Thinning: a long run on few pixels, with nothing of it left out.
//!
//! A screen has some hundred columns and a run up to 90,000 minutes. Each column keeps what came
//! first, the least, the greatest and what came last of all that falls into it: a spike of one minute
//! in two months is as high as it was.

use std::fmt::Write as _;

/// Columns of a strip, and its width in its own units.
pub(super) const COLUMNS: usize = 800;

/// What falls into one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Column {
    /// Where it lies, in columns from the left.
    pub at: f64,
    /// What came first.
    pub first: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// What came last.
    pub last: f64,
}

// === impl Column ===

impl Column {
    fn begin(at: f64, value: f64) -> Self {
        Self {
            at,
            first: value,
            least: value,
            greatest: value,
            last: value,
        }
    }

    fn add(&mut self, value: f64) {
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        self.last = value;
    }
}

/// The columns of a row of values, equally far apart in time, over a width of `span`; `None` where
/// all values are missing.
pub(super) fn columns(values: &[Option<f64>], span: f64) -> Vec<Option<Column>> {
    let count = values.len().min(COLUMNS);
    let width = span / count.max(1) as f64;
    let column = |nth: usize| {
        let range = nth * values.len() / count..(nth + 1) * values.len() / count;
        let mut present = values.get(range)?.iter().flatten();
        let mut column = Column::begin((nth as f64 + 0.5) * width, *present.next()?);
        present.for_each(|value| column.add(*value));
        Some(column)
    };
    (0..count).map(column).collect()
}

/// The columns of something that changes at moments: seconds and the value from then on, in order.
/// Columns in which nothing changes are left out.
pub(super) fn step_columns(start: f64, changes: &[(u64, f64)], seconds: u64) -> Vec<Column> {
    let mut found: Vec<(usize, Column)> = Vec::new();
    let mut before = start;
    for &(second, value) in changes {
        let at = second as f64 * COLUMNS as f64 / seconds.max(1) as f64;
        let nth = usize::try_from(crate::chance::whole(at)).unwrap_or(usize::MAX);
        if found.last().is_none_or(|(last, _)| *last != nth) {
            found.push((nth, Column::begin(at, before)));
        }
        if let Some((_, column)) = found.last_mut() {
            column.add(value);
        }
        before = value;
    }
    found.into_iter().map(|(_, column)| column).collect()
}

/// How often something happened in each column: its place and the number, where it is not 0.
pub(super) fn counts(moments: impl Iterator<Item = (u64, u64)>, seconds: u64) -> Vec<(f64, u64)> {
    let mut counts: Vec<(f64, u64)> = Vec::new();
    for (second, number) in moments.filter(|(_, number)| *number > 0) {
        let at = (second as f64 * COLUMNS as f64 / seconds.max(1) as f64).floor() + 0.5;
        match counts.last_mut() {
            Some((last, count)) if *last == at => *count += number,
            _ => counts.push((at, number)),
        }
    }
    counts
}

/// A line through columns; `down` says how far from the top a value is. Broken where they are `None`.
pub(super) fn line(columns: &[Option<Column>], down: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for column in columns {
        let Some(column) = column else {
            pen = 'M';
            continue;
        };
        let _ = write!(path, "{pen}{:.1} {:.1}", column.at, down(column.first));
        let extremes = [column.least, column.greatest];
        let beyond = extremes.into_iter().any(|value| value != column.first) || pen == 'M';
        if beyond {
            for value in [column.least, column.greatest, column.last] {
                let _ = write!(path, "V{:.1}", down(value));
            }
        }
        pen = 'L';
    }
    path
}

/// Stairs through the columns of [`step_columns`], to the end.
pub(super) fn stairs(start: f64, columns: &[Column], down: impl Fn(f64) -> f64) -> String {
    let mut path = format!("M0 {:.1}", down(start));
    for column in columns {
        let _ = write!(path, "H{:.1}", column.at);
        let extremes = [column.least, column.greatest, column.last];
        for value in extremes {
            let _ = write!(path, "V{:.1}", down(value));
        }
    }
    let _ = write!(path, "H{COLUMNS}");
    path
}

/// The area under `value` of each column, down to `bottom`, over a width of `span`; columns that are
/// `None` count as 0.
pub(super) fn area(
    columns: &[Option<Column>],
    span: f64,
    bottom: f64,
    value: impl Fn(&Column) -> f64,
    down: impl Fn(f64) -> f64,
) -> String {
    let width = span / columns.len().max(1) as f64;
    let mut path = format!("M0 {bottom:.1}");
    for (nth, column) in columns.iter().enumerate() {
        let down = down(column.as_ref().map_or(0.0, &value));
        let _ = write!(path, "V{down:.1}H{:.1}", (nth + 1) as f64 * width);
    }
    let _ = write!(path, "V{bottom:.1}Z");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_of_one_minute_in_two_months_is_as_high_as_it_was() {
        let mut values = vec![Some(5.0); 90_000];
        values[44_444] = Some(777.0);
        values[44_446] = Some(1.0);
        let columns = columns(&values, 800.0);
        assert_eq!(columns.len(), COLUMNS);
        let present = || columns.iter().flatten();
        assert_eq!(
            present().map(|column| column.greatest).fold(0.0, f64::max),
            777.0
        );
        assert_eq!(
            present().map(|column| column.least).fold(9.0, f64::min),
            1.0
        );
        let path = line(&columns, |value| value);
        assert!(path.contains("V777.0") && path.contains("V1.0"), "{path}");
        let area = area(
            &columns,
            800.0,
            0.0,
            |column| column.greatest,
            |value| value,
        );
        assert!(area.contains("V777.0"), "{area}");
    }

    #[test]
    fn a_short_run_keeps_every_minute_and_a_gap_is_a_gap() {
        let columns = columns(&[Some(1.0), None, Some(3.0), Some(4.0)], 800.0);
        let present: Vec<Option<f64>> = columns
            .iter()
            .map(|column| column.map(|column| column.last))
            .collect();
        assert_eq!(present, [Some(1.0), None, Some(3.0), Some(4.0)]);
        let path = line(&columns, |value| value);
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(columns.iter().flatten().is_sorted_by(|a, b| a.at < b.at));
        assert!(super::columns(&[], 800.0).is_empty());
    }

    #[test]
    fn steps_in_the_same_column_keep_their_extremes() {
        // A day: 108 s a column.
        let changes = [(10, 3.0), (20, 40.0), (30, 2.0), (50_000, 4.0)];
        let columns = step_columns(1.0, &changes, 86_400);
        assert_eq!(columns.len(), 2);
        assert_eq!(
            (columns[0].least, columns[0].greatest, columns[0].last),
            (1.0, 40.0, 2.0)
        );
        assert_eq!((columns[1].first, columns[1].last), (2.0, 4.0));
        let stairs = stairs(1.0, &columns, |value| value);
        assert!(
            stairs.contains("V40.0") && stairs.ends_with("H800"),
            "{stairs}"
        );
    }

    #[test]
    fn what_happens_in_one_column_is_counted_together() {
        let moments = [(0, 1), (60, 2), (120, 0), (43_200, 5)].into_iter();
        assert_eq!(counts(moments, 86_400), [(0.5, 3), (400.5, 5)]);
    }
}
