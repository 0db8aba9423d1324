//! An arm as the command line names it, and the bytes of its requests.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::clock::{CONNECT_PATIENCE, TICK};

/// Digits of the sequence number in test mode: all requests have the same length.
const SEQUENCE_DIGITS: usize = 20;

/// One arm: a name and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// As given.
    pub url: String,
    authority: String,
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
        let uri: http::Uri = url
            .parse()
            .with_context(|| format!("\"{url}\" is not a URL"))?;
        if uri.scheme_str() != Some("http") {
            bail!("\"{url}\" does not start with http://");
        }
        let authority = uri.authority().context("the URL names no host")?;
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
            authority: authority.to_string(),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

impl Arm {
    /// The address that its requests go to: the first of the host's that accepts a connection.
    /// `localhost` may stand for `::1` and for `127.0.0.1`, and many servers listen on one only.
    pub fn reach(&self) -> anyhow::Result<SocketAddr> {
        first_that_accepts(&self.addresses()?)
            .map_err(|refusals| anyhow::anyhow!("arm {}: cannot connect to {refusals}", self.name))
    }

    /// Looks the host up. There is at least one address.
    fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let with_port = if self.authority.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        }) {
            self.authority.clone()
        } else {
            format!("{}:80", self.authority)
        };
        let unknown = || format!("arm {}: cannot find the host of {}", self.name, self.url);
        let addresses: Vec<SocketAddr> =
            with_port.to_socket_addrs().with_context(unknown)?.collect();
        if addresses.is_empty() {
            bail!(unknown());
        }
        Ok(addresses)
    }

    /// The request that every connection to this arm sends.
    pub fn request(&self, with_sequence: bool) -> RequestBytes {
        let Self {
            authority, path, ..
        } = self;
        let mut text = format!(
            "GET {path} HTTP/1.1\r\n\
             Host: {authority}\r\n\
             User-Agent: hookprobe-loadgen/{}\r\n\
             Accept-Encoding: gzip, deflate, br\r\n\
             Accept: */*\r\n\
             Connection: keep-alive\r\n",
            env!("CARGO_PKG_VERSION"),
        );
        let mut sequence_at = None;
        if with_sequence {
            text.push_str("X-Sequence: ");
            sequence_at = Some(text.len());
            let _ = write!(text, "{:0width$}\r\n", 0, width = SEQUENCE_DIGITS);
        }
        text.push_str("\r\n");
        RequestBytes {
            bytes: text.into_bytes().into(),
            sequence_at,
            is_last: false,
        }
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

/// The bytes of a request, with room for its sequence number in test mode.
#[derive(Clone, Debug)]
pub struct RequestBytes {
    /// Shared with connections whose sockets did not take all of it at once.
    bytes: Arc<[u8]>,
    sequence_at: Option<usize>,
    is_last: bool,
}

impl RequestBytes {
    /// The bytes of the request with this number.
    pub fn numbered(&mut self, mut sequence: u64) -> &Arc<[u8]> {
        if let Some(start) = self.sequence_at {
            let bytes = Arc::make_mut(&mut self.bytes);
            for digit in bytes[start..start + SEQUENCE_DIGITS].iter_mut().rev() {
                *digit = b"0123456789"[usize::try_from(sequence % 10).unwrap_or(0)];
                sequence /= 10;
            }
        }
        &self.bytes
    }

    /// Whether the response has no body, whatever its head says.
    pub fn is_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }

    /// Whether it asks the server to close the connection.
    pub fn is_last(&self) -> bool {
        self.is_last
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
    }

    #[test]
    fn a_sequence_number_does_not_change_the_length() {
        let arm = Arm::from_str("a=http://localhost:1/").unwrap();
        let mut request = arm.request(true);
        let length = request.numbered(0).len();
        let text = String::from_utf8(request.numbered(u64::MAX).to_vec()).unwrap();
        assert_eq!(text.len(), length);
        assert!(text.contains("X-Sequence: 18446744073709551615\r\n\r\n"));
        let text = String::from_utf8(request.numbered(42).to_vec()).unwrap();
        assert!(text.contains("X-Sequence: 00000000000000000042\r\n"));
        assert!(!String::from_utf8_lossy(arm.request(false).numbered(1)).contains("X-Seq"));
    }
}
