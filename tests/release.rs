//! `make release` in a throwaway repository with the files of this one: what it refuses, and what it makes.
//!
//! What needs a registry or a signature is in the workflow of a release, which only a host runs; here it is
//! linted, and what it pins is pinned.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails here"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A repository that ends with the test.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    /// One with the files of this one in its first commit, on `main`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listed = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root())
            .output()
            .unwrap();
        for name in text(&listed.stdout).split_terminator('\0') {
            let (from, to) = (root().join(name), folder.path().join(name));
            // What is removed and not committed yet.
            if from.is_file() {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from, to).unwrap();
            }
        }
        let repository = Self { folder };
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.commit("The files");
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "a test")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "a@test")))
            .env_remove("HOME_URL")
            .output()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"))
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = self.run("git", arguments);
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn release(&self, version: &str) -> Output {
        self.run("bash", &["setup/release.sh", version])
    }

    /// Its sentence, where it must refuse; nothing may have changed.
    fn refused(&self, version: &str) -> String {
        let before = self.git(&["rev-parse", "HEAD"]);
        let output = self.release(version);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        assert_eq!(self.git(&["rev-parse", "HEAD"]), before);
        assert!(!self.git(&["tag", "--list"]).contains(version));
        text(&output.stderr)
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let repository = Repository::new();
    let changelog = repository.read("CHANGELOG.md");
    let (before, _) = changelog.split_once("## Unreleased").unwrap();
    std::fs::write(
        repository.path("CHANGELOG.md"),
        format!("{before}## Unreleased\n\n## 0.0.1 - 2026-01-01\n- It began.\n"),
    )
    .unwrap();
    repository.commit("A changelog that says nothing");
    repository.git(&["switch", "--quiet", "--create", "work"]);
    std::fs::write(repository.path("README.md"), "").unwrap();
    assert_eq!(
        repository.refused("1.2"),
        "no release:\n  \
         1.2 is no version: it has to be like 1.2.3 or 1.2.3-rc.1\n  \
         releases are made on main, this is work\n  \
         something is not committed: git status\n  \
         CHANGELOG.md says nothing under \"## Unreleased\"\n"
    );
}

#[test]
fn a_release_names_its_version_everywhere_and_the_next_has_to_be_newer() {
    let repository = Repository::new();
    assert!(repository.refused("0.0.9").contains("is older than"));
    let output = repository.run(
        "env",
        &[
            "HOME_URL=https://example.com/evenkeel",
            "bash",
            "setup/release.sh",
            "97.0.0-rc.1",
        ],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        repository.git(&["tag", "--points-at", "HEAD"]),
        "v97.0.0-rc.1\n"
    );
    assert_eq!(repository.git(&["status", "--porcelain"]), "");

    // The old one is left only where a case of the charts names a tag of its own.
    let left = repository.run("git", &["grep", "-nF", &format!("evenkeel:{VERSION}")]);
    let left: Vec<String> = text(&left.stdout)
        .lines()
        .filter(|line| !line.contains(&format!(":{VERSION}-rc.1")))
        .map(str::to_owned)
        .collect();
    assert_eq!(left, Vec::<String>::new());
    for file in [
        "deploy/helm/evenkeel/Chart.yaml",
        "deploy/helm/evenkeel-consumer/Chart.yaml",
        "deploy/artifacthub/evenkeel/artifacthub-pkg.yml",
    ] {
        let chart = repository.read(file);
        assert!(chart.contains("\nappVersion: 97.0.0-rc.1\n"), "{chart}");
        assert!(chart.contains("https://example.com/evenkeel"), "{chart}");
    }
    let lock = repository.read("Cargo.lock");
    assert_eq!(
        lock.matches("version = \"97.0.0-rc.1\"").count(),
        7,
        "the workspace's crates"
    );
    let changelog = repository.read("CHANGELOG.md");
    assert!(
        changelog.contains("## Unreleased\n\n## 97.0.0-rc.1 - 20"),
        "{changelog}"
    );
    let sums = repository.run("bash", &["-c", "cd dist && sha256sum --check SHA256SUMS"]);
    assert_eq!(
        text(&sums.stdout),
        "evenkeel-97.0.0-rc.1-source.tar.gz: OK\n\
         evenkeel-97.0.0-rc.1.tgz: OK\n\
         evenkeel-consumer-97.0.0-rc.1.tgz: OK\n"
    );

    // The same bytes again, and no second release of it.
    let sums = repository.read("dist/SHA256SUMS");
    repository.run("bash", &["setup/assets.sh"]);
    assert_eq!(repository.read("dist/SHA256SUMS"), sums);
    let refused = repository.refused("96.0.0");
    assert!(
        refused.contains("96.0.0 is not newer than the last release, 97.0.0-rc.1"),
        "{refused}"
    );
    let changed = changelog.replacen("## Unreleased\n", "## Unreleased\n- More.\n", 1);
    std::fs::write(repository.path("CHANGELOG.md"), changed).unwrap();
    repository.commit("More");
    let output = repository.release("97.0.0");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_workflow_is_linted_and_pins_what_it_takes() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let tool = target.join("actionlint");
    let output = Command::new(&tool)
        .args([
            "-shellcheck=",
            "-pyflakes=",
            ".github/workflows/release.yml",
        ])
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{} does not start ({error}): `make test` builds it, or `bash setup/deploy.sh`",
                tool.display()
            )
        });
    assert!(output.status.success(), "{}", text(&output.stdout));
    let workflow = std::fs::read_to_string(root().join(".github/workflows/release.yml")).unwrap();
    let actions = workflow
        .lines()
        .filter_map(|line| line.split_once("uses: "));
    for (_, action) in actions {
        let (commit, version) = action
            .split_once('@')
            .unwrap()
            .1
            .split_once(" # v")
            .unwrap();
        assert!(commit.len() == 40 && !version.is_empty(), "{action}");
    }
    for dockerfile in ["scaler", "consumer"] {
        let path = root().join(format!("deploy/docker/{dockerfile}.Dockerfile"));
        let from = std::fs::read_to_string(path).unwrap();
        for base in from.lines().filter_map(|line| line.strip_prefix("FROM ")) {
            assert!(base == "scratch" || base.contains("@sha256:"), "{base}");
        }
    }
}
