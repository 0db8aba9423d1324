//! An arm as the command line names it, and where it is.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, bail};
use http::uri::Authority;

use crate::clock::{CONNECT_PATIENCE, TICK};

/// One arm: a name and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// As given.
    pub url: String,
    authority: Authority,
    port: u16,
    path: String,
}

impl FromStr for Arm {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, url) = text
            .split_once('=')
            .context("expected NAME=URL, as in baseline=http://127.0.0.1:8080/")?;
        if !runlog::directory::is_arm_name(name) {
            bail!("the arm name \"{name}\" may have letters, digits, '-', '_', '.' and '+' only");
        }
        let (uri, authority, port) = http_url(url)?;
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
            authority,
            port,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

/// A URL that requests can go to, its authority, and its port.
pub fn http_url(url: &str) -> anyhow::Result<(http::Uri, Authority, u16)> {
    let uri: http::Uri = url
        .parse()
        .with_context(|| format!("\"{url}\" is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("\"{url}\" does not start with http://");
    }
    let authority = uri.authority().context("the URL names no host")?;
    if authority.as_str().contains('@') {
        bail!("\"{url}\" has a user's name in it; --header \"Authorization: …\" sends one");
    }
    let port = authority.as_str().strip_prefix(authority.host());
    let port = match port.and_then(|port| port.strip_prefix(':')) {
        None | Some("") => 80,
        Some(port) => port
            .parse()
            .with_context(|| format!("\"{url}\": the port is a number up to 65535"))?,
    };
    let authority = authority.clone();
    Ok((uri, authority, port))
}

impl Arm {
    /// Host and port, as in the header field of its requests.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Path and query of its URL.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address that its requests go to: the first of the host's that accepts a connection.
    /// `localhost` may stand for `::1` and for `127.0.0.1`, and many servers listen on one only.
    pub fn reach(&self) -> anyhow::Result<SocketAddr> {
        first_that_accepts(&self.addresses()?)
            .map_err(|refusals| anyhow::anyhow!("arm {}: cannot connect to {refusals}", self.name))
    }

    /// Looks the host up. There is at least one address.
    fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let host = self.authority.host();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let unknown = || format!("arm {}: cannot find the host of {}", self.name, self.url);
        let found = (host, self.port).to_socket_addrs().with_context(unknown)?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.is_empty() {
            bail!(unknown());
        }
        Ok(addresses)
    }
}

/// The first address that accepts a connection, or why none does. A server that is just starting is
/// given some time.
fn first_that_accepts(addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
    let give_up = Instant::now() + CONNECT_PATIENCE;
    loop {
        let mut refusals = Vec::new();
        for address in addresses {
            match TcpStream::connect_timeout(address, CONNECT_PATIENCE) {
                Ok(_) => return Ok(*address),
                Err(error) => refusals.push(format!("{address}: {error}")),
            }
        }
        if Instant::now() >= give_up {
            return Err(refusals.join("; "));
        }
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests;
