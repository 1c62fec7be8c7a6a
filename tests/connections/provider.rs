//! An identity provider: answers requests for tokens over HTTPS, in whatever mood a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::authority::Pair;

/// How it answers.
#[derive(Clone, Debug)]
pub enum Mood {
    /// A token that holds this many seconds.
    Gives(u64),
    /// A status and a body of this type.
    Says(u16, &'static str, &'static str),
    /// Nothing at all.
    Silent,
}

/// The provider.
pub struct Provider {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    answered: Arc<AtomicU32>,
    last: Arc<Mutex<String>>,
    _task: AbortOnDropHandle<()>,
}

/// A token that Kafka's validator for tests takes: unsigned, for `subject`.
pub fn token(subject: &str, seconds: u64) -> String {
    let now = evenkeel_scaler::clock::wall().as_secs();
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    let head = part("{\"alg\":\"none\"}".to_owned());
    let ends = now + seconds;
    let body = part(format!(
        "{{\"sub\":\"{subject}\",\"iat\":{now},\"exp\":{ends},\"scope\":\"kafka\"}}"
    ));
    format!("{head}.{body}.")
}

// === impl Provider ===

impl Provider {
    pub async fn start(pair: &Pair) -> Self {
        evenkeel_scaler::tls::use_ring();
        let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Gives(3_600)));
        let answered = Arc::new(AtomicU32::new(0));
        let last = Arc::new(Mutex::new(String::new()));
        let task = tokio::spawn({
            let (mood, answered, last) = (mood.clone(), answered.clone(), last.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    let (mood, answered, last) = (mood.clone(), answered.clone(), last.clone());
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let Some(request) = read_request(&mut stream).await else {
                            return;
                        };
                        *last.lock().unwrap() = request;
                        answered.fetch_add(1, Ordering::SeqCst);
                        let mood = mood.lock().unwrap().clone();
                        let (status, kind, body) = match mood {
                            Mood::Gives(seconds) => {
                                let token = token("scaler", seconds);
                                let json = format!(
                                    "{{\"access_token\":\"{token}\",\"expires_in\":{seconds}}}"
                                );
                                (200, "application/json", json)
                            }
                            Mood::Says(status, kind, body) => (status, kind, body.to_owned()),
                            Mood::Silent => return std::future::pending().await,
                        };
                        let head = format!(
                            "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
                             connection: close\r\n\r\n{body}",
                            body.len()
                        );
                        let _gone = stream.write_all(head.as_bytes()).await;
                        let _gone = stream.shutdown().await;
                    });
                }
            }
        });
        Self {
            address,
            mood,
            answered,
            last,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}/token", self.address)
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How many requests came.
    pub fn requests(&self) -> u32 {
        self.answered.load(Ordering::SeqCst)
    }

    /// The last request as it came.
    pub fn last(&self) -> String {
        self.last.lock().unwrap().clone()
    }
}

/// One request with its body; none where the client goes away or is too slow.
async fn read_request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let reading = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut chunk));
        let count = reading.await.ok()?.ok()?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text
            .to_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if let Some((head, _)) = text.split_once("\r\n\r\n")
            && bytes.len() >= head.len() + 4 + length.unwrap_or(0)
        {
            return Some(text);
        }
        if count == 0 {
            return None;
        }
    }
}
