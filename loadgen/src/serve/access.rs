//! Who may use the server, and what a browser may do with its pages.
//!
//! A page of another site can make a browser send requests here, too: by a name of its own that it lets
//! stand for this machine (DNS rebinding), or by a form. So on loopback the `Host` must be a name of
//! loopback, and a request that changes something must not come from another origin. Beyond loopback
//! the token is needed, which no other site knows.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use web::access::{is_loopback_host, same};
use web::refusal::Refused;

/// Name of the cookie that a browser gets for the token.
pub const COOKIE_NAME: &str = "loadgen-session";

/// Nothing but what this server serves.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
    data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Who may come in.
#[derive(Clone, Debug)]
pub struct Access {
    /// Only names of loopback are ours.
    loopback_only: bool,
    /// The token, and the secret of the sessions that stand for it.
    token: Option<Arc<(String, String)>>,
}

impl Access {
    /// Access to a server that listens on loopback or beyond.
    pub fn new(loopback_only: bool, token: Option<String>) -> anyhow::Result<Self> {
        let token = match token {
            Some(token) => Some(Arc::new((token, random_secret()?))),
            None => None,
        };
        Ok(Self {
            loopback_only,
            token,
        })
    }

    /// The cookie for who knows the token.
    pub fn cookie(&self, token: &str) -> Option<String> {
        let (ours, session) = self.token.as_deref()?;
        same(token, ours)
            .then(|| format!("{COOKIE_NAME}={session}; Path=/api; HttpOnly; SameSite=Strict"))
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let Some((token, session)) = self.token.as_deref() else {
            return true;
        };
        let text = |name: HeaderName| headers.get_all(name).into_iter().filter_map(as_text);
        let mut bearer = text(AUTHORIZATION).filter_map(|value| value.strip_prefix("Bearer "));
        let mut cookies = text(COOKIE)
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
        bearer.any(|value| same(value.trim(), token)) || cookies.any(|value| same(value, session))
    }

    fn check(&self, request: &Request) -> Result<(), Refused> {
        let headers = request.headers();
        let host = headers.get(HOST).and_then(as_text).unwrap_or_default();
        if self.loopback_only && !is_loopback_host(host) {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "this server is reached as localhost or 127.0.0.1, and by no other name",
            ));
        }
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        if changes && let Some(origin) = headers.get(ORIGIN) {
            let same = as_text(origin)
                .and_then(|origin| origin.split_once("://"))
                .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
            if !same {
                return Err(Refused::new(
                    StatusCode::FORBIDDEN,
                    "a page of another site caused this request",
                ));
            }
        }
        let path = request.uri().path();
        let is_open = path == "/api/session" || !(path == "/api" || path.starts_with("/api/"));
        if !is_open && !self.is_known(headers) {
            return Err(Refused::new(
                StatusCode::UNAUTHORIZED,
                "this server wants its token: Authorization: Bearer TOKEN",
            ));
        }
        Ok(())
    }
}

/// Lets requests in or refuses them, and says in each answer what a browser may do with it.
pub async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let mut response = match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn as_text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn random_secret() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
    let mut secret = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(secret, "{byte:02x}");
    }
    Ok(secret)
}

#[cfg(test)]
mod tests;
