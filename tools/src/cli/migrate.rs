//! `evenkeel migrate`: KEDA's Kafka triggers turned into evenkeel's, in the file as it is written.
//!
//! The text that does not change stays to the byte, comments included. What will behave differently
//! is said beside it, one line each, and only where it applies. What cannot be moved is left as it was
//! and said. Nothing is asked of Kafka or Kubernetes.

mod access;
mod behavior;
mod edit;
mod layout;
mod profile;
mod rate;
mod remarks;
mod scaled_object;
mod sources;
mod trigger;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::scaled_object::Outcome;
use self::sources::Files;
use super::finding::{Finding, Weight};
use super::manifests::{self, STANDARD_INPUT};
use evenkeel_scaler::cli::EXIT_USAGE;
use evenkeel_scaler::cli::explain::write_out;
use evenkeel_scaler::config::Config;
use evenkeel_scaler::config::yaml::{self, Node, YamlError};

/// Arguments of `evenkeel migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evenkeel migrate scaledobject.yaml > moved.yaml
  evenkeel migrate --capacity-per-replica 100 scaledobject.yaml | evenkeel check -
  evenkeel migrate --in-place --scaler-address evenkeel.scaling.svc:9090 apps/*.yaml
  evenkeel migrate --cluster main --namespace shop scaledobject.yaml
  evenkeel migrate --values evenkeel-values.yaml scaledobject.yaml triggerauthentication.yaml > moved.yaml
  kubectl get scaledobject,triggerauthentication -o yaml | evenkeel migrate -

The files with ScaledObjects come out on standard output, what changes with them on standard error.
Exits with 0 when everything was moved and can be applied, with 1 when something was left as it was or
cannot work yet, with 64 when a file cannot be read.")]
pub struct Args {
    /// Files with ScaledObjects, of one or many YAML documents, and with what they refer to
    /// (TriggerAuthentications, Secrets, workloads); - is standard input.
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
    /// profile is made where there are credentials.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The namespace of ScaledObjects that name none.
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Where the connection profiles that the triggers name are written, as values of the chart, with
    /// the Secrets mounted that KEDA has read. They are printed where this is absent.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
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
    /// What the files have beside ScaledObjects.
    pub files: &'a Files,
}

/// A file that could be read.
struct Input {
    text: String,
    documents: Result<Vec<Node>, YamlError>,
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
        if let Some(file) = self.values.as_ref().filter(|file| file.exists()) {
            eprintln!(
                "error: {} is there already, and the values of two runs do not add up, since helm replaces \
                 lists: give all ScaledObjects in one run, and another file",
                file.display()
            );
            return Ok(ExitCode::from(EXIT_USAGE));
        }
        let inputs: Vec<(&PathBuf, std::io::Result<Input>)> = self
            .files
            .iter()
            .map(|file| (file, manifests::read(file).map(Input::of)))
            .collect();
        // What a trigger refers to may stand in another of the files.
        let mut files = Files::default();
        for input in inputs.iter().filter_map(|(_, input)| input.as_ref().ok()) {
            for document in input.documents.iter().flatten() {
                files.add(document, &self.namespace);
            }
        }
        let mut total = Outcome::default();
        let mut is_unreadable = false;
        let mut is_first = true;
        let mut rewritten = Vec::new();
        for (file, input) in inputs {
            let input = match input {
                Ok(input) => input,
                Err(error) => {
                    eprintln!(
                        "{}:1: error: the file cannot be read: {error}",
                        file.display()
                    );
                    is_unreadable = true;
                    continue;
                }
            };
            let moved = match self.migrate(&input, &files, &mut total) {
                Ok(moved) => moved,
                Err(remark) => {
                    total.remarks.push(remark);
                    is_unreadable = true;
                    input.text.clone()
                }
            };
            total.remarks.sort_by_key(|remark| remark.line);
            for remark in total.remarks.drain(..) {
                eprintln!("{}:{remark}", file.display());
            }
            if self.in_place {
                if moved != input.text {
                    rewritten.push((file, moved));
                }
            } else if self.files.len() == 1 || input.scales_something() {
                let between = if is_first || moved.starts_with("---") {
                    ""
                } else {
                    "---\n"
                };
                is_first = false;
                write_out(&format!("{between}{moved}"))?;
            }
        }
        let values = total.profiles.values(self.own_namespace());
        let mut is_taken = true;
        if !total.profiles.is_empty() {
            if let Err(errors) = Config::read_values(&values, "in the values".to_owned()) {
                eprintln!("{errors:#}");
                is_taken = false;
            }
            // Before the files that then know of credentials no more.
            if let Some(file) = &self.values {
                use anyhow::Context as _;
                std::fs::write(file, &values)
                    .with_context(|| format!("{} cannot be written", file.display()))?;
            }
        }
        for (file, moved) in rewritten {
            replace(file, &moved)?;
        }
        self.summary(&total, &values);
        Ok(match (is_unreadable, is_taken && is_ready(&total)) {
            (true, _) => ExitCode::from(EXIT_USAGE),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        })
    }

    /// evenkeel's namespace, as its service's name says it.
    fn own_namespace(&self) -> Option<&str> {
        let host = self.scaler_address.split(':').next()?;
        let (_, rest) = host.split_once('.')?;
        let namespace = rest.split('.').next()?;
        // Of an address, such as 10.0.0.1, the second part is no name.
        (!namespace.chars().all(|letter| letter.is_ascii_digit())).then_some(namespace)
    }

    fn migrate(
        &self,
        input: &Input,
        files: &Files,
        total: &mut Outcome,
    ) -> Result<String, Finding> {
        let text = input.text.as_str();
        let no_yaml = |line: Option<u64>, text: String| Finding {
            line: line.unwrap_or(1),
            weight: Weight::Error,
            text,
        };
        let before = input
            .documents
            .as_ref()
            .map_err(|error| no_yaml(error.line, manifests::no_yaml(text, &error.why)))?;
        let context = Context {
            scaler_address: &self.scaler_address,
            capacity: self.capacity_per_replica.as_deref(),
            cluster: self.cluster.as_deref(),
            namespace: &self.namespace,
            files,
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
        let edited = edit::rewrite(text, before, &after);
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

    /// What there is to do, and what was done.
    fn summary(&self, total: &Outcome, values: &str) {
        let mut error = std::io::stderr().lock();
        let mut words = String::new();
        if let Some(file) = self.values.as_ref().filter(|_| !total.profiles.is_empty()) {
            words = format!(
                "\nThe connection profiles that these triggers name are in {}: give it to helm.\n",
                file.display()
            );
        } else if !total.profiles.is_empty() {
            words = format!(
                "\nThese triggers name connection profiles. As values of the chart (--values FILE \
                 writes them):\n\n{values}\n"
            );
        }
        if total.profiles.are_to_be_filled_in() {
            words.push_str(
                "Not everything is known: fill in what is marked so before you apply these \
                 ScaledObjects.\n",
            );
        }
        if total.profiles.need_more_than_there_is() {
            words.push_str(
                "evenkeel cannot authenticate itself that way: do not apply these ScaledObjects, they \
                 would freeze where they are.\n",
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

// === impl Input ===

impl Input {
    fn of(text: String) -> Self {
        let documents = yaml::read(&text);
        Self { text, documents }
    }

    /// Whether there is anything in it to move, or that cannot be read. Files beside that are only
    /// referred to, and may hold Secrets: they do not come out again.
    fn scales_something(&self) -> bool {
        let Ok(documents) = &self.documents else {
            return true;
        };
        let mut scales = false;
        for document in documents {
            manifests::objects(document, &mut |object| {
                scales |= matches!(manifests::kind(object), Some("ScaledObject" | "ScaledJob"));
            });
        }
        scales
    }
}

/// Whether what came out can be applied.
fn is_ready(total: &Outcome) -> bool {
    let profiles = &total.profiles;
    total.left == 0 && !profiles.need_more_than_there_is() && !profiles.are_to_be_filled_in()
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
