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
            bail!("the arm name \"{name}\" may have letters, digits, '-', '_' and '.' only");
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
mod tests {
    use std::net::{Ipv6Addr, TcpListener};

    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", Arm::from_str(text).unwrap_err())
    }

    #[test]
    fn arms_are_parsed() {
        let arm = Arm::from_str("hooked=http://localhost:8081/work?us=5").unwrap();
        assert_eq!(
            (arm.name.as_str(), arm.path.as_str()),
            ("hooked", "/work?us=5")
        );
        let addresses = arm.addresses().unwrap();
        assert!(addresses.iter().all(|address| address.port() == 8081));
        let arm = Arm::from_str("v6=http://[::1]:8080/").unwrap();
        assert_eq!(arm.addresses().unwrap(), ["[::1]:8080".parse().unwrap()]);
        assert_eq!(arm.authority(), "[::1]:8080");
        let arm = Arm::from_str("v6=http://[::1]").unwrap();
        assert_eq!(arm.addresses().unwrap(), ["[::1]:80".parse().unwrap()]);
        assert_eq!(arm.path, "/");
    }

    #[test]
    fn the_first_address_that_accepts_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Nobody listens there, nor at the same port of ::1.
        let refuses = SocketAddr::from(([127, 0, 0, 2], open.port()));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, open.port()));
        assert_eq!(first_that_accepts(&[v6, refuses, open]), Ok(open));
        let refusals = first_that_accepts(&[refuses, v6]).unwrap_err();
        assert!(refusals.contains(&format!("{refuses}: ")), "{refusals}");
        assert!(refusals.contains(&format!("{v6}: ")), "{refusals}");
    }

    #[test]
    fn bad_arms_say_what_is_wrong() {
        assert!(error("http://localhost").contains("expected NAME=URL"));
        assert!(error("a b=http://localhost").contains("letters, digits"));
        assert!(error("a=https://localhost").contains("does not start with http://"));
        assert!(error("a=http://").contains("is not a URL"));
        assert!(error("a=localhost:80").contains("http://"));
        assert!(error("a=http://me:word@localhost/").contains("--header"));
        assert!(error("a=http://localhost:65536/").contains("up to 65535"));
    }
}
