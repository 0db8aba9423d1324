//! Connections of browsers and programs: not too many, and none that takes for ever to say what it wants.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time. Others wait.
const CONNECTIONS: usize = 128;
/// How long a request's head may take, and how long a connection may rest.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// How long a request's body and the making of its answer may take; sending it is not counted.
const ANSWER_PATIENCE: Duration = Duration::from_secs(90);
/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// Serves connections, for ever.
pub async fn serve(listener: TcpListener, router: Router) {
    let router = router.layer(from_fn(within_patience));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return; // never closed
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: some are free again soon.
                eprintln!("loadgen serve: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_PATIENCE)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await; // a browser that went away
            drop(place);
        });
    }
}

async fn within_patience(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_PATIENCE, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}
