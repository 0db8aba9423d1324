//! Where responses end, and what they say: HTTP/1.1 as RFC 9112 has it.
//!
//! Bodies are looked through and not kept. All that is kept of a response is the beginning of an
//! incomplete head, which has a limit: whatever a server sends, a connection takes bounded memory.

mod chunked;
mod head;

pub use chunked::Chunks;
use head::{Body, Head};

/// Reads the responses of one connection, in pieces as they arrive.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    /// Whether a byte of the current response has arrived.
    begun: bool,
    /// The beginning of a head that arrives in pieces.
    head: Vec<u8>,
    /// How much of `head` has been parsed in vain.
    parsed: usize,
    response: Response,
}

/// What comes next.
#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    /// So many bytes of a body.
    Fixed(u64),
    Chunked(Chunks),
    UntilClose,
}

/// A response that is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Whether the server keeps the connection open.
    pub keep_alive: bool,
}

/// Why something is not a response that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The head is not one of HTTP/1, or contradicts itself.
    MalformedHead,
    /// The head has more bytes or fields than are read.
    HeadTooLarge,
    /// The chunks of a body are not framed as they must be.
    BadChunk,
}

/// What the end of the stream means for the current response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not a byte of it has arrived.
    Unanswered,
    /// It was cut off.
    CutOff,
    /// It lasted until the end.
    Complete(Response),
}

impl Reader {
    /// Reads on. Returns how many of the bytes belong to the current response, and the response if it
    /// is complete with them. `to_head_request` says that it answers a HEAD request, and has no body
    /// whatever its head says. After a failure the connection is of no more use.
    pub fn read(
        &mut self,
        bytes: &[u8],
        to_head_request: bool,
    ) -> Result<(usize, Option<Response>), Failure> {
        self.begun |= !bytes.is_empty();
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let is_complete = match &mut self.state {
                State::Head => {
                    let (length, head) = self.read_head(rest, to_head_request)?;
                    used += length;
                    match head {
                        None => return Ok((used, None)),
                        Some(head) => self.enter(&head),
                    }
                }
                State::Fixed(left) => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= length as u64;
                    used += length;
                    *left == 0
                }
                State::Chunked(chunks) => {
                    let (length, is_complete) = chunks.read(rest)?;
                    used += length;
                    is_complete
                }
                State::UntilClose => {
                    used = bytes.len();
                    false
                }
            };
            if is_complete {
                self.begun = false;
                self.state = State::Head;
                return Ok((used, Some(self.response)));
            }
            if used == bytes.len() {
                return Ok((used, None));
            }
        }
    }

    /// Whether a byte of the current response has arrived.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Takes the end of the stream.
    pub fn end(&self, to_head_request: bool) -> Result<End, Failure> {
        match self.state {
            State::UntilClose => Ok(End::Complete(self.response)),
            State::Head => {
                // Not all of it may have been parsed yet.
                head::parse(&self.head, to_head_request)?;
                Ok(if self.begun {
                    End::CutOff
                } else {
                    End::Unanswered
                })
            }
            State::Fixed(_) | State::Chunked(_) => Ok(End::CutOff),
        }
    }

    /// Looks for a whole head at the start of what has arrived. Returns how many of the bytes are of it.
    fn read_head(
        &mut self,
        bytes: &[u8],
        to_head_request: bool,
    ) -> Result<(usize, Option<Head>), Failure> {
        let before = self.head.len();
        let length = bytes.len().min(head::MAX_BYTES - before);
        if before == 0 {
            // As a rule it arrives whole, and need not be copied.
            if let Some(head) = head::parse(&bytes[..length], to_head_request)? {
                return Ok((head.length, Some(head)));
            }
            self.parsed = length;
        }
        self.head.extend_from_slice(&bytes[..length]);
        let is_full = self.head.len() == head::MAX_BYTES;
        // A head that arrives byte by byte is not parsed anew with each, but where it may end, and when
        // it has doubled, for the sake of errors.
        let may_end = head::may_end(&self.head, before);
        if before > 0 && (may_end || is_full || self.head.len() >= 2 * self.parsed) {
            self.parsed = self.head.len();
            if let Some(head) = head::parse(&self.head, to_head_request)? {
                self.head = Vec::new();
                return Ok((head.length - before, Some(head)));
            }
        }
        if is_full {
            return Err(Failure::HeadTooLarge);
        }
        Ok((length, None))
    }

    /// Goes on to what follows a head. Returns whether nothing does.
    fn enter(&mut self, head: &Head) -> bool {
        // RFC 9110, section 15.2: any number of these may precede the response. After 101 the connection
        // is one of another protocol.
        if (100..200).contains(&head.status) && head.status != 101 {
            return false;
        }
        self.response = Response {
            status: head.status,
            keep_alive: head.keep_alive,
        };
        self.state = match head.body {
            Body::None | Body::Fixed(0) => return true,
            Body::Fixed(length) => State::Fixed(length),
            Body::Chunked => State::Chunked(Chunks::default()),
            Body::UntilClose => State::UntilClose,
        };
        false
    }
}

#[cfg(test)]
mod tests;
