//! A table without lines for a terminal: names to the left, figures to the right.
//!
//! Widths are counted in characters. What is shown are names of Kubernetes and figures; characters
//! that a terminal draws wider would only shift their own row.

use std::fmt;

/// On which side a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Names and words.
    Left,
    /// Figures.
    Right,
}

/// Headings and rows.
#[derive(Clone, Debug)]
pub struct Table {
    sides: Vec<Side>,
    /// The headings are the first.
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    /// A table with these columns and no rows.
    pub fn new<'h>(columns: impl IntoIterator<Item = (&'h str, Side)>) -> Self {
        let (headings, sides) = columns
            .into_iter()
            .map(|(heading, side)| (heading.to_owned(), side))
            .unzip();
        Self {
            sides,
            rows: vec![headings],
        }
    }

    /// Adds a row: a cell a column.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<(usize, Side)> = self
            .sides
            .iter()
            .enumerate()
            .map(|(column, &side)| (self.width(column), side))
            .collect();
        for (nth, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&columns)
                .map(|(cell, &(width, side))| match side {
                    Side::Left => format!("{cell:<width$}"),
                    Side::Right => format!("{cell:>width$}"),
                })
                .collect();
            let newline = if nth > 0 { "\n" } else { "" };
            write!(f, "{newline} {}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new([
            ("target", Side::Left),
            ("lag", Side::Right),
            ("verdict", Side::Left),
        ]);
        table.add_row(["shop/orders", "12", "RateUp"].map(str::to_owned));
        table.add_row(["shop/Zürich", "1,234", ""].map(str::to_owned));
        assert_eq!(
            table.to_string(),
            " target         lag  verdict\n shop/orders     12  RateUp\n shop/Zürich  1,234"
        );
    }
}
