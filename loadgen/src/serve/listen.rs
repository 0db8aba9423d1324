//! How the load generator's page listens.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use web::listen::{self, Limits};

const LIMITS: Limits = Limits {
    connections: 128,
    head_patience: Duration::from_secs(15),
    // Files of a long run take as long as they take.
    connection_patience: None,
};
/// How long a request's body and the making of its answer may take; sending it is not counted.
const ANSWER_PATIENCE: Duration = Duration::from_secs(90);

/// Serves connections, for ever.
pub async fn serve(listener: TcpListener, router: Router) -> anyhow::Result<Infallible> {
    let router = router.layer(from_fn(within_patience));
    listen::serve(listener, router, LIMITS, |error| {
        eprintln!("loadgen serve: cannot accept a connection: {error}");
    })
    .await
}

async fn within_patience(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_PATIENCE, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}
