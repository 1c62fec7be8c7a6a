//! The chart as people install it: helm on the lab's API server, and the pods that come of it.
//!
//! A pod is a process there and has no volumes, so it runs a script that fetches the `ConfigMap` its volume
//! names and a token of its service account. The Service is a name that a DNS server here answers with the
//! pods that are Ready and say so on their admin port: nobody asks their gRPC probes. What is done with the
//! release is not decided here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use evenkeel_scaler::admin::api::TargetDetail;
use serde_json::{Value, json};
use tokio::process::Command;

use super::LabError;
use super::cluster::{Lab, answer};
use super::scalers::{Names, leads, readiness, target};
use crate::demo::process;
use crate::demo::programs::io;

/// The release, as the documents have it; it is also the name of its Lease and the begin of its pods'.
pub const RELEASE: &str = "evenkeel";
/// Where it is installed.
pub const NAMESPACE: &str = "keda";
/// The chart's ports.
const PORTS: [u16; 2] = [9090, 8080];
/// What runs as a pod: `$1` is the lab's folder, `$2` where files go, `$3` the program.
const POD: &str = r#"set -euo pipefail
. "$1/lib.sh"
own=$2/$POD_NAME
named=$(k -n "$POD_NAMESPACE" get pod "$POD_NAME" -o jsonpath='{.spec.volumes[?(@.name=="config")].configMap.name}')
k -n "$POD_NAMESPACE" get configmap "$named" -o jsonpath='{.data.evenkeel\.yaml}' >"$own.yaml"
token=$(k -n "$POD_NAMESPACE" create token evenkeel)
k config view --raw --flatten --minify >"$own.kubeconfig"
k --kubeconfig "$own.kubeconfig" config set-credentials pod --token="$token" >&2
k --kubeconfig "$own.kubeconfig" config set-context --current --user=pod >&2
export EVENKEEL__KUBERNETES__KUBECONFIG=$own.kubeconfig EVENKEEL__KUBERNETES__NAMESPACE=$POD_NAMESPACE
echo $$ >"$own.pid"
exec "$3" serve --config="$own.yaml" --grpc-listen="$POD_IP:9090" --admin-listen="$POD_IP:8080"
"#;

/// A pod of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its address.
    pub host: Ipv4Addr,
    /// The `ConfigMap` that it was made with.
    pub config: String,
    /// With which code it last ended, where it has.
    pub ended: Option<i64>,
    /// Whether it is on the list of the name's addresses.
    pub is_listed: bool,
}

/// The chart, installed or not.
#[derive(Debug)]
pub struct Release {
    helm: PathBuf,
    chart: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
    pod: String,
    servers: Vec<String>,
    names: Names,
    /// As they were at the last look.
    pub pods: Vec<Pod>,
}

// === impl Pod ===

impl Pod {
    /// Where it answers KEDA, and where it answers people.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        PORTS.map(|port| SocketAddr::from((self.host, port)))
    }

    /// The last part of its address.
    pub fn number(&self) -> u8 {
        let [.., last] = self.host.octets();
        last
    }

    /// Of what the API server says; none where it has no address yet.
    fn of(pod: &Value) -> Option<Self> {
        let text = |path| pod.pointer(path)?.as_str();
        let volumes = pod.pointer("/spec/volumes")?.as_array()?;
        let is =
            |it: &Value, key: &str, value: &str| it.get(key).and_then(Value::as_str) == Some(value);
        let mut volumes = volumes.iter();
        let config = volumes.find(|volume| is(volume, "name", "config"))?;
        let conditions = pod.pointer("/status/conditions")?.as_array()?;
        let is_ready = |it: &Value| is(it, "type", "Ready") && is(it, "status", "True");
        let ended = "/status/containerStatuses/0/lastState/terminated/exitCode";
        Some(Self {
            name: text("/metadata/name")?.to_owned(),
            host: text("/status/podIP")?.parse().ok()?,
            config: config.pointer("/configMap/name")?.as_str()?.to_owned(),
            ended: pod.pointer(ended).and_then(Value::as_i64),
            is_listed: conditions.iter().any(is_ready)
                && pod.pointer("/metadata/deletionTimestamp").is_none(),
        })
    }
}

// === impl Release ===

impl Release {
    /// Of `chart` by `helm`, to be installed in `lab` with `program` as what its pods run; `folder` is for
    /// its files.
    ///
    /// # Errors
    /// When a file cannot be written, or there is no port for names.
    pub async fn new(
        (helm, chart): (&Path, &Path),
        lab: &Lab,
        program: &Path,
        folder: &Path,
        bootstrap_servers: &str,
    ) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder).map_err(io("making a folder for the release"))?;
        let script = folder.join("pod.sh");
        std::fs::write(&script, POD).map_err(io("writing what a pod runs"))?;
        let parts = [&script, lab.scripts(), folder, program];
        let parts = parts.map(|part| format!("'{}'", part.display()));
        Ok(Self {
            helm: helm.to_owned(),
            chart: chart.to_owned(),
            kubeconfig: lab.folder().join("kubeconfig"),
            folder: folder.to_owned(),
            pod: format!("exec bash {}", parts.join(" ")),
            servers: bootstrap_servers.split(',').map(str::to_owned).collect(),
            names: Names::start().await?,
            pods: Vec::new(),
        })
    }

    /// Its address, as a ScaledObject names it.
    pub fn address(&self) -> String {
        let [port, _] = PORTS;
        self.names.address(port)
    }

    /// `helm install` or `helm upgrade` with the process configuration `more` beside the cluster's.
    ///
    /// # Errors
    /// When the values cannot be written.
    pub fn apply(&self, verb: &str, more: &Value) -> Result<Command, LabError> {
        let mut config = json!({"clusters": {"lab": {"bootstrapServers": self.servers}}});
        if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
            config.extend(more.clone());
        }
        let values = json!({
            "image": {"repository": "evenkeel"},
            "podAnnotations": {"podrunner/command": self.pod, "podrunner/ready-delay": "3s"},
            "config": config,
        });
        let path = self.folder.join("values.yaml");
        std::fs::write(&path, values.to_string()).map_err(io("writing the chart's values"))?;
        let mut command = self.helm(&[verb, RELEASE]);
        command.arg(&self.chart).arg("--values").arg(path);
        Ok(command)
    }

    /// `helm` on the lab's API server, in the release's namespace, with nothing of the user's own.
    pub fn helm(&self, arguments: &[&str]) -> Command {
        let mut command = process::bound_command(&self.helm);
        command
            .args(arguments)
            .args(["--namespace", NAMESPACE, "--kubeconfig"])
            .arg(&self.kubeconfig)
            .env("HELM_CACHE_HOME", &self.folder)
            .env("HELM_CONFIG_HOME", &self.folder)
            .env("HELM_DATA_HOME", &self.folder);
        command
    }

    /// Looks which pods there are, and lists those that are ready.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn look(&mut self, lab: &Lab) -> Result<(), LabError> {
        let label = format!("app.kubernetes.io/instance={RELEASE}");
        let pods = ["get", "pods", "-n", NAMESPACE, "-l", &label, "-o", "json"];
        let said: Value = serde_json::from_str(&lab.ask(&pods).await?).unwrap_or_default();
        let items = said.pointer("/items").and_then(Value::as_array);
        let items = items.into_iter().flatten();
        let mut pods: Vec<Pod> = items.filter_map(Pod::of).collect();
        for pod in &mut pods {
            let [_, admin] = pod.addresses();
            pod.is_listed = pod.is_listed && readiness(admin).await.starts_with("ready");
        }
        let listed = pods.iter().filter(|pod| pod.is_listed);
        self.names.set(listed.map(|pod| pod.host).collect());
        self.pods = pods;
        Ok(())
    }

    /// Which of those that are listed says that it leads.
    pub async fn leader(&self) -> Option<&Pod> {
        for pod in self.pods.iter().filter(|pod| pod.is_listed) {
            let [_, admin] = pod.addresses();
            if leads(admin).await {
                return Some(pod);
            }
        }
        None
    }

    /// What the leader knows of a target.
    pub async fn target(&self, namespace: &str, name: &str) -> Option<TargetDetail> {
        let [_, admin] = self.leader().await?.addresses();
        target(admin, namespace, name).await
    }

    /// Ends a pod's process at once, as the kernel does where memory is short.
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill(&self, pod: &Pod) -> Result<(), LabError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"kill -s KILL "$(cat "$0")""#]);
        command.arg(self.folder.join(format!("{}.pid", pod.name)));
        answer(&format!("ending {}", pod.name), command.output().await).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> Option<Pod> {
        let mut pod = json!({
            "metadata": {"name": "evenkeel-1"},
            "spec": {"volumes": [{"name": "config", "configMap": {"name": "evenkeel-0a"}}]},
            "status": {
                "podIP": "127.77.0.9",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"lastState": {"terminated": {"exitCode": 64}}}],
            },
        });
        change(&mut pod);
        Pod::of(&pod)
    }

    #[test]
    fn a_pod_that_is_not_ready_or_goes_is_not_listed() {
        let found = pod(|_| ()).unwrap();
        assert!(found.is_listed);
        assert_eq!((found.number(), found.ended), (9, Some(64)));
        assert_eq!(found.config, "evenkeel-0a");
        let unready = pod(|pod| pod["status"]["conditions"][0]["status"] = json!("False"));
        assert!(!unready.unwrap().is_listed);
        let going = pod(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-30T08:00:00Z"));
        assert!(!going.unwrap().is_listed);
        assert_eq!(pod(|pod| pod["status"]["podIP"] = Value::Null), None);
    }
}
