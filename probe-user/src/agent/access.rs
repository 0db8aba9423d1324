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
mod tests {
    use std::io::Write as _;

    use super::*;

    fn check(access: &Access, name: &'static str, value: &str) -> Result<(), Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        access.check(&headers)
    }

    fn access(token: &str) -> anyhow::Result<Access> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(token.as_bytes())?;
        Access::by_token_in(Some(file.path()))
    }

    #[test]
    fn the_token_opens_and_nothing_else() {
        let access = access("0123456789abcdef\nnot this\n").unwrap();
        let of = |value| check(&access, "authorization", value);
        assert_eq!(of("Bearer 0123456789abcdef"), Ok(()));
        assert_eq!(of("bearer 0123456789abcdef"), Ok(()));
        for wrong in [
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
            "",
        ] {
            assert_eq!(of(wrong), Err(Denied::Unauthorized), "{wrong}");
        }
        assert_eq!(
            check(&access, "host", "localhost"),
            Err(Denied::Unauthorized)
        );
    }

    #[test]
    fn a_bad_token_is_refused() {
        for token in ["", "short", "0123456789 abcdef", "\n0123456789abcdef"] {
            assert!(access(token).is_err(), "{token}");
        }
    }

    #[test]
    fn without_a_token_only_names_of_loopback_are_ours() {
        let access = Access::by_token_in(None).unwrap();
        for host in [
            "localhost:9464",
            "127.0.0.1:9464",
            "127.8.8.8",
            "[::1]:9464",
            "LocalHost",
        ] {
            assert_eq!(check(&access, "host", host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:9464",
            "",
        ] {
            assert_eq!(
                check(&access, "host", host),
                Err(Denied::Forbidden),
                "{host}"
            );
        }
        assert_eq!(access.check(&HeaderMap::new()), Err(Denied::Forbidden));
    }
}
