//! Who may ask.
//!
//! Beyond loopback whoever asks must know the token. On loopback a page of another site could have a browser ask, by
//! a name of its own that it lets stand for this machine (DNS rebinding); so there the `Host` must be a name of
//! loopback, unless there is a token too.

use std::path::Path;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use web::access::{is_loopback_host, read_token_file, same, token_in};

/// Who may ask.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<Arc<str>>,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Not without the token.
    Unauthorized,
    /// Not by this name.
    Forbidden,
}

impl Access {
    /// For those who know the token in the first line of a file; without a file, for all on loopback.
    pub fn by_token_in(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else {
            return Ok(Self { token: None });
        };
        let text = read_token_file(path)?;
        let token = token_in(&text, &format!("--token-file {}", path.display()))?;
        Ok(Self {
            token: Some(token.into()),
        })
    }

    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request with these headers may be answered.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
        };
        match &self.token {
            Some(token) => {
                let given = text(AUTHORIZATION).and_then(bearer);
                let is_known = given.is_some_and(|given| same(given, token));
                is_known.then_some(()).ok_or(Denied::Unauthorized)
            }
            None => text(HOST)
                .is_some_and(is_loopback_host)
                .then_some(())
                .ok_or(Denied::Forbidden),
        }
    }
}

/// The token in `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
