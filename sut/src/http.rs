//! Requests out of bytes, and responses into bytes. Parsing is httparse's.

use std::fmt::Write as _;

use bytes::{Buf as _, BytesMut};

/// Largest request head.
const MAX_HEAD: usize = 64 * 1024;
/// Largest request body.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Header that carries the load generator's sequence number.
const SEQUENCE_HEADER: &str = "x-sequence";

/// A complete request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection stays open behind it.
    pub keep_alive: bool,
    /// The sequence number that the load generator gave it.
    pub sequence: Option<u64>,
}

/// Why a request cannot be answered properly. The connection is closed behind the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP/1.
    BadRequest,
    /// A body in chunks, which this server does not read.
    LengthRequired,
    /// A body over 16 MiB.
    BodyTooLarge,
    /// A head over 64 KiB.
    HeadTooLarge,
}

impl Refusal {
    /// The status line's code and reason.
    pub fn status(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::LengthRequired => "411 Length Required",
            Self::BodyTooLarge => "413 Content Too Large",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// Takes the next complete request off the front of `buffer`; `None` while it is incomplete.
pub fn take_request(buffer: &mut BytesMut) -> Result<Option<Request>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD => {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) => return Err(Refusal::BadRequest),
    };
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        body: Vec::new(),
        keep_alive: parsed.version == Some(1),
        sequence: None,
    };
    let mut body_length = 0;
    for header in parsed.headers {
        let value = str::from_utf8(header.value).unwrap_or_default().trim();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            body_length = value.parse().map_err(|_| Refusal::BadRequest)?;
        } else if is("transfer-encoding") {
            return Err(Refusal::LengthRequired);
        } else if is("connection") {
            request.keep_alive = match value.to_ascii_lowercase().as_str() {
                "close" => false,
                "keep-alive" => true,
                _ => request.keep_alive,
            };
        } else if is(SEQUENCE_HEADER) {
            request.sequence = value.parse().ok();
        }
    }
    if body_length > MAX_BODY {
        return Err(Refusal::BodyTooLarge);
    }
    if buffer.len() < head_length + body_length {
        return Ok(None);
    }
    buffer.advance(head_length);
    request.body = buffer.split_to(body_length).to_vec();
    Ok(Some(request))
}

/// Appends a response to `out`. The body of the answer to a `HEAD` request is left out, its length
/// is not.
pub fn put_response(out: &mut BytesMut, status: &str, body: &[u8], head_only: bool, close: bool) {
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{}\r\n",
        body.len(),
        if close { "Connection: close\r\n" } else { "" },
    );
    if !head_only {
        out.extend_from_slice(body);
    }
}

#[cfg(test)]
mod tests;
