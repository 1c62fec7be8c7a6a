//! Where ours stands on one scenario: against the reactive oracle, and against every rival's curve.

use super::Board;
use crate::contender::Contender;
use crate::sweep::Row;

/// Two figures this near each other are equal: what rounding in the tables hides.
const SAME: f64 = 1e-3;

/// Where ours stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The least late that the reactive oracle is with no more replica-hours; `None` when it cannot
    /// do with so few.
    pub oracle_late: Option<f64>,
    /// Ours over the fewest replica-hours with which the reactive oracle is no later; `None` when it
    /// is later with any.
    pub hours_ratio: Option<f64>,
    /// Rivals that are no later with no more replica-hours, with their knobs.
    pub better: Vec<String>,
    /// How many times as late as ours, and as the oracle with no more replica-hours than ours, KEDA's
    /// lag trigger is at its best setting with as many replica-hours or more; `None` when it has none.
    pub keda_lag_factor: Option<(f64, f64)>,
    /// The fewest rescales of a Flink-like policy that is no later; `None` when none is.
    pub flink_rescales: Option<f64>,
}

// === impl Standing ===

impl Standing {
    /// On this board.
    pub fn of(board: &Board) -> Self {
        let ours = &board.ours;
        let of = |wanted: fn(&Contender) -> bool| -> Vec<&Row> {
            let rivals = board.rivals.iter();
            rivals
                .filter(|(contender, _)| wanted(contender))
                .map(|(_, row)| row)
                .collect()
        };
        let least = |figures: Vec<f64>| figures.into_iter().min_by(f64::total_cmp);
        let no_dearer = |row: &&Row| row.mean_replicas <= ours.mean_replicas * (1.0 + SAME);
        let no_later = |row: &&Row| row.late_percent <= ours.late_percent + SAME;
        let oracle = of(|contender| matches!(contender, Contender::Reactive(_)));
        let lag = of(|contender| {
            matches!(
                contender,
                Contender::KedaLag(_) | Contender::KedaBlueprint(_)
            )
        });
        let flink = of(|contender| matches!(contender, Contender::Flink(_)));
        let dearer = lag
            .iter()
            .filter(|row| row.mean_replicas >= ours.mean_replicas)
            .map(|row| row.late_percent);
        let better = board
            .rivals
            .iter()
            .filter(|(contender, _)| {
                !matches!(
                    contender,
                    Contender::Reactive(_) | Contender::Clairvoyant(_)
                )
            })
            .filter(|(_, row)| no_dearer(&row) && no_later(&row))
            .map(|(_, row)| format!("{} {}", row.policy, row.knob));
        let late = oracle.iter().copied().filter(no_dearer);
        let hours = oracle.iter().copied().filter(no_later);
        let flink = flink.iter().copied().filter(no_later);
        let oracle_late = least(late.map(|row| row.late_percent).collect());
        let times = |late: f64, than: f64| late / than.max(SAME);
        Self {
            oracle_late,
            hours_ratio: least(hours.map(|row| row.mean_replicas).collect())
                .map(|hours| ours.mean_replicas / hours),
            better: better.collect(),
            keda_lag_factor: least(dearer.collect()).map(|late| {
                let oracle = oracle_late.unwrap_or(ours.late_percent);
                (times(late, ours.late_percent), times(late, oracle))
            }),
            flink_rescales: least(flink.map(|row| row.rescales).collect()),
        }
    }
}
