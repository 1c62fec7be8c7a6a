//! The engine's own numbers: what no user sets, with where each comes from and what it prevents.
//!
//! They are one value, not constants, so that the simulator can run the very same engine with one of
//! them changed or one part switched off: docs/SCOREBOARD.md says what each is worth. `serve` always
//! uses [`Tuning::default`]. Bounds of memory (how many samples, how many columns) are not here; they
//! stand beside what they bound.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The numbers of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The window that sees a surge in full with the first poll that lies in it: one poll of 2 s. Of
    /// the windows tried (1, 2 and 5 s, with polls of 1, 2 and 5 s) 2 s had nearly all of the gain,
    /// and needs half of the requests of 1 s. A poll that takes longer stretches it.
    pub fast_window: Duration,
    /// The window that tells a surge from a hiccup: a producer that stalls for one poll and then
    /// sends twice as much is 2x over one poll and 1x over three.
    pub short_window: Duration,
    /// A surge exceeds the slow window by this factor ...
    pub surge_factor: f64,
    /// ... and by this many deviations of what independent records would scatter: 6 s of 5 records/s
    /// are 30, give or take 5. Every poll is a chance: three deviations are passed once an hour of
    /// polls of 2 s, four once a day.
    pub surge_deviations: f64,
    /// A producer stalls where this share of the rate is missing: a third, less what scatters, comes
    /// from the leaders of one broker of three. Shallower falls are what loads do by themselves.
    pub stall_share: f64,
    /// Stalls that began no longer ago than this are remembered, so that what they held back is no
    /// surge: 20 s of nothing (a broker that dies is noticed after 9 s), half as long to make up for
    /// it, and the short window.
    pub stall_memory: Duration,
    /// How far a surge is followed into the present: by this many times what it has risen in each of
    /// the last three fast windows, and before them. 1 makes up for the window's own age and the way
    /// to the HPA. A step rises in two windows at most, if it falls into the middle of one, and is not
    /// followed: it would be overshot.
    pub surge_lead: f64,
    /// A rise is one over four spans of this length, two polls each: shorter ones scatter, longer ones
    /// see it when half a start is gone. 0 follows no rise.
    pub trend_span: Duration,
    /// How far beyond a start a rise is followed where rises have come, as a share of the start, and as
    /// far again for the size: what is asked for next comes a sync of the HPA, a start and a rebalance
    /// later still. Less where fewer of them have come, twice over: the start's own gain counts less by
    /// that too.
    pub trend_beyond: f64,
    /// How long records may be made to wait by a rise that can be foreseen, for each replica that the
    /// next useful count has beyond one more: a single one is asked for at once, and 12 more (24
    /// partitions on 12) only where it is sure to be worth them.
    pub wait_a_replica: Duration,
    /// A partition whose share over the slow window is this many times its usual one has really
    /// become hotter: then the newer share counts at once. Batch scatter over 300 s stays far below.
    pub share_shift: f64,
    /// A share this near an even one, relative to it, counts as even. Five hundred records a partition
    /// scatter by 5 %, and hashing 100,000 keys by 2 %: at its word, that would cost an even topic a
    /// whole class of replicas. What it hides is bounded: a replica accepted at 87 % carries 93 % at
    /// worst, where the trigger lies. Relative, so that a load and a capacity ten times as large still
    /// give the same count (law 11).
    pub even_share: f64,
    /// Until a partition has brought as many records as one replica does in this time, its share is
    /// held to be more even than it looks: the first seconds of a burst are some hundred records a
    /// partition, which scatter by 10 %.
    pub even_evidence: Duration,

    /// Where between the target utilization and a full replica the busiest one may lie when a count
    /// is chosen. 24 partitions at 1,000 records/s on replicas of 100 make the point: two partitions
    /// a replica are 83 %, one is 42 %. A strict 80 % would take 24 replicas where 12 do; the mean
    /// alone (13) would let a skewed topic drown its busiest replica.
    pub accept_share: f64,
    /// Where the busiest one has to pass before a count that runs is left. Nearer to full, noise in
    /// the learned capacity would already be lag; nearer to the accepted line, a rate that wanders by
    /// 5 % would move replicas.
    pub trigger_share: f64,
    /// A backlog that the present replicas work off within this many times the catch-up time (plus
    /// the time of a start, in which new ones could not help) asks for nobody: they would arrive when
    /// it is half gone and stay for a whole window.
    pub patience: f64,
    /// How much of the backlog that will grow while new replicas start is counted when a count is
    /// chosen. What is asked for afterwards is one more rebalance, in the middle of the spike. Half of
    /// it: all of it, 12 replicas that would have worked it off in 88 s became 24 in the demo.
    pub foresight: f64,
    /// For this long after a step for the rate a higher count is still part of it, without the trigger:
    /// the first poll of a surge lies half before it, and the HPA acts once in 15 s.
    pub step_time: Duration,
    /// Size for the busiest replica under the group's assignor; otherwise by the mean alone.
    pub know_assignor: bool,
    /// See what the busiest replica really carries, where assignments are settled; otherwise only
    /// what is to be expected.
    pub know_owners: bool,

    /// A count whose busiest replica the rate outgrew is not gone back to before the rate is below
    /// this share of what it was then: sticky assignors deal partitions out blindly, and a hand that
    /// was bad once is bad again. 0 forgets at once.
    pub outgrown_share: f64,
    /// For how long that is remembered: a day, as the samples of the capacity are.
    pub outgrown_kept: Duration,
    /// Replicas that were added to work a backlog off, beyond what the rate needs, stay for this long:
    /// taken back as soon as it is gone, every spike would end in a second rebalance, and the next
    /// spike would find the count that was too few.
    pub surplus_kept: Duration,
    /// Coming down has to save at least the replica-seconds that the pause costs, over this time. Two
    /// windows: the shortest time for which a lower count can be expected to last.
    pub payback: Duration,
    /// A scale-up whose gain is below this share of what was expected did not help (Flink's).
    pub effective_share: f64,

    /// An episode ends when there was no evidence for this long (or for two commit intervals): members
    /// that join one after another make one episode, not one each.
    pub settle: Duration,
    /// Replicas may take this many times as long as the last ones did before they count as not
    /// joining, and until then hold the growth of lag. 0 holds nothing.
    pub startup_patience: f64,

    /// The quantile of capacity samples for going up: three of ten replicas may be slower than
    /// planned; the busiest one is planned below its capacity anyway.
    pub capacity_quantile_up: f64,
    /// The quantile for coming down: nearly the slowest that was ever measured.
    pub capacity_quantile_down: f64,
    /// A told capacity is left for what replicas do where most of them were saturated and do more or less
    /// than it by a larger share than this: samples are off by less. Infinity believes what was told.
    pub capacity_doubt: f64,
    /// Until replicas were saturated, plan them to carry what they have carried; otherwise the lag
    /// threshold sizes and nothing is lowered.
    pub use_proven: bool,

    /// The lag that a working consumer has, in its commit and poll intervals: below it is no backlog.
    pub dead_band: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            fast_window: Duration::from_secs(2),
            short_window: Duration::from_secs(6),
            surge_factor: 1.15,
            surge_deviations: 4.0,
            stall_share: 0.3,
            stall_memory: Duration::from_secs(40),
            surge_lead: 1.0,
            trend_span: Duration::from_secs(4),
            trend_beyond: 0.5,
            wait_a_replica: Duration::from_secs(2),
            share_shift: 1.5,
            even_share: 0.07,
            even_evidence: Duration::from_secs(4),
            accept_share: 1.0 / 3.0,
            trigger_share: 2.0 / 3.0,
            patience: 2.0,
            foresight: 0.5,
            step_time: Duration::from_secs(15),
            know_assignor: true,
            know_owners: true,
            outgrown_share: 0.85,
            outgrown_kept: Duration::from_secs(24 * 3_600),
            surplus_kept: Duration::from_secs(600),
            payback: Duration::from_secs(600),
            effective_share: 0.1,
            settle: Duration::from_secs(15),
            startup_patience: 2.0,
            capacity_quantile_up: 0.3,
            capacity_quantile_down: 0.1,
            capacity_doubt: 0.1,
            use_proven: true,
            dead_band: 1.0,
        }
    }
}
