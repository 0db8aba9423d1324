//! The load generator's reader of responses. Whatever a server sends, and in whatever pieces it arrives: no
//! panic, the same responses, failure and end as in one piece, no byte taken twice or passed over; and a
//! response is complete exactly where a plain decoder of whole responses says so.
//!
//! The reader is the load generator's own source files: that is a program, which nothing can link.

mod plain;
#[path = "../../src/response/mod.rs"]
mod response;

use plain::Plain;
use response::{End, Failure, Reader, Response};

/// What a stream of responses comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// The complete responses, each with the offset behind it.
    responses: Vec<(usize, Response)>,
    /// How it ended.
    end: Option<Result<End, Failure>>,
}

/// One input of the fuzzer. The first byte says whether the requests are HEAD requests, the next two the
/// sizes of pieces that take turns; then comes the stream.
///
/// # Panics
/// When the reader says different things of the same bytes, or other things than the plain decoder.
pub fn check(input: &[u8]) {
    let [choice, one, other, stream @ ..] = input else {
        return;
    };
    let to_head_request = choice % 2 == 1;
    let whole = read(&[stream], to_head_request);
    let mut pieces = Vec::new();
    let mut rest = stream;
    for size in [*one, *other].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min(1 + usize::from(size)));
        pieces.push(piece);
        rest = behind;
    }
    assert_eq!(read(&pieces, to_head_request), whole, "in pieces");
    compare(stream, to_head_request, &whole);
}

/// Reads the stream in these pieces.
fn read(pieces: &[&[u8]], to_head_request: bool) -> Story {
    let mut reader = Reader::default();
    let mut story = Story::default();
    let mut at = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            match reader.read(rest, to_head_request) {
                Err(failure) => {
                    story.end = Some(Err(failure));
                    return story;
                }
                Ok((used, response)) => {
                    assert!(used > 0 && used <= rest.len(), "{used} of {}", rest.len());
                    assert!(response.is_some() || used == rest.len(), "bytes left over");
                    assert_eq!(reader.has_begun(), response.is_none());
                    rest = &rest[used..];
                    at += used;
                    story.responses.extend(response.map(|response| (at, response)));
                }
            }
        }
    }
    story.end = Some(reader.end(to_head_request));
    story
}

/// Holds the responses against those of the plain decoder.
fn compare(stream: &[u8], to_head_request: bool, story: &Story) {
    let mut at = 0;
    for (end, response) in &story.responses {
        let plain = plain::decode(&stream[at..], to_head_request);
        let expected = Plain::Complete {
            length: end - at,
            status: response.status,
            keep_alive: response.keep_alive,
        };
        assert_eq!(plain, expected, "at {at} of {stream:?}");
        at = *end;
    }
    let plain = plain::decode(&stream[at..], to_head_request);
    match (&story.end, plain) {
        (Some(Ok(End::Complete(response))), Plain::UntilClose { status }) => {
            assert_eq!(response.status, status);
            assert!(!response.keep_alive);
        }
        (Some(Ok(End::Unanswered)), Plain::Other) => assert_eq!(at, stream.len()),
        (Some(Ok(End::CutOff) | Err(_)), Plain::Other) => assert!(at < stream.len()),
        (end, plain) => panic!("{end:?} and {plain:?} at {at} of {stream:?}"),
    }
}
