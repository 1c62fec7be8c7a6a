//! What Artifact Hub reads: of this version, well formed, and with no address that nobody has.
//!
//! Where the repository lies is one value, which `make release HOME_URL=` writes: the workspace's, the
//! charts' and Artifact Hub's are the same, or there is none. Artifact Hub's own linter is a service's; what
//! its documentation asks for is held here.

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

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn read(path: &str) -> Value {
    yaml(&std::fs::read_to_string(root().join(path)).unwrap())
}

/// Where whoever publishes it has the repository, if somebody does.
fn home() -> Value {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("repository = \""));
    line.map_or(Value::Null, |rest| rest.trim_end_matches('"').into())
}

fn assert_changes(changes: &Value, whose: &str) {
    for change in changes.as_array().unwrap() {
        assert!(KINDS.contains(&change["kind"].as_str().unwrap()), "{whose}");
        assert!(
            !change["description"].as_str().unwrap().is_empty(),
            "{whose}"
        );
    }
}

#[test]
fn the_charts_annotations_are_what_artifact_hub_takes() {
    for chart in CHARTS {
        let full = read(&format!("deploy/helm/{chart}/Chart.yaml"));
        let name = full["name"].as_str().unwrap();
        let annotation = |key: &str| {
            let value = &full["annotations"][format!("artifacthub.io/{key}")];
            value
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {key} is no string"))
        };
        assert!(CATEGORIES.contains(&annotation("category")), "{name}");
        assert_eq!(annotation("license"), env!("CARGO_PKG_LICENSE"), "{name}");
        assert_eq!(annotation("prerelease"), "true", "{name}");
        assert_changes(&yaml(annotation("changes")), name);
        assert_eq!(full["home"], home(), "{name}");
        assert_eq!(full["sources"][0], home(), "{name}");
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
    assert_eq!(package["homeURL"], home());
    assert_changes(&package["changes"], "artifacthub-pkg.yml");
    let folder = root().join("deploy/artifacthub");
    assert!(folder.join("artifacthub-repo.yml").is_file());
    assert!(folder.join("evenkeel/README.md").is_file());
}
