//! The requests that an arm gets: their bytes, and which comes next.

mod file;
mod options;
mod trial;

pub use options::RequestOptions;

use std::mem::MaybeUninit;
use std::sync::Arc;

use abi::trial::Trial;
use anyhow::{Context as _, bail};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runlog::record::Request;

use self::trial::Draw;
use crate::clock::ServerClock;

/// Digits of the sequence number in test mode: all requests have the same length.
const SEQUENCE_DIGITS: usize = 20;
/// The most header fields that a request may have.
const MAX_FIELDS: usize = 256;

/// How the requests of a file are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Pick {
    /// In the order of the file, again and again.
    #[default]
    Cycle,
    /// Each at random, by the seed; all arms get the same.
    Sample,
}

/// The requests of one server, of which there is at least one.
#[derive(Clone, Debug)]
pub struct Requests {
    messages: Vec<Message>,
    next: usize,
    random: Option<ChaCha8Rng>,
}

impl Requests {
    /// These messages, taken this way.
    fn new(messages: Vec<Message>, pick: Pick, seed: u64) -> anyhow::Result<Self> {
        if messages.is_empty() || u32::try_from(messages.len()).is_err() {
            bail!("expected from 1 to {} requests", u32::MAX);
        }
        // The stream of the blocks' order is another.
        let random = (pick == Pick::Sample && messages.len() > 1).then(|| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(1);
            random
        });
        Ok(Self {
            messages,
            next: 0,
            random,
        })
    }

    /// The same requests; slices of time, if arms go by these, are cut by this clock.
    pub fn by_clock(mut self, clock: &ServerClock) -> Self {
        for message in &mut self.messages {
            message.draw = message
                .draw
                .take()
                .map(|draw| Box::new(draw.by_clock(clock)));
        }
        self
    }

    /// The next request, and its number among the messages.
    pub fn next(&mut self) -> (u32, &mut Message) {
        let count = self.messages.len();
        let number = match &mut self.random {
            Some(random) => random.random_range(0..count),
            None => self.next,
        };
        self.next = if number + 1 == count { 0 } else { number + 1 };
        (
            u32::try_from(number).unwrap_or(u32::MAX),
            &mut self.messages[number],
        )
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.messages.iter().map(|message| &message.bytes[..])
    }
}

/// The bytes of a request, with room for what differs from one to the next: its sequence number in test mode, the salt of
/// its connection in a trial.
#[derive(Clone, Debug)]
pub struct Message {
    /// Shared with connections whose sockets did not take all of it at once.
    bytes: Arc<[u8]>,
    sequence_at: Option<usize>,
    /// Apart, as a file may have many messages, and a trial has one.
    draw: Option<Box<Draw>>,
    expects_no_body: bool,
    is_last: bool,
}

impl Message {
    /// A request that is complete. With a sequence, a header field for it is put in front of the others.
    fn new(mut bytes: Vec<u8>, with_sequence: bool) -> anyhow::Result<Self> {
        let head = Head::parse(&bytes)?.context("the head does not end")?;
        let sequence_at =
            with_sequence.then(|| put_field(&mut bytes, "X-Sequence", &[b'0'; SEQUENCE_DIGITS]));
        Ok(Self {
            bytes: bytes.into(),
            sequence_at,
            draw: None,
            expects_no_body: head.expects_no_body,
            is_last: head.is_last,
        })
    }

    /// A request of a trial, made from one that is complete.
    fn of_trial(mut bytes: Vec<u8>, trial: &Trial) -> anyhow::Result<Self> {
        let draw = Draw::new(trial, &mut bytes)?;
        let message = Self::new(bytes, false)?;
        if message.is_last {
            bail!(
                "--trial: it needs connections of more than one request; leave out what asks the server to close them \
                 (--close, --header)"
            );
        }
        Ok(Self {
            draw: Some(Box::new(draw)),
            ..message
        })
    }

    /// The bytes of a request whose number, connection and first byte are known. In a trial it gets its arm.
    pub fn take(&mut self, request: &mut Request) -> Arc<[u8]> {
        match &self.draw {
            Some(draw) => draw.take(request, &self.bytes),
            None => Arc::clone(self.numbered(request.sequence)),
        }
    }

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
    pub fn expects_no_body(&self) -> bool {
        self.expects_no_body
    }

    /// Whether it asks the server to close the connection.
    pub fn is_last(&self) -> bool {
        self.is_last
    }
}

/// A line of a head.
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b": ", value, b"\r\n"].concat()
}

/// Puts a header field in front of the others of a request. Returns where its value is.
fn put_field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) -> usize {
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    let at = line_end.map_or(0, |at| at + 1);
    bytes.splice(at..at, field(name, value));
    at + name.len() + ": ".len()
}

/// What the head of a request says about its body and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// Its bytes, with the empty line.
    length: usize,
    body: Body,
    /// Of the response.
    expects_no_body: bool,
    is_last: bool,
}

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Fixed(usize),
    Chunked,
}

impl Head {
    /// Parses the head that these bytes begin with. None when it goes on behind them.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request
            .parse_with_uninit_headers(bytes, &mut headers)
            .context("it is no HTTP/1.1 request")?;
        let httparse::Status::Complete(length) = parsed else {
            return Ok(None);
        };
        if request.method == Some("CONNECT") {
            bail!("CONNECT asks for a tunnel, which is nothing to measure here");
        }
        let (mut body, mut close, mut keep_alive) = (Body::Fixed(0), false, false);
        for header in request.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            let mut options = value.split(',').map(str::trim);
            if header.name.eq_ignore_ascii_case("content-length") && body != Body::Chunked {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| digits);
                body = Body::Fixed(
                    length.with_context(|| format!("Content-Length \"{value}\" is no number"))?,
                );
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.trim().eq_ignore_ascii_case("chunked") {
                    bail!("Transfer-Encoding \"{value}\": only chunked says where it ends");
                }
                body = Body::Chunked;
            } else if header.name.eq_ignore_ascii_case("connection") {
                close |= options
                    .clone()
                    .any(|option| option.eq_ignore_ascii_case("close"));
                keep_alive |= options.any(|option| option.eq_ignore_ascii_case("keep-alive"));
            }
        }
        let is_http_1_1 = request.version == Some(1);
        Ok(Some(Self {
            length,
            body,
            expects_no_body: request.method == Some("HEAD"),
            is_last: close || !(is_http_1_1 || keep_alive),
        }))
    }
}

#[cfg(test)]
mod tests;
