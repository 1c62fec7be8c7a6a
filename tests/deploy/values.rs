//! The values of the scaler's chart: its schema and its README are written from what is known of
//! them, and a drift fails here (`UPDATE_EXPECT=1` rewrites).
//!
//! The schema of `config` comes from the one table of settings, so the chart takes exactly what the
//! process takes; what is not built yet is refused before anything is installed.

use std::fmt::Write as _;

use evenkeel::config::options::{Kind, SETTINGS};
use expect_test::expect_file;
use serde_json::{Map, Value, json};

use super::chart_tool::root;

/// The chart passes these as arguments, since its ports and probes depend on them.
const NOT_FROM_VALUES: [&str; 2] = ["grpc.listen", "admin.listen"];

/// One value as values.yaml has it.
#[derive(Debug)]
pub struct Documented {
    /// Its path, with dots.
    pub path: String,
    /// Its default.
    pub default: Value,
    /// What it means.
    pub meaning: String,
}

/// Every value of values.yaml that carries a meaning, in its order.
pub fn documented() -> Vec<Documented> {
    let text = std::fs::read_to_string(root().join("deploy/helm/evenkeel/values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&text).expect("values.yaml is YAML");
    let mut found = Vec::new();
    let mut meaning = String::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(first) = line.strip_prefix("# -- ") {
            first.clone_into(&mut meaning);
        } else if let Some(more) = line.strip_prefix("# ") {
            if !meaning.is_empty() {
                write!(meaning, " {more}").unwrap();
            }
        } else if let Some((key, _)) = line.split_once(':')
            && !line.starts_with('-')
        {
            path.retain(|(level, _)| *level < indent);
            path.push((indent, key.to_owned()));
            if !meaning.is_empty() {
                let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
                let pointer = format!("/{}", names.join("/"));
                let default = defaults.pointer(&pointer);
                found.push(Documented {
                    path: names.join("."),
                    default: default.unwrap_or_else(|| panic!("{pointer}")).clone(),
                    meaning: std::mem::take(&mut meaning),
                });
            }
        }
    }
    found
}

#[test]
fn every_value_carries_a_meaning() {
    let documented = documented();
    let text = std::fs::read_to_string(root().join("deploy/helm/evenkeel/values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&text).unwrap();
    let mut silent = Vec::new();
    for (name, value) in defaults.as_object().unwrap() {
        let is_known = |path: &str| documented.iter().any(|value| value.path == path);
        if is_known(name) {
            continue;
        }
        let within = value.as_object().cloned().unwrap_or_default();
        if within.is_empty() {
            silent.push(name.clone());
        }
        let paths = within.keys().map(|key| format!("{name}.{key}"));
        silent.extend(paths.filter(|path| !is_known(path)));
    }
    assert_eq!(silent, Vec::<String>::new(), "no `# --` comment above");
}

#[test]
fn the_readme_says_what_values_yaml_says() {
    let mut text = String::from(
        "\
<!-- Written from values.yaml by `make generate`. -->
# evenkeel, the chart

A KEDA external scaler for Kafka batch consumers that does not flap: one Deployment, one headless
service, one ConfigMap. Nothing of it asks Kubernetes for anything, so it has no rights there.

```sh
docker build -f deploy/docker/scaler.Dockerfile -t REGISTRY/evenkeel:0.1.0 . && docker push REGISTRY/evenkeel:0.1.0
helm install evenkeel deploy/helm/evenkeel --namespace keda --set image.repository=REGISTRY/evenkeel
```

Point a ScaledObject at `evenkeel.keda.svc:9090`; [deploy/examples](../../examples/README.md) has some
to copy. A configuration that the process would refuse is refused by the schema of the values, before
anything is installed:

```yaml
config:
  clusters:
    main:
      bootstrapServers: [kafka.payments.svc:9092]
      namespaces: [payments]
  adhocClusters: false
```

What this version of evenkeel cannot do is not among the values: TLS and SASL to Kafka, TLS to KEDA,
credentials for Prometheus, a second replica.

| value | default | meaning |
|---|---|---|
",
    );
    for value in documented() {
        let meaning = value.meaning.replace('|', "\\|");
        writeln!(
            text,
            "| `{}` | `{}` | {meaning} |",
            value.path, value.default
        )
        .unwrap();
    }
    expect_file!["../../deploy/helm/evenkeel/README.md"].assert_eq(&text);
}

#[test]
fn the_schema_takes_what_the_process_takes() {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap();
    text.push('\n');
    expect_file!["../../deploy/helm/evenkeel/values.schema.json"].assert_eq(&text);
}

fn schema() -> Value {
    let text = || json!({"type": "string"});
    let word = || json!({"type": "string", "minLength": 1});
    let truth = || json!({"type": "boolean"});
    let duration = || json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"});
    // Kubernetes' own structures: the API server judges them.
    let object = || json!({"type": "object"});
    let objects = || json!({"type": "array", "items": {"type": "object"}});
    let annotations = || texts(json!({}));
    let labels = || {
        let own = "^(app\\.kubernetes\\.io/(name|instance|component|part-of|version|managed-by)|helm\\.sh/chart)$";
        texts(json!({"propertyNames": {"not": {"pattern": own}}}))
    };
    let mut schema = closed(json!({
        // Where this is the dependency of another chart, helm hands `global` to it.
        "global": object(),
        "nameOverride": text(),
        "fullnameOverride": text(),
        "labels": labels(),
        "image": closed(json!({
            "repository": text(),
            "tag": text(),
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        })),
        "imagePullSecrets": {"type": "array", "items": word()},
        "config": config_schema(),
        "listenAddress": {"enum": ["0.0.0.0", "[::]"]},
        "logLevel": word(),
        "serviceAccount": closed(json!({
            "create": truth(),
            "name": text(),
            "annotations": annotations(),
        })),
        "podLabels": labels(),
        "podAnnotations": texts(json!({"propertyNames": {"not": {"const": "checksum/config"}}})),
        "resources": closed(json!({"requests": object(), "limits": object()})),
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 8},
        "priorityClassName": text(),
        "nodeSelector": annotations(),
        "tolerations": objects(),
        "affinity": object(),
        "service": closed(json!({"annotations": annotations()})),
        "networkPolicy": closed(json!({
            "enabled": truth(),
            "kedaPeers": objects(),
            "adminPeers": objects(),
            "egress": objects(),
        })),
        "serviceMonitor": closed(json!({
            "enabled": truth(),
            "labels": labels(),
            "interval": duration(),
            "scrapeTimeout": duration(),
        })),
        "prometheusRule": closed(json!({"enabled": truth(), "labels": labels()})),
        "dashboard": closed(json!({
            "enabled": truth(),
            "labels": labels(),
            "annotations": annotations(),
        })),
    }));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Values of the chart evenkeel");
    schema
}

/// An object of texts, with more rules.
fn texts(more: Value) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let rules = more.as_object().cloned().unwrap_or_default();
    schema.as_object_mut().unwrap().extend(rules);
    schema
}

/// An object that knows no other keys.
fn closed(properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// The schema of `config`, from the table of settings.
fn config_schema() -> Value {
    let mut schema = closed(json!({}));
    for setting in SETTINGS {
        if setting.kind == Kind::NotYet || NOT_FROM_VALUES.contains(&setting.path) {
            continue;
        }
        let mut place = &mut schema;
        let mut names = setting.path.split('.').peekable();
        while let Some(name) = names.next() {
            place = if name == "NAME" {
                profile_of(place)
            } else {
                let properties = place["properties"].as_object_mut().unwrap();
                let empty = || match names.peek() {
                    None => setting_schema(setting.kind, setting.meaning),
                    Some(_) => closed(json!({})),
                };
                properties.entry(name).or_insert_with(empty)
            };
        }
    }
    for (section, key) in [("clusters", "bootstrapServers"), ("prometheus", "url")] {
        profile_of(&mut schema["properties"][section])["required"] = json!([key]);
    }
    schema
}

/// The schema of one profile of a section, whose keys are the profiles' names.
fn profile_of(section: &mut Value) -> &mut Value {
    let pattern = "^[A-Za-z0-9._-]{1,63}$";
    let section = section.as_object_mut().unwrap();
    section.remove("properties");
    let profiles = section
        .entry("patternProperties")
        .or_insert_with(|| json!({pattern: closed(json!({}))}));
    &mut profiles[pattern]
}

fn setting_schema(kind: Kind, meaning: &str) -> Value {
    let mut schema = match kind {
        Kind::Duration { .. } => json!({"anyOf": [
            {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|h)?$"},
            {"type": "number", "minimum": 0},
        ]}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Addresses => json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
        Kind::Globs => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Url => json!({"type": "string", "pattern": "^https?://"}),
        Kind::Text => json!({"type": "string"}),
        Kind::Listen | Kind::NotYet => panic!("{kind:?} is no value of the chart"),
    };
    schema["description"] = json!(meaning);
    schema
}

/// A copy of `values` without the value at `path`, or none where it is not set.
pub fn without(values: &Value, path: &str) -> Option<Value> {
    let (section, key) = path.rsplit_once('.').map_or(("", path), |(s, k)| (s, k));
    let mut values = values.clone();
    let pointer = if section.is_empty() {
        String::new()
    } else {
        format!("/{}", section.replace('.', "/"))
    };
    let section: &mut Map<String, Value> = values.pointer_mut(&pointer)?.as_object_mut()?;
    section.remove(key)?;
    Some(values)
}
