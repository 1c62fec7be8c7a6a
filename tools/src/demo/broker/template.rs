//! What makes a broker start in two seconds: a formatted data folder to copy, and a class archive.
//!
//! Kafka's storage tool takes a second to format a folder and always makes the same one, so it runs
//! once and the result is copied with another node's id. (A hand-written folder would start too, but
//! with every feature at level 0, which turns the new group protocol off.) The class archive (AppCDS)
//! halves the start; it is tied to the very Java and class path, so its folder is named after both,
//! and it is best effort: without it a start takes four seconds.

use std::path::Path;
use std::time::Duration;

use super::jars;
use super::node::Node;
use super::runtime::{Archive, Runtime, find_java};
use super::topics::TopicAdmin;
use super::{BrokerError, BrokerOptions, Progress, free_ports, io_error};
use crate::demo::process;

/// How long Java may take to write the class archive after SIGTERM. 4.5 s were measured.
const ARCHIVE_GRACE: Duration = Duration::from_secs(60);

/// The cluster's id in every template: any UUID in base64 will do.
const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAQ";

/// Everything that a broker needs, fetched and prepared now if it is not there.
///
/// # Errors
/// When Java or Maven is missing, the jars are wrong, or formatting fails.
pub(super) async fn prepare(cache: &Path, progress: &Progress) -> Result<Runtime, BrokerError> {
    let (java, version) = find_java().await?;
    let kafka = jars::broker();
    let jars = kafka.provision(cache, progress).await?;
    let mut runtime = Runtime::new(java, kafka.class_path(&jars));
    let name = format!("{}-{}-java-{version}", kafka.name, kafka.fingerprint());
    let prepared = cache.join(&name);
    if !prepared.join("template").is_dir() {
        let _lock = jars::lock(cache, &name).await?;
        if !prepared.join("template").is_dir() {
            make(&runtime, cache, &prepared, progress).await?;
        }
    }
    let archive = prepared.join("kafka.jsa");
    if archive.is_file() {
        runtime.archive = Archive::Use(archive);
    }
    runtime.template = Some(prepared.join("template"));
    Ok(runtime)
}

/// Formats the template and writes the class archive, then moves both into place at once.
async fn make(
    runtime: &Runtime,
    cache: &Path,
    prepared: &Path,
    progress: &Progress,
) -> Result<(), BrokerError> {
    progress.say("Formatting Kafka's data folder");
    let work = tempfile::Builder::new()
        .prefix(".prepare-")
        .tempdir_in(cache)
        .map_err(io_error("making a folder in the cache"))?;
    let result = work.path().join("result");
    let template = result.join("template");
    std::fs::create_dir_all(&template).map_err(io_error("making a folder in the cache"))?;
    format(runtime, work.path(), &template).await?;

    progress.say("Writing Kafka's class archive, for quicker starts");
    let archive = result.join("kafka.jsa");
    let mut writer = runtime.clone();
    writer.template = Some(template);
    writer.archive = Archive::Write(archive.clone());
    // Best effort: whatever goes wrong here only costs two seconds a start.
    if run_once(&writer, work.path()).await.is_err() || !archive.is_file() {
        progress.say("No class archive could be written; brokers will start slower");
        let _ = std::fs::remove_file(&archive);
    }
    // A folder without a template is the rest of an older layout.
    let _ = std::fs::remove_dir_all(prepared);
    std::fs::rename(&result, prepared).map_err(io_error("moving the template into the cache"))
}

async fn format(runtime: &Runtime, work: &Path, template: &Path) -> Result<(), BrokerError> {
    let properties = work.join("format.properties");
    let lines = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\nlog.dirs={}\n",
        template.display()
    );
    std::fs::write(&properties, lines).map_err(io_error("writing Kafka's configuration"))?;
    let output = process::bound_command(runtime.java())
        .args(runtime.flags(256))
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(&properties)
        .output()
        .await
        .map_err(io_error("running Kafka's storage tool"))?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(BrokerError::Format {
        output: process::tail(&said, 20),
    })
}

/// Runs a broker once through what every start does, so that Java writes the archive at its end.
async fn run_once(runtime: &Runtime, work: &Path) -> Result<(), BrokerError> {
    let options = BrokerOptions::default();
    let ports = free_ports(1, &options)?;
    for own in &ports {
        let mut node = Node::create(0, own.clone(), &ports, work, runtime, &options)?;
        node.spawn()?;
        node.wait_ready(1).await?;
        let topics = TopicAdmin::new(vec![node.address()]);
        topics.create_topic("warm-up", 1, 1, &[]).await?;
        node.stop_within(ARCHIVE_GRACE).await;
    }
    Ok(())
}
