//! The documents: every link leads somewhere, the index names every one, the README is short, and nobody has
//! to know what there was before.
//!
//! Whether a command or a figure in them is right is not read here; each names the command that makes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{none, read, root};

/// Three screens of some forty lines.
const README_LINES_MAX: usize = 120;

/// What a document says that was written beside an older one. The changelog is there for that.
const BEFORE: [&str; 8] = [
    "version before",
    "versions before",
    "earlier version",
    "previous version",
    "previous release",
    "older version of evenkeel",
    "in the last version",
    "before this version",
];

/// Every Markdown file, relative to the root.
fn documents() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.md",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<PathBuf> = listed
        .lines()
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect();
    assert!(files.len() > 20, "only {files:?}");
    files
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    text.lines()
        .filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Where links lead.
fn links(text: &str) -> Vec<String> {
    prose(text)
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next().map(str::to_owned))
        .collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
                    _ => None,
                })
                .collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut complaints = Vec::new();
    for document in documents() {
        for link in links(&read(&document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let goal = match file {
                "" => root().join(&document),
                file => root().join(&document).parent().unwrap().join(file),
            };
            if !goal.exists() {
                complaints.push(format!("{}: {link}", document.display()));
            } else if !anchor.is_empty() {
                let text = std::fs::read_to_string(&goal).unwrap_or_default();
                if !anchors(&text).contains(anchor) {
                    complaints.push(format!("{}: {link}: no such heading", document.display()));
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn no_document_speaks_of_what_there_was_before() {
    let mut complaints = Vec::new();
    for document in documents() {
        if document == Path::new("CHANGELOG.md") {
            continue;
        }
        let text = read(&document).to_lowercase();
        for words in BEFORE.iter().filter(|words| text.contains(**words)) {
            complaints.push(format!("{}: \"{words}\"", document.display()));
        }
    }
    none(&complaints);
}

#[test]
fn the_readme_fits_on_three_screens_and_the_index_names_every_document() {
    let lines = read(Path::new("README.md")).lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
    let index = links(&read(Path::new("docs/README.md")));
    let index: BTreeSet<&str> = index
        .iter()
        .map(|link| link.split('#').next().unwrap())
        .collect();
    let missing: Vec<String> = documents()
        .into_iter()
        .filter(|path| path.parent() == Some(Path::new("docs")))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README.md" && !index.contains(name.as_str()))
        .collect();
    none(&missing);
}
