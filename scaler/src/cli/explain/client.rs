//! Asks the admin server of a running `evenkeel serve`, for `explain` and `top`.
//!
//! The one use of HTTP outside `observe`: it speaks to our own server only, and reads the very types
//! that the server writes. It follows no redirects and takes no more than [`ANSWER_BYTES`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, RequestBuilder, Url};
use serde::de::DeserializeOwned;

use crate::admin::RECORDING_TIMEOUT;
use crate::admin::api::{ApiError, History, TargetDetail, TargetList};
use crate::credentials::{Rotating, Secret};
use crate::metrics::Metrics;

/// Where a server listens that was given no other address.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// How long an answer may take: the server answers from memory, so this is for a port-forward that
/// hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer: a list of 10,000 targets or a history of 100,000 points is well below it.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The server answered, and said no: its own sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A running server.
#[derive(Clone, Debug)]
pub struct AdminClient {
    server: Url,
    http: Client,
    token: Option<Arc<Rotating<Secret>>>,
}

/// Where the server is, and what it wants to be shown.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// The admin server of a running `evenkeel serve`.
    #[arg(long, env = "EVENKEEL_SERVER", default_value = DEFAULT_SERVER)]
    server: String,
    /// Holds the token, where the server has an `admin.tokenFile`.
    #[arg(long, env = "EVENKEEL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

// === impl ServerArgs ===

impl ServerArgs {
    /// Who asks it; nothing is asked yet.
    ///
    /// # Errors
    /// When the server's address is none.
    pub fn client(&self) -> anyhow::Result<AdminClient> {
        AdminClient::new(&self.server, self.token_file.as_deref())
    }
}

// === impl AdminClient ===

impl AdminClient {
    /// Nothing is asked or read yet. The token's file is read again when it changes.
    ///
    /// # Errors
    /// When `server` is no address.
    pub fn new(server: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let complaint = || format!("--server {server} is no address such as {DEFAULT_SERVER}");
        let url = Url::parse(server).with_context(complaint)?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!(complaint());
        }
        crate::tls::use_ring();
        let http = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let token = token_file.map(|file| {
            let setting = "--token-file".to_owned();
            Arc::new(Rotating::token(setting, file, &Metrics::default()))
        });
        Ok(Self {
            server: url,
            http,
            token,
        })
    }

    /// All targets.
    ///
    /// # Errors
    /// When the server does not answer, or not with that.
    pub async fn targets(&self) -> anyhow::Result<TargetList> {
        self.ask(&["targets"], None).await
    }

    /// One target; of a ScaledObject with several triggers the one that is named, or the one that
    /// KEDA asked for last.
    ///
    /// # Errors
    /// When the server does not answer, or knows no such target: then a [`Refused`] with those it
    /// knows.
    pub async fn target(
        &self,
        namespace: &str,
        name: &str,
        trigger: Option<&str>,
    ) -> anyhow::Result<TargetDetail> {
        self.ask(&["targets", namespace, name], trigger).await
    }

    /// The history of one target.
    ///
    /// # Errors
    /// As for [`Self::target`].
    pub async fn history(
        &self,
        namespace: &str,
        name: &str,
        trigger: Option<&str>,
    ) -> anyhow::Result<History> {
        let path = ["targets", namespace, name, "history"];
        self.ask(&path, trigger).await
    }

    /// The next `decisions` about one target with what they were made of, as they are written down.
    ///
    /// # Errors
    /// As for [`Self::target`].
    pub async fn recording(
        &self,
        namespace: &str,
        name: &str,
        (trigger, decisions): (Option<&str>, usize),
    ) -> anyhow::Result<String> {
        let path = ["targets", namespace, name, "recording"];
        let mut request = self.request(&path, trigger)?;
        let patience = RECORDING_TIMEOUT + TIMEOUT;
        request = request.query(&[("decisions", decisions)]).timeout(patience);
        let body = self.body(request).await?;
        String::from_utf8(body).with_context(|| self.is_another())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        trigger: Option<&str>,
    ) -> anyhow::Result<T> {
        let body = self.body(self.request(path, trigger)?).await?;
        serde_json::from_slice(&body).with_context(|| self.is_another())
    }

    fn request(&self, path: &[&str], trigger: Option<&str>) -> anyhow::Result<RequestBuilder> {
        let mut url = self.server.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(["api", "v1"]).extend(path),
            Err(()) => bail!("{} cannot have a path", self.server),
        };
        if let Some(trigger) = trigger {
            url.query_pairs_mut().append_pair("trigger", trigger);
        }
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            let token = token.current().map_err(anyhow::Error::msg)?;
            request = request.bearer_auth(token.expose());
        }
        Ok(request)
    }

    /// What is answered, where that is no refusal.
    async fn body(&self, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let mut response = request.send().await.map_err(|error| {
            anyhow::anyhow!(
                "no evenkeel answers at {}: {}. Is it running? Name its admin server with \
                 --server; in a cluster, `kubectl port-forward` to its port 8080 first",
                self.server,
                root_cause(&error)
            )
        })?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                bail!("{} answers more than {ANSWER_BYTES} bytes", self.server);
            }
            body.extend_from_slice(&chunk);
        }
        if response.status().is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<ApiError>(&body) {
            Ok(refusal) => Err(Refused(super::render::printable(&refusal.error)).into()),
            Err(_) => bail!(
                "{} answers {}, which evenkeel does not: is --server its admin server?",
                self.server,
                response.status()
            ),
        }
    }

    fn is_another(&self) -> String {
        format!("{} does not answer as evenkeel does", self.server)
    }
}

/// The innermost reason, which is the one that says something ("Connection refused").
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
