//! `evenkeel explain --record` and `--replay`: decisions written down with all that they were made of, and
//! made again from that.
//!
//! What is written has been made again once, so a recording that does not replay is found where it was
//! made. Which decisions are recorded, and what stands in the file, is decided in
//! [`crate::control::recording`].

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use evenkeel_engine::{Decision, Desired};

use super::client::AdminClient;
use super::{TargetName, render, write_out};
use crate::admin::views;
use crate::control::recording::{Recording, Replay};
use crate::control::target::Published;

/// Records the next `decisions` about `target` into `file`.
///
/// # Errors
/// When the server does not answer, or what it answers is no recording that replays.
pub async fn record(
    client: &AdminClient,
    target: &TargetName,
    (trigger, decisions): (Option<&str>, usize),
    file: &Path,
) -> anyhow::Result<ExitCode> {
    let (namespace, name) = (&target.namespace, &target.name);
    let asked = client
        .recording(namespace, name, (trigger, decisions))
        .await;
    let text = match asked {
        Ok(text) => text,
        Err(error) => return Err(super::meaning(client, target, error).await),
    };
    let recording = Recording::of_text(&text).context("what the server answers cannot be read")?;
    fs::write(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
    let title = render::printable(&format!("{namespace}/{name}"));
    write_out(&format!(
        "Decisions recorded about {title}: {}, in {} ({} kB): the policy, what was remembered, and for \
         each what was observed. Topics and member ids are in it by name; addresses and credentials \
         are not.\n",
        recording.ticks.len(),
        file.display(),
        text.len().div_ceil(1_000)
    ))?;
    same(&recording, &recording.replay())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the decisions in `file` again, and explains the last.
///
/// # Errors
/// When the file is no whole recording, or this program decides otherwise.
pub fn replay(file: &Path) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    let recording = Recording::of_text(&text);
    let recording = recording.with_context(|| file.display().to_string())?;
    let replay = recording.replay();
    let (Some(tick), Some(decision)) = (recording.ticks.last(), replay.decisions.last()) else {
        bail!("{}: no decision was recorded", file.display());
    };
    let answer = match decision.desired {
        Desired::Known { replicas, active } => Some((replicas, active)),
        Desired::Unknown { .. } => None,
    };
    let view = views::decision(&Published {
        decision: decision.clone(),
        problems: Vec::new(),
        upcoming: Arc::default(),
        foresight: None,
        data_at: Some(tick.observation.at),
    });
    let title = format!("{}/{}", recording.namespace, recording.name);
    write_out(&render::replayed(&title, answer, &view))?;
    same(&recording, &replay)?;
    write_out(&format!(
        "\nThis program decides as was recorded, to the byte: {} of {} decisions.\n",
        replay.decisions.len(),
        recording.ticks.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Nothing where all decisions are as recorded.
fn same(recording: &Recording, replay: &Replay) -> anyhow::Result<()> {
    let Some(place) = replay.differs_at else {
        return Ok(());
    };
    let words = |decision: Option<&Decision>| match decision.map(|decision| decision.desired) {
        Some(Desired::Known { replicas, .. }) => format!("{replicas} replicas"),
        Some(Desired::Unknown { .. }) | None => "no answer".to_owned(),
    };
    let verdict = |decision: Option<&Decision>| decision.map_or("", |one| one.verdict.label());
    let (was, is) = (
        recording.ticks.get(place).map(|tick| &tick.decision),
        replay.decisions.get(place),
    );
    bail!(
        "this program, evenkeel {}, decides otherwise: decision {} of {} was {} ({}) and is {} ({}), in \
         figures or words at least",
        env!("CARGO_PKG_VERSION"),
        place + 1,
        recording.ticks.len(),
        words(was),
        verdict(was),
        words(is),
        verdict(is)
    )
}
