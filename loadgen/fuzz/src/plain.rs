//! A decoder of whole responses that is as plain as can be: it has all the bytes, finds lines and cuts them,
//! and knows no states. Only heads are cut by httparse, as in the load generator.

/// What the bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Plain {
    /// A complete response.
    Complete {
        length: usize,
        status: u16,
        keep_alive: bool,
    },
    /// A response whose body lasts until the connection closes.
    UntilClose { status: u16 },
    /// Neither: not all of a response, or something else.
    Other,
}

/// The documented limits.
const MAX_HEAD: usize = 32 * 1024;
const MAX_FIELDS: usize = 100;
const MAX_SIZE_LINE: usize = 4 * 1024;
const MAX_TRAILER: usize = 32 * 1024;

/// Decodes the response, behind interim ones, that the bytes begin with.
pub fn decode(bytes: &[u8], to_head_request: bool) -> Plain {
    decode_or_nothing(bytes, to_head_request).unwrap_or(Plain::Other)
}

fn decode_or_nothing(bytes: &[u8], to_head_request: bool) -> Option<Plain> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        return None;
    };
    if length > MAX_HEAD {
        return None;
    }
    let status = head.code?;
    let version = head.version?;
    let list = |wanted: &str| -> Option<Vec<String>> {
        let of_name = head.headers.iter().filter(|field| field.name.to_lowercase() == wanted);
        let mut values = of_name.map(|field| field.value).peekable();
        values.peek()?;
        let text = values.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
        Some(text.split(',').map(|word| word.trim_matches([' ', '\t']).to_lowercase()).collect())
    };
    let lengths = list("content-length");
    let codings = list("transfer-encoding").map(|mut codings| {
        codings.retain(|coding| !coding.is_empty());
        codings
    });
    let connection = list("connection").unwrap_or_default();

    // Errors count, whatever the kind of the response.
    let mut content_length = None;
    for word in lengths.iter().flatten() {
        if word.is_empty() || word.chars().any(|letter| !letter.is_ascii_digit()) {
            return None;
        }
        let value: u64 = word.parse().ok()?;
        if content_length.is_some_and(|other| other != value) {
            return None;
        }
        content_length = Some(value);
    }
    let codings = codings.unwrap_or_default();
    let chunked_at = codings.iter().position(|coding| coding == "chunked");
    if chunked_at.is_some_and(|at| at + 1 < codings.len()) {
        return None;
    }
    if status / 100 == 1 && status != 101 {
        return match decode_or_nothing(&bytes[length..], to_head_request)? {
            Plain::Complete {
                length: behind,
                status,
                keep_alive,
            } => Some(Plain::Complete {
                length: length + behind,
                status,
                keep_alive,
            }),
            other => Some(other),
        };
    }
    let has = |option: &str| connection.iter().any(|word| word == option);
    let keep_alive = status != 101
        && !(content_length.is_some() && !codings.is_empty())
        && !has("close")
        && (version == 1 || has("keep-alive"));
    let complete = |length| Plain::Complete {
        length,
        status,
        keep_alive,
    };
    let body = &bytes[length..];
    if to_head_request || status == 101 || status == 204 || status == 304 {
        return Some(complete(length));
    }
    if chunked_at.is_some() {
        return chunked_length(body).map(|body| complete(length + body));
    }
    if !codings.is_empty() {
        return Some(Plain::UntilClose { status });
    }
    match content_length {
        None => Some(Plain::UntilClose { status }),
        Some(wanted) if wanted <= body.len() as u64 => {
            Some(complete(length + usize::try_from(wanted).ok()?))
        }
        Some(_) => None,
    }
}

/// The length of a complete chunked body.
fn chunked_length(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line_at(body, at)?;
        at += line.len() + 2;
        if line.len() + 2 > MAX_SIZE_LINE {
            return None;
        }
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let size = u64::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        if !extension.is_empty() && !b"; \t".contains(&extension[0]) {
            return None;
        }
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        if body.get(at..)?.get(..2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    let trailer = at;
    loop {
        let line = line_at(body, at)?;
        at += line.len() + 2;
        if line.is_empty() {
            return (at - trailer <= MAX_TRAILER).then_some(at);
        }
    }
}

/// The line that begins there, without the CR LF that ends it. It has no control characters.
fn line_at(body: &[u8], at: usize) -> Option<&[u8]> {
    let rest = body.get(at..)?;
    let length = rest.windows(2).position(|two| two == b"\r\n")?;
    let line = &rest[..length];
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    line.iter().all(is_text).then_some(line)
}
