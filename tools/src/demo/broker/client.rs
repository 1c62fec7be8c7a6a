//! The smallest possible Kafka client: one connection, one request at a time.
//!
//! It is for administration only (is the broker up, make a topic, move a leader). It retries nothing,
//! knows no credentials and believes what it is told; observing is `observe::kafka`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long one request may take, connecting included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest answer that is read. A Metadata answer of thousands of partitions stays far below.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The version every broker since Kafka 2.4 answers, and whose answer needs no fallback.
const API_VERSIONS_VERSION: i16 = 3;

/// A connection to one broker.
#[derive(Debug)]
pub struct Client {
    address: String,
    stream: TcpStream,
    versions: BTreeMap<i16, (i16, i16)>,
    correlation_id: i32,
}

/// Why a broker gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("broker {address}: {source}")]
    Io {
        /// The broker.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Nothing came in time.
    #[error("broker {address} gave no answer within {seconds} s")]
    Timeout {
        /// The broker.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The answer made no sense, or the request has no version that both sides know.
    #[error("broker {address}: {problem}")]
    Protocol {
        /// The broker.
        address: String,
        /// What was wrong.
        problem: String,
    },
}

// === impl Client ===

impl Client {
    /// Connects to `address` and learns which versions it speaks.
    ///
    /// # Errors
    /// When nobody listens there, or nobody who speaks Kafka.
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let connecting = TcpStream::connect(address);
        let stream = tokio::time::timeout(REQUEST_TIMEOUT, connecting)
            .await
            .map_err(|_| timeout(address))?
            .map_err(|source| io(address, source))?;
        let mut client = Self {
            address: address.to_owned(),
            stream,
            versions: BTreeMap::from([(
                ApiVersionsRequest::KEY,
                (API_VERSIONS_VERSION, API_VERSIONS_VERSION),
            )]),
            correlation_id: 0,
        };
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("evenkeel-demo"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = client.send(&request).await?;
        client.versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(client)
    }

    /// Sends `request` in the newest version that both sides know and waits for the answer.
    ///
    /// # Errors
    /// When the connection breaks, the answer is late, or it cannot be understood. Afterwards the
    /// connection is of no more use.
    pub async fn send<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(request))
            .await
            .map_err(|_| timeout(&self.address))?
    }

    /// The cluster as this broker sees it: all brokers, and all topics or only `topics`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn metadata(&mut self, topics: &[&str]) -> Result<MetadataResponse, ClientError> {
        use kafka_protocol::messages::TopicName;
        use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
        let topics = topics
            .iter()
            .map(|name| {
                let name = TopicName(StrBytes::from_string((*name).to_owned()));
                MetadataRequestTopic::default().with_name(Some(name))
            })
            .collect();
        let request = MetadataRequest::default()
            .with_topics(Some(topics))
            .with_allow_auto_topic_creation(false);
        self.send(&request).await
    }

    async fn exchange<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let version = self.version_of::<R>()?;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = self.encode(request, version)?;
        self.stream
            .write_all(&frame)
            .await
            .map_err(|source| io(&self.address, source))?;
        let mut answer = self.read_frame().await?;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version)
            .map_err(|error| self.protocol(format!("unreadable header: {error}")))?;
        if header.correlation_id != self.correlation_id {
            return Err(self.protocol("answered another request".to_owned()));
        }
        R::Response::decode(&mut answer, version)
            .map_err(|error| self.protocol(format!("unreadable answer: {error}")))
    }

    fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        let ours = R::VERSIONS;
        let (low, high) = self.versions.get(&R::KEY).copied().unwrap_or((0, -1));
        let version = ours.max.min(high);
        if version < ours.min.max(low) {
            return Err(self.protocol(format!("has no usable version of api {}", R::KEY)));
        }
        Ok(version)
    }

    fn encode<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, ClientError> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("evenkeel-demo")));
        let mut body = BytesMut::new();
        encode_request_header_into_buffer(&mut body, &header)
            .and_then(|()| request.encode(&mut body, version))
            .map_err(|error| self.protocol(format!("request cannot be encoded: {error}")))?;
        let length = i32::try_from(body.len())
            .map_err(|_| self.protocol("request is too long".to_owned()))?;
        let mut frame = BytesMut::with_capacity(body.len() + 4);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&body);
        Ok(frame.freeze())
    }

    async fn read_frame(&mut self) -> Result<Bytes, ClientError> {
        let mut length = [0_u8; 4];
        self.stream
            .read_exact(&mut length)
            .await
            .map_err(|source| io(&self.address, source))?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(self.protocol(format!("answer of {length} bytes")));
        }
        let mut frame = vec![0_u8; length];
        self.stream
            .read_exact(&mut frame)
            .await
            .map_err(|source| io(&self.address, source))?;
        Ok(Bytes::from(frame))
    }

    fn protocol(&self, problem: String) -> ClientError {
        ClientError::Protocol {
            address: self.address.clone(),
            problem,
        }
    }
}

fn io(address: &str, source: std::io::Error) -> ClientError {
    ClientError::Io {
        address: address.to_owned(),
        source,
    }
}

fn timeout(address: &str) -> ClientError {
    ClientError::Timeout {
        address: address.to_owned(),
        seconds: REQUEST_TIMEOUT.as_secs(),
    }
}
