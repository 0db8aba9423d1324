//! What tells who may ask: a token, or a name of loopback.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use subtle::ConstantTimeEq as _;

/// The shortest token that is accepted.
const MIN_TOKEN: usize = 16;

/// The text of a file with a token.
///
/// # Errors
///
/// If it cannot be read. The error names the option that gave it, `--token-file`.
pub fn read_token_file(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token (--token-file {})", path.display()))
}

/// The token in the first line of a text.
///
/// # Errors
///
/// If it is none. The error begins with `origin`, where the text came from.
pub fn token_in<'t>(text: &'t str, origin: &str) -> anyhow::Result<&'t str> {
    let token = text.lines().next().unwrap_or_default().trim();
    ensure!(
        token.len() >= MIN_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic()),
        "{origin}: a token has {MIN_TOKEN} characters or more, letters, digits and signs; one is made by: \
         openssl rand -hex 16"
    );
    Ok(token)
}

/// Compares in a time that tells nothing of where two texts differ.
pub fn same(given: &str, ours: &str) -> bool {
    given.as_bytes().ct_eq(ours.as_bytes()).into()
}

/// Whether a `Host` is a name of loopback, with a port or without. A page of another site can have a browser ask by a
/// name of its own that it lets stand for this machine (DNS rebinding).
pub fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}
