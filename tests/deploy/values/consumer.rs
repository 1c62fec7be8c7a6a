//! What the consumer's chart takes.
//!
//! The trigger's metadata is held against the one table of keys, so that a typo is refused here
//! already. Whether values go together is for `evenkeel check` to say.

use evenkeel_scaler::schema::Kind;
use evenkeel_scaler::schema::trigger::METADATA;
use serde_json::{Map, Value, json};

use super::{
    annotations, closed, duration, image, labels, object, objects, probe, resources, text, truth,
    word,
};

/// Of the trigger's metadata, what the chart writes from other values.
const WRITTEN: [&str; 6] = [
    "scalerAddress",
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "minReplicas",
    "maxReplicas",
];

/// The beginning of its README.
pub const README: &str = "\
# evenkeel-consumer, the chart

The reference batch consumer with its ScaledObject, on a topic of yours: to try evenkeel with, and to
copy for a consumer of your own.

```sh
docker build -f deploy/docker/consumer.Dockerfile -t REGISTRY/evenkeel-consumer:VERSION . && docker push REGISTRY/evenkeel-consumer:VERSION
helm install trade-workers deploy/helm/evenkeel-consumer --namespace trades \\
  --set image.repository=REGISTRY/evenkeel-consumer \\
  --set kafka.bootstrapServers={kafka.payments.svc:9092} --set kafka.topic=trades --set sink=simulate
```

The dashboard's panels of the consumers want a Deployment and a ScaledObject in one namespace, as here.
";

/// The schema of every value.
pub fn properties() -> Value {
    let count = || json!({"type": "integer", "minimum": 0});
    let from_one = || json!({"type": "integer", "minimum": 1});
    // These come from `kafka` and `sink`.
    let own = "^(BOOTSTRAP_SERVERS|TOPIC|GROUP_ID|SINK)$";
    json!({
        "nameOverride": text(),
        "fullnameOverride": text(),
        "labels": labels(),
        "image": image(),
        "imagePullSecrets": {"type": "array", "items": word()},
        "kafka": closed(json!({
            "bootstrapServers": {"type": "array", "items": word()},
            "topic": text(),
            "consumerGroup": text(),
        })),
        "sink": {"enum": ["", "postgres", "stdout", "simulate"]},
        "env": {
            "type": "object",
            "propertyNames": {"not": {"pattern": own}},
            "additionalProperties": {"anyOf": [text(), closed(json!({"valueFrom": object()}))]},
        },
        "envFrom": objects(),
        "volumes": objects(),
        "volumeMounts": objects(),
        "args": {"type": "array", "items": text()},
        "extraObjects": objects(),
        "podLabels": labels(),
        "podAnnotations": annotations(),
        "podSecurityContext": object(),
        "securityContext": object(),
        "strategy": object(),
        "revisionHistoryLimit": count(),
        "readinessProbe": probe(),
        "livenessProbe": probe(),
        "dnsConfig": object(),
        "resources": resources(),
        "terminationGracePeriodSeconds": count(),
        "serviceAccountName": text(),
        "priorityClassName": text(),
        "nodeSelector": annotations(),
        "tolerations": objects(),
        "affinity": object(),
        "topologySpreadConstraints": objects(),
        "scaledObject": closed(json!({
            "enabled": truth(),
            "scalerAddress": word(),
            "type": {"enum": ["external-push", "external"]},
            "minReplicaCount": count(),
            "maxReplicaCount": from_one(),
            "pollingInterval": from_one(),
            "cooldownPeriod": count(),
            "zeroTolerance": truth(),
            "annotations": annotations(),
            "fallback": object(),
            "authenticationRef": object(),
            "triggers": objects(),
            "metadata": metadata(),
        })),
        "podMonitor": closed(json!({
            "enabled": truth(),
            "labels": labels(),
            "interval": duration(),
            "namespace": text(),
            "relabelings": objects(),
        })),
    })
}

/// The keys of the trigger's metadata that are left, with what each means.
fn metadata() -> Value {
    let mut properties = Map::new();
    for setting in METADATA {
        let is_refused = matches!(setting.kind, Kind::Credential { .. });
        if is_refused || WRITTEN.contains(&setting.key) {
            continue;
        }
        let mut schema = json!({"type": "string", "description": setting.meaning});
        if let Some(default) = setting.default() {
            schema["default"] = json!(default);
        }
        properties.insert(setting.key.to_owned(), schema);
    }
    closed(Value::Object(properties))
}
