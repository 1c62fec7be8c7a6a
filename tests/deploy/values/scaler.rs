//! What the scaler's chart takes.
//!
//! The schema of `config` comes from the one table of settings, so the chart takes exactly what the
//! process takes; what is not built yet is refused before anything is installed.

use evenkeel_scaler::config::options::{Kind, SETTINGS};
use serde_json::{Value, json};

use super::{
    annotations, closed, duration, image, labels, object, objects, resources, text, texts, truth,
    word,
};

/// The chart passes these as arguments, since its ports and probes depend on them.
const NOT_FROM_VALUES: [&str; 2] = ["grpc.listen", "admin.listen"];

/// The beginning of its README.
pub const README: &str = "\
# evenkeel, the chart

A KEDA external scaler for Kafka batch consumers that does not flap: one Deployment, one headless
service, one ConfigMap. Nothing of it asks Kubernetes for anything, so it has no rights there.

```sh
docker build -f deploy/docker/scaler.Dockerfile -t REGISTRY/evenkeel:0.1.0 . && docker push REGISTRY/evenkeel:0.1.0
helm install evenkeel deploy/helm/evenkeel --namespace keda --set image.repository=REGISTRY/evenkeel
```

Point a ScaledObject at `evenkeel.keda.svc:9090`; [deploy/examples](../../examples/README.md) has some
to copy. `config` is the process configuration of [docs/configuration.md](../../../docs/configuration.md);
a key that the process does not know, or a value of the wrong kind, is refused before anything is
installed:

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
";

/// The schema of every value.
pub fn properties() -> Value {
    json!({
        "nameOverride": text(),
        "fullnameOverride": text(),
        "labels": labels(),
        "image": image(),
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
        "resources": resources(),
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
    })
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
