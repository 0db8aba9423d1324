//! What the command line says about requests.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use abi::trial::Trial;
use anyhow::{Context as _, bail};
use clap::Args;
use http::{HeaderName, HeaderValue, Method};

use super::file::{Entry, Line, parse};
use super::trial::is_reserved;
use super::{Message, Pick, Requests};
use crate::target::Arm;

/// What the requests of all arms are like.
#[derive(Args, Clone, Debug, Default)]
pub struct RequestOptions {
    /// Method of the requests [default: GET, with --body POST]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<Method>,

    /// A header field of each request; repeat for more
    ///
    /// It takes the place of the one of that name that we would send; without a value there is none.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<Header>,

    /// Body of each request: the text, or @FILE
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,

    /// Requests from a file, a URL on each line or raw
    ///
    /// On each line stands a URL, or a method and a URL; the requests go to the arm whatever host the URL names. Raw
    /// requests stand one behind the other.
    #[arg(long, value_name = "FILE")]
    pub request_file: Option<PathBuf>,

    /// How the requests of the file are taken
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        default_value_t,
        requires = "request_file"
    )]
    pub pick: Pick,

    /// Send each request on a connection of its own
    ///
    /// The server is asked to close it after.
    #[arg(long)]
    pub close: bool,

    /// Draw an arm for each request, as "seed=1 size=512 arms=off,on" says
    ///
    /// The servers have the same text in their environment. Each request is filled up to the size that it names; the first
    /// of each connection carries the connection's salt and belongs to no arm.
    #[arg(
        long,
        hide_short_help = true,
        value_name = "TEXT",
        value_parser = |text: &str| Trial::parse(text.as_bytes())
    )]
    pub trial: Option<Trial>,
}

/// A header field, as in `Accept: text/html`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
    /// As it was written.
    spelled: String,
    /// Empty for a field that is not to be sent.
    value: String,
}

impl FromStr for Header {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, value) = text
            .split_once(':')
            .context("expected NAME: VALUE, as in \"Accept: text/html\"")?;
        let (spelled, value) = (name.trim(), value.trim());
        let name = HeaderName::from_str(spelled)
            .with_context(|| format!("\"{spelled}\" is no name of a header field"))?;
        HeaderValue::from_str(value)
            .with_context(|| format!("\"{value}\" cannot be the value of a header field"))?;
        if [
            http::header::CONTENT_LENGTH,
            http::header::TRANSFER_ENCODING,
        ]
        .contains(&name)
        {
            bail!(
                "{spelled} follows from --body; --request-file with raw requests leaves it to you"
            );
        }
        Ok(Self {
            name,
            spelled: spelled.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// A request before it is put together.
struct Parts<'p> {
    method: &'p Method,
    host: &'p str,
    path: &'p str,
    body: &'p [u8],
}

impl RequestOptions {
    /// The requests of an arm.
    pub fn requests(&self, arm: &Arm, with_sequence: bool, seed: u64) -> anyhow::Result<Requests> {
        if self.method == Some(Method::CONNECT) {
            bail!("--method CONNECT: asks for a tunnel, which is nothing to measure here");
        }
        if self.trial.is_some() {
            self.refuse_with_trial(with_sequence)?;
        }
        let body = self.read_body()?;
        let usual = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let parts = Parts {
            method: self.method.as_ref().unwrap_or(&usual),
            host: arm.authority(),
            path: arm.path(),
            body: body.as_deref().unwrap_or_default(),
        };
        let Some(path) = &self.request_file else {
            let bytes = self.put_together(&parts);
            let message = match &self.trial {
                Some(trial) => Message::of_trial(bytes, trial)?,
                None => Message::new(bytes, with_sequence)?,
            };
            return Requests::new(vec![message], Pick::Cycle, seed);
        };
        let in_file = || format!("--request-file {}", path.display());
        let bytes = fs::read(path).with_context(in_file)?;
        let entries = parse(&bytes).with_context(in_file)?;
        let messages = entries.into_iter().map(|entry| match entry {
            Entry::Raw(bytes) => {
                self.refuse_with_raw()?;
                Message::new(bytes, with_sequence)
            }
            Entry::Line(Line { method, host, path }) => {
                let parts = Parts {
                    method: method.as_ref().unwrap_or(parts.method),
                    host: host.as_deref().unwrap_or(parts.host),
                    path: &path,
                    ..parts
                };
                Message::new(self.put_together(&parts), with_sequence)
            }
        });
        let messages = messages.collect::<anyhow::Result<Vec<_>>>();
        messages
            .and_then(|messages| Requests::new(messages, self.pick, seed))
            .with_context(in_file)
    }

    fn read_body(&self) -> anyhow::Result<Option<Vec<u8>>> {
        match &self.body {
            None => Ok(None),
            Some(text) => match text.strip_prefix('@') {
                Some(path) => fs::read(path)
                    .map(Some)
                    .with_context(|| format!("--body {text}")),
                None => Ok(Some(text.clone().into_bytes())),
            },
        }
    }

    /// The place of a request in the stream of its connection says its arm, so all have one size.
    fn refuse_with_trial(&self, with_sequence: bool) -> anyhow::Result<()> {
        if self.request_file.is_some() {
            bail!(
                "--request-file: the requests of a trial have one size; say with --method, --header and --body what \
                 they are like"
            );
        }
        if with_sequence {
            bail!(
                "--sequence-header: requests of a trial share their bytes; leave out either it or --trial"
            );
        }
        match self.headers.iter().find(|given| is_reserved(&given.name)) {
            Some(Header { spelled, .. }) => {
                bail!("--header {spelled}: a trial writes this field itself; leave it out")
            }
            None => Ok(()),
        }
    }

    fn refuse_with_raw(&self) -> anyhow::Result<()> {
        let given = [
            ("--method", self.method.is_some()),
            ("--header", !self.headers.is_empty()),
            ("--body", self.body.is_some()),
            ("--close", self.close),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => {
                bail!(
                    "raw requests are sent as they stand: change them there, and leave {option} out"
                )
            }
            None => Ok(()),
        }
    }

    /// Our header fields, but for those that the command line has too; then the command line's; then the
    /// body and what it needs.
    fn put_together(&self, parts: &Parts<'_>) -> Vec<u8> {
        let Parts {
            method,
            host,
            path,
            body,
        } = parts;
        let user_agent = concat!("hookprobe-loadgen/", env!("CARGO_PKG_VERSION"));
        let ours = [
            ("Host", *host),
            ("User-Agent", user_agent),
            ("Accept-Encoding", "gzip, deflate, br"),
            ("Accept", "*/*"),
            (
                "Connection",
                if self.close { "close" } else { "keep-alive" },
            ),
        ];
        let is_given = |name: &str| {
            let mut names = self.headers.iter().map(|header| &header.name);
            names.any(|given| given.as_str().eq_ignore_ascii_case(name))
        };
        let ours = ours.into_iter().filter(|(name, _)| !is_given(name));
        let given = self.headers.iter().filter(|given| !given.value.is_empty());
        let given = given.map(|header| (header.spelled.as_str(), header.value.as_str()));
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in ours.chain(given) {
            text.extend([name, ": ", value, "\r\n"]);
        }
        // RFC 9110, section 8.6: methods that usually have a body say so when there is none.
        let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
        if expects_body || !body.is_empty() {
            text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

#[cfg(test)]
mod tests;
