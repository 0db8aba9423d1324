//! Asking a service of ours, byte by byte: what a well-behaved client would not send can be sent, too.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpStream;

use anyhow::Context as _;

use crate::kit::SOON;

/// A service, by where it listens.
#[derive(Debug)]
pub struct Service {
    authority: String,
}

/// Status, head and body of an answer.
pub type Answer = (u16, String, Vec<u8>);

impl Service {
    /// The one whose address is the first line that it prints.
    pub fn announced(stdout: impl Read) -> anyhow::Result<Self> {
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        let authority = url
            .trim()
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_suffix('/'));
        let authority = authority.with_context(|| format!("not an address: {url}"))?;
        Ok(Self {
            authority: authority.to_owned(),
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.authority)
    }

    /// A connection to it.
    pub fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    }

    /// The head of a request with these headers, and those that it cannot do without.
    pub fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            let _ = write!(head, "Host: {}\r\n", self.authority);
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// The parts of an answer.
pub fn parts(answer: &[u8]) -> anyhow::Result<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.context("no end of the head")?;
    let head = String::from_utf8(answer[..end].to_vec())?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.with_context(|| head.clone())?;
    Ok((status, head, answer[end + 4..].to_vec()))
}
