//! What is kept of targets is written down and read again: in ConfigMaps, or in a folder where there is no
//! cluster.
//!
//! Read at the start and whenever this replica begins to lead; written by the leader alone, what has
//! changed, every [`Keepable::WRITTEN_EVERY`] at most, and at the end. What cannot be read or makes no sense
//! is said and passed over: then it is learned again. What another release, or a newer version of this
//! program, has written is left alone. Where a part would become too large, first the oldest of each of its
//! entries gives way, then the oldest entries.
//!
//! What it is, and when it is worth writing, is `control::kept`'s.

use std::path::{Path, PathBuf};

use evenkeel_engine::Learned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::control::kept::{Entry, Keepable, Kept, Subject};
use crate::control::target::fnv_1a;
use crate::kubernetes::config_maps::ConfigMaps;
use crate::leader::Leadership;

/// The version of what is written.
const VERSION: u32 = 1;
/// In so many parts, by the hash of what they are about: a ConfigMap holds less than 1 MiB.
const PARTS: usize = 16;
/// Bytes of one part that is written.
const MOST_BYTES: usize = 900_000;
/// Bytes of one part that is read: no ConfigMap holds more.
const MOST_READ: usize = 1 << 20;
/// Bytes of an entry beside its subject and what is kept.
const ENTRY_BYTES: usize = 128;

/// Where parts are written.
#[derive(Clone, Debug)]
pub enum Store {
    /// A ConfigMap each.
    ConfigMaps(ConfigMaps),
    /// A file each.
    Folder(PathBuf),
}

/// Reads and writes what is kept of one kind.
#[derive(Debug)]
pub struct Keeper<T: Keepable = Learned> {
    /// Where it is written.
    pub store: Store,
    /// Whose it is: what another owner has written is left alone.
    pub owner: String,
    /// Where it is while the process runs.
    pub kept: Kept<T>,
    /// Who writes.
    pub leadership: Leadership,
    /// The clock.
    pub clock: Clock,
}

/// One part as it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Part<T> {
    version: u32,
    owner: String,
    targets: Vec<Entry<T>>,
}

/// Only what tells whether the rest can be read.
#[derive(Debug, Deserialize)]
struct Head {
    version: u32,
    owner: String,
}

// === impl Keeper ===

impl<T: Keepable> Keeper<T> {
    /// Reads what there is, and says what cannot be read.
    pub async fn read(&self) {
        let mut entries = Vec::new();
        for part in 0..PARTS {
            match self.store.read(part).await {
                Ok(None) => {}
                Ok(Some(text)) => match part_of_text(&text, &self.owner) {
                    Ok(read) => entries.extend(read),
                    Err(why) => tracing::warn!(
                        "{} is passed over, and what is in it learned again: {why}",
                        self.store.name(part)
                    ),
                },
                Err(why) => {
                    tracing::warn!("{} cannot be read; it is tried again: {why}", T::WHAT);
                    return;
                }
            }
        }
        if !entries.is_empty() {
            tracing::info!(targets = entries.len(), "{} has been read", T::WHAT);
        }
        self.kept.take_in(entries, self.clock.now());
    }

    /// Writes what changes until `end`, and then once more.
    pub async fn run(self, end: CancellationToken) {
        let mut leadership = self.leadership.clone();
        let mut led = leadership.answers();
        // A leader's standing changes with every renewal of its Lease: that must not begin the time anew.
        let mut next = tokio::time::Instant::now() + T::WRITTEN_EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {
                    next = tokio::time::Instant::now() + T::WRITTEN_EVERY;
                    self.write().await;
                }
                () = leadership.changed() => {}
                () = end.cancelled() => break,
            }
            let leads = leadership.answers();
            if leads && !led {
                self.read().await;
            }
            led = leads;
        }
        self.write().await;
    }

    /// Writes what has changed; nothing before all that is there has been read, since it would be lost.
    async fn write(&self) {
        if !self.kept.is_complete() {
            self.read().await;
        }
        if !self.leadership.answers() || !self.kept.is_complete() {
            return;
        }
        for (part, mut entries) in self.kept.changed(part_of, self.clock.now()) {
            if let Err(why) = self.write_part(part, &mut entries).await {
                tracing::warn!("{} cannot be written; it is tried again: {why}", T::WHAT);
                self.kept.unwritten(&entries);
            }
        }
    }

    async fn write_part(&self, part: usize, entries: &mut Vec<Entry<T>>) -> Result<(), String> {
        if let Some(text) = self.store.read(part).await?
            && let Ok(head) = serde_json::from_str::<Head>(&text)
            && (head.version > VERSION || head.owner != self.owner)
        {
            // Said when it was read.
            return Ok(());
        }
        let name = self.store.name(part);
        let mut is_shortened = false;
        let text = loop {
            let part = Part {
                version: VERSION,
                owner: self.owner.clone(),
                targets: entries.clone(),
            };
            let text = serde_json::to_string(&part).map_err(|error| error.to_string())?;
            if text.len() <= MOST_BYTES {
                break text;
            }
            if !is_shortened {
                is_shortened = true;
                tracing::info!(
                    "{name} would be too large: the oldest of what it holds is left out"
                );
                shorten(entries);
                continue;
            }
            let oldest = entries.iter().enumerate().min_by_key(|(_, entry)| entry.at);
            let Some((oldest, _)) = oldest else {
                return Ok(());
            };
            let gone = entries.swap_remove(oldest);
            tracing::warn!(
                namespace = gone.subject.namespace,
                name = gone.subject.name,
                "{} is not kept of this target: more than {MOST_BYTES} bytes",
                T::WHAT
            );
        };
        self.store.write(part, text).await
    }
}

/// Leaves out the oldest of what each entry holds, so that all of them fit.
fn shorten<T: Keepable>(entries: &mut [Entry<T>]) {
    let share = MOST_BYTES / entries.len().max(1);
    for entry in entries {
        let subject = serde_json::to_string(&entry.subject).map_or(0, |text| text.len());
        let others = subject.saturating_add(ENTRY_BYTES);
        entry.learned.shorten(share.saturating_sub(others));
    }
}

// === impl Store ===

impl Store {
    /// Where pasts are written, beside what was learned.
    #[must_use]
    pub fn of_pasts(&self) -> Self {
        match self {
            Self::ConfigMaps(config_maps) => Self::ConfigMaps(config_maps.beside("past")),
            Self::Folder(folder) => Self::Folder(folder.join("past")),
        }
    }

    fn name(&self, part: usize) -> String {
        match self {
            Self::ConfigMaps(config_maps) => format!("the ConfigMap {}", config_maps.name(part)),
            Self::Folder(folder) => file(folder, part).display().to_string(),
        }
    }

    async fn read(&self, part: usize) -> Result<Option<String>, String> {
        match self {
            Self::ConfigMaps(config_maps) => config_maps.read(part).await,
            Self::Folder(folder) => {
                let path = file(folder, part);
                let read = async {
                    let mut bytes = Vec::new();
                    // One more than may be, so that what is too large is not taken for what fits.
                    let most = u64::try_from(MOST_READ + 1).unwrap_or(u64::MAX);
                    let file = tokio::fs::File::open(&path).await?;
                    file.take(most).read_to_end(&mut bytes).await?;
                    Ok(String::from_utf8_lossy(&bytes).into_owned())
                };
                let read: std::io::Result<String> = read.await;
                match read {
                    Ok(text) => Ok(Some(text)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(format!("{}: {error}", path.display())),
                }
            }
        }
    }

    async fn write(&self, part: usize, text: String) -> Result<(), String> {
        match self {
            Self::ConfigMaps(config_maps) => config_maps.write(part, text).await,
            Self::Folder(folder) => {
                let path = file(folder, part);
                // Beside it and renamed, so that nobody ever reads half a file.
                let beside = path.with_extension("json.new");
                let written = async {
                    tokio::fs::create_dir_all(folder).await?;
                    tokio::fs::write(&beside, text).await?;
                    tokio::fs::rename(&beside, &path).await
                };
                let written = written.await;
                written.map_err(|error| format!("{}: {error}", path.display()))
            }
        }
    }
}

fn file(folder: &Path, part: usize) -> PathBuf {
    folder.join(format!("learned-{part}.json"))
}

/// The entries of a part, those that can be read.
fn part_of_text<T: Keepable>(text: &str, owner: &str) -> Result<Vec<Entry<T>>, String> {
    if text.len() > MOST_READ {
        return Err(format!("it has more than {MOST_READ} bytes"));
    }
    let head: Head = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if head.version > VERSION {
        return Err(format!(
            "it is of version {}, and this program writes {VERSION}",
            head.version
        ));
    }
    if head.owner != owner {
        return Err(format!(
            "{} has written it, and this is {owner}",
            head.owner
        ));
    }
    let part: Part<T> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(part.targets)
}

/// In which part something is written.
fn part_of(subject: &Subject) -> usize {
    let texts = [&subject.namespace, &subject.name, &subject.consumer_group];
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain([0]));
    usize::try_from(fnv_1a(bytes) % (PARTS as u64)).unwrap_or(0)
}
