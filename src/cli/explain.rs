//! `evenkeel explain`: why a running server decided what it decided.
//!
//! Reads the admin server's API and says it in words; decides nothing and works nothing out.

pub mod client;
pub mod render;

use std::io::{self, Write as _};
use std::process::ExitCode;

use self::client::{AdminClient, DEFAULT_SERVER};

/// Arguments of `evenkeel explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    evenkeel explain shop/orders\n  \
    evenkeel explain shop/orders --history --server http://127.0.0.1:18080\n  \
    evenkeel explain shop/orders --json | jq .decision.trail")]
pub struct Args {
    /// The ScaledObject.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = parse_target)]
    target: TargetName,
    /// The admin server of a running `evenkeel serve`.
    #[arg(long, env = "EVENKEEL_SERVER", default_value = DEFAULT_SERVER)]
    server: String,
    /// Also what changed over the last decisions.
    #[arg(long)]
    history: bool,
    /// The server's answer as it is, instead of words.
    #[arg(long)]
    json: bool,
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
        let client = AdminClient::new(&self.server)?;
        let text = explain(&client, &self.target, self.history, self.json).await?;
        write_out(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What `evenkeel explain` prints.
///
/// # Errors
/// When the server does not answer or does not know the target.
pub async fn explain(
    client: &AdminClient,
    target: &TargetName,
    with_history: bool,
    as_json: bool,
) -> anyhow::Result<String> {
    let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
    let detail = client.target(namespace, name).await?;
    let history = match with_history {
        true => Some(client.history(namespace, name).await?),
        false => None,
    };
    if as_json {
        let mut answer = serde_json::to_value(&detail)?;
        if let (Some(history), Some(object)) = (history, answer.as_object_mut()) {
            object.insert("history".to_owned(), serde_json::to_value(history.points)?);
        }
        return Ok(format!("{answer:#}\n"));
    }
    let mut text = render::detail(&detail);
    if let Some(history) = history {
        text.push_str(&render::history(&history));
    }
    Ok(text)
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub(super) fn write_out(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
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
