//! The Dockerfiles agree with what they build and with the chart that runs it.
//!
//! No container engine runs here, so no image is built; `make static` proves what can be proved of
//! the scaler's without one.

use std::collections::BTreeSet;

use super::chart_tool::root;

const DOCKERFILES: [&str; 2] = [
    "deploy/docker/scaler.Dockerfile",
    "deploy/docker/consumer.Dockerfile",
];

/// That of the folder that people copy.
const COPIED: &str = "consumer/Dockerfile";

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between these two in `text`, each time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before)
        .skip(1)
        .map(|rest| rest.split(after).next().unwrap())
        .collect()
}

#[test]
fn they_build_with_the_pinned_toolchain() {
    let toolchain = read("rust-toolchain.toml");
    let pinned = between(&toolchain, "channel = \"", "\"");
    for path in DOCKERFILES.into_iter().chain([COPIED]) {
        let text = read(path);
        assert_eq!(between(&text, "FROM rust:", "-slim"), pinned, "{path}");
    }
}

#[test]
fn they_run_as_the_user_that_the_charts_demand() {
    for (path, chart) in DOCKERFILES.iter().zip(["evenkeel", "evenkeel-consumer"]) {
        let rendered = read(&format!("deploy/helm/rendered/{chart}/default.yaml"));
        let user = between(&rendered, "runAsUser: ", "\n")[0];
        let group = between(&rendered, "runAsGroup: ", "\n")[0];
        assert!(
            read(path).contains(&format!("\nUSER {user}:{group}\n")),
            "{path}"
        );
    }
}

#[test]
fn the_build_context_holds_every_crate() {
    let ignore = read(".dockerignore");
    let allowed: BTreeSet<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let manifest = read("Cargo.toml");
    let members = between(&manifest, "members = [", "]")[0];
    let missing: Vec<&str> = between(members, "\"", "\"")
        .into_iter()
        .step_by(2)
        .chain(["src"])
        .filter(|path| !allowed.contains(path))
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "not in .dockerignore");
}
