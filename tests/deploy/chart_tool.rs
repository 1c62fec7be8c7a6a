//! Runs `setup/chart-tool`, which `make test` builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One file of values, rendered.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Rendered {
    /// The file of values.
    pub values: String,
    /// All manifests.
    pub manifests: String,
    /// What helm prints after an installation.
    pub notes: String,
    /// Why there are no manifests.
    pub error: String,
}

/// One file of values, linted.
#[derive(Debug, Deserialize)]
pub struct Linted {
    /// The file of values.
    pub values: String,
    /// Everything that the linter says, hints included.
    pub messages: Vec<String>,
}

/// One manifest, validated.
#[derive(Debug, Deserialize)]
pub struct Validated {
    /// The file.
    pub file: String,
    /// Version, kind and name.
    pub object: String,
    /// Everything that is wrong with it.
    pub errors: Vec<String>,
}

/// The folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// As `helm template` renders `chart`, once for each file of values.
pub fn render(chart: &str, values: &[PathBuf]) -> Vec<Rendered> {
    answer("render", &root().join("deploy/helm").join(chart), values)
}

/// As `helm lint` judges `chart`, once for each file of values.
pub fn lint(chart: &str, values: &[PathBuf]) -> Vec<Linted> {
    answer("lint", &root().join("deploy/helm").join(chart), values)
}

/// Every manifest of `files`, held against the schemas of `deploy/schemas`.
pub fn validate(files: &[PathBuf]) -> Vec<Validated> {
    answer("validate", &root().join("deploy/schemas"), files)
}

/// The files of `folder` with this extension, sorted.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no .{extension}");
    files
}

/// Fails with every complaint about every manifest of `files`.
#[track_caller]
pub fn assert_valid(files: &[PathBuf]) {
    let complaints: Vec<String> = validate(files)
        .iter()
        .filter(|manifest| !manifest.errors.is_empty())
        .map(|manifest| {
            let errors = manifest.errors.join("\n");
            format!("{}: {}: {errors}", manifest.file, manifest.object)
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn answer<T: DeserializeOwned>(command: &str, first: &Path, files: &[PathBuf]) -> T {
    // The tool lies in the folder that cargo builds into, beside `tmp`.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let tool = target.join("chart-tool");
    let output = Command::new(&tool)
        .arg(command)
        .arg(first)
        .args(files)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{} does not start ({error}): `make test` builds it, or `bash setup/deploy.sh`",
                tool.display()
            )
        });
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the tool answers JSON")
}
