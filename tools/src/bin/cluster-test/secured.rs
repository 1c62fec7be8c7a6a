//! Mutual TLS between KEDA and the replicas: switched on, the server's certificate replaced, switched off.
//!
//! The certificates are openssl's, of an authority that is made for this. Which of them evenkeel takes is
//! tested elsewhere; here it is KEDA's client that shows one, out of a TriggerAuthentication.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use evenkeel_tools::demo::process;
use evenkeel_tools::lab::cluster::answer;
use evenkeel_tools::lab::scalers::NAME as HOST;

use super::faults::words;
use super::{NAMESPACE, Test, seconds};

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
        const WHAT: &str = "mutual TLS between KEDA and the replicas";
        self.rest().await?;
        let begun = self.clock.now();
        let folder = self.folder.path().join("tls");
        std::fs::create_dir_all(&folder)?;
        authority(&folder).await?;
        for (name, usage) in [
            ("server", "serverAuth"),
            ("next", "serverAuth"),
            ("client", "clientAuth"),
        ] {
            certificate(&folder, name, usage).await?;
        }
        let read = |file: &str| std::fs::read_to_string(folder.join(file));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": CLIENT, "namespace": NAMESPACE},
            "stringData": {
                "ca": read("ca.crt")?, "cert": read("client.crt")?, "key": read("client.key")?,
            },
        });
        self.lab.apply(&secret.to_string()).await?;
        let part = |parameter: &str, key: &str| json!({"parameter": parameter, "name": CLIENT, "key": key});
        let authentication = json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
            "metadata": {"name": CLIENT, "namespace": NAMESPACE},
            "spec": {"secretTargetRef": [
                part("caCert", "ca"), part("tlsClientCert", "cert"), part("tlsClientKey", "key"),
            ]},
        });
        self.lab.apply(&authentication.to_string()).await?;

        let tls = json!({
            "cert": folder.join("server.crt"),
            "key": folder.join("server.key"),
            "clientCa": folder.join("ca.crt"),
        });
        let grpc = [
            ("tls".to_owned(), tls),
            ("maxConnectionAge".to_owned(), json!(CONNECTION_AGE)),
        ];
        self.end_scalers().await;
        self.scalers.grpc = grpc.into_iter().collect();
        for _ in 0..2 {
            self.scalers.start_listed().await?;
        }
        self.edit(&json!([
            {"op": "add", "path": "/spec/triggers/0/metadata/enableTLS", "value": "true"},
            {"op": "add", "path": "/spec/triggers/0/authenticationRef", "value": {"name": CLIENT}},
        ]))
        .await?;
        sleep(WATCHED).await;
        let is_ready = self.ready_after().await?.is_some();
        self.report.add(
            &format!("{WHAT}: the ScaledObject is READY 45 s later"),
            "it is",
            if is_ready { "it is" } else { "it is not" },
            is_ready,
            true,
        );

        let errors = self.errors().await;
        let leader = self
            .scalers
            .get(self.scalers.leader().await?)?
            .grpc
            .to_string();
        for file in ["crt", "key"] {
            std::fs::copy(
                folder.join(format!("next.{file}")),
                folder.join(format!("server.{file}")),
            )?;
        }
        let replaced = self.clock.now();
        let next = read("next.crt")?;
        let deadline = Instant::now() + LOOKED_FOR;
        let mut took = None;
        while took.is_none() && Instant::now() < deadline {
            sleep(LOOK).await;
            if shown(&leader).await?.contains(next.trim()) {
                took = Some(self.clock.now().since(replaced));
            }
        }
        let measured = took.map_or("never".to_owned(), after);
        let is_met = took.is_some_and(|it| it <= IN_USE_WITHIN);
        self.report.add(
            &format!("{WHAT}: another certificate and key in the server's files: shown"),
            "within 10 s",
            &measured,
            is_met,
            false,
        );
        sleep(WATCHED).await;
        let errors = self.errors_since(errors).await;
        self.report.add(
            &format!("{WHAT}: errors that KEDA counted since, connections end after 10 s"),
            "0",
            &words(errors),
            errors == Some(0),
            false,
        );
        let said = shown(&leader).await?;
        let refused = said.lines().find(|line| line.contains(REFUSED));
        self.report.add(
            &format!("{WHAT}: a client without a certificate"),
            "refused",
            refused.map_or(said.as_str(), |_| REFUSED),
            refused.is_some(),
            true,
        );
        self.end_scalers().await;
        self.scalers.grpc.clear();
        for _ in 0..2 {
            self.start_replica().await?;
        }
        self.edit(&json!([
            {"op": "remove", "path": "/spec/triggers/0/metadata/enableTLS"},
            {"op": "remove", "path": "/spec/triggers/0/authenticationRef"},
        ]))
        .await?;
        self.ready_after().await?;
        self.rest().await?;
        self.stays(&format!("{WHAT}, on and off again"), begun);
        Ok(())
    }
}

/// Makes an authority: ca.crt and ca.key.
async fn authority(folder: &Path) -> anyhow::Result<()> {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=trial -keyout ca.key -out ca.crt";
    openssl(folder, arguments).await.map(drop)
}

/// Makes a key and a certificate of that authority: `name`.crt and `name`.key.
async fn certificate(folder: &Path, name: &str, usage: &str) -> anyhow::Result<()> {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -CA ca.crt -CAkey ca.key \
         -addext subjectAltName=DNS:{HOST} -addext extendedKeyUsage={usage} -addext basicConstraints=critical,CA:FALSE \
         -keyout {name}.key -out {name}.crt"
    );
    openssl(folder, &arguments).await.map(drop)
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

fn after(time: Duration) -> String {
    format!("after {:.1} s", seconds(time))
}

async fn openssl(folder: &Path, arguments: &str) -> anyhow::Result<String> {
    let output = program()?
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .await;
    Ok(answer(&format!("openssl {arguments}"), output)?)
}

fn program() -> anyhow::Result<Command> {
    let program = process::find_program("openssl");
    let program =
        program.ok_or_else(|| anyhow::anyhow!("openssl is missing: apt-get install openssl"))?;
    Ok(process::bound_command(&program))
}
