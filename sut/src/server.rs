//! The accept loop, and the life of one connection.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpListener;

use crate::answer::answer;
use crate::http::{put_response, take_request};
use crate::sequence_log::SequenceLog;
use crate::socket::{ReadTimes, Socket};

/// What every connection needs to know.
#[derive(Debug)]
pub struct Settings {
    /// Do not log peers.
    pub quiet: bool,
    /// Where to note sequence numbers.
    pub sequence_log: Option<SequenceLog>,
}

/// Serves connections for ever.
pub async fn serve(listener: TcpListener, settings: Arc<Settings>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let settings = Arc::clone(&settings);
                tokio::spawn(async move {
                    // A connection that breaks is the client's affair.
                    let _ = serve_connection(stream, peer, &settings).await;
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: one closes sooner or later.
                eprintln!("sut: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    settings: &Settings,
) -> io::Result<()> {
    let socket = Socket::new(stream)?;
    let mut received = BytesMut::new();
    let mut responses = BytesMut::new();
    while let Some(times) = socket.read(&mut received).await? {
        let keep_alive = answer_all(&mut received, &mut responses, peer, times, settings)?;
        socket.write_all(&responses).await?;
        responses.clear();
        if !keep_alive {
            break;
        }
    }
    Ok(())
}

/// Answers every complete request in `received`. Returns whether the connection stays open.
fn answer_all(
    received: &mut BytesMut,
    responses: &mut BytesMut,
    peer: SocketAddr,
    times: ReadTimes,
    settings: &Settings,
) -> io::Result<bool> {
    loop {
        let request = match take_request(received) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(true),
            Err(refusal) => {
                put_response(responses, refusal.status(), b"", false, true);
                return Ok(false);
            }
        };
        if !settings.quiet {
            // As the paper's server did: one line a request.
            writeln!(
                io::stdout(),
                "{} {} from {peer}",
                request.method,
                request.target
            )?;
        }
        if let (Some(log), Some(sequence)) = (&settings.sequence_log, request.sequence) {
            log.note(sequence, peer.port(), times)?;
        }
        let answer = answer(&request);
        let head_only = request.method == "HEAD";
        put_response(
            responses,
            answer.status,
            answer.body,
            head_only,
            !request.keep_alive,
        );
        if !request.keep_alive {
            return Ok(false);
        }
    }
}
