//! One kind of object, listed and then watched, for as long as the process runs.
//!
//! Beside the changes it tells when the server last said that there are none, which is what makes the
//! difference between "nothing changed" and "nobody answers": every list, every watch that begins or
//! ends in order, every event and every bookmark is a sign of life. What cannot be watched is listed
//! again, at a pace that a broken server bears. Of each object only what the caller reads is kept, page by
//! page: a cluster may have many that nobody scales.
//!
//! `kube-runtime`'s watcher was looked at: it does not tell of bookmarks, nor that a broken watch has
//! resumed, so a watch that breaks every second would look like one that is dead.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};

use super::{Refused, in_time};

/// Objects a page of a list.
const PAGE: u32 = 500;
/// How long one watch lasts: an empty one is begun anew after it, which shows that the server lives.
const WATCH_SECONDS: u32 = 40;
/// How much longer than that nothing may come before a watch counts as dead.
const WATCH_GRACE: Duration = Duration::from_secs(10);
/// Between two attempts: doubling from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A page's token has expired, or the version to go on from.
const GONE: u16 = 410;

/// An object's namespace and name.
pub(super) type Name = (String, String);

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// These are all there are that make sense.
    All(BTreeMap<Name, T>),
    /// This one is new, or has changed.
    Applied(Name, T),
    /// This one is gone, or makes no sense.
    Gone(Name),
    /// Nothing has changed.
    Alive,
    /// The server did not answer.
    Failed(Refused),
}

/// Watches for ever and tells `each` change of what `read` makes of the objects.
pub(super) async fn watch<T>(
    api: &Api<DynamicObject>,
    read: impl Fn(&DynamicObject) -> Option<T>,
    mut each: impl FnMut(Change<T>),
) {
    let mut pause = FIRST_PAUSE;
    loop {
        match list(api, &read).await {
            Ok((all, version)) => {
                pause = FIRST_PAUSE;
                each(Change::All(all));
                follow(api, version, &read, &mut each).await;
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            Err(refused) => {
                each(Change::Failed(refused));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Everything there is, and the version from which a watch goes on.
async fn list<T>(
    api: &Api<DynamicObject>,
    read: &impl Fn(&DynamicObject) -> Option<T>,
) -> Result<(BTreeMap<Name, T>, String), Refused> {
    let mut all = BTreeMap::new();
    let mut next: Option<String> = None;
    loop {
        let mut params = ListParams::default().limit(PAGE);
        if let Some(token) = &next {
            params = params.continue_token(token);
        }
        let page = in_time(api.list(&params)).await?;
        let made = page
            .items
            .iter()
            .filter_map(|object| Some((name(object), read(object)?)));
        all.extend(made);
        next = page.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok((all, page.metadata.resource_version.unwrap_or_default()));
        }
    }
}

/// Watches on from `version` until that is not known any more, or the server cannot be asked.
async fn follow<T>(
    api: &Api<DynamicObject>,
    mut version: String,
    read: &impl Fn(&DynamicObject) -> Option<T>,
    each: &mut impl FnMut(Change<T>),
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut began = false;
        let ended = one_watch(api, &mut version, read, |change| {
            began = true;
            each(change);
        });
        let ended = ended.await;
        if began {
            pause = FIRST_PAUSE;
        }
        match ended {
            Ok(()) => {}
            Err(refused) if refused.code == Some(GONE) => return,
            Err(refused) => {
                each(Change::Failed(refused));
                // After the longest pause everything is listed again: a server that was restored
                // from a backup knows other versions.
                if pause >= LAST_PAUSE {
                    return;
                }
                pause *= 2;
            }
        }
        tokio::time::sleep(pause.min(LAST_PAUSE)).await;
    }
}

/// One watch, to its end.
async fn one_watch<T>(
    api: &Api<DynamicObject>,
    version: &mut String,
    read: &impl Fn(&DynamicObject) -> Option<T>,
    mut each: impl FnMut(Change<T>),
) -> Result<(), Refused> {
    let params = WatchParams::default().timeout(WATCH_SECONDS);
    let events = in_time(api.watch(&params, version)).await?;
    let mut events = std::pin::pin!(events);
    each(Change::Alive);
    let silence = Duration::from_secs(u64::from(WATCH_SECONDS)) + WATCH_GRACE;
    loop {
        let Ok(event) = tokio::time::timeout(silence, events.next()).await else {
            return Ok(());
        };
        match event {
            None => return Ok(()),
            Some(Err(error)) => return Err(Refused::of(&error)),
            Some(Ok(WatchEvent::Error(status))) => {
                return Err(Refused::of(&kube::Error::Api(status)));
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                *version = bookmark.metadata.resource_version;
                each(Change::Alive);
            }
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                note_version(version, &object);
                let name = name(&object);
                each(match read(&object) {
                    Some(value) => Change::Applied(name, value),
                    None => Change::Gone(name),
                });
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                note_version(version, &object);
                each(Change::Gone(name(&object)));
            }
        }
    }
}

fn name(object: &DynamicObject) -> Name {
    let metadata = &object.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

fn note_version(version: &mut String, object: &DynamicObject) {
    if let Some(newer) = &object.metadata.resource_version {
        version.clone_from(newer);
    }
}
