//! Where a response ends, and what its status is. The head is parsed by httparse.

/// What the bytes received so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Incomplete,
    /// A response with this status took `length` bytes; the server keeps the connection open or
    /// not.
    Complete {
        status: u16,
        length: usize,
        keep_alive: bool,
    },
    /// Not a response that this client reads.
    Malformed,
}

/// Looks at the bytes from the start of a response on.
pub fn progress(bytes: &[u8]) -> Progress {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head_length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Progress::Incomplete,
        Err(_) => return Progress::Malformed,
    };
    let status = response.code.unwrap_or(0);
    let mut keep_alive = response.version == Some(1);
    let mut body_length = None;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let parsed = str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.trim().parse().ok());
            match parsed {
                Some(length) => body_length = Some(length),
                None => return Progress::Malformed,
            }
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    // RFC 9112, section 6.3: these have no body. Chunked bodies are not read.
    let body_length: usize = match (status, body_length) {
        (204 | 304, _) => 0,
        (_, Some(length)) => length,
        (_, None) => return Progress::Malformed,
    };
    match head_length.checked_add(body_length) {
        Some(length) if bytes.len() >= length => Progress::Complete {
            status,
            length,
            keep_alive,
        },
        Some(_) => Progress::Incomplete,
        None => Progress::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello";

    #[test]
    fn a_response_is_complete_with_its_last_byte_and_not_before() {
        for cut in 0..HELLO.len() {
            assert_eq!(progress(&HELLO[..cut]), Progress::Incomplete, "{cut}");
        }
        let complete = Progress::Complete {
            status: 200,
            length: HELLO.len(),
            keep_alive: true,
        };
        assert_eq!(progress(HELLO), complete);
        assert_eq!(progress(&[HELLO, b"HTTP/1.1 404"].concat()), complete);
    }

    #[test]
    fn connection_and_version_decide_about_keep_alive() {
        let keep_alive = |head: &str| match progress(head.as_bytes()) {
            Progress::Complete { keep_alive, .. } => keep_alive,
            other => panic!("{other:?}"),
        };
        assert!(!keep_alive(
            "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"
        ));
        assert!(!keep_alive("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(keep_alive("HTTP/1.1 204 No Content\r\n\r\n"));
    }

    #[test]
    fn what_is_not_read_is_malformed() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        ] {
            assert_eq!(progress(text.as_bytes()), Progress::Malformed, "{text}");
        }
    }
}
