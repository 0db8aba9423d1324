//! Connections of browsers and programs: not too many, and none that takes for ever to say what it wants.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What connections have to keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. Others wait.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may rest.
    pub head_patience: Duration,
    /// How long a connection may take to send all it has and to take its answers, if there is a limit.
    pub connection_patience: Option<Duration>,
}

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// Serves connections, for ever. `complain` is told why one could not be accepted.
///
/// # Errors
///
/// Only if the room for connections were closed, which nobody does.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    complain: impl Fn(&io::Error),
) -> anyhow::Result<Infallible> {
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let place = Arc::clone(&room).acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: some are free again soon.
                complain(&error);
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_patience)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            // Someone who went away, or who takes no answers.
            match limits.connection_patience {
                Some(patience) => _ = tokio::time::timeout(patience, connection).await,
                None => _ = connection.await,
            }
            drop(place);
        });
    }
}
