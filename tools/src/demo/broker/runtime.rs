//! How Java is run on a bundle's classes: which Java, which class path, which archive and template.
//!
//! Makes nothing by itself; what a quick start needs is made by `template`.

use std::path::{Path, PathBuf};

use super::jars::{JMX_AGENT, KAFKA_TOOLS};
use super::{BrokerError, Progress, copy_folder, io_error};
use crate::demo::process;

/// The oldest Java that Kafka 4 runs on.
const MIN_JAVA: u32 = 17;

/// How to run Java on a bundle's classes.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    java: PathBuf,
    class_path: String,
    pub(super) template: Option<PathBuf>,
    pub(super) archive: Archive,
    jmx_agent: Option<PathBuf>,
}

/// What this run does about the class archive.
#[derive(Clone, Debug)]
pub(super) enum Archive {
    None,
    Use(PathBuf),
    Write(PathBuf),
}

// === impl Runtime ===

impl Runtime {
    /// `java` on these classes, with neither template nor archive.
    pub(super) fn new(java: PathBuf, class_path: String) -> Self {
        Self {
            java,
            class_path,
            template: None,
            archive: Archive::None,
            jmx_agent: None,
        }
    }

    /// What Kafka's command-line tools need, fetched now if it is not there.
    ///
    /// # Errors
    /// When Java or Maven is missing, or the jars are wrong.
    pub(super) async fn of_tools(cache: &Path, progress: &Progress) -> Result<Self, BrokerError> {
        let (java, _) = find_java().await?;
        let jars = KAFKA_TOOLS.provision(cache, progress).await?;
        Ok(Self::new(java, KAFKA_TOOLS.class_path(&jars)))
    }

    /// Adds the agent that shows request counters. It changes the class path at run time, which the
    /// class archive does not stand, so that is left out.
    pub(super) async fn add_jmx_agent(
        &mut self,
        cache: &Path,
        progress: &Progress,
    ) -> Result<(), BrokerError> {
        let folder = JMX_AGENT.provision(cache, progress).await?;
        self.jmx_agent = Some(PathBuf::from(JMX_AGENT.class_path(&folder)));
        self.archive = Archive::None;
        Ok(())
    }

    pub(super) fn java(&self) -> &Path {
        &self.java
    }

    pub(super) fn jmx_agent(&self) -> Option<&Path> {
        self.jmx_agent.as_deref()
    }

    /// Java's arguments up to the main class. The light collector and the first compiler tier alone
    /// start fastest and are enough for 50,000 records/s.
    pub(super) fn flags(&self, heap_megabytes: u32) -> Vec<String> {
        let mut flags = vec![
            "-Xms32m".to_owned(),
            format!("-Xmx{heap_megabytes}m"),
            "-XX:+UseSerialGC".to_owned(),
            "-XX:TieredStopAtLevel=1".to_owned(),
            // Its file under the temporary folder would outlive a kill.
            "-XX:-UsePerfData".to_owned(),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned(),
        ];
        match &self.archive {
            Archive::None => {}
            Archive::Use(path) => flags.push(format!("-XX:SharedArchiveFile={}", path.display())),
            Archive::Write(path) => {
                flags.push(format!("-XX:ArchiveClassesAtExit={}", path.display()));
            }
        }
        flags.extend(["-cp".to_owned(), self.class_path.clone()]);
        flags
    }

    /// Puts a formatted data folder for node `id` into `data`.
    pub(super) fn copy_template(&self, data: &Path, id: i32) -> Result<(), BrokerError> {
        let Some(template) = &self.template else {
            return Ok(());
        };
        let copying = "copying the formatted data folder";
        copy_folder(template, data).map_err(io_error(copying))?;
        let path = data.join("meta.properties");
        let meta = std::fs::read_to_string(&path).map_err(io_error(copying))?;
        std::fs::write(&path, meta_for_node(&meta, id)).map_err(io_error(copying))
    }
}

/// The template's meta.properties for another node. Both ids have to differ between nodes.
fn meta_for_node(meta: &str, id: i32) -> String {
    let mut lines: Vec<String> = meta
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("node.id", _)) => format!("node.id={id}"),
            Some(("directory.id", _)) => format!("directory.id={}", directory_id(id)),
            _ => line.to_owned(),
        })
        .collect();
    lines.push(String::new());
    lines.join("\n")
}

/// A UUID in base64 whose last byte is the node's id: 22 characters, of which the last two carry the
/// last byte (six bits and two).
fn directory_id(id: i32) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let byte = usize::try_from(id & 0xff).unwrap_or(0);
    let letter = |index: usize| char::from(ALPHABET.get(index).copied().unwrap_or(b'A'));
    format!(
        "AAAAAAAAQACBAAAAAAAA{}{}",
        letter(byte >> 2),
        letter((byte & 3) << 4)
    )
}

/// Java, and what it calls its version (a word that can stand in a folder's name).
pub(super) async fn find_java() -> Result<(PathBuf, String), BrokerError> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let java = home
        .map(|home| PathBuf::from(home).join("bin/java"))
        .filter(|java| java.is_file())
        .or_else(|| process::find_program("java"))
        .ok_or(BrokerError::MissingProgram {
            program: "java",
            wanted: "Java 17 or newer, which Kafka runs on,",
        })?;
    let output = process::bound_command(&java)
        .arg("-version")
        .output()
        .await
        .map_err(io_error("running java -version"))?;
    // It says so on standard error.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_version(&said) {
        Some((major, version)) if major >= MIN_JAVA => Ok((java, version)),
        _ => Err(BrokerError::OldJava {
            found: said.lines().next().unwrap_or_default().to_owned(),
        }),
    }
}

/// `openjdk version "17.0.15" 2025-04-15` is (17, `17.0.15`); Java 8 called itself `1.8.0`.
fn java_version(said: &str) -> Option<(u32, String)> {
    let line = said.lines().find(|line| line.contains("version \""))?;
    let version = line.split('"').nth(1)?;
    let mut parts = version.split(|letter: char| !letter.is_ascii_digit());
    let major: u32 = match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok()?,
        major => major,
    };
    let word = version.replace(|letter: char| !letter.is_ascii_alphanumeric(), ".");
    Some((major, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_names_its_version_in_two_ways() {
        let check = |said: &str, expected: Option<(u32, &str)>| {
            let expected = expected.map(|(major, word)| (major, word.to_owned()));
            assert_eq!(java_version(said), expected, "{said:?}");
        };
        check(
            "openjdk version \"17.0.15\" 2025-04-15\n",
            Some((17, "17.0.15")),
        );
        check(
            "Picked up JAVA_TOOL_OPTIONS: x\nopenjdk version \"21\"\n",
            Some((21, "21")),
        );
        check("java version \"1.8.0_402\"", Some((8, "1.8.0.402")));
        check("openjdk version \"25-ea\"", Some((25, "25.ea")));
        check("no java here", None);
    }

    #[test]
    fn each_node_gets_ids_of_its_own() {
        let meta = "#\ncluster.id=c\ndirectory.id=x\nnode.id=1\nversion=1\n";
        assert_eq!(
            meta_for_node(meta, 2),
            "#\ncluster.id=c\ndirectory.id=AAAAAAAAQACBAAAAAAAAAg\nnode.id=2\nversion=1\n"
        );
        assert_eq!(directory_id(1), "AAAAAAAAQACBAAAAAAAAAQ");
        assert_eq!(directory_id(5), "AAAAAAAAQACBAAAAAAAABQ");
    }
}
