//! Kafka's jars: fetched by the user's own Maven, believed only when they match a committed list.
//!
//! Maven brings the user's mirrors and proxies with it, so no address stands here. What it brings is
//! compared with the lock list by name, size and sha256; one file too many, too few or different is
//! an error that names it. The check runs once, when the jars come in; later starts compare names and
//! sizes only, because hashing 45 MB at every start would buy nothing against somebody who can write
//! to the user's cache folder anyway.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{BrokerError, Progress, io_error};
use crate::demo::process;

/// How long one Maven run may take. Slow mirrors need minutes; a hung one must not hold us for good.
const MAVEN_TIMEOUT: Duration = Duration::from_secs(900);

/// How long to wait for another process that is provisioning the same thing.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1_200);

/// How often the lock of another process is looked at.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A set of jars: what Maven is asked for, and what it has to bring.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder's name in the cache.
    pub name: &'static str,
    /// The Maven project that depends on it.
    pub pom: &'static str,
    /// The lock list: a line a jar, `path sha256 bytes`.
    pub lock: Cow<'static, str>,
}

/// The broker itself.
pub const KAFKA: Bundle = Bundle {
    name: "kafka-4.4.0",
    pom: include_str!("../../../../setup/kafka/pom.xml"),
    lock: Cow::Borrowed(include_str!("../../../../setup/kafka/kafka-4.4.0.lock")),
};

/// The oldest broker that is supported, for tests: in place of the other where the environment's
/// `EVENKEEL_KAFKA` is `3.9.2`.
const OLDEST_KAFKA: Bundle = Bundle {
    name: "kafka-3.9.2",
    pom: include_str!("../../../../setup/kafka-oldest/pom.xml"),
    lock: Cow::Borrowed(include_str!(
        "../../../../setup/kafka-oldest/kafka-3.9.2.lock"
    )),
};

/// The broker that is started.
pub(super) fn broker() -> Bundle {
    match std::env::var("EVENKEEL_KAFKA").as_deref() {
        Ok("3.9.2") => OLDEST_KAFKA,
        _ => KAFKA,
    }
}

/// Kafka's own command-line tools, which tests compare with.
pub const KAFKA_TOOLS: Bundle = Bundle {
    name: "kafka-tools-4.3.1",
    pom: include_str!("../../../../setup/kafka-tools/pom.xml"),
    lock: Cow::Borrowed(include_str!(
        "../../../../setup/kafka-tools/kafka-tools-4.3.1.lock"
    )),
};

/// The agent that shows a broker's own request counters over HTTP.
pub const JMX_AGENT: Bundle = Bundle {
    name: "jmx-agent-1.0.1",
    pom: include_str!("../../../../setup/jmx-agent/pom.xml"),
    lock: Cow::Borrowed(include_str!(
        "../../../../setup/jmx-agent/jmx-agent-1.0.1.lock"
    )),
};

/// One line of a lock list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LockedJar {
    sha256: String,
    bytes: u64,
}

/// How far a folder is compared with a lock list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    NamesAndSizes,
    Contents,
}

/// Held while one process provisions; the operating system lets go of it however we end.
#[derive(Debug)]
pub(super) struct CacheLock {
    _file: File,
}

// === impl Bundle ===

impl Bundle {
    /// The folder with this bundle's jars under `cache`, fetched now if they are not there.
    ///
    /// # Errors
    /// When Maven is missing or fails, or when it brings anything but what the lock list names.
    pub async fn provision(
        &self,
        cache: &Path,
        progress: &Progress,
    ) -> Result<PathBuf, BrokerError> {
        let folder = cache.join(format!("{}-{}", self.name, self.fingerprint()));
        if folder.is_dir() {
            self.check(&folder, Check::NamesAndSizes)?;
            return Ok(folder);
        }
        let _lock = lock(cache, self.name).await?;
        if folder.is_dir() {
            self.check(&folder, Check::NamesAndSizes)?;
            return Ok(folder);
        }
        progress.say(&format!("Fetching {} with Maven", self.name));
        let work = tempfile::Builder::new()
            .prefix(".fetch-")
            .tempdir_in(cache)
            .map_err(io_error("making a folder in the cache"))?;
        let jars = work.path().join("jars");
        self.run_maven(work.path(), &jars).await?;
        progress.say(&format!("Checking {} against its lock list", self.name));
        self.check(&jars, Check::Contents)?;
        std::fs::rename(&jars, &folder).map_err(io_error("moving the jars into the cache"))?;
        Ok(folder)
    }

    /// The class path: every jar of the list in one fixed order. The class archive depends on the
    /// very string.
    pub fn class_path(&self, folder: &Path) -> String {
        let names: BTreeMap<&str, ()> = self
            .lock
            .lines()
            .filter_map(|line| Some((file_name(line.split(' ').next()?), ())))
            .collect();
        names
            .keys()
            .map(|name| folder.join(name).display().to_string())
            .collect::<Vec<_>>()
            .join(":")
    }

    /// Tells one lock list from another, so that a changed list never meets old jars.
    pub(super) fn fingerprint(&self) -> String {
        let mut digest = hex(&Sha256::digest(self.lock.as_bytes()));
        digest.truncate(12);
        digest
    }

    async fn run_maven(&self, work: &Path, jars: &Path) -> Result<(), BrokerError> {
        let maven = process::find_program("mvn").ok_or(BrokerError::MissingProgram {
            program: "mvn",
            wanted: "Maven, which fetches Kafka's jars,",
        })?;
        let pom = work.join("pom.xml");
        std::fs::write(&pom, self.pom).map_err(io_error("writing the Maven project"))?;
        let run = process::bound_command(&maven)
            .args(["-q", "-B", "-Dstyle.color=never", "-f"])
            .arg(&pom)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .output();
        let output = tokio::time::timeout(MAVEN_TIMEOUT, run)
            .await
            .map_err(|_| BrokerError::Maven {
                bundle: self.name,
                output: format!("no end after {} s", MAVEN_TIMEOUT.as_secs()),
            })?
            .map_err(io_error("running mvn"))?;
        if output.status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        Err(BrokerError::Maven {
            bundle: self.name,
            output: process::tail(&said, 20),
        })
    }

    /// Compares `folder` with the lock list.
    fn check(&self, folder: &Path, check: Check) -> Result<(), BrokerError> {
        let mut expected = self.parse()?;
        let entries = std::fs::read_dir(folder).map_err(io_error("reading the jars"))?;
        for entry in entries {
            let entry = entry.map_err(io_error("reading the jars"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(locked) = expected.remove(&name) else {
                return Err(self.mismatch(name, folder, "is not in the lock list".to_owned()));
            };
            let bytes = entry.metadata().map_err(io_error("reading a jar"))?.len();
            if bytes != locked.bytes {
                let problem = format!("has {bytes} bytes, the lock list says {}", locked.bytes);
                return Err(self.mismatch(name, folder, problem));
            }
            if check == Check::Contents {
                let found = sha256_of(&entry.path())?;
                if found != locked.sha256 {
                    let problem =
                        format!("has sha256 {found}, the lock list says {}", locked.sha256);
                    return Err(self.mismatch(name, folder, problem));
                }
            }
        }
        match expected.into_keys().next() {
            Some(missing) => Err(self.mismatch(missing, folder, "is missing".to_owned())),
            None => Ok(()),
        }
    }

    fn parse(&self) -> Result<BTreeMap<String, LockedJar>, BrokerError> {
        let mut jars = BTreeMap::new();
        for line in self.lock.lines().filter(|line| !line.is_empty()) {
            let mut fields = line.split(' ');
            let parsed = (|| {
                let name = file_name(fields.next()?).to_owned();
                let sha256 = fields.next()?.to_owned();
                let bytes = fields.next()?.parse().ok()?;
                Some((name, LockedJar { sha256, bytes }))
            })();
            let (name, jar) = parsed.ok_or_else(|| BrokerError::Jar {
                bundle: self.name,
                file: line.to_owned(),
                problem: "is no line of a lock list (`path sha256 bytes`)".to_owned(),
            })?;
            jars.insert(name, jar);
        }
        Ok(jars)
    }

    fn mismatch(&self, file: String, folder: &Path, problem: String) -> BrokerError {
        BrokerError::Jar {
            bundle: self.name,
            file: folder.join(file).display().to_string(),
            problem,
        }
    }
}

/// The folder that everything fetched or prepared lives in.
///
/// # Errors
/// When the environment names no place for it.
pub fn cache_folder() -> Result<PathBuf, BrokerError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("EVENKEEL_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|home| PathBuf::from(home).join("evenkeel")))
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache/evenkeel")))
        .ok_or(BrokerError::NoCacheFolder)
}

/// Waits until no other process provisions `name`.
pub(super) async fn lock(cache: &Path, name: &str) -> Result<CacheLock, BrokerError> {
    std::fs::create_dir_all(cache).map_err(io_error("making the cache folder"))?;
    let path = cache.join(format!(".{name}.lock"));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(io_error("opening the cache's lock file"))?;
    let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(CacheLock { _file: file }),
            Err(TryLockError::Error(error)) => {
                return Err(io_error("locking the cache")(error));
            }
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() >= deadline => {
                return Err(BrokerError::CacheBusy {
                    lock: path.display().to_string(),
                });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn sha256_of(path: &Path) -> Result<String, BrokerError> {
    let mut file = File::open(path).map_err(io_error("opening a jar"))?;
    let mut contents = Vec::new();
    file.read_to_end(&mut contents)
        .map_err(io_error("reading a jar"))?;
    Ok(hex(&Sha256::digest(&contents)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn check(lock: &str, files: &[(&str, &str)], complaint: Option<&str>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, contents) in files {
            std::fs::write(folder.path().join(name), contents).expect("the file is written");
        }
        let bundle = Bundle {
            name: "test",
            pom: "",
            lock: Cow::Owned(lock.to_owned()),
        };
        match (bundle.check(folder.path(), Check::Contents), complaint) {
            (Ok(()), None) => {}
            (Err(error), Some(wanted)) => {
                let said = error.to_string();
                assert!(said.contains(wanted), "{said:?} does not say {wanted:?}");
            }
            (result, _) => panic!("{lock:?} with {files:?} gave {result:?}"),
        }
    }

    #[test]
    fn only_what_the_lock_list_names_is_believed() {
        let lock = format!("org/a/a-1.jar {HELLO} 5\n");
        check(&lock, &[("a-1.jar", "hello")], None);
        check(&lock, &[("a-1.jar", "hallo")], Some("a-1.jar has sha256"));
        check(&lock, &[("a-1.jar", "hell")], Some("a-1.jar has 4 bytes"));
        check(&lock, &[], Some("a-1.jar is missing"));
        check(
            &lock,
            &[("a-1.jar", "hello"), ("b.jar", "x")],
            Some("b.jar is not in the lock list"),
        );
        check("org/a/a-1.jar five", &[], Some("no line of a lock list"));
    }

    #[test]
    fn the_committed_lock_lists_can_be_read() {
        for (bundle, jars) in [(KAFKA, 45), (KAFKA_TOOLS, 86), (JMX_AGENT, 1)] {
            let parsed = bundle.parse().expect("the list is well formed");
            assert_eq!(parsed.len(), jars, "{}", bundle.name);
            let class_path = bundle.class_path(Path::new("jars"));
            assert_eq!(class_path.split(':').count(), jars, "{}", bundle.name);
        }
    }
}
