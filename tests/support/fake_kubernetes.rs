//! The API server of Kubernetes as far as the scaler asks it: objects by their paths, lists, watches with
//! versions, conflicts; and faults on request. It knows no kinds: a path is what an object is.
//!
//! The real one is in `make cluster-test`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server that ends with its test.
#[derive(Debug)]
pub struct FakeKubernetes {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// None where another one ends it.
    serving: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct World {
    version: u64,
    /// Versions before this are not known any more.
    oldest: u64,
    /// By the path of the collection in its namespace, and the name.
    objects: BTreeMap<(String, String), Value>,
    history: Vec<Changed>,
    faults: Vec<Fault>,
    requests: Vec<String>,
}

#[derive(Clone, Debug)]
struct Changed {
    version: u64,
    what: &'static str,
    collection: String,
    object: Value,
}

/// What goes wrong with requests whose line contains a text.
#[derive(Clone, Debug)]
struct Fault {
    about: String,
    what: Wrong,
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    /// This status.
    Refused(u16),
    /// No answer at all.
    Silent,
    /// An answer this late.
    Late(Duration),
    /// Watches end after this, in the middle of a line.
    Broken(Duration),
}

// === impl FakeKubernetes ===

impl FakeKubernetes {
    /// An empty cluster.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            world: Mutex::new(World {
                version: 1,
                ..World::default()
            }),
            changed: watch::Sender::new(1),
        });
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            shared,
            serving: Some(serving),
        }
    }

    /// The same server, which ends with the first of them.
    pub fn sharing(&self) -> Self {
        Self {
            address: self.address,
            shared: Arc::clone(&self.shared),
            serving: None,
        }
    }

    /// A kubeconfig for it, written to `folder`; its path.
    pub fn kubeconfig(&self, folder: &Path) -> String {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "evenkeel"}}],
            "users": [{"name": "me", "user": {}}],
        });
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path.display().to_string()
    }

    /// Writes an object, whatever was there.
    pub fn put(&self, collection: &str, name: &str, object: Value) {
        let mut world = self.world();
        let known = (collection.to_owned(), name.to_owned());
        let what = if world.objects.contains_key(&known) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        world.write(what, collection, name, object);
        self.shared.changed.send_replace(world.version);
    }

    /// Removes an object.
    pub fn delete(&self, collection: &str, name: &str) {
        let mut world = self.world();
        let known = (collection.to_owned(), name.to_owned());
        let Some(object) = world.objects.remove(&known) else {
            return;
        };
        world.version += 1;
        let changed = Changed {
            version: world.version,
            what: "DELETED",
            collection: collection.to_owned(),
            object,
        };
        world.history.push(changed);
        self.shared.changed.send_replace(world.version);
    }

    /// The object, where it is there.
    pub fn get(&self, collection: &str, name: &str) -> Option<Value> {
        let known = (collection.to_owned(), name.to_owned());
        self.world().objects.get(&known).cloned()
    }

    /// All objects of a collection.
    pub fn all(&self, collection: &str) -> Vec<Value> {
        let world = self.world();
        let all = world.objects.iter();
        let of_it = all.filter(|((of, _), _)| of == collection);
        of_it.map(|(_, object)| object.clone()).collect()
    }

    /// Forgets all versions up to now: whoever watches from one has to list again.
    pub fn compact(&self) {
        let mut world = self.world();
        world.version += 1;
        world.oldest = world.version;
        self.shared.changed.send_replace(world.version);
    }

    /// From now on requests whose line (`GET /path?query`) contains `about` go wrong.
    pub fn wrong(&self, about: &str, what: Wrong) {
        let about = about.to_owned();
        self.world().faults.push(Fault { about, what });
        self.shared.changed.send_modify(|_| {});
    }

    /// Nothing goes wrong any more.
    pub fn right(&self) {
        self.world().faults.clear();
        self.shared.changed.send_modify(|_| {});
    }

    /// The lines of all requests whose line contains `about`.
    pub fn requests(&self, about: &str) -> Vec<String> {
        let world = self.world();
        let requests = world.requests.iter();
        requests
            .filter(|line| line.contains(about))
            .cloned()
            .collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

// === impl World ===

impl World {
    fn write(
        &mut self,
        what: &'static str,
        collection: &str,
        name: &str,
        mut object: Value,
    ) -> Value {
        self.version += 1;
        let namespace = collection.rsplit("/namespaces/").next().unwrap_or_default();
        let namespace = namespace.split('/').next().unwrap_or_default().to_owned();
        if object.get("metadata").is_none() {
            object["metadata"] = json!({});
        }
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(name);
        metadata["namespace"] = json!(namespace);
        metadata["resourceVersion"] = json!(self.version.to_string());
        if metadata.get("uid").is_none() {
            metadata["uid"] = json!(format!("uid-{name}"));
        }
        let known = (collection.to_owned(), name.to_owned());
        self.objects.insert(known, object.clone());
        self.history.push(Changed {
            version: self.version,
            what,
            collection: collection.to_owned(),
            object: object.clone(),
        });
        object
    }

    fn fault(&self, line: &str) -> Option<Wrong> {
        let fault = self.faults.iter().find(|fault| line.contains(&fault.about));
        fault.map(|fault| fault.what)
    }
}

fn status(code: u16, why: &str) -> Response {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": why, "reason": reason, "code": code,
    });
    let code = StatusCode::from_u16(code).unwrap();
    (code, axum::Json(body)).into_response()
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
        .next()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let line = format!("{method} {uri}");
    let fault = {
        let mut world = shared.world.lock().unwrap();
        world.requests.push(line.clone());
        world.fault(&line)
    };
    match fault {
        Some(Wrong::Refused(code)) => return status(code, "as the test says"),
        Some(Wrong::Silent) => std::future::pending::<()>().await,
        Some(Wrong::Late(delay)) => tokio::time::sleep(delay).await,
        Some(Wrong::Broken(_)) | None => {}
    }
    let path = uri.path().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if method == Method::GET && parameter(&uri, "watch").is_some() {
        return watch_events(&shared, &uri, line);
    }
    let mut world = shared.world.lock().unwrap();
    let (collection, name) = match path.strip_suffix("/scale") {
        Some(path) => path.rsplit_once('/').unwrap(),
        None => path.rsplit_once('/').unwrap(),
    };
    let known = (collection.to_owned(), name.to_owned());
    let found = world.objects.get(&known).cloned();
    let answer = match (method.as_str(), found) {
        ("GET", Some(object)) if path.ends_with("/scale") => Ok(json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": object["metadata"],
            "spec": object["spec"], "status": object["status"],
        })),
        ("GET", Some(object)) => Ok(object),
        ("GET", None) if is_collection(&world, &path) => Ok(list(&world, &path)),
        ("GET" | "PUT" | "PATCH", None) => Err((404, "not found")),
        ("PUT", Some(object)) => {
            let wanted = body
                .pointer("/metadata/resourceVersion")
                .and_then(Value::as_str);
            let is = object
                .pointer("/metadata/resourceVersion")
                .and_then(Value::as_str);
            if wanted.is_some() && wanted != is {
                Err((409, "the object has been modified"))
            } else {
                let mut body = body;
                body["metadata"]["uid"] = object["metadata"]["uid"].clone();
                Ok(world.write("MODIFIED", collection, name, body))
            }
        }
        ("PATCH", Some(mut object)) => {
            for (key, value) in body.as_object().unwrap() {
                object[key] = value.clone();
            }
            Ok(world.write("MODIFIED", collection, name, object))
        }
        ("POST", _) => {
            let name = body["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let known = (path.clone(), name.clone());
            if world.objects.contains_key(&known) {
                Err((409, "it exists already"))
            } else {
                Ok(world.write("ADDED", &path, &name, body))
            }
        }
        _ => Err((405, "the fake does not do that")),
    };
    shared.changed.send_replace(world.version);
    drop(world);
    match answer {
        Ok(object) => axum::Json(object).into_response(),
        Err((code, why)) => status(code, why),
    }
}

/// Whether the path names a collection rather than an object that is not there.
fn is_collection(world: &World, path: &str) -> bool {
    let plural = path.rsplit('/').next().unwrap_or_default();
    plural.ends_with('s') && !path.contains("/namespaces/")
        || world
            .objects
            .keys()
            .any(|(collection, _)| collection == path)
}

/// Whether what is in `collection` is seen from `path`, which may be all namespaces'.
fn is_within(collection: &str, path: &str) -> bool {
    let (group, plural) = path.rsplit_once('/').unwrap();
    collection == path
        || (collection.starts_with(&format!("{group}/namespaces/"))
            && collection.ends_with(&format!("/{plural}")))
}

fn list(world: &World, path: &str) -> Value {
    let within = world.objects.iter();
    let within = within.filter(|((collection, _), _)| is_within(collection, path));
    let items: Vec<Value> = within.map(|(_, object)| object.clone()).collect();
    json!({
        "kind": "List", "apiVersion": "v1",
        "metadata": {"resourceVersion": world.version.to_string()}, "items": items,
    })
}

fn watch_events(shared: &Arc<Shared>, uri: &Uri, line: String) -> Response {
    let from = parameter(uri, "resourceVersion");
    let from: u64 = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    let path = uri.path().to_owned();
    let shared = Arc::clone(shared);
    let changes = shared.changed.subscribe();
    let state = (shared, changes, from, tokio::time::Instant::now());
    let lines = futures::stream::unfold(state, move |(shared, mut changes, from, began)| {
        let (path, line) = (path.clone(), line.clone());
        async move {
            loop {
                let (events, version, oldest, fault) = {
                    let world = shared.world.lock().unwrap();
                    let newer = world
                        .history
                        .iter()
                        .filter(|changed| changed.version > from);
                    let seen = newer.filter(|changed| is_within(&changed.collection, &path));
                    let events: Vec<Changed> = seen.cloned().collect();
                    (events, world.version, world.oldest, world.fault(&line))
                };
                if from < oldest {
                    let gone = json!({"type": "ERROR", "object": {
                        "kind": "Status", "code": 410, "message": "too old", "reason": "Expired",
                        "status": "Failure", "metadata": {},
                    }});
                    let state = (shared, changes, version, began);
                    return Some((Ok::<_, Infallible>(format!("{gone}\n")), state));
                }
                if !events.is_empty() {
                    let lines = events.iter().map(|changed| {
                        format!(
                            "{}\n",
                            json!({"type": changed.what, "object": changed.object})
                        )
                    });
                    let text: String = lines.collect();
                    return Some((Ok(text), (shared, changes, version, began)));
                }
                let ends = match fault {
                    Some(Wrong::Broken(after)) => began + after,
                    Some(Wrong::Refused(_) | Wrong::Silent) => return None,
                    _ => began + Duration::from_secs(40),
                };
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep_until(ends) => return None,
                }
            }
        }
    });
    Body::from_stream(lines).into_response()
}
