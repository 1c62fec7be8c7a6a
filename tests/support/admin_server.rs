//! A running admin server on a free port, for the tests of what it says and of those who ask it.

#![allow(dead_code, reason = "each test binary takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test's own helpers may fail the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_scaler::admin::{self, AdminToken, Readiness, api};
use evenkeel_scaler::cli::explain::client::AdminClient;
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::config::{AdminConfig, Limits};
use evenkeel_scaler::control::registry::Registry;
use evenkeel_scaler::leader::Leadership;
use evenkeel_scaler::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::decisions;

/// A running admin server and what stands behind it.
pub struct Server {
    pub address: SocketAddr,
    pub targets: Arc<Registry>,
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub clock: Clock,
    pub stop: oneshot::Sender<()>,
    pub task: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// What it answered.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), decisions::limits()).await
    }

    pub async fn start_on(address: SocketAddr, limits: Limits) -> Self {
        Self::start_with(address, limits, None).await
    }

    /// One that wants the token in the file.
    pub async fn start_guarded(token_file: &Path) -> Self {
        let limits = decisions::limits();
        Self::start_with(([127, 0, 0, 1], 0).into(), limits, Some(token_file)).await
    }

    async fn start_with(address: SocketAddr, limits: Limits, token_file: Option<&Path>) -> Self {
        let targets = Arc::new(Registry::new(limits.targets, limits.history_points));
        let (metrics, readiness, clock) = (Metrics::default(), Readiness::new(), Clock::start());
        let config = AdminConfig {
            listen: address,
            token_file: token_file.map(Path::to_owned),
        };
        let token = AdminToken::of(&config, &metrics).unwrap().map(Arc::new);
        let router = admin::router(
            Arc::clone(&targets),
            &metrics,
            limits,
            clock,
            (readiness.clone(), Leadership::alone(clock)),
            token.as_ref(),
        );
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(admin::serve(listener, router, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            targets,
            metrics,
            readiness,
            clock,
            stop,
            task,
        }
    }

    /// Registers `shop/orders` with two decisions, 5 s apart; the last one is of now.
    pub fn with_orders(self) -> Self {
        let now = self.clock.now();
        let target = self
            .targets
            .register(decisions::spec("shop", "orders", 7), now)
            .unwrap();
        for at in [now.minus(Duration::from_secs(5)), now] {
            let published = decisions::rising(at);
            self.metrics.count_decision(published.decision.verdict);
            target.publish(published);
        }
        self
    }

    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_with(method, path, "").await
    }

    /// The same with more lines of the head, each with its end.
    pub async fn ask_with(&self, method: &str, path: &str, lines: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    pub async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The sentence of an answer that has to be a 404.
    pub async fn missing(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
        let error: api::ApiError = serde_json::from_str(&answer.body).unwrap();
        error.error
    }

    pub fn client(&self) -> AdminClient {
        AdminClient::new(&format!("http://{}", self.address), None).unwrap()
    }
}
