//! Asking an agent for what it has seen.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use runlog::load_api::Refusal;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long connecting may take, and answering.
const PATIENCE: Duration = Duration::from_secs(15);
/// Many times what the largest agent says.
const MAX_ANSWER: usize = 64 << 20;
/// Where an agent says it.
const ARMS: &str = "/v1/arms";

/// Whether a source is an address, and no path.
pub fn is_address(source: &str) -> bool {
    source.contains("://")
}

/// The answer of the agent at an address: `http://HOST:PORT`, with the path or without.
pub async fn fetch(address: &str, token: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let request = request_to(address, token)?;
    let answer = timeout(PATIENCE, ask(request)).await;
    answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
}

fn request_to(address: &str, token: Option<&str>) -> anyhow::Result<Request<Body>> {
    let uri: Uri = address.parse().context("is no address")?;
    ensure!(
        uri.scheme_str() == Some("http"),
        "only http:// is known here; have another program save the answer, and name the file"
    );
    ensure!(
        ["", "/", ARMS].contains(&uri.path()),
        "an agent says what it has seen at {ARMS}, not at {}",
        uri.path()
    );
    let authority = uri.authority().context("names no host")?.as_str();
    let mut request = Request::get(format!("http://{authority}{ARMS}")).header(HOST, authority);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(request.body(Body::empty())?)
}

/// Sends a request over a connection of its own; the body of the answer.
async fn ask(mut request: Request<Body>) -> anyhow::Result<Vec<u8>> {
    let uri = std::mem::take(request.uri_mut());
    let host = uri.host().context("names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await;
    let stream = stream.context("cannot connect")?;
    // To a server, and not to a proxy: the path alone.
    *request.uri_mut() = uri.path().parse()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = to_bytes(Body::new(answer.into_body()), MAX_ANSWER).await?;
    driven.abort();
    if status != StatusCode::OK {
        let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
        let reason = refusal.map_or_else(String::new, |refusal| format!(": {}", refusal.error));
        let advice = match status {
            StatusCode::UNAUTHORIZED => " (--token-file)",
            _ => "",
        };
        bail!("answers {status}{reason}{advice}");
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_agents_are_understood_and_others_refused() {
        for address in [
            "http://node:9464",
            "http://node:9464/",
            "http://node:9464/v1/arms",
        ] {
            assert!(is_address(address));
            let request = request_to(address, Some("token")).unwrap();
            assert_eq!(request.uri(), "http://node:9464/v1/arms", "{address}");
            assert_eq!(request.headers()[HOST], "node:9464");
            assert_eq!(request.headers()[AUTHORIZATION], "Bearer token");
        }
        for (address, text) in [
            ("https://node:9464", "only http://"),
            ("http://node:9464/metrics", "not at /metrics"),
            ("http://no de", "no address"),
        ] {
            let error = request_to(address, None).unwrap_err();
            assert!(format!("{error:#}").contains(text), "{address}: {error:#}");
        }
    }
}
