//! A real Prometheus as a process, something for it to scrape, and fake servers.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use evenkeel_tools::demo::ports;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long anything here may take to come true. Generous: only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A Prometheus that ends with the test.
pub struct Prometheus {
    pub url: String,
    process: Child,
    _folder: tempfile::TempDir,
}

/// Something for it to scrape.
pub struct Scrape {
    pub address: SocketAddr,
    /// Labels that every series gets which has none of the name.
    pub labels: Vec<(&'static str, String)>,
}

/// A server that ends with the test.
pub struct Server {
    pub url: String,
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

/// A metrics endpoint with one gauge, `orders_per_second`.
pub struct Exporter {
    server: Server,
    failing: Arc<AtomicBool>,
}

// === impl Scrape ===

impl Scrape {
    /// Without labels of its own.
    pub fn of(address: SocketAddr) -> Self {
        Self {
            address,
            labels: Vec::new(),
        }
    }

    /// As Prometheus' configuration has it (JSON is YAML).
    fn job(&self, number: usize) -> serde_json::Value {
        let labels: serde_json::Map<String, serde_json::Value> = self
            .labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        serde_json::json!({
            "job_name": number.to_string(),
            "honor_labels": true,
            "static_configs": [{"targets": [self.address.to_string()], "labels": labels}],
        })
    }
}

// === impl Prometheus ===

impl Prometheus {
    /// Started and ready; scrapes `exporter` every second.
    pub async fn start(exporter: Option<&Exporter>) -> Self {
        let exporter = exporter.map(|exporter| Scrape::of(exporter.server.address));
        Self::scraping(exporter.as_slice()).await
    }

    /// Started and ready; scrapes all of these every second.
    pub async fn scraping(scrapes: &[Scrape]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(folder, scrapes).await
    }

    /// One that has scraped these samples before, in OpenMetrics, and scrapes nothing now.
    pub async fn with_samples(samples: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("samples.txt");
        std::fs::write(&file, samples).expect("a file of samples");
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .arg(&file)
            .arg(folder.path().join("data"))
            .output()
            .unwrap_or_else(|error| panic!("promtool does not start ({error}): run `make setup`"));
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "promtool: {said}");
        Self::start_in(folder, &[]).await
    }

    /// The same in a folder that may have a past, in `data`.
    pub async fn start_in(folder: tempfile::TempDir, scrapes: &[Scrape]) -> Self {
        let config = folder.path().join("prometheus.yml");
        let jobs = scrapes
            .iter()
            .zip(0..)
            .map(|(scrape, number)| scrape.job(number));
        let text = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": jobs.collect::<Vec<_>>(),
        });
        std::fs::write(&config, text.to_string()).expect("a config file");
        let address = free_address();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus does not start ({error}): run `make setup`")
            });
        let mut prometheus = Self {
            url: format!("http://{address}"),
            process,
            _folder: folder,
        };
        evenkeel_scaler::tls::use_ring();
        let ready = format!("{}/-/ready", prometheus.url);
        eventually("Prometheus is ready", async || {
            if let Some(status) = prometheus.process.try_wait().expect("a child process") {
                panic!("prometheus ended with {status}");
            }
            let answer = reqwest::get(&ready).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

// === impl Exporter ===

impl Exporter {
    pub async fn start(value: f64) -> Self {
        let failing = Arc::new(AtomicBool::new(false));
        let server = {
            let failing = Arc::clone(&failing);
            fake(Router::new().route(
                "/metrics",
                get(async move || {
                    if failing.load(Ordering::SeqCst) {
                        Err(StatusCode::INTERNAL_SERVER_ERROR)
                    } else {
                        Ok(format!("orders_per_second {value}\n"))
                    }
                }),
            ))
            .await
        };
        Self { server, failing }
    }

    /// From now on no scrape succeeds.
    pub fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
    }
}

// === impl Server ===

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `router` on a free port.
pub async fn fake(router: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        axum::serve(listener, router).await.expect("a server");
    });
    Server {
        url: format!("http://{address}"),
        address,
        task,
    }
}

/// Accepts connections and never says a word.
pub async fn silent() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut held: Vec<TcpStream> = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            held.push(stream);
        }
    });
    Server {
        url: format!("http://{address}"),
        address,
        task,
    }
}

/// The URL of a port that nobody listens on.
pub async fn nobody() -> String {
    format!("http://{}", free_address())
}

fn free_address() -> SocketAddr {
    ports::free().expect("a free port")
}

/// Polls until `condition` gives something.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
