//! What the scaler costs and how fast it answers, measured on the real `evenkeel serve` process.
//!
//! Five tables: Kafka requests, CPU and memory a tick on a scripted fake cluster of 3 brokers at
//! growing numbers of groups; the same on 3 real brokers, by the brokers' own counters; TLS and SASL
//! beside plaintext; calls a second and their latency while it polls; and how soon a record wakes a sleeping target. Nothing
//! is asserted: figures of one machine are for reading, side by side. A sixth, `memory`, takes half an hour
//! and comes only by name.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    reason = "a bench that cannot measure fails loudly"
)]

#[allow(dead_code, reason = "tests/connections uses the rest of it")]
#[path = "../tests/connections/authority.rs"]
mod authority;
#[path = "scaler/calls.rs"]
mod calls;
#[path = "scaler/fake.rs"]
mod fake;
#[path = "../tests/support/fake_broker.rs"]
mod fake_broker;
#[path = "scaler/memory.rs"]
mod memory;
#[path = "scaler/real.rs"]
mod real;
#[path = "scaler/secured.rs"]
mod secured;
#[path = "scaler/served.rs"]
mod served;
#[path = "support/usage.rs"]
mod usage;
#[path = "scaler/wake.rs"]
mod wake;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

/// One consumer group a ScaledObject, each on a topic of this many partitions.
pub const PARTITIONS: i32 = 10;
/// Brokers of both clusters.
pub const BROKERS: i32 = 3;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, groups] = arguments.as_slice()
        && command == fake::CHILD
    {
        fake::run_child(groups.parse().expect("a number of groups")).await;
        return;
    }
    // Plain HTTP only, but the client wants to know how it would speak TLS.
    evenkeel_scaler::tls::use_ring();
    let chosen = |name: &str| {
        let names: Vec<&String> = arguments
            .iter()
            .filter(|word| !word.starts_with('-'))
            .collect();
        names.is_empty() || names.iter().any(|word| *word == name)
    };
    if chosen("fake") {
        fake::bench().await;
    }
    if chosen("real") {
        real::bench().await;
    }
    if chosen("secured") {
        secured::bench().await;
    }
    if chosen("calls") {
        calls::bench().await;
    }
    if chosen("wake") {
        wake::bench().await;
    }
    if arguments.iter().any(|word| word == "memory") {
        memory::bench().await;
    }
}

/// An empty table in Markdown, so that it can be pasted into documents.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table
}

/// The value at `share` (0 to 1) of sorted `values`.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted[((last as f64) * share).round() as usize]
}
