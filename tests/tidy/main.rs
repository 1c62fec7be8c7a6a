//! The house's own rules, as tests: layers, file headers, banned words, the dependency walls.
//!
//! The compiler holds the walls between crates; `LAYERS` holds those inside them, and `circles` that files
//! import each other one way. A rule that cannot be checked by reading text does not belong here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a file that cannot be read fails the test"
)]

mod circles;
mod documents;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of up to about this many lines can be read in one sitting; beyond it, it is split by
/// purpose (`name.rs` beside `name/`).
const FILE_LINES_MAX: usize = 600;

/// Written by a program, so held to no rule but that it is what the program writes.
const GENERATED: &str = "scaler/src/grpc/wire/externalscaler.rs";

/// What the files of a layer must not mention. The first matching layer decides.
struct Layer {
    prefix: &'static str,
    forbidden: &'static [&'static str],
}

/// The layers of docs/ARCHITECTURE.md, innermost first.
const LAYERS: &[Layer] = &[
    Layer {
        prefix: "engine/src/",
        forbidden: &[
            "std::time::Instant",
            "SystemTime",
            "HashMap",
            "HashSet",
            "tokio",
            "tracing",
            "std::fs",
            "std::net",
            "std::env",
            "println!",
        ],
    },
    // Its one binary writes files and shows progress; the rest is as pure as the engine.
    Layer {
        prefix: "simulator/src/bin/",
        forbidden: &["tokio", "tracing"],
    },
    Layer {
        prefix: "simulator/src/",
        forbidden: &[
            "std::time::Instant",
            "SystemTime",
            "HashMap",
            "HashSet",
            "tokio",
            "tracing",
            "std::fs",
            "std::net",
            "std::env",
            "println!",
        ],
    },
    Layer {
        prefix: "scaler/src/observe",
        forbidden: &[
            "crate::control",
            "crate::grpc",
            "crate::admin",
            "crate::app",
            "crate::cli",
            "evenkeel_engine::decide",
        ],
    },
    // Everything may use the schema; it uses nothing, and the configuration only it.
    Layer {
        prefix: "scaler/src/schema",
        forbidden: &[
            "crate::",
            "kafka_protocol::",
            "reqwest::",
            "std::fs",
            "std::env",
        ],
    },
    Layer {
        prefix: "scaler/src/config",
        forbidden: &[
            "kafka_protocol::",
            "reqwest::",
            "crate::observe",
            "crate::control",
            "crate::grpc",
            "crate::admin",
            "crate::app",
            "crate::cli",
        ],
    },
    Layer {
        prefix: "scaler/src/control",
        forbidden: &[
            "kafka_protocol::",
            "reqwest::",
            "kube::",
            "crate::kubernetes",
            "crate::grpc",
            "crate::admin",
            "crate::app",
            "crate::cli",
        ],
    },
    Layer {
        prefix: "scaler/src/grpc",
        forbidden: &[
            "kafka_protocol::",
            "reqwest::",
            "crate::observe::kafka",
            "crate::admin",
            "crate::app",
            "crate::cli",
            "evenkeel_engine::decide",
        ],
    },
    Layer {
        prefix: "scaler/src/admin",
        forbidden: &[
            "kafka_protocol::",
            "reqwest::",
            "crate::observe::kafka",
            "crate::grpc",
            "crate::app",
            "crate::cli",
            "evenkeel_engine::decide",
        ],
    },
    // The only place that speaks to the API server of Kubernetes.
    Layer {
        prefix: "scaler/src/kubernetes",
        forbidden: &[
            "kafka_protocol::",
            "reqwest::",
            "crate::grpc",
            "crate::admin",
            "crate::app",
            "crate::cli",
            "evenkeel_engine::decide",
        ],
    },
    // The demo's broker is administered over Kafka's protocol; nothing else of the tools speaks it.
    Layer {
        prefix: "tools/src/demo/broker",
        forbidden: &["reqwest::", "crate::cli"],
    },
    Layer {
        prefix: "tools/src/",
        forbidden: &["kafka_protocol::", "reqwest::", "evenkeel_engine::decide"],
    },
    // These two read our own admin server over HTTP.
    Layer {
        prefix: "scaler/src/cli/explain",
        forbidden: &["kafka_protocol::"],
    },
    Layer {
        prefix: "scaler/src/cli/top",
        forbidden: &["kafka_protocol::"],
    },
    Layer {
        prefix: "scaler/src/",
        forbidden: &["kafka_protocol::", "reqwest::", "kube::", "k8s_openapi::"],
    },
    // People copy it: nothing of this workspace is in it.
    Layer {
        prefix: "consumer/",
        forbidden: &["evenkeel"],
    },
    Layer {
        prefix: "consumer-extras/",
        forbidden: &["evenkeel_engine", "evenkeel::"],
    },
];

const BANNED_WORDS: &[&str] = &[
    "#[ignore",
    "todo!(",
    "unimplemented!(",
    "dbg!(",
    "FIXME",
    "XXX",
    "thread::sleep",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file of the workspace that people write, relative to its root, sorted.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = [
        "src",
        "engine",
        "simulator",
        "scaler/src",
        "tools/src",
        "consumer",
        "consumer-extras",
        "tests",
        "benches",
    ]
    .map(|name| root().join(name))
    .into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path != root().join(GENERATED)
            {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    files.sort();
    assert!(
        files.len() > 20,
        "the walk found only {} files",
        files.len()
    );
    files
}

fn read(relative: &Path) -> String {
    fs::read_to_string(root().join(relative)).unwrap()
}

/// Fails with every complaint at once.
#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_decides() {
    let complaints: Vec<String> = sources()
        .iter()
        .filter(|path| !read(path).starts_with("//!"))
        .map(|path| format!("{}: has no `//!` header", path.display()))
        .collect();
    none(&complaints);
}

#[test]
fn no_file_is_too_long_and_none_is_called_mod_rs() {
    let mut complaints = Vec::new();
    for path in sources() {
        let lines = read(&path).lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!(
                "{}: {lines} lines, split it by purpose",
                path.display()
            ));
        }
        if path.ends_with("mod.rs") {
            complaints.push(format!("{}: name it after its folder", path.display()));
        }
    }
    none(&complaints);
}

#[test]
fn layers_hold() {
    let mut complaints = Vec::new();
    for path in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        let Some(layer) = LAYERS.iter().find(|layer| name.starts_with(layer.prefix)) else {
            continue;
        };
        for (index, line) in read(&path).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in layer.forbidden.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!(
                    "{name}:{}: `{word}` may not be used in this layer",
                    index + 1
                ));
            }
        }
    }
    none(&complaints);
}

#[test]
fn no_banned_word_is_left_behind() {
    let mut complaints = Vec::new();
    for path in sources()
        .iter()
        .filter(|path| !path.starts_with("tests/tidy"))
    {
        for (index, line) in read(path).lines().enumerate() {
            for word in BANNED_WORDS.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{}: `{word}`", path.display(), index + 1));
            }
        }
    }
    none(&complaints);
}

#[test]
fn no_file_holds_the_marks_of_a_merge() {
    let mut folders: Vec<PathBuf> = ["docs", "deploy", "setup", ".ci"]
        .map(|name| root().join(name))
        .into();
    let mut files: Vec<PathBuf> = sources().iter().map(|path| root().join(path)).collect();
    let top = fs::read_dir(root()).unwrap();
    files.extend(
        top.map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file()),
    );
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let into = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            into.push(path);
        }
    }
    let mark = |line: &str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
    let marked = files.iter().filter(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().any(mark)
    });
    let complaints: Vec<String> = marked.map(|path| path.display().to_string()).collect();
    none(&complaints);
}

#[test]
fn the_engine_depends_on_nothing_but_serde_and_thiserror() {
    let tree = cargo_tree("evenkeel-engine", &["--depth", "1"]);
    let direct: Vec<&str> = tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(direct, ["serde", "thiserror"], "{tree}");
}

#[test]
fn the_program_links_neither_librdkafka_nor_openssl() {
    let tree = cargo_tree("evenkeel", &[]);
    // Whatever links OpenSSL does it through openssl-sys; openssl-probe only knows where systems
    // keep their certificates.
    for library in ["rdkafka", "openssl-sys", "aws-lc", "native-tls"] {
        assert!(!tree.contains(library), "{library} is in the tree:\n{tree}");
    }
    assert!(
        tree.contains("kafka-protocol"),
        "the tree was not read:\n{tree}"
    );
}

#[test]
fn the_image_is_built_without_the_tools() {
    let image = ["--no-default-features", "--format", "{p} [{f}]"];
    let tree = cargo_tree("evenkeel", &image);
    for not_of_the_scaler in [
        "evenkeel-tools",
        "evenkeel-sim",
        "comfy-table",
        "indicatif",
        "broker",
    ] {
        assert!(
            !tree.contains(not_of_the_scaler),
            "{not_of_the_scaler} is in the image's tree:\n{tree}"
        );
    }
    assert!(
        tree.contains("kafka-protocol") && tree.contains("[client]"),
        "the tree was not read:\n{tree}"
    );
    let dockerfile = read(Path::new("deploy/docker/scaler.Dockerfile"));
    assert!(dockerfile.contains("--package evenkeel --no-default-features "));
}

/// What `package` is linked with, a line each.
fn cargo_tree(package: &str, options: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--edges",
            "normal",
            "--package",
            package,
        ])
        .args(options)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_architecture_names_every_file() {
    let document = read(Path::new("docs/ARCHITECTURE.md"));
    let mut complaints = Vec::new();
    for folder in [
        "src",
        "scaler/src",
        "scaler/src/observe",
        "scaler/src/control",
        "engine/src",
        "simulator/src",
        "tools/src",
        "tools/src/cli",
        "tools/src/demo",
        "tools/src/lab",
        "tools/src/bin",
        "consumer/src",
        "consumer-extras/src",
    ] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if !document.contains(&format!("`{name}`"))
                && !document.contains(&format!("`{name}.rs`"))
            {
                complaints.push(format!(
                    "docs/ARCHITECTURE.md does not name `{name}` of {folder}/"
                ));
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    none(&complaints);
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = read(Path::new("README.md"));
    for command in ["make demo", "make test"] {
        assert!(
            readme.contains(command),
            "README.md does not name `{command}`"
        );
    }
}

#[test]
fn every_decision_record_is_in_the_index() {
    let index = read(Path::new("docs/adr/README.md"));
    let complaints: Vec<String> = fs::read_dir(root().join("docs/adr"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md" && !index.contains(name.as_str()))
        .map(|name| format!("docs/adr/README.md does not list {name}"))
        .collect();
    none(&complaints);
}
