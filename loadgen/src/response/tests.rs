//! Responses in one piece, in two at every cut, and byte by byte.

use super::*;

/// Reads `bytes` in these pieces until a response is complete. Returns it and its bytes.
fn read_pieces<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    to_head_request: bool,
) -> Result<(usize, Option<Response>), Failure> {
    let mut reader = Reader::default();
    let mut total = 0;
    for piece in pieces {
        let (used, response) = reader.read(piece, to_head_request)?;
        total += used;
        if response.is_some() {
            return Ok((total, response));
        }
        assert_eq!(used, piece.len(), "an incomplete response takes all");
    }
    Ok((total, None))
}

/// Reads the bytes in every way, which must all come to the same.
fn read(bytes: &[u8]) -> Result<(usize, Option<Response>), Failure> {
    let whole = read_pieces([bytes], false);
    for cut in 0..=bytes.len() {
        let (left, right) = bytes.split_at(cut);
        assert_eq!(read_pieces([left, right], false), whole, "cut at {cut}");
    }
    assert_eq!(read_pieces(bytes.chunks(1), false), whole, "byte by byte");
    whole
}

/// What the end of the stream behind these bytes means.
fn end(bytes: &[u8]) -> Result<End, Failure> {
    let mut reader = Reader::default();
    for byte in bytes {
        let (_, response) = reader.read(&[*byte], false)?;
        assert_eq!(response, None);
    }
    reader.end(false)
}

fn ok(keep_alive: bool) -> Response {
    Response {
        status: 200,
        keep_alive,
    }
}

/// Responses that end by themselves.
const COMPLETE: [&str; 12] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello",
    "HTTP/1.1 200 OK\nContent-Length: 5\n\nHello",
    "\r\nHTTP/1.1 200 OK\r\ncontent-LENGTH: 0\r\n\r\n",
    "HTTP/1.1 200 \r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip,, Chunked\r\n\r\n00a;x=\"1\"\r\n0123456789\r\n1 \r\n\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0;last\r\nA: b\r\nC: d\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    "HTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    "HTTP/1.1 200 OK\r\nConnection: x, KEEP-alive\r\nContent-Length: 1\r\n\r\na",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
];

#[test]
fn a_response_is_complete_with_its_last_byte_and_not_before() {
    for text in COMPLETE {
        let bytes = text.as_bytes();
        let complete = Ok((bytes.len(), Some(ok(true))));
        assert_eq!(read(bytes), complete, "{text}");
        let (_, but_last) = bytes.split_last().unwrap();
        assert_eq!(read(but_last), Ok((but_last.len(), None)), "{text}");
        let with_next = [bytes, b"HTTP/1.1 404 Not Found\r\n\r\n"].concat();
        assert_eq!(read(&with_next), complete, "{text}");
    }
}

#[test]
fn a_connection_goes_on_with_the_next_response() {
    let mut bytes = Vec::new();
    for text in COMPLETE {
        bytes.extend_from_slice(text.as_bytes());
    }
    for size in 1..=bytes.len() {
        let mut reader = Reader::default();
        let mut responses = 0;
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let (used, response) = reader.read(piece, false).unwrap();
                piece = &piece[used..];
                responses += usize::from(response == Some(ok(true)));
            }
        }
        assert_eq!(responses, COMPLETE.len(), "pieces of {size}");
        assert!(!reader.has_begun());
    }
}

#[test]
fn what_has_no_body_ends_with_its_head() {
    for head in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        let bytes = [head.as_bytes(), b"12345"].concat();
        let (length, response) = read(&bytes).unwrap();
        assert_eq!(length, head.len(), "{head}");
        let response = response.unwrap();
        assert_eq!(response.keep_alive, response.status != 101, "{head}");
    }
    let to_head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let complete = Ok((to_head.len(), Some(ok(true))));
    assert_eq!(read_pieces([&to_head[..]], true), complete);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let complete = Ok((chunked.len(), Some(ok(true))));
    assert_eq!(read_pieces(chunked.chunks(7), true), complete);
}

#[test]
fn the_end_of_the_stream_ends_a_body_of_no_length_and_cuts_others_off() {
    for text in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nHello",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nHello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nHello",
    ] {
        let complete = End::Complete(ok(false));
        assert_eq!(end(text.as_bytes()), Ok(complete), "{text}");
    }
    assert_eq!(end(b""), Ok(End::Unanswered));
    for text in COMPLETE {
        for cut in 1..text.len() {
            let end = end(&text.as_bytes()[..cut]);
            assert_eq!(end, Ok(End::CutOff), "{cut} of {text}");
        }
    }
    // What cannot be a head is one, even where it was not looked at yet.
    assert_eq!(end(b"HTTP/1.1 2x"), Err(Failure::MalformedHead));
}

#[test]
fn connection_and_version_decide_about_keep_alive() {
    for head in [
        "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        // Both a length and a coding: the coding counts, and nothing may follow.
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let complete = Ok((head.len(), Some(ok(false))));
        assert_eq!(read(head.as_bytes()), complete, "{head}");
    }
}

#[test]
fn heads_that_are_none_are_malformed() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1,\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
    ] {
        let bytes = text.as_bytes();
        assert_eq!(read(bytes), Err(Failure::MalformedHead), "{text}");
    }
}

#[test]
fn the_longest_length_is_no_sum_that_overflows() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nabc";
    assert_eq!(read(head), Ok((head.len(), None)));
    let head =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n";
    assert_eq!(read(head), Ok((head.len(), None)));
}

#[test]
fn chunks_that_are_none_are_told_from_a_malformed_head() {
    for chunks in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        ";x\r\n",
        "1\na\n",
        "1\rx",
        "1;a\nb\r\n",
        "1;\0\r\n",
        "2\r\nabc\r\n",
        "1\r\na\n",
        "1\r\nab",
        "10000000000000000\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\n\rx",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(read(text.as_bytes()), Err(Failure::BadChunk), "{chunks:?}");
    }
}

#[test]
fn heads_and_lines_have_limits_however_they_arrive() {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
    let filled = |length: usize| {
        let filling = "x".repeat(length - start.len() - 4);
        format!("{start}{filling}\r\n\r\n")
    };
    let longest = filled(head::MAX_BYTES);
    let fields = |count| format!("HTTP/1.1 204 No\r\n{}\r\n", "A: b\r\n".repeat(count));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let size = |length| format!("{chunked}1;{}\r\n", "x".repeat(length - 4));
    let trailer = |length| format!("{chunked}0\r\n{}\r\n\r\n", "x".repeat(length - 4));
    for (text, expected) in [
        (longest.clone(), Ok((longest.len(), Some(ok(true))))),
        (filled(head::MAX_BYTES + 1), Err(Failure::HeadTooLarge)),
        ("\r\n".repeat(head::MAX_BYTES), Err(Failure::HeadTooLarge)),
        (fields(head::MAX_FIELDS + 1), Err(Failure::HeadTooLarge)),
        (
            size(chunked::MAX_LINE),
            Ok((chunked.len() + chunked::MAX_LINE, None)),
        ),
        (size(chunked::MAX_LINE + 1), Err(Failure::BadChunk)),
        (
            trailer(chunked::MAX_TRAILER),
            Ok((chunked.len() + 3 + chunked::MAX_TRAILER, Some(ok(true)))),
        ),
        (trailer(chunked::MAX_TRAILER + 1), Err(Failure::BadChunk)),
    ] {
        for size in [1, 1000, 1 << 20] {
            let pieces = text.as_bytes().chunks(size);
            assert_eq!(read_pieces(pieces, false), expected, "pieces of {size}");
        }
    }
    let (length, response) = read_pieces([fields(head::MAX_FIELDS).as_bytes()], false).unwrap();
    assert_eq!(length, fields(head::MAX_FIELDS).len());
    assert_eq!(response.map(|response| response.status), Some(204));
}

#[test]
fn a_body_is_not_kept() {
    let mut reader = Reader::default();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    for byte in head {
        reader.read(&[*byte], false).unwrap();
    }
    let piece = vec![0; 65536];
    for _ in 0..1000 {
        reader.read(&piece, false).unwrap();
    }
    assert_eq!(reader.head.capacity(), 0);
}
