//! What the scaler's chart takes.
//!
//! The schema of `config` comes from the one table of settings, so the chart takes exactly what the
//! process takes; what is not built yet is refused before anything is installed.

use evenkeel_scaler::schema::process::SETTINGS;
use evenkeel_scaler::schema::{Absent, Kind, NAME, Setting, boolean};
use serde_json::{Map, Value, json};

use super::{
    annotations, closed, duration, image, labels, object, objects, probe, resources, text, truth,
    word,
};

/// The chart passes these as arguments, since its ports and probes depend on them.
const NOT_FROM_VALUES: [&str; 2] = ["grpc.listen", "admin.listen"];

/// The beginning of its README.
pub const README: &str = "\
# evenkeel, the chart

A KEDA external scaler for Kafka batch consumers that does not flap: a Deployment of two replicas, one
of which leads, a headless service, a ConfigMap, and the rights that it needs.

```sh
docker build -f deploy/docker/scaler.Dockerfile -t REGISTRY/evenkeel:VERSION . && docker push REGISTRY/evenkeel:VERSION
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
```

Secrets are mounted as files, which the configuration names; a Secret that changes is read again within
10 s after Kubernetes has carried it into the pod, a minute or two, without a restart (not with `subPath`,
which Kubernetes does not update):

```yaml
config:
  clusters:
    main:
      bootstrapServers: [kafka.payments.svc:9093]
      tls: {ca: /var/run/kafka/ca.crt}
      sasl:
        mechanism: SCRAM-SHA-512
        usernameFile: /var/run/kafka/username
        passwordFile: /var/run/kafka/password
volumes:
  - name: kafka
    secret: {secretName: kafka-scaler}
volumeMounts:
  - {name: kafka, mountPath: /var/run/kafka, readOnly: true}
```

TLS towards KEDA is `grpcTls`: a Secret of yours, or one that a cert-manager Certificate writes and
renews; with `clientCertificates` only who has one of the same authority is let in, which is KEDA. The
probes then go to the admin port, since the kubelet speaks no TLS to a gRPC port. docs/keda.md has both
sides.

The configuration lies in a ConfigMap whose name holds its content's hash, and which is immutable: a pod
keeps the one that it was made with, so that the old pods of an update that fails can still be started
again. An upgrade keeps those that pods still have and deletes the others.

Metrics, alerts and the dashboard are off by default, since they are objects of other operators:

```yaml
serviceMonitor: {enabled: true, labels: {release: kube-prometheus-stack}}
prometheusRule:
  enabled: true
  labels: {release: kube-prometheus-stack}
  alerts:
    EvenkeelDataStale: {threshold: 120, for: 5m}
    EvenkeelRateMismatch: {enabled: false}
dashboard: {enabled: true}
```

`release` is the label by which kube-prometheus-stack selects, with the name that it was installed under.
Without the operator, [deploy/alerts/rules.yaml](../../alerts/rules.yaml) is the same as a file of rules.

On OpenShift, which gives users and groups to pods itself:
`--set podSecurityContext.runAsUser=null --set podSecurityContext.runAsGroup=null` (rendered in
`deploy/helm/cases/evenkeel/openshift.yaml`; no OpenShift was met).

## What it asks of Kubernetes

| right | for what | without it (`kubernetes.rights`) |
|---|---|---|
| all namespaces: list, watch of `scaledobjects`, `deployments`, `statefulsets` | replicas, bounds, tolerance and pauses are read | `workloads: false`: replicas are guessed from the addresses of a group's members |
| all namespaces: get of the scale of what `scaleOf` names | the same for Rollouts and other kinds | those are guessed |
| all namespaces: create, patch of `events` | `kubectl describe scaledobject` says why | `events: false`: the log and the page say it |
| its own namespace: get, create, update of `leases` (by name) | one of several replicas leads | `lease: false`: one replica |
| its own namespace: get, create, update of `configmaps` (by name) | what was learned outlives a restart | `configMaps: false`: it is learned again |

`--set kubernetes.enabled=false` asks for nothing at all: one replica, no token in the pod, no roles.
";

/// The schema of every value.
pub fn properties() -> Value {
    json!({
        "nameOverride": text(),
        "fullnameOverride": text(),
        "labels": labels(),
        "runbookBaseUrl": {"type": "string", "pattern": "^(https?://.*)?$"},
        "image": image(),
        "imagePullSecrets": {"type": "array", "items": word()},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 5},
        "kubernetes": closed(json!({
            "enabled": truth(),
            "rights": closed(json!({
                "workloads": truth(),
                "scaleOf": {"type": "array", "items": closed(json!({
                    "apiGroups": {"type": "array", "items": text(), "minItems": 1},
                    "resources": {"type": "array", "items": word(), "minItems": 1},
                }))},
                "lease": truth(),
                "configMaps": truth(),
                "events": truth(),
            })),
        })),
        "config": config_schema(),
        "grpcTls": closed(json!({
            "secret": text(),
            "clientCertificates": truth(),
            "certManager": truth(),
            "issuerRef": object(),
            "duration": duration(),
            "renewBefore": duration(),
        })),
        "volumes": objects(),
        "volumeMounts": objects(),
        "env": objects(),
        "envFrom": objects(),
        "extraObjects": objects(),
        "listenAddress": {"enum": ["0.0.0.0", "[::]"]},
        "logLevel": word(),
        "serviceAccount": closed(json!({
            "create": truth(),
            "name": text(),
            "annotations": annotations(),
        })),
        "podLabels": labels(),
        "podAnnotations": annotations(),
        "podSecurityContext": object(),
        "securityContext": object(),
        "readinessProbe": probe(),
        "livenessProbe": probe(),
        "resources": resources(),
        "revisionHistoryLimit": {"type": "integer", "minimum": 0},
        "dnsConfig": object(),
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 8},
        "priorityClassName": text(),
        "nodeSelector": annotations(),
        "tolerations": objects(),
        "affinity": object(),
        "topologySpreadConstraints": objects(),
        "podDisruptionBudget": closed(json!({"enabled": truth()})),
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
            "namespace": text(),
            "relabelings": objects(),
            "metricRelabelings": objects(),
        })),
        "prometheusRule": closed(json!({
            "enabled": truth(),
            "labels": labels(),
            "namespace": text(),
            "job": text(),
            "alertLabels": annotations(),
            "alerts": alerts(),
        })),
        "dashboard": closed(json!({
            "enabled": truth(),
            "labels": labels(),
            "annotations": annotations(),
            "namespace": text(),
        })),
    })
}

/// What may be changed of each alert of `files/alerts.yaml`; a threshold only where it has one.
fn alerts() -> Value {
    let mut properties = Map::new();
    for alert in crate::alerts::alerts() {
        let mut own = json!({
            "enabled": truth(),
            "for": duration(),
            "severity": word(),
        });
        if !alert["threshold"].is_null() {
            own["threshold"] = json!({"type": "number", "exclusiveMinimum": 0});
        }
        let name = alert["alert"].as_str().unwrap().to_owned();
        properties.insert(name, closed(own));
    }
    closed(Value::Object(properties))
}

/// The schema of `config`, from the table of settings.
fn config_schema() -> Value {
    let mut schema = closed(json!({}));
    for setting in SETTINGS {
        if !setting.kind.is_read() || NOT_FROM_VALUES.contains(&setting.key) {
            continue;
        }
        let (sections, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        let mut place = &mut schema;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            place = if section == NAME {
                profile_of(place)
            } else {
                &mut place["properties"][section]
            };
            if place.is_null() {
                *place = closed(json!({}));
            }
        }
        place["properties"][name] = setting_schema(setting);
        if setting.absent == Absent::Required {
            let required = place["required"].as_array().into_iter().flatten();
            place["required"] = required.cloned().chain([json!(name)]).collect();
        }
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

/// What a setting takes, as far as JSON Schema can say it; the process checks the rest.
fn setting_schema(setting: &Setting) -> Value {
    let mut schema = match setting.kind {
        Kind::Duration { min, max } => json!({"anyOf": [
            {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|h)?$"},
            {"type": "number", "minimum": min.as_secs_f64(), "maximum": max.as_secs_f64()},
        ]}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Addresses | Kind::Globs | Kind::Words | Kind::Pairs | Kind::NamedFiles => {
            json!({"type": "array", "items": text()})
        }
        Kind::Url => json!({"type": "string", "pattern": "^https?://"}),
        Kind::File => json!({"type": "string", "pattern": "^/"}),
        Kind::Text | Kind::Host | Kind::Name => text(),
        other => panic!("{other:?} is no value of the chart"),
    };
    if let Some((least, most)) = setting.kind.items().filter(|(least, _)| *least > 0) {
        schema["minItems"] = json!(least);
        schema["maxItems"] = json!(most);
    }
    schema["description"] = json!(setting.meaning);
    if let Some(default) = setting.default() {
        schema["default"] = match setting.kind {
            Kind::Boolean => json!(boolean(default)),
            Kind::Integer { .. } => serde_json::from_str(default).unwrap(),
            _ => json!(default),
        };
    }
    schema
}
