//! `make keda-run`: the published loads on real KEDA, for evenkeel and for KEDA's own rules.
//!
//! It decides what is run in which order and where the figures go; everything else is
//! `evenkeel_tools::lab`. Whatever ends it, what it has started ends too. It is no part of the program
//! `evenkeel`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use evenkeel_scaler::clock;
use evenkeel_tools::cli::demo::cancel_on_signals;
use evenkeel_tools::demo::broker::jars::KAFKA;
use evenkeel_tools::lab::LabError;
use evenkeel_tools::lab::document::{self, Outcome};
use evenkeel_tools::lab::policies::Policy;
use evenkeel_tools::lab::scenario::Scenario;
use evenkeel_tools::lab::site::{Site, SiteOptions};
use evenkeel_tools::lab::trial::Trial;
use tokio_util::sync::CancellationToken;

/// Ended by Ctrl-C, as shells say it.
const EXIT_INTERRUPTED: u8 = 130;

/// The published loads on real KEDA, for evenkeel and for KEDA's own rules.
#[derive(Debug, Parser)]
struct Args {
    /// The lab's folder: its up.sh, down.sh, ctl.sh and lib.sh
    #[arg(long)]
    lab: PathBuf,

    /// Which runs, by blanks; none only writes the page anew
    #[arg(
        long,
        default_value = "blueprint-100 rise climb blueprint-120 blueprint-300"
    )]
    runs: String,

    /// Which policies, by blanks
    #[arg(long, default_value = "evenkeel published lag-and-rate")]
    policies: String,

    /// Play all policies of a run at the same time instead of one after the other
    #[arg(long)]
    together: bool,

    /// How many replicas the scaler has
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u8).range(1..=3))]
    replicas: u8,

    /// The chart's manifests as they are rendered
    #[arg(long, default_value = "deploy/helm/rendered/evenkeel/default.yaml")]
    manifests: PathBuf,

    /// Divide every time by this, to try the program itself: such figures are only shown
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=20))]
    shorten: u32,

    /// Where keda-runs.md and the folder keda are
    #[arg(long, default_value = "docs")]
    docs: PathBuf,

    /// Which evenkeel this is
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    revision: String,

    /// Where the logs of the last run stay
    #[arg(long)]
    logs: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let stop = CancellationToken::new();
    tokio::spawn(cancel_on_signals(stop.clone()));
    let policies = chosen(&args.policies, |name| {
        clap::ValueEnum::from_str(name, false).ok()
    })?;
    let all = Scenario::all();
    let scenarios = chosen(&args.runs, |name| {
        all.iter().find(|run| run.name == name).cloned()
    })?;
    for scenario in scenarios {
        let scenario = scenario.shortened(args.shorten);
        let size = if args.together { policies.len() } else { 1 };
        let groups = policies.chunks(size.max(1));
        for group in groups {
            if !play(&args, &scenario, group, &stop).await? {
                return Ok(ExitCode::from(EXIT_INTERRUPTED));
            }
        }
    }
    write_document(&args)?;
    Ok(ExitCode::SUCCESS)
}

/// What the names in `text` mean.
fn chosen<T>(text: &str, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<Vec<T>> {
    let found = text
        .split_whitespace()
        .map(|name| find(name).with_context(|| format!("{name:?} is none of them: see --help")));
    found.collect()
}

/// Plays some policies of a run at the same time; false when it was stopped.
async fn play(
    args: &Args,
    scenario: &Scenario,
    policies: &[Policy],
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let options = SiteOptions {
        lab: args.lab.clone(),
        manifests: args.manifests.clone(),
        replicas: args.replicas,
        prometheus: policies.iter().any(|policy| policy.asks_prometheus()),
        earlier: scenario
            .came_before
            .then(|| (scenario.clone(), Policy::Calendar.topic())),
        programs: None,
        logs: args.logs.clone(),
    };
    let Some(site) = stop.run_until_cancelled(Site::start(&options)).await else {
        return Ok(false);
    };
    let site = site?;
    let played = stop
        .run_until_cancelled(play_on(args, scenario, policies, &site))
        .await;
    site.stop().await;
    let Some(outcomes) = played.transpose()? else {
        return Ok(false);
    };
    let shown: Vec<&Outcome> = outcomes.iter().collect();
    println!("\n{}\n{}\n", scenario.name, document::run(scenario, &shown));
    write_document(args)?;
    Ok(true)
}

/// Writes the page of all figures that are stored.
fn write_document(args: &Args) -> anyhow::Result<()> {
    let stored = document::stored(&args.docs.join("keda"))?;
    let path = args.docs.join("keda-runs.md");
    std::fs::write(&path, document::document(&stored))
        .with_context(|| format!("writing {}", path.display()))
}

async fn play_on(
    args: &Args,
    scenario: &Scenario,
    policies: &[Policy],
    site: &Site,
) -> Result<Vec<Outcome>, LabError> {
    let parts = site.lab.versions().await;
    let date = clock::day(clock::wall());
    let starts = policies
        .iter()
        .map(|policy| Trial::start(site, scenario, *policy));
    let mut trials = futures::future::try_join_all(starts).await?;
    let plays = trials.iter_mut().zip(policies).map(|(trial, policy)| {
        let outcome = Outcome {
            run: scenario.name.to_owned(),
            policy: *policy,
            date: date.clone(),
            version: args.revision.clone(),
            parts: format!("{parts}, {}", KAFKA.name),
            scaler_replicas: Some(args.replicas),
            beside: policies
                .iter()
                .filter(|it| *it != policy)
                .copied()
                .collect(),
            ..Outcome::default()
        };
        async move { trial.play(&outcome).await }
    });
    let outcomes = futures::future::try_join_all(plays).await?;
    if args.shorten == 1 {
        for (outcome, trial) in outcomes.iter().zip(&trials) {
            document::store(&args.docs.join("keda"), outcome, trial.seconds())?;
        }
    }
    Ok(outcomes)
}
