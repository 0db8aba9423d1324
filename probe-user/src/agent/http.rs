//! What the agent serves, and the limits that whoever asks has to keep.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{BoxError, Json, Router};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower::buffer::BufferLayer;
use tower::limit::RateLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use web::listen::{self, Limits};
use web::refusal::Refused;

pub use crate::agent::access::Access;
use crate::agent::access::Denied;
use crate::agent::core::{Core, NoAnswer, Readiness, WITHOUT_PROBES};
use crate::agent::metrics;
use crate::agent::runs::{Runs, api};

const LIMITS: Limits = Limits {
    connections: 64,
    head_patience: Duration::from_secs(10),
    connection_patience: Some(Duration::from_mins(10)),
};
/// How long an answer may take to be made.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// The longest body of a request where none is needed.
const MAX_BODY: usize = 1024;
/// Requests in a second, of all who ask, for what takes reading the kernel's tables.
const REQUESTS_PER_SECOND: u64 = 20;
/// The same for the pieces of a log.
const PIECES_PER_SECOND: u64 = 200;
/// The format of `prometheus`' text.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the addresses need.
#[derive(Clone)]
pub struct Services {
    /// Who has seen it all.
    pub core: Core,
    /// The runs, where there is a folder for them.
    pub runs: Option<Arc<Runs>>,
}

impl FromRef<Services> for Core {
    fn from_ref(services: &Services) -> Self {
        services.core.clone()
    }
}

/// All addresses.
pub fn router(services: Services, access: Access) -> Router {
    let shown = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/v1/arms", get(show_arms))
        .layer(RequestBodyLimitLayer::new(MAX_BODY));
    let runs = api::router().layer(RequestBodyLimitLayer::new(api::MAX_JSON));
    let log = api::log_router().layer((
        DefaultBodyLimit::disable(),
        RequestBodyLimitLayer::new(api::MAX_PIECE),
    ));
    // Who does not know the token uses nothing up.
    let guarded = limited(shown.merge(runs), REQUESTS_PER_SECOND)
        .merge(limited(log, PIECES_PER_SECOND))
        .layer(from_fn_with_state(Arc::new(access), guard));
    let open = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
        .method_not_allowed_fallback(wrong_method)
        .layer(RequestBodyLimitLayer::new(MAX_BODY));
    open.merge(guarded)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            ANSWER_PATIENCE,
        ))
        .layer(from_fn(secure_headers))
        .with_state(services)
}

/// So many requests in a second, of all who ask.
fn limited(router: Router<Services>, per_second: u64) -> Router<Services> {
    let limits = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async move |error| {
            too_many(&error, per_second)
        }))
        .layer(BufferLayer::new(LIMITS.connections))
        .layer(LoadShedLayer::new())
        .layer(RateLimitLayer::new(per_second, Duration::from_secs(1)));
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(limits)
}

async fn wrong_method() -> Refused {
    let text = "this address is asked in another way: docs/agent.md";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

async fn show_metrics(State(core): State<Core>) -> Result<Response, Refused> {
    let snapshot = core.snapshot().await.map_err(|error| unavailable(&error))?;
    let text = metrics::text(&snapshot)
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response())
}

async fn show_arms(State(core): State<Core>) -> Result<Response, Refused> {
    let snapshot = core.snapshot().await.map_err(|error| unavailable(&error))?;
    Ok(Json(snapshot.into_arms()).into_response())
}

async fn ready(State(core): State<Core>) -> Response {
    let reason = match core.readiness() {
        Readiness::Ready => return "ready\n".into_response(),
        Readiness::ReadyWithoutProbes(why) => {
            return format!("ready; {WITHOUT_PROBES}: {why}\n").into_response();
        }
        Readiness::Loading => "the probes are being loaded".to_owned(),
        Readiness::Failed(reason) => reason,
    };
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

/// Why the core does not answer, as an answer.
pub fn unavailable(error: &NoAnswer) -> Refused {
    let status = match error {
        NoAnswer::Busy => StatusCode::TOO_MANY_REQUESTS,
        NoAnswer::Ended | NoAnswer::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused::new(status, error.to_string())
}

fn too_many(error: &BoxError, per_second: u64) -> Refused {
    if error.is::<Overloaded>() {
        let text = format!("more than {per_second} requests in a second");
        return Refused::new(StatusCode::TOO_MANY_REQUESTS, text);
    }
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(Denied::Unauthorized) => {
            let text = "this agent wants its token: Authorization: Bearer TOKEN";
            Refused::new(StatusCode::UNAUTHORIZED, text).into_response()
        }
        Err(Denied::Forbidden) => {
            let text = "without a token this agent is reached as localhost or 127.0.0.1, and by no other name";
            Refused::new(StatusCode::FORBIDDEN, text).into_response()
        }
    }
}

/// Says in each answer that it is not to be kept, nor taken for something else.
async fn secure_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Serves connections, for ever.
pub async fn serve(listener: TcpListener, router: Router) -> anyhow::Result<Infallible> {
    listen::serve(listener, router, LIMITS, |error| {
        log::warn!("cannot accept a connection: {error}");
    })
    .await
}
