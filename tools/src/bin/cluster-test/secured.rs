//! Mutual TLS between KEDA and the replicas: switched on, the server's certificate replaced, switched off.
//!
//! The certificates are openssl's, of an authority that is made for this. Which of them evenkeel takes is
//! tested elsewhere; here it is KEDA's client that shows one, out of a TriggerAuthentication.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use evenkeel_tools::demo::{DemoError, process};
use evenkeel_tools::lab::cluster::answer;
use evenkeel_tools::lab::scalers::NAME as HOST;
use evenkeel_tools::lab::workload::list;

use super::faults::words;
use super::{NAMESPACE, Test, seconds};

/// As the page calls it.
const WHAT: &str = "mutual TLS between KEDA and the replicas";
/// What openssl makes a certificate by.
const CERTIFICATE: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
/// What KEDA is told it by, in the ScaledObject.
const ENABLE: &str = "/spec/triggers/0/metadata/enableTLS";
const AUTHENTICATION: &str = "/spec/triggers/0/authenticationRef";
/// The TriggerAuthentication, and its Secret.
const CLIENT: &str = "evenkeel-client";
/// How long the new certificate may take: files are looked at every 10 s.
const IN_USE_WITHIN: Duration = Duration::from_secs(10);
/// How long it is looked for.
const LOOKED_FOR: Duration = Duration::from_secs(60);
/// Three looks of the HPA, with new connections every 10 s.
const WATCHED: Duration = Duration::from_secs(45);
const CONNECTION_AGE: &str = "10s";
/// How openssl says that a server wants a certificate, and how long that may take.
const REFUSED: &str = "alert certificate required";
const ENDED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(250);

// === impl Test ===

impl Test {
    /// All of it.
    pub(super) async fn secured(&mut self) -> anyhow::Result<()> {
        let (count, _) = self.rest().await?;
        let begun = self.clock.now();
        let folder = self.folder.path().join("tls");
        certificates(&folder).await?;
        self.give_keda_its_own(&folder).await?;
        let tls = json!({
            "cert": folder.join("server.crt"),
            "key": folder.join("server.key"),
            "clientCa": folder.join("ca.crt"),
        });
        self.end_scalers().await;
        self.scalers.grpc = Map::from_iter([
            ("tls".to_owned(), tls),
            ("maxConnectionAge".to_owned(), json!(CONNECTION_AGE)),
        ]);
        for _ in 0..2 {
            // Not asked by anybody but KEDA: who asks ten times a second has no certificate.
            self.scalers.start_listed().await?;
        }
        self.edit(&json!([
            {"op": "add", "path": ENABLE, "value": "true"},
            {"op": "add", "path": AUTHENTICATION, "value": {"name": CLIENT}},
        ]))
        .await?;
        sleep(WATCHED).await;
        let is_ready = self.ready_after().await?.is_some();
        let measured = if is_ready { "it is" } else { "it is not" };
        self.add(
            "the ScaledObject is READY 45 s later",
            "it is",
            measured,
            is_ready,
            true,
        );
        self.replace_certificate(&folder).await?;
        self.end_scalers().await;
        self.scalers.grpc.clear();
        for _ in 0..2 {
            self.start_replica().await?;
        }
        self.edit(&json!([
            {"op": "remove", "path": ENABLE},
            {"op": "remove", "path": AUTHENTICATION},
        ]))
        .await?;
        self.rest().await?;
        self.stays(&format!("{WHAT}, on and off again"), begun, count);
        Ok(())
    }

    /// The client's certificate and key, and the authority, in a TriggerAuthentication.
    async fn give_keda_its_own(&self, folder: &Path) -> anyhow::Result<()> {
        let read = |file: &str| std::fs::read_to_string(folder.join(file));
        let metadata = json!({"name": CLIENT, "namespace": NAMESPACE});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "stringData": {
                "ca": read("ca.crt")?, "cert": read("client.crt")?, "key": read("client.key")?,
            },
        });
        let part = |parameter: &str, key: &str| json!({"parameter": parameter, "name": CLIENT, "key": key});
        let authentication = json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": metadata,
            "spec": {"secretTargetRef": [
                part("caCert", "ca"), part("tlsClientCert", "cert"), part("tlsClientKey", "key"),
            ]},
        });
        self.lab.apply(&list(&[secret, authentication])).await?;
        Ok(())
    }

    /// Another certificate and key in the server's files, and what becomes of calls and of strangers.
    async fn replace_certificate(&mut self, folder: &Path) -> anyhow::Result<()> {
        let errors = self.errors().await;
        let leader = self.scalers.get(self.scalers.leader().await?)?;
        let leader = leader.grpc.to_string();
        for file in ["crt", "key"] {
            let [next, server] =
                ["next", "server"].map(|name| folder.join(format!("{name}.{file}")));
            std::fs::copy(next, server)?;
        }
        let replaced = self.clock.now();
        let next = std::fs::read_to_string(folder.join("next.crt"))?;
        let deadline = Instant::now() + LOOKED_FOR;
        let mut took = None;
        while took.is_none() && Instant::now() < deadline {
            sleep(LOOK).await;
            if shown(&leader).await?.contains(next.trim()) {
                took = Some(self.clock.now().since(replaced));
            }
        }
        let measured = took.map_or("never".to_owned(), |it| {
            format!("after {:.1} s", seconds(it))
        });
        let is_met = took.is_some_and(|it| it <= IN_USE_WITHIN);
        self.add(
            "another certificate and key in the server's files: shown",
            "within 10 s",
            &measured,
            is_met,
            false,
        );
        sleep(WATCHED).await;
        let errors = self.errors_since(errors).await;
        self.add(
            "errors that KEDA counted since, of connections that end after 10 s",
            "0",
            &words(errors),
            errors == Some(0),
            false,
        );
        let said = shown(&leader).await?;
        let is_refused = said.contains(REFUSED);
        let measured = if is_refused { REFUSED } else { "let in" };
        self.add(
            "a client without a certificate",
            "refused",
            measured,
            is_refused,
            true,
        );
        Ok(())
    }

    fn add(&mut self, what: &str, goal: &str, measured: &str, is_met: bool, is_law: bool) {
        self.report
            .add(&format!("{WHAT}: {what}"), goal, measured, is_met, is_law);
    }
}

/// Makes the certificates, each with its key beside it: an authority's, two of the server's, one of KEDA's.
async fn certificates(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    openssl(
        folder,
        &format!("{CERTIFICATE} -subj /CN=trial -keyout ca.key -out ca.crt"),
    )
    .await?;
    for (name, usage) in [
        ("server", "serverAuth"),
        ("next", "serverAuth"),
        ("client", "clientAuth"),
    ] {
        let arguments = format!(
            "{CERTIFICATE} -subj /CN={name} -CA ca.crt -CAkey ca.key -addext subjectAltName=DNS:{HOST} \
             -addext extendedKeyUsage={usage} -addext basicConstraints=critical,CA:FALSE \
             -keyout {name}.key -out {name}.crt"
        );
        openssl(folder, &arguments).await?;
    }
    Ok(())
}

/// What openssl says of a server that it shows no certificate to: that server's certificate, and how it ends.
async fn shown(address: &str) -> anyhow::Result<String> {
    let mut command = program()?;
    command.args([
        "s_client",
        "-ign_eof",
        "-connect",
        address,
        "-servername",
        HOST,
    ]);
    let output = command.stdin(Stdio::null()).output();
    let Ok(output) = timeout(ENDED_WITHIN, output).await else {
        return Ok("it is let in".to_owned());
    };
    let output = output?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    Ok(said.concat())
}

async fn openssl(folder: &Path, arguments: &str) -> anyhow::Result<()> {
    let output = program()?
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .await;
    answer(&format!("openssl {arguments}"), output)?;
    Ok(())
}

fn program() -> Result<Command, DemoError> {
    let program = process::find_program("openssl");
    let program = program.ok_or(DemoError::MissingProgram { program: "openssl" })?;
    Ok(process::bound_command(&program))
}
