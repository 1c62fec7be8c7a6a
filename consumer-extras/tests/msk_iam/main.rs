//! MSK's tokens end to end: the real programs, AWS's own chain in them, and the wire. What is fake is
//! the two ends: whoever gives the keys, and the broker, which only writes down the token it is shown.
//!
//! Whether a token is signed rightly is held against AWS's client for Python in `src/msk_iam.rs`. No
//! real MSK was met.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy's allowance for tests does not reach the helpers of a test crate"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Kafka's numbers of the requests that come before anything else.
const API_VERSIONS: i16 = 18;
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;

/// How often it is looked whether a program still runs.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A broker that asks for a token and hands it to the test.
struct FakeBroker {
    address: SocketAddr,
    tokens: Receiver<String>,
}

// === impl FakeBroker ===

impl FakeBroker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shown, tokens) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // It ends with the test, which then no longer listens.
                if token_of(stream.unwrap()).is_some_and(|token| shown.send(token).is_err()) {
                    break;
                }
            }
        });
        Self { address, tokens }
    }

    /// The parameters of the signed request that a program shows.
    fn token_shown_by(&self, program: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let mut program = run(program, &self.address.to_string(), environment);
        // One that ends shows none.
        let token = loop {
            match self.tokens.recv_timeout(LOOK_AGAIN) {
                Ok(token) => break token,
                Err(_) => assert_eq!(program.try_wait().unwrap(), None, "it ended"),
            }
        };
        program.kill().unwrap();
        program.wait().unwrap();
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        let signed = url.strip_prefix("https://kafka.eu-west-1.amazonaws.com/?");
        signed.unwrap().split('&').map(str::to_owned).collect()
    }
}

/// Speaks as much Kafka as comes before the token; `None` if the client goes away before.
fn token_of(mut stream: TcpStream) -> Option<String> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut request).ok()?;
        let body: &[u8] = match i16::from_be_bytes([request[0], request[1]]) {
            // No error; of three requests the versions that we know; no delay; no tags.
            API_VERSIONS => &[
                0, 0, 4, 0, 18, 0, 0, 0, 3, 0, 0, 17, 0, 1, 0, 1, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0,
            ],
            // No error, one mechanism.
            SASL_HANDSHAKE => b"\0\0\0\0\0\x01\0\x0bOAUTHBEARER",
            SASL_AUTHENTICATE => {
                let text = String::from_utf8_lossy(&request).into_owned();
                let (_, token) = text.split_once("auth=Bearer ")?;
                return token.split('\x01').next().map(str::to_owned);
            }
            other => unreachable!("request {other} before the token"),
        };
        let length = u32::try_from(4 + body.len()).unwrap().to_be_bytes();
        // A response repeats the number of its request.
        let response = [&length, &request[4..8], body].concat();
        stream.write_all(&response).ok()?;
    }
}

fn run(program: &str, broker: &str, environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new(program);
    // Nothing of the developer's own.
    command.env_clear().stderr(Stdio::inherit());
    command
        .envs(environment.iter().copied())
        .env("AWS_REGION", "eu-west-1")
        // Whatever goes wrong, the machine's own role is none of the test's business.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("BOOTSTRAP_SERVERS", broker)
        .env("TOPIC", "trades")
        // A real MSK is reached by SASL_SSL: what differs is the wire around the token.
        .env("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .env("KAFKA_SASL_MECHANISM", "OAUTHBEARER");
    if program == CONSUMER {
        command.args(["--group", "workers", "--metrics-listen", "none"]);
        command.args(["--sink", "simulate"]);
    } else {
        command.args(["--load", "1"]);
    }
    command.spawn().unwrap()
}

const CONSUMER: &str = env!("CARGO_BIN_EXE_evenkeel-consumer");
const PRODUCER: &str = env!("CARGO_BIN_EXE_evenkeel-producer");

/// Serves until the test ends.
fn serve(routes: Router) -> (SocketAddr, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(axum::serve(listener, routes).into_future());
    (address, runtime)
}

fn check(parameters: &[String], key: &str, session_token: &str) {
    let has = |beginning: String| {
        let found = parameters.iter().any(|p| p.starts_with(&beginning));
        assert!(found, "{beginning} is not in {parameters:?}");
    };
    has("Action=kafka-cluster%3AConnect".to_owned());
    has(format!("X-Amz-Credential={key}%2F"));
    has(format!("X-Amz-Security-Token={session_token}"));
    has("X-Amz-Expires=900".to_owned());
    has("X-Amz-Signature=".to_owned());
}

/// What EKS's agent is to a pod: an address, and a file with a word for it.
#[test]
fn pod_identity_gives_both_programs_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("token");
    std::fs::write(&word, "the pod's own").unwrap();
    let keys = async |headers: HeaderMap| {
        assert_eq!(headers[AUTHORIZATION], "the pod's own");
        r#"{"AccessKeyId": "POD", "SecretAccessKey": "secret", "Token": "session",
            "Expiration": "2999-01-01T00:00:00Z"}"#
    };
    let (agent, _runtime) = serve(Router::new().route("/v1/credentials", get(keys)));
    let address = format!("http://{agent}/v1/credentials");
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str()),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            word.to_str().unwrap(),
        ),
    ];
    let broker = FakeBroker::start();
    for program in [CONSUMER, PRODUCER] {
        let parameters = broker.token_shown_by(program, &environment);
        check(&parameters, "POD", "session");
    }
}

/// IRSA: a file with a word that STS takes for keys.
#[test]
fn web_identity_gives_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let word = folder.path().join("token");
    std::fs::write(&word, "the service account's own").unwrap();
    let assume = async |asked: String| {
        assert!(
            asked.contains("Action=AssumeRoleWithWebIdentity"),
            "{asked}"
        );
        assert!(
            asked.contains("the%20service%20account%27s%20own"),
            "{asked}"
        );
        let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>\
            <Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
            <SessionToken>session</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>\
            </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        ([(CONTENT_TYPE, "text/xml")], answer)
    };
    let (sts, _runtime) = serve(Router::new().route("/", post(assume)));
    let environment = [
        ("AWS_ENDPOINT_URL_STS", &*format!("http://{sts}")),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", word.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/workers"),
    ];
    let parameters = FakeBroker::start().token_shown_by(CONSUMER, &environment);
    check(&parameters, "ROLE", "session");
}
