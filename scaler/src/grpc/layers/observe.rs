//! Counts, times and traces every call, whether or not a handler ever sees it.
//!
//! A call counts once, when it has ended, with the code that goes over the wire: at once where there
//! is only an error, with the trailers where there is an answer, and as CANCELLED where nobody waits
//! for the end any more (the client went away, the call took too long, the drain was over). So a
//! stream counts when it ends. What HTTP/2 itself refuses is no call yet and does not count.
//!
//! tower-http's `TraceLayer` would do for the traces; it says nothing of a call that is given up, and
//! those have to count.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::Service;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::grpc::status::code_label;
use crate::metrics::{Metrics, RpcLabels};

/// The path of GetMetricSpec.
pub(super) const GET_METRIC_SPEC: &str = "/externalscaler.ExternalScaler/GetMetricSpec";
/// The path of StreamMetricSpec.
pub(super) const STREAM_METRIC_SPEC: &str = "/externalscaler.ExternalScaler/StreamMetricSpec";

/// The label of every path that is none of ours: the caller chooses paths, and a label must have few
/// values.
const OTHER: &str = "other";

/// The service that observes the calls of another.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    metrics: Metrics,
}

/// One call until it ends.
#[derive(Debug)]
struct Call {
    method: &'static str,
    began: Instant,
    metrics: Metrics,
    span: Span,
    /// Time to the head of the answer, once there is one.
    latency: Option<Duration>,
    ended: bool,
}

// === impl Observe ===

impl<S> Observe<S> {
    /// Observes the calls of `inner` into `metrics`.
    pub fn new(inner: S, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }
}

impl<S> Service<Request<Body>> for Observe<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Call::begin(method(request.uri().path()), self.metrics.clone());
        let answering = self.inner.call(request).instrument(call.span.clone());
        async move {
            let Ok(response) = answering.await;
            Ok(call.answered(response))
        }
        .boxed()
    }
}

// === impl Call ===

impl Call {
    fn begin(method: &'static str, metrics: Metrics) -> Self {
        Self {
            method,
            began: Instant::now(),
            metrics,
            // The handler fills in the ScaledObject once it has read the request.
            span: tracing::debug_span!("rpc", method, namespace = Empty, name = Empty),
            latency: None,
            ended: false,
        }
    }

    /// The head of the answer is there: an error is the whole of it, otherwise the trailers tell.
    fn answered(mut self, response: Response<Body>) -> Response<Body> {
        self.latency();
        if self.end_by(response.headers()) {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.end_by(trailers);
                }
                frame
            }))
        })
    }

    /// Ends with the status in `headers`; false where they have none.
    fn end_by(&mut self, headers: &HeaderMap) -> bool {
        match Status::from_header_map(headers) {
            Some(status) => {
                self.end(status.code(), status.message());
                true
            }
            None => false,
        }
    }

    fn end(&mut self, code: Code, sentence: &str) {
        self.ended = true;
        let labels = RpcLabels {
            method: self.method,
            code: code_label(code),
        };
        self.metrics.rpcs.get_or_create(&labels).inc();
        let latency = self.latency();
        let error = (code != Code::Ok).then_some(sentence);
        tracing::debug!(parent: &self.span, code = labels.code, ?latency, error, "ended");
    }

    /// The time to the head of the answer, or to the end of a call that got none; measured once.
    fn latency(&mut self) -> Duration {
        *self.latency.get_or_insert_with(|| {
            let latency = self.began.elapsed();
            self.metrics.rpc_durations.observe(self.method, latency);
            latency
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Code::Cancelled, "given up before it had ended");
        }
    }
}

/// The label of a path: the bare name for KEDA's methods, with the service for the others.
fn method(path: &str) -> &'static str {
    match path {
        "/externalscaler.ExternalScaler/IsActive" => "IsActive",
        "/externalscaler.ExternalScaler/StreamIsActive" => "StreamIsActive",
        GET_METRIC_SPEC => "GetMetricSpec",
        "/externalscaler.ExternalScaler/GetMetrics" => "GetMetrics",
        STREAM_METRIC_SPEC => "StreamMetricSpec",
        "/grpc.health.v1.Health/Check" => "Health/Check",
        "/grpc.health.v1.Health/Watch" => "Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => {
            "ServerReflection/ServerReflectionInfo"
        }
        _ => OTHER,
    }
}
