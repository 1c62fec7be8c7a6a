//! Several `evenkeel serve` behind one name, with the rights that the chart gives them.
//!
//! Each listens on a loopback address of its own, with the same ports, and gets an identity of its own,
//! as a pod does. The name is that of a tiny DNS server here, which answers with the addresses that are
//! listed; KEDA's gRPC client resolves it as it resolves a Service without a cluster IP. Whether a
//! replica is listed is the caller's affair, as readiness is the kubelet's. Nothing of the machine's own
//! names is touched. What is tested with them is not decided here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_scaler::admin::api::TargetDetail;
use serde_json::{Map, Value, json};
use tokio::net::UdpSocket;
use tokio::process::Child;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::LabError;
use super::cluster::{Lab, late};
use crate::demo::programs::{LogFolder, io, running, serve};
use crate::demo::{DemoError, process, scaler};

/// The chart's release, and its namespace: those of the manifests that are rendered.
const RELEASE: &str = "trial-evenkeel";
const NAMESPACE: &str = "scaling";
/// What the chart puts into Kubernetes besides pods and services.
const RIGHTS: [&str; 5] = [
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];
/// How long a replica may take until it is ready, and to end.
const READY_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// The name that the scalers have.
pub const NAME: &str = "evenkeel.lab";

/// Gives the chart's rights, as they are rendered in `manifests`, and writes their kubeconfig to `path`.
///
/// # Errors
/// When the API server says no, or the file cannot be written.
pub async fn admit(lab: &Lab, manifests: &str, path: &Path) -> Result<(), LabError> {
    grant(lab, manifests).await?;
    kubeconfig(lab, path).await
}

/// Applies the chart's rights, as they are rendered in `manifests`.
///
/// # Errors
/// When they cannot be read, or the API server says no.
pub async fn grant(lab: &Lab, manifests: &str) -> Result<(), LabError> {
    let is_right = |part: &&str| {
        let kind = part.lines().find_map(|line| line.strip_prefix("kind: "));
        kind.is_some_and(|kind| RIGHTS.contains(&kind))
    };
    let parts: Vec<&str> = manifests.split("\n---").filter(is_right).collect();
    let namespace =
        format!("\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    lab.apply(&namespace).await?;
    lab.apply(&parts.join("\n---")).await
}

/// Writes a kubeconfig with a token of the release's service account, and nothing else of the lab's.
///
/// # Errors
/// When the token cannot be had.
async fn kubeconfig(lab: &Lab, path: &Path) -> Result<(), LabError> {
    let token = [
        "create",
        "token",
        RELEASE,
        "-n",
        NAMESPACE,
        "--duration=24h",
    ];
    let token = lab.ask(&token).await?;
    let own = lab.ask(&["config", "view", "--raw", "--flatten", "-o", "json"]);
    let own: Value = serde_json::from_str(&own.await?).unwrap_or_default();
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "scaler",
        "clusters": [{"name": "lab", "cluster": own.pointer("/clusters/0/cluster")}],
        "users": [{"name": "scaler", "user": {"token": token.trim()}}],
        "contexts": [{"name": "scaler", "context": {"cluster": "lab", "user": "scaler"}}],
    });
    std::fs::write(path, text.to_string()).map_err(io("writing a kubeconfig"))?;
    Ok(())
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    /// The last part of its address.
    pub number: u8,
    /// Where it answers KEDA.
    pub grpc: SocketAddr,
    /// Where it answers people.
    pub admin: SocketAddr,
    log: PathBuf,
    child: Child,
}

/// All replicas that run, and their name.
#[derive(Debug)]
pub struct Scalers {
    program: PathBuf,
    logs: LogFolder,
    bootstrap_servers: String,
    kubeconfig: PathBuf,
    ports: [u16; 2],
    last: u8,
    names: Names,
    /// The address of a Prometheus that targets may use.
    pub prometheus: Option<String>,
    /// What else those that start are told of the port for KEDA.
    pub grpc: Map<String, Value>,
    /// Those that run.
    pub replicas: Vec<Replica>,
}

// === impl Replica ===

impl Replica {
    /// What `/readyz` says; nothing where nobody answers.
    pub async fn readiness(&self) -> String {
        readiness(self.admin).await
    }

    /// What it knows of a target.
    pub async fn target(&self, namespace: &str, name: &str) -> Option<TargetDetail> {
        target(self.admin, namespace, name).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The memory that it holds, in KiB.
    pub fn memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// With the end of its log, if not.
    pub fn check(&mut self) -> Result<(), DemoError> {
        running("evenkeel serve", &mut self.child, &self.log)
    }

    /// Sends it a signal, by its name without SIG.
    pub async fn signal(&self, name: &str) {
        process::signal(&self.child, name).await;
    }

    /// Ends it in order.
    pub async fn end(mut self) {
        process::end(&mut self.child, END_WITHIN).await;
    }

    /// Ends it at once.
    pub async fn kill(mut self) {
        process::kill(&mut self.child).await;
    }
}

// === impl Scalers ===

impl Scalers {
    /// None yet, and their name.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn new(
        program: &Path,
        logs: LogFolder,
        bootstrap_servers: &str,
        kubeconfig: &Path,
    ) -> Result<Self, LabError> {
        let free = || {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
            free.map(|address| address.port())
                .map_err(io("finding a port"))
        };
        Ok(Self {
            program: program.to_owned(),
            logs,
            bootstrap_servers: bootstrap_servers.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            ports: [free()?, free()?],
            last: 1,
            names: Names::start().await?,
            prometheus: None,
            grpc: Map::new(),
            replicas: Vec::new(),
        })
    }

    /// Their address, as a ScaledObject names it.
    pub fn address(&self) -> String {
        let [port, _] = self.ports;
        self.names.address(port)
    }

    /// Starts one more, not yet listed and perhaps not ready; without `knows_kubernetes` it is alone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, knows_kubernetes: bool) -> Result<u8, LabError> {
        self.last += 1;
        let number = self.last;
        let host = Ipv4Addr::new(127, 0, 0, number);
        let [grpc, admin] = self.ports.map(|port| SocketAddr::from((host, port)));
        let servers: Vec<&str> = self.bootstrap_servers.split(',').collect();
        let mut port = self.grpc.clone();
        port.insert("listen".to_owned(), json!(grpc));
        let mut settings = json!({
            "grpc": port, "admin": {"listen": admin},
            "clusters": {"lab": {"bootstrapServers": servers}},
        });
        if let (Some(url), Some(settings)) = (&self.prometheus, settings.as_object_mut()) {
            settings.insert("prometheus".to_owned(), json!({"lab": {"url": url}}));
        }
        if knows_kubernetes && let Some(settings) = settings.as_object_mut() {
            let kubernetes = json!({"kubeconfig": self.kubeconfig, "namespace": NAMESPACE});
            let identity = format!("replica-{number}");
            let leader = json!({"lease": RELEASE, "host": host, "identity": identity});
            let state = json!({"configMaps": format!("{RELEASE}-learned")});
            settings.insert("kubernetes".to_owned(), kubernetes);
            settings.insert("leader".to_owned(), leader);
            settings.insert("state".to_owned(), state);
        }
        let log = self.logs.file(&format!("replica-{number}"))?;
        let config = log.with_extension("yaml");
        let writing = "writing a scaler's configuration";
        std::fs::write(&config, settings.to_string()).map_err(io(writing))?;
        let child = serve(&self.program, &config, &log)?;
        self.replicas.push(Replica {
            number,
            grpc,
            admin,
            log,
            child,
        });
        Ok(number)
    }

    /// Starts one, waits until it is ready, and lists it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_listed(&mut self) -> Result<u8, LabError> {
        let number = self.start(true)?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = self.get(number)?.readiness().await;
            if said.starts_with("ready") {
                self.list(number, true);
                return Ok(number);
            }
            if Instant::now() >= deadline {
                let what = format!("replica {number} is ready (it says {said:?})");
                return Err(late(&what, READY_WITHIN));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Puts a replica on the list of the name's addresses, or takes it off.
    pub fn list(&self, number: u8, listed: bool) {
        let host = Ipv4Addr::new(127, 0, 0, number);
        let mut list = self.names.list();
        list.retain(|known| *known != host);
        if listed {
            list.push(host);
        }
        self.names.set(list);
    }

    /// One that runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn get(&self, number: u8) -> Result<&Replica, LabError> {
        let mut all = self.replicas.iter();
        let found = all.find(|replica| replica.number == number);
        found.ok_or_else(|| absent(&format!("replica {number}")))
    }

    /// Takes one off the list and hands it over, to be ended.
    ///
    /// # Errors
    /// When it does not run.
    pub fn take(&mut self, number: u8) -> Result<Replica, LabError> {
        self.list(number, false);
        let mut all = self.replicas.iter();
        let found = all.position(|replica| replica.number == number);
        let found = found.ok_or_else(|| absent(&format!("replica {number}")))?;
        Ok(self.replicas.swap_remove(found))
    }

    /// Which one says that it leads, waiting for one to.
    ///
    /// # Errors
    /// When none does for a minute.
    pub async fn leader(&self) -> Result<u8, LabError> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            for replica in &self.replicas {
                if leads(replica.admin).await {
                    return Ok(replica.number);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(late("a replica leads", READY_WITHIN))
    }

    /// Ends all of them, at the same time.
    pub async fn end(&mut self) {
        let numbers: Vec<u8> = self.replicas.iter().map(|replica| replica.number).collect();
        let taken = numbers
            .into_iter()
            .filter_map(|number| self.take(number).ok());
        futures::future::join_all(taken.map(Replica::end)).await;
    }
}

/// What `/readyz` of a replica says; nothing where nobody answers.
pub(super) async fn readiness(admin: SocketAddr) -> String {
    let said = scaler::get(admin, "/readyz").await;
    said.unwrap_or_default().trim().to_owned()
}

/// Whether a replica says that it leads.
pub(super) async fn leads(admin: SocketAddr) -> bool {
    readiness(admin).await.ends_with("this replica leads")
}

/// What a replica knows of a target.
pub(super) async fn target(admin: SocketAddr, namespace: &str, name: &str) -> Option<TargetDetail> {
    let path = format!("/api/v1/targets/{namespace}/{name}");
    serde_json::from_str(&scaler::get(admin, &path).await.ok()?).ok()
}

fn absent(what: &str) -> LabError {
    LabError::Failed {
        what: what.to_owned(),
        said: "it does not run".to_owned(),
    }
}

/// Answers every question for an address with those that are listed.
#[derive(Debug)]
pub(super) struct Names {
    server: SocketAddr,
    list: Arc<Mutex<Vec<Ipv4Addr>>>,
    _task: AbortOnDropHandle<()>,
}

// === impl Names ===

impl Names {
    pub(super) async fn start() -> Result<Self, LabError> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let socket = socket.map_err(io("opening a port for names"))?;
        let server = socket
            .local_addr()
            .map_err(io("opening a port for names"))?;
        let list: Arc<Mutex<Vec<Ipv4Addr>>> = Arc::default();
        let listed = Arc::clone(&list);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                let listed = listed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let answer = buffer.get(..length).and_then(|asked| named(asked, &listed));
                if let Some(answer) = answer {
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        });
        Ok(Self {
            server,
            list,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// What a gRPC client resolves them by.
    pub(super) fn address(&self, port: u16) -> String {
        format!("dns://{}/{NAME}:{port}", self.server)
    }

    fn list(&self) -> Vec<Ipv4Addr> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.clone()
    }

    /// These, and no others.
    pub(super) fn set(&self, list: Vec<Ipv4Addr>) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = list;
    }
}

/// The answer to a DNS question: the addresses where one for those is asked, else none.
fn named(asked: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const ADDRESS: [u8; 2] = [0, 1];
    let name = asked.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    // The name's end, and after it what is asked for and of which class.
    let question = asked.get(HEADER..HEADER + name + 5)?;
    let kind = question.get(name + 1..name + 3)?;
    let addresses = if kind == ADDRESS { addresses } else { &[] };
    let mut answer = asked.get(..2)?.to_vec();
    // An answer, recursion was available, no error; one question and so many answers.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).ok()?]);
    answer.extend([0; 4]);
    answer.extend(question);
    for address in addresses {
        // The name of the question, an address, for a second.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_answered_and_nothing_else() {
        let question = |kind: u8| {
            let mut asked = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            asked.extend(b"\x08evenkeel\x03lab\x00");
            asked.extend([0, kind, 0, 1]);
            asked
        };
        let list = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
        let answer = named(&question(1), &list).unwrap();
        assert_eq!(answer[..12], [7, 9, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
        assert_eq!(answer[12..30], question(1)[12..30]);
        assert_eq!(answer[answer.len() - 4..], [127, 0, 0, 3]);
        // No addresses of version 6, and no other kind of record: no error, and no answer.
        assert_eq!(named(&question(28), &list).unwrap()[4..8], [0, 1, 0, 0]);
        assert_eq!(named(&[1, 2, 3], &list), None);
    }
}
