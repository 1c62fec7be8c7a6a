//! What Artifact Hub reads: of this version, well formed, and no link into nothing.
//!
//! Artifact Hub's own linter is a service's; what its documentation asks for is held here.

use serde_json::Value;

use super::chart_tool::root;

const CHARTS: &[&str] = &["evenkeel", "evenkeel-consumer"];
const CATEGORIES: &[&str] = &[
    "ai-machine-learning",
    "database",
    "integration-delivery",
    "monitoring-logging",
    "networking",
    "security",
    "skip-prediction",
    "storage",
    "streaming-messaging",
];
const KINDS: &[&str] = &[
    "added",
    "changed",
    "deprecated",
    "removed",
    "fixed",
    "security",
];
const OUR_FILES: &str = "https://github.com/evenkeel/evenkeel/blob/main/";

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn read(path: &str) -> Value {
    yaml(&std::fs::read_to_string(root().join(path)).unwrap())
}

/// Every link with a name, and every one into this repository to a file that is there.
fn assert_links(links: &Value, whose: &str) {
    let links = links.as_array().unwrap();
    assert!(!links.is_empty(), "{whose}");
    for link in links {
        assert!(!link["name"].as_str().unwrap().is_empty(), "{whose}");
        let url = link["url"].as_str().unwrap();
        assert!(url.starts_with("https://"), "{whose}: {url}");
        if let Some(path) = url.strip_prefix(OUR_FILES) {
            assert!(root().join(path).is_file(), "{whose}: {url}");
        }
    }
}

fn assert_changes(changes: &Value, whose: &str) {
    for change in changes.as_array().unwrap() {
        assert!(KINDS.contains(&change["kind"].as_str().unwrap()), "{whose}");
        assert!(
            !change["description"].as_str().unwrap().is_empty(),
            "{whose}"
        );
        if !change["links"].is_null() {
            assert_links(&change["links"], whose);
        }
    }
}

#[test]
fn the_charts_annotations_are_what_artifact_hub_takes() {
    for chart in CHARTS {
        let chart = read(&format!("deploy/helm/{chart}/Chart.yaml"));
        let name = chart["name"].as_str().unwrap();
        let annotation = |key: &str| {
            let value = &chart["annotations"][format!("artifacthub.io/{key}")];
            value
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {key} is no string"))
        };
        assert!(CATEGORIES.contains(&annotation("category")), "{name}");
        assert_eq!(annotation("license"), env!("CARGO_PKG_LICENSE"), "{name}");
        assert_eq!(annotation("prerelease"), "true", "{name}");
        assert_changes(&yaml(annotation("changes")), name);
        assert_links(&yaml(annotation("links")), name);
        let recommended = yaml(annotation("recommendations"));
        let url = recommended[0]["url"].as_str().unwrap();
        assert!(
            url.starts_with("https://artifacthub.io/packages/"),
            "{name}: {url}"
        );
    }
}

#[test]
fn the_scaler_in_the_list_of_keda_scalers_is_this_version() {
    let package = read("deploy/artifacthub/evenkeel/artifacthub-pkg.yml");
    for key in ["version", "appVersion"] {
        assert_eq!(package[key], env!("CARGO_PKG_VERSION"), "{key}");
    }
    for key in ["name", "displayName", "createdAt", "description"] {
        assert!(package[key].is_string(), "{key} is required");
    }
    assert!(CATEGORIES.contains(&package["category"].as_str().unwrap()));
    assert_eq!(package["license"], env!("CARGO_PKG_LICENSE"));
    assert_links(&package["links"], "artifacthub-pkg.yml");
    assert_changes(&package["changes"], "artifacthub-pkg.yml");
    let folder = root().join("deploy/artifacthub");
    assert!(folder.join("artifacthub-repo.yml").is_file());
    assert!(folder.join("evenkeel/README.md").is_file());
}
