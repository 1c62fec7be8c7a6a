//! A value made from files, made again when they change; a bad new file keeps the old value.
//!
//! Files are compared by what they hold, so it does not matter how they are replaced: in place, by
//! rename, or by the swap of a symbolic link that Kubernetes makes. Reading blocks, for as long as a
//! read of a small local file does.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{Context, Digest, SHA256};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{LOOK_EVERY, Refresh, Secret};
use crate::metrics::{Metrics, SettingLabels};

/// The largest file. A bundle of all public authorities has 200 KiB.
const MAX_FILE_BYTES: u64 = 1_048_576;

/// One file's bytes.
pub struct Content<'a> {
    /// Where it lies, for sentences.
    pub path: &'a Path,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// Makes a value from the files' contents, which come in the order of the paths; or a sentence about
/// what is wrong with them.
type Make<T> = Box<dyn Fn(&[Content<'_>]) -> Result<T, String> + Send + Sync>;

/// A value made from files.
pub struct Rotating<T> {
    setting: String,
    paths: Vec<PathBuf>,
    make: Make<T>,
    metrics: Metrics,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<Arc<T>>,
    looked_at: Option<Instant>,
    seen: Option<[u8; 32]>,
    complaint: Option<String>,
}

// === impl Rotating ===

impl<T> Rotating<T> {
    /// Nothing is read before it is first needed. `setting` is the path in the configuration under
    /// which people find it, such as `clusters.orders.tls`.
    pub fn new(
        setting: String,
        paths: Vec<PathBuf>,
        metrics: &Metrics,
        make: impl Fn(&[Content<'_>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            setting,
            paths,
            make: Box::new(make),
            metrics: metrics.clone(),
            state: Mutex::new(State {
                value: None,
                looked_at: None,
                seen: None,
                complaint: None,
            }),
        }
    }

    /// The newest good value; files are looked at again after [`LOOK_EVERY`], and at once as long as
    /// there is none.
    ///
    /// # Errors
    /// A sentence about the files, when no good value was ever read.
    pub fn current(&self) -> Result<Arc<T>, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: Instant| at.elapsed() < LOOK_EVERY;
        if state.value.is_none() || !state.looked_at.is_some_and(is_fresh) {
            self.look(&mut state);
        }
        match (&state.value, &state.complaint) {
            (Some(value), _) => Ok(Arc::clone(value)),
            (None, Some(complaint)) => Err(format!("{}: {complaint}", self.setting)),
            (None, None) => Err(format!("{}: was not read", self.setting)),
        }
    }

    /// Looks at the files at once when the value is next asked for: somebody does not accept it.
    pub fn doubt(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked_at = None;
    }

    fn look(&self, state: &mut State<T>) {
        state.looked_at = Some(Instant::now());
        let made = self.read_all().and_then(|files| {
            let seen = fingerprint(&files);
            if state.seen == Some(seen) {
                return Ok(None);
            }
            let contents: Vec<Content<'_>> = self
                .paths
                .iter()
                .zip(&files)
                .map(|(path, bytes)| Content { path, bytes })
                .collect();
            let value = (self.make)(&contents)?;
            Ok(Some((value, seen)))
        });
        match made {
            Ok(made) => {
                if state.complaint.take().is_some() {
                    tracing::info!(setting = self.setting, "its files can be used again");
                }
                if let Some((value, seen)) = made {
                    if state.value.is_some() {
                        tracing::info!(
                            setting = self.setting,
                            "its files have changed and are in use"
                        );
                    }
                    state.value = Some(Arc::new(value));
                    state.seen = Some(seen);
                }
            }
            Err(complaint) => {
                if state.complaint.as_ref() != Some(&complaint) {
                    let still = still(state);
                    tracing::warn!(setting = self.setting, "{complaint}; {still}");
                }
                state.complaint = Some(complaint);
            }
        }
        let labels = SettingLabels {
            setting: self.setting.clone(),
        };
        let stale = self.metrics.credentials_bad.get_or_create(&labels);
        stale.set(i64::from(state.complaint.is_some()));
        let complaint = state.complaint.as_ref();
        let complaint = complaint.map(|complaint| format!("{complaint}; {}", still(state)));
        self.metrics.notices.complaint(&self.setting, complaint);
    }

    fn read_all(&self) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
        self.paths.iter().map(|path| read(path)).collect()
    }
}

impl Rotating<Secret> {
    /// The token that one file holds. `setting` as for [`Self::new`].
    pub fn token(setting: String, path: &Path, metrics: &Metrics) -> Self {
        Self::new(setting, vec![path.to_owned()], metrics, |files| {
            files.first().ok_or("no file")?.token()
        })
    }
}

impl<T: Send + Sync> Refresh for Rotating<T> {
    fn refresh(&self) {
        // What is wrong is said where it is noticed.
        let _noticed = self.current();
    }
}

impl<T> fmt::Debug for Rotating<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotating")
            .field("setting", &self.setting)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

// === impl Content ===

impl Content<'_> {
    /// The file's one secret: its text without the line's end that editors add.
    ///
    /// # Errors
    /// When it is no text, or empty.
    pub fn secret(&self) -> Result<Secret, String> {
        let path = self.path.display();
        let text =
            std::str::from_utf8(self.bytes).map_err(|_| format!("{path} is no UTF-8 text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(format!("{path} is empty"));
        }
        // It ends a text in the protocols that secrets go by.
        if text.contains('\0') {
            return Err(format!("{path} holds a zero byte"));
        }
        Ok(Secret::new(text.to_owned()))
    }

    /// The file's one token, as it may stand in a header.
    ///
    /// # Errors
    /// When it holds none.
    pub fn token(&self) -> Result<Secret, String> {
        let token = self.secret()?;
        if is_token(token.expose()) {
            Ok(token)
        } else {
            Err(format!("{} is no token", self.path.display()))
        }
    }
}

/// What a bad file means for what is in use.
const fn still<T>(state: &State<T>) -> &'static str {
    match state.value {
        Some(_) => "what was read before stays in use",
        None => "nothing was read before, so it cannot be used",
    }
}

/// Whether a text can be a token: printable and without spaces.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |error: std::io::Error| {
        format!(
            "{} cannot be read ({error}): mount the Secret that holds it, or correct the path",
            path.display()
        )
    };
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(format!(
            "{} is larger than {MAX_FILE_BYTES} bytes",
            path.display()
        ));
    }
    Ok(bytes)
}

/// Tells contents apart without keeping them.
fn fingerprint(files: &[Zeroizing<Vec<u8>>]) -> [u8; 32] {
    let mut all = Context::new(&SHA256);
    for file in files {
        all.update(ring::digest::digest(&SHA256, file).as_ref());
    }
    let digest: Digest = all.finish();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn password(path: &Path, metrics: &Metrics) -> Rotating<Secret> {
        Rotating::new(
            "clusters.orders.sasl".to_owned(),
            vec![path.to_owned()],
            metrics,
            |files| files.first().ok_or("no file")?.secret(),
        )
    }

    fn is_bad(metrics: &Metrics) -> i64 {
        let labels = SettingLabels {
            setting: "clusters.orders.sasl".to_owned(),
        };
        metrics.credentials_bad.get_or_create(&labels).get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_swapped_link_is_followed_and_a_bad_file_keeps_the_old_value() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // As Kubernetes mounts a Secret: the file is a link into a folder that is a link itself.
        for (version, text) in [("..1", "first\n"), ("..2", "second"), ("..3", "")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("password"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/password", at("password")).unwrap();
        let swap = |version: &str| {
            symlink(version, at("..new")).unwrap();
            std::fs::rename(at("..new"), at("..data")).unwrap();
        };
        let metrics = Metrics::default();
        let rotating = password(&at("password"), &metrics);
        let says = |expected: &str| {
            assert_eq!(rotating.current().unwrap().expose(), expected);
        };
        says("first");
        swap("..2");
        says("first");
        tokio::time::advance(LOOK_EVERY).await;
        says("second");
        for bad in ["..3", "..4"] {
            swap(bad);
            tokio::time::advance(LOOK_EVERY).await;
            says("second");
            assert_eq!(is_bad(&metrics), 1, "{bad}");
        }
        swap("..1");
        tokio::time::advance(LOOK_EVERY).await;
        says("first");
        assert_eq!(is_bad(&metrics), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_refuses_is_looked_at_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "first").unwrap();
        let rotating = password(&path, &Metrics::default());
        let says = |expected: &str| assert_eq!(rotating.current().unwrap().expose(), expected);
        says("first");
        std::fs::write(&path, "second").unwrap();
        says("first");
        rotating.doubt();
        says("second");
    }

    #[test]
    fn what_was_never_good_is_a_sentence_and_is_tried_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let rotating = password(&path, &Metrics::default());
        let error = rotating.current().unwrap_err();
        assert!(error.starts_with("clusters.orders.sasl: "), "{error}");
        assert!(error.contains("mount the Secret that holds it"), "{error}");
        std::fs::create_dir(&path).unwrap();
        assert!(rotating.current().unwrap_err().contains("is no file"));
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, "hush").unwrap();
        assert_eq!(rotating.current().unwrap().expose(), "hush");
        assert!(!format!("{rotating:?}").contains("hush"));
    }
}
