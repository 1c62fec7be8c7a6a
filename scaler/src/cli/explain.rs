//! `evenkeel explain`: why a running server decided what it decided.
//!
//! Reads the admin server's API and says it in words; decides nothing and works nothing out. What is
//! recorded for a report, and made again from that, is in [`record`].

pub mod client;
pub mod record;
pub mod render;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::client::{AdminClient, Refused, ServerArgs};
use crate::calendar::LISTED;
use crate::schema::{closest, duration};

/// Arguments of `evenkeel explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    evenkeel explain shop/orders\n  \
    evenkeel explain shop/orders --history --server http://127.0.0.1:18080\n  \
    evenkeel explain shop/orders --ahead 24h\n  \
    evenkeel explain shop/orders --trigger 5d2f0c9b1a7e4c33\n  \
    evenkeel explain shop/orders --record orders.json --decisions 30\n  \
    evenkeel explain --replay orders.json\n  \
    evenkeel explain shop/orders --json | jq .decision.trail")]
pub struct Args {
    /// The ScaledObject.
    #[arg(
        value_name = "NAMESPACE/NAME",
        value_parser = parse_target,
        required_unless_present = "replay"
    )]
    target: Option<TargetName>,
    #[command(flatten)]
    server: ServerArgs,
    /// Which of its triggers, where it has several; without it the one that KEDA asked for last.
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
    /// Also what changed over the last decisions.
    #[arg(long)]
    history: bool,
    /// Of what is known ahead everything that starts within this time, 24h at most; without it what comes
    /// next of each event.
    #[arg(long, value_name = "DURATION", value_parser = parse_ahead)]
    ahead: Option<Duration>,
    /// The server's answer as it is, instead of words.
    #[arg(long)]
    json: bool,
    /// Writes the next decisions with everything that they are made of, for a report of a wrong one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["history", "json"])]
    record: Option<PathBuf>,
    /// How many decisions are recorded.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=60),
        requires = "record"
    )]
    decisions: u16,
    /// Makes the decisions of a recording again and explains the last; asks no server.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["target", "trigger", "history", "record", "json"]
    )]
    replay: Option<PathBuf>,
}

/// A ScaledObject by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

// === impl Args ===

impl Args {
    /// Runs it.
    ///
    /// # Errors
    /// When the server does not answer or does not know the target.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (Some(target), None) = (&self.target, &self.replay) else {
            let file = self.replay.unwrap_or_default();
            return record::replay(&file);
        };
        let client = self.server.client()?;
        let trigger = self.trigger.as_deref();
        if let Some(file) = &self.record {
            let decisions = usize::from(self.decisions);
            return record::record(&client, target, (trigger, decisions), file).await;
        }
        let wanted = Wanted {
            target,
            trigger,
            with_history: self.history,
            ahead: self.ahead.unwrap_or_default(),
            as_json: self.json,
        };
        let text = explain(&client, wanted).await?;
        write_out(&if self.json { text } else { in_colour(&text) })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is to be explained, and how.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The ScaledObject.
    pub target: &'a TargetName,
    /// Which of its triggers.
    pub trigger: Option<&'a str>,
    /// Also what changed.
    pub with_history: bool,
    /// How far ahead all occurrences of events are listed.
    pub ahead: Duration,
    /// The server's answer instead of words.
    pub as_json: bool,
}

/// What `evenkeel explain` prints.
///
/// # Errors
/// When the server does not answer or does not know the target.
pub async fn explain(client: &AdminClient, wanted: Wanted<'_>) -> anyhow::Result<String> {
    let (namespace, name) = (&wanted.target.namespace, &wanted.target.name);
    let detail = match client.target(namespace, name, wanted.trigger).await {
        Ok(detail) => detail,
        Err(error) => return Err(meaning(client, wanted.target, error).await),
    };
    let history = match wanted.with_history {
        true => Some(client.history(namespace, name, wanted.trigger).await?),
        false => None,
    };
    if wanted.as_json {
        let mut answer = serde_json::to_value(&detail)?;
        if let (Some(history), Some(object)) = (history, answer.as_object_mut()) {
            object.insert("history".to_owned(), serde_json::to_value(history.points)?);
        }
        return Ok(format!("{answer:#}\n"));
    }
    let mut text = render::detail(&detail, wanted.ahead);
    if let Some(history) = history {
        text.push_str(&render::history(&history));
    }
    Ok(text)
}

/// The refusal, with the target that was probably meant.
async fn meaning(client: &AdminClient, target: &TargetName, error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<Refused>().is_none() {
        return error;
    }
    let Ok(list) = client.targets().await else {
        return error;
    };
    let known = list
        .targets
        .iter()
        .map(|known| format!("{}/{}", known.namespace, known.name));
    let known: Vec<String> = known.collect();
    let wrong = format!("{}/{}", target.namespace, target.name);
    match closest(&wrong, known.iter().map(String::as_str)) {
        // The same name: it is the trigger that does not exist.
        Some(meant) if meant != wrong => {
            anyhow::anyhow!("{error} Did you mean {}?", render::printable(meant))
        }
        _ => error,
    }
}

/// Titles and what is decided stand out in a terminal; elsewhere nothing changes.
fn in_colour(text: &str) -> String {
    let line = |line: &str| {
        let is_title = !line.starts_with(' ') && !line.ends_with('.');
        if is_title && !line.is_empty() {
            console::style(line).bold().to_string()
        } else {
            line.to_owned()
        }
    };
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let first = console::style(first).cyan().to_string();
    std::iter::once(first)
        .chain(lines.map(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn write_out(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// At most as far as a server lists what is known ahead.
fn parse_ahead(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|ahead| *ahead <= LISTED)
        .ok_or_else(|| "it has to be a duration such as 90m or 24h, 24h at most".to_owned())
}

fn parse_target(text: &str) -> Result<TargetName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(TargetName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err("it has to be NAMESPACE/NAME, as `evenkeel top` lists them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_namespace_and_a_name() {
        let parsed = parse_target("shop/orders").map(|target| (target.namespace, target.name));
        assert_eq!(parsed, Ok(("shop".to_owned(), "orders".to_owned())));
        for wrong in ["orders", "/orders", "shop/", "/", ""] {
            assert!(parse_target(wrong).is_err(), "{wrong}");
        }
    }
}
