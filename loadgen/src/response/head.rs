//! The head of a response: its status, and how its body ends. Parsed by httparse.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::Failure;

/// The most bytes that a head may have.
pub const MAX_BYTES: usize = 32 * 1024;
/// The most fields that a head may have.
pub const MAX_FIELDS: usize = 100;

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, with the empty line.
    pub length: usize,
    /// The status.
    pub status: u16,
    /// How the body ends.
    pub body: Body,
    /// Whether the server keeps the connection open behind the body.
    pub keep_alive: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// After so many bytes.
    Fixed(u64),
    /// With the last chunk and its trailer.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Parses a head that begins with these bytes. None when it goes on behind them.
pub fn parse(bytes: &[u8], to_head_request: bool) -> Result<Option<Head>, Failure> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    );
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Failure::HeadTooLarge),
        Err(_) => return Err(Failure::MalformedHead),
    };
    let status = response.code.ok_or(Failure::MalformedHead)?;
    let fields = Fields::of(response.headers)?;
    let body = fields.body(status, to_head_request);
    let is_http_1_1 = response.version == Some(1);
    let keep_alive = match body {
        Body::UntilClose => false,
        _ if status == 101 || fields.contradict() => false,
        _ => !fields.close && (is_http_1_1 || fields.keep_alive),
    };
    Ok(Some(Head {
        length,
        status,
        body,
        keep_alive,
    }))
}

/// Whether an empty line ends in what begins at `from`: a head may end there, and nowhere else.
pub fn may_end(bytes: &[u8], from: usize) -> bool {
    let tail = &bytes[from.saturating_sub(2)..];
    let mut line_ends = (0..).zip(tail).filter(|(_, byte)| **byte == b'\n');
    line_ends.any(|(at, _): (usize, _)| matches!(&tail[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// The fields that say where the response ends.
#[derive(Debug, Default)]
struct Fields {
    content_length: Option<u64>,
    has_transfer_coding: bool,
    /// The last coding is "chunked".
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn of(headers: &[Header<'_>]) -> Result<Self, Failure> {
        let mut fields = Self::default();
        for header in headers {
            let name = header.name;
            if name.eq_ignore_ascii_case("content-length") {
                fields.add_content_length(header.value)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                fields.add_transfer_codings(header.value)?;
            } else if name.eq_ignore_ascii_case("connection") {
                for option in elements(header.value) {
                    fields.close |= option.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(fields)
    }

    /// RFC 9112, section 6.3, item 5: a length that is given twice must be the same twice.
    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Failure> {
        for element in value.split(|byte| *byte == b',') {
            let length = decimal(element.trim_ascii()).ok_or(Failure::MalformedHead)?;
            if self.content_length.is_some_and(|other| other != length) {
                return Err(Failure::MalformedHead);
            }
            self.content_length = Some(length);
        }
        Ok(())
    }

    /// "chunked" comes last, and once.
    fn add_transfer_codings(&mut self, value: &[u8]) -> Result<(), Failure> {
        for coding in elements(value) {
            if self.is_chunked {
                return Err(Failure::MalformedHead);
            }
            self.has_transfer_coding = true;
            self.is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        }
        Ok(())
    }

    /// RFC 9112, section 6.3.
    fn body(&self, status: u16, to_head_request: bool) -> Body {
        match self.content_length {
            _ if to_head_request || matches!(status, 100..200 | 204 | 304) => Body::None,
            _ if self.is_chunked => Body::Chunked,
            _ if self.has_transfer_coding => Body::UntilClose,
            Some(length) => Body::Fixed(length),
            None => Body::UntilClose,
        }
    }

    /// Whether it has both a length and a coding. The coding counts, and the connection must not be used
    /// on (section 6.3, item 3).
    fn contradict(&self) -> bool {
        self.has_transfer_coding && self.content_length.is_some()
    }
}

/// The elements of a list. Empty ones are passed over (RFC 9110, section 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// A number of digits alone: no sign, not empty, no more than 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}
