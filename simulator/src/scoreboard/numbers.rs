//! What the scoreboard says of each number, put beside it in docs/numbers.md.
//!
//! The table there is written by hand but for its last column, where each entry begins with the name
//! of a variant: what follows the name is written here, so that the figures are always the
//! scoreboard's. For each variant the scenario in which it makes the greatest difference.

use super::page::{POINT_WORTH, compared, named, triple};
use super::{Board, Row};
use crate::variants;

/// A rescale more or less counts for this much of a replica-hour when differences are compared.
const RESCALE_WORTH: f64 = 0.1;

/// A smaller difference than this is none.
const NOTHING: f64 = 0.004;

/// The page with its figures replaced by those of `boards`.
pub fn told(page: &str, boards: &[Board]) -> String {
    let mut told: Vec<String> = page
        .lines()
        .map(|line| with_figures(line, boards))
        .collect();
    told.push(String::new());
    told.join("\n")
}

fn with_figures(line: &str, boards: &[Board]) -> String {
    let cell = line
        .strip_suffix(" |")
        .and_then(|row| row.rsplit_once(" | "));
    let Some((before, cell)) = cell else {
        return line.to_owned();
    };
    let entries: Vec<String> = cell
        .split("<br>")
        .map(|entry| entry_of(entry, boards))
        .collect();
    format!("{before} | {} |", entries.join("<br>"))
}

fn entry_of(entry: &str, boards: &[Board]) -> String {
    let all = names();
    let name = all
        .iter()
        .enumerate()
        .find(|(_, name)| entry.starts_with(&format!("{name}: ")));
    match name {
        Some((place, name)) => format!("{name}: {}", greatest(boards, place)),
        None => entry.to_owned(),
    }
}

fn names() -> Vec<String> {
    let all = variants::all().into_iter();
    let full = all.map(|(_, contender)| contender.name());
    full.map(|name| named(&name).to_owned()).collect()
}

/// Where the variant at `place` differs most from the defaults, and by how much.
fn greatest(boards: &[Board], place: usize) -> String {
    let differences = compared(boards).into_iter().filter_map(|board| {
        let (_, row) = board.variants.get(place)?;
        Some((difference(&board.ours_few, row), board, row))
    });
    match differences.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((difference, board, row)) if difference >= NOTHING => format!(
            "`{}` {} → {}",
            board.name,
            triple(&board.ours_few),
            triple(row)
        ),
        _ => format!("nothing beyond {} % anywhere", NOTHING * 100.0),
    }
}

fn difference(defaults: &Row, row: &Row) -> f64 {
    let share = |figure: f64, of: f64| (figure / of - 1.0).abs();
    (row.late_percent - defaults.late_percent).abs() * POINT_WORTH
        + share(row.mean_replicas, defaults.mean_replicas.max(1e-9))
        + share(row.rescales, defaults.rescales.max(1.0)) * RESCALE_WORTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_stands_beside_a_number() {
        let page = include_str!("../../../docs/numbers.md");
        let mut untold = names();
        untold.retain(|name| !page.contains(&format!("{name}: ")));
        assert_eq!(untold, Vec::<String>::new());
    }

    #[test]
    fn figures_are_replaced_and_nothing_else_is() {
        let name = &names()[0];
        let page = format!("# A | b |\n| surge | 15 % | why | {name}: old<br>by hand |\n| x |\n");
        let expected = page.replace("old", "nothing beyond 0.4 % anywhere");
        assert_eq!(told(&page, &[]), expected);
    }
}
