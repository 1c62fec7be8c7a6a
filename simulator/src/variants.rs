//! Ours with one thing different at a time: parts removed, and numbers at other values.
//!
//! What the scoreboard says of each is why the number is what it is. A number that nothing depends on
//! would show here, and one that was fitted to a single trace would show as a loss on the others.

use std::time::Duration;

use evenkeel_engine::Policy;

use crate::contender::{Contender, Setting};

/// A group of variants that belong together in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part is removed.
    Removed,
    /// A number has another value.
    Number,
}

type Change = fn(&mut Policy);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Parts that can be removed, and how.
const REMOVED: &[(&str, Change)] = &[
    ("no rate: only a backlog asks", |policy| {
        policy.tuning.trigger_share = 1e6;
    }),
    ("no backlog: only the rate asks", |policy| {
        policy.tuning.dead_band = 1e6;
        policy.catch_up = seconds(1_000_000);
    }),
    ("no hold in a rebalance", |policy| {
        policy.rebalance_hold = Duration::ZERO;
    }),
    ("no hold for replicas in flight", |policy| {
        policy.tuning.startup_patience = 0.0;
    }),
    ("no assignor: the mean counts", |policy| {
        policy.tuning.know_assignor = false;
        policy.tuning.know_owners = false;
    }),
    ("no look at who owns what", |policy| {
        policy.tuning.know_owners = false;
    }),
    ("no foresight of the start's backlog", |policy| {
        policy.tuning.foresight = 0.0;
    }),
    ("no second look at a step", |policy| {
        policy.tuning.step_time = Duration::ZERO;
    }),
    ("no memory of stalls", |policy| {
        policy.tuning.stall_memory = Duration::ZERO;
    }),
    ("a told capacity is never doubted", |policy| {
        policy.tuning.capacity_doubt = f64::INFINITY;
    }),
    ("no lead in a surge", |policy| {
        policy.tuning.surge_lead = 0.0;
    }),
    ("no rise followed", |policy| {
        policy.tuning.trend_span = Duration::ZERO;
    }),
    ("no test for a surge: the fast window", |policy| {
        policy.tuning.surge_factor = 1.0;
        policy.tuning.surge_deviations = 0.0;
    }),
    ("no memory of what was outgrown", |policy| {
        policy.tuning.outgrown_kept = Duration::ZERO;
    }),
    ("no payback: down whenever less would do", |policy| {
        policy.tuning.payback = seconds(1_000_000);
    }),
    ("no dead band", |policy| policy.tuning.dead_band = 0.0),
    ("no scatter taken out of shares", |policy| {
        policy.tuning.even_share = 0.0;
        policy.tuning.even_evidence = Duration::ZERO;
    }),
    ("no hysteresis between accepted and left", |policy| {
        policy.tuning.trigger_share = policy.tuning.accept_share;
    }),
];

/// Numbers, and other values for them.
const NUMBERS: &[(&str, Change)] = &[
    ("poll 1 s, windows 1 and 3 s", |policy| {
        policy.poll_interval = seconds(1);
        policy.tuning.fast_window = seconds(1);
        policy.tuning.short_window = seconds(3);
    }),
    ("poll 5 s, windows 5 and 15 s", |policy| {
        policy.poll_interval = seconds(5);
        policy.tuning.fast_window = seconds(5);
        policy.tuning.short_window = seconds(15);
    }),
    ("target utilization 0.7", |policy| {
        policy.target_utilization = 0.7
    }),
    ("target utilization 0.9", |policy| {
        policy.target_utilization = 0.9
    }),
    ("accepted at the target", |policy| {
        policy.tuning.accept_share = 0.0
    }),
    ("accepted half way to full", |policy| {
        policy.tuning.accept_share = 0.5;
        policy.tuning.trigger_share = 0.75;
    }),
    ("left at half way to full", |policy| {
        policy.tuning.trigger_share = 0.5;
    }),
    ("left at 98 %", |policy| policy.tuning.trigger_share = 0.9),
    ("catch-up 60 s", |policy| policy.catch_up = seconds(60)),
    ("catch-up 240 s", |policy| policy.catch_up = seconds(240)),
    ("patience 1", |policy| policy.tuning.patience = 1.0),
    ("patience 4", |policy| policy.tuning.patience = 4.0),
    ("foresight whole", |policy| policy.tuning.foresight = 1.0),
    ("foresight twice the whole", |policy| {
        policy.tuning.foresight = 2.0;
    }),
    ("lead double", |policy| policy.tuning.surge_lead = 2.0),
    ("a rise over spans of 6 s", |policy| {
        policy.tuning.trend_span = seconds(6);
    }),
    ("a rise asked for and sized by one start ahead", |policy| {
        policy.tuning.trend_beyond = 0.0;
    }),
    (
        "a rise asked for by two starts ahead, sized by three",
        |policy| {
            policy.tuning.trend_beyond = 1.0;
        },
    ),
    ("no wait for a dear count", |policy| {
        policy.tuning.wait_a_replica = Duration::ZERO;
    }),
    ("a step is over after 30 s", |policy| {
        policy.tuning.step_time = seconds(30);
    }),
    ("down window 150 s", |policy| {
        policy.scale_down_window = seconds(150)
    }),
    ("down window 600 s", |policy| {
        policy.scale_down_window = seconds(600)
    }),
    ("stalls remembered for 20 s", |policy| {
        policy.tuning.stall_memory = seconds(20);
    }),
    ("any fall may be a stall", |policy| {
        policy.tuning.stall_share = 0.0;
    }),
    ("surge factor 1.3", |policy| {
        policy.tuning.surge_factor = 1.3
    }),
    ("a surge at 3 deviations", |policy| {
        policy.tuning.surge_deviations = 3.0;
    }),
    ("outgrown below 70 %", |policy| {
        policy.tuning.outgrown_share = 0.7
    }),
    ("outgrown below 95 %", |policy| {
        policy.tuning.outgrown_share = 0.95
    }),
    ("payback 300 s", |policy| {
        policy.tuning.payback = seconds(300)
    }),
    ("payback 1,200 s", |policy| {
        policy.tuning.payback = seconds(1_200)
    }),
    ("settle 7 s", |policy| policy.tuning.settle = seconds(7)),
    ("settle 30 s", |policy| policy.tuning.settle = seconds(30)),
    ("hold 60 s", |policy| policy.rebalance_hold = seconds(60)),
    ("hold 240 s", |policy| policy.rebalance_hold = seconds(240)),
    ("shares even within 14 %", |policy| {
        policy.tuning.even_share = 0.14
    }),
    ("a share has shifted at 1.25x", |policy| {
        policy.tuning.share_shift = 1.25;
    }),
    ("dead band double", |policy| policy.tuning.dead_band = 2.0),
];

/// Every variant.
pub fn all() -> Vec<(Kind, Contender)> {
    let variants = |kind, list: &'static [(&'static str, Change)]| {
        list.iter().map(move |&(name, change)| {
            let setting = Setting::changed(name, change);
            (kind, Contender::Evenkeel(Box::new(setting)))
        })
    };
    let with_prometheus = Setting {
        name: "with the Prometheus baseline",
        change: None,
        with_prometheus: true,
        with_kubernetes: false,
    };
    variants(Kind::Removed, REMOVED)
        .chain(variants(Kind::Number, NUMBERS))
        .chain([(Kind::Number, Contender::Evenkeel(Box::new(with_prometheus)))])
        .collect()
}
