//! `evenkeel migrate`: KEDA's Kafka triggers turned into evenkeel's, in the file as it is written.
//!
//! The text that does not change stays to the byte, comments included. What will behave differently
//! is said beside it, one line each, and only where it applies. What cannot be moved is left as it was
//! and said. Nothing is asked of Kafka or Kubernetes.

mod behavior;
mod edit;
mod layout;
mod profile;
mod rate;
mod remarks;
mod scaled_object;
mod trigger;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::scaled_object::Outcome;
use super::finding::{Finding, Weight};
use super::manifests::{self, STANDARD_INPUT};
use evenkeel_scaler::cli::EXIT_USAGE;
use evenkeel_scaler::cli::explain::write_out;
use evenkeel_scaler::config::yaml::{self, Node};

/// Arguments of `evenkeel migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evenkeel migrate scaledobject.yaml > moved.yaml
  evenkeel migrate --capacity-per-replica 100 scaledobject.yaml | evenkeel check -
  evenkeel migrate --in-place --scaler-address evenkeel.scaling.svc:9090 apps/*.yaml
  evenkeel migrate --cluster main --namespace shop scaledobject.yaml
  kubectl get scaledobject orders -o yaml | evenkeel migrate -

The files come out on standard output, what changes with them on standard error.
Exits with 0 when everything was moved and can be applied, with 1 when something was left as it was or
cannot work yet, with 64 when a file cannot be read.")]
pub struct Args {
    /// Files with ScaledObjects, of one or many YAML documents; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where KEDA finds evenkeel.
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "evenkeel.keda.svc:9090"
    )]
    scaler_address: String,
    /// Records per second that one replica can process when it is saturated. Learned where absent.
    #[arg(long, value_name = "RECORDS", value_parser = capacity)]
    capacity_per_replica: Option<String>,
    /// The connection profile of the server to name in every trigger. Without it addresses stay, and a
    /// profile is proposed where there are credentials.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The namespace of ScaledObjects that name none.
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Write the files themselves instead of standard output.
    #[arg(long, short)]
    in_place: bool,
}

/// What every ScaledObject is moved with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Where KEDA finds evenkeel.
    pub scaler_address: &'a str,
    /// Records per second a replica, as the user wrote it.
    pub capacity: Option<&'a str>,
    /// The profile to name.
    pub cluster: Option<&'a str>,
    /// The namespace of ScaledObjects that name none.
    pub namespace: &'a str,
    /// The file's TriggerAuthentications.
    pub authentications: &'a [Node],
}

// === impl Args ===

impl Args {
    /// Moves the files.
    ///
    /// # Errors
    /// When a result cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.in_place
            && self
                .files
                .iter()
                .any(|file| file == Path::new(STANDARD_INPUT))
        {
            eprintln!("error: --in-place needs files, and - is standard input");
            return Ok(ExitCode::from(EXIT_USAGE));
        }
        let mut total = Outcome::default();
        let mut is_unreadable = false;
        for (nth, file) in self.files.iter().enumerate() {
            let text = match manifests::read(file) {
                Ok(text) => text,
                Err(error) => {
                    eprintln!(
                        "{}:1: error: the file cannot be read: {error}",
                        file.display()
                    );
                    is_unreadable = true;
                    continue;
                }
            };
            let moved = match self.migrate(&text, &mut total) {
                Ok(moved) => moved,
                Err(remark) => {
                    total.remarks.push(remark);
                    is_unreadable = true;
                    text.clone()
                }
            };
            total.remarks.sort_by_key(|remark| remark.line);
            for remark in total.remarks.drain(..) {
                eprintln!("{}:{remark}", file.display());
            }
            if self.in_place {
                if moved != text {
                    replace(file, &moved)?;
                }
            } else {
                let between = if nth > 0 && !moved.starts_with("---") {
                    "---\n"
                } else {
                    ""
                };
                write_out(&format!("{between}{moved}"))?;
            }
        }
        self.summary(&total);
        Ok(match (is_unreadable, self.is_ready(&total)) {
            (true, _) => ExitCode::from(EXIT_USAGE),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        })
    }

    fn migrate(&self, text: &str, total: &mut Outcome) -> Result<String, Finding> {
        let no_yaml = |line: Option<u64>, text: String| Finding {
            line: line.unwrap_or(1),
            weight: Weight::Error,
            text,
        };
        let before = yaml::read(text)
            .map_err(|error| no_yaml(error.line, manifests::no_yaml(text, &error.why)))?;
        let mut authentications = Vec::new();
        for document in &before {
            manifests::objects(document, &mut |object| {
                if manifests::kind(object)
                    .is_some_and(|kind| kind.ends_with("TriggerAuthentication"))
                {
                    authentications.push(object.clone());
                }
            });
        }
        let context = Context {
            scaler_address: &self.scaler_address,
            capacity: self.capacity_per_replica.as_deref(),
            cluster: self.cluster.as_deref(),
            namespace: &self.namespace,
            authentications: &authentications,
        };
        let mut after = before.clone();
        let mut outcome = Outcome {
            profiles: std::mem::take(&mut total.profiles),
            ..Outcome::default()
        };
        for document in &mut after {
            manifests::objects_mut(document, &mut |object| {
                scaled_object::migrate(object, &context, &mut outcome);
            });
        }
        let edited = edit::rewrite(text, &before, &after);
        if let Err(cannot) = edited {
            outcome
                .remarks
                .retain(|remark| remark.weight == Weight::Error);
            outcome.remarks.push(no_yaml(None, cannot.to_string()));
            outcome.left += std::mem::take(&mut outcome.moved);
        }
        total.remarks.append(&mut outcome.remarks);
        total.moved += outcome.moved;
        total.left += outcome.left;
        total.profiles = outcome.profiles;
        Ok(edited.unwrap_or_else(|_cannot| text.to_owned()))
    }

    fn is_ready(&self, total: &Outcome) -> bool {
        total.left == 0 && !total.profiles.need_more_than_there_is()
    }

    /// What there is to do, and what was done.
    fn summary(&self, total: &Outcome) {
        let mut error = std::io::stderr().lock();
        let mut words = String::new();
        if !total.profiles.is_empty() {
            words = format!(
                "\nThese triggers need connection profiles in evenkeel's configuration (`config` in the \
                 chart's values):\n\n{}\n",
                total.profiles.snippet()
            );
        }
        if total.profiles.need_more_than_there_is() {
            words.push_str(
                "This version of evenkeel cannot authenticate itself that way: do not apply these \
                 ScaledObjects yet, they would freeze where they are.\n",
            );
        }
        let objects =
            |count: usize| format!("{count} ScaledObject{}", if count == 1 { "" } else { "s" });
        let left = match total.left {
            0 => String::new(),
            left => format!(
                ", {left} left as {}",
                if left == 1 { "it was" } else { "they were" }
            ),
        };
        words.push_str(&format!("{} moved{left}\n", objects(total.moved)));
        // Nobody is left to tell when standard error is gone.
        let _ = error.write_all(words.as_bytes());
    }
}

/// Writes a file so that it is there whole, before or after.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    use anyhow::Context as _;
    // A link stays one: what it points to is written.
    let file = file.canonicalize()?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let complaint = || format!("{} cannot be written", file.display());
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(complaint)?;
    new.write_all(text.as_bytes()).with_context(complaint)?;
    let permissions = std::fs::metadata(&file)
        .with_context(complaint)?
        .permissions();
    new.as_file()
        .set_permissions(permissions)
        .with_context(complaint)?;
    new.persist(&file).with_context(complaint)?;
    Ok(())
}

fn capacity(text: &str) -> Result<String, String> {
    match text.parse::<f64>() {
        Ok(capacity) if capacity.is_finite() && capacity > 0.0 => Ok(text.to_owned()),
        _ => Err("it has to be a number above 0, in records per second".to_owned()),
    }
}
