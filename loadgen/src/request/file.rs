//! Files of requests: a URL a line, or raw requests one behind the other.

use anyhow::{Context as _, bail};
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::{Body, Head};
use crate::response::Chunks;

/// One request of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A line.
    Line(Line),
    /// All its bytes.
    Raw(Vec<u8>),
}

/// A line: a URL or a path, and perhaps a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The method, if there is one.
    pub method: Option<Method>,
    /// Host and port of the URL, if it is more than a path.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
}

/// The requests of a file with these bytes. Its first line decides: that of a raw request ends in the
/// version.
pub fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    let Some(first) = first else {
        bail!("there is no request in it");
    };
    if first.ends_with(b" HTTP/1.1") || first.ends_with(b" HTTP/1.0") {
        parse_raw(bytes)
    } else {
        parse_lines(bytes)
    }
}

fn parse_lines(bytes: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let parsed = str::from_utf8(line)
            .context("it is not UTF-8")
            .and_then(parse_line)
            .with_context(|| format!("line {number}"))?;
        entries.push(Entry::Line(parsed));
    }
    Ok(entries)
}

fn parse_line(line: &str) -> anyhow::Result<Line> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (method, url) = match words[..] {
        [url] => (None, url),
        [method, url] => {
            let method = method
                .parse()
                .with_context(|| format!("\"{method}\" is no method"))?;
            (Some(method), url)
        }
        _ => bail!("expected a URL, or a method and a URL; a URL has no spaces"),
    };
    if method == Some(Method::CONNECT) {
        bail!("CONNECT asks for a tunnel, which is nothing to measure here");
    }
    if url.starts_with('/') {
        let path: PathAndQuery = url
            .parse()
            .with_context(|| format!("\"{url}\" is no path"))?;
        return Ok(Line {
            method,
            host: None,
            path: path.to_string(),
        });
    }
    let uri: Uri = url
        .parse()
        .with_context(|| format!("\"{url}\" is not a URL"))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        bail!("\"{url}\" starts with neither http:// nor /");
    };
    if authority.as_str().contains('@') {
        bail!("\"{url}\" has a user's name in it; --header \"Authorization: …\" sends one");
    }
    Ok(Line {
        method,
        host: Some(authority.to_string()),
        path: uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
    })
}

fn parse_raw(bytes: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    loop {
        // Empty lines between requests are for the reader of the file.
        let blank = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace());
        at += blank.count();
        if at == bytes.len() {
            return Ok(entries);
        }
        let length = raw_length(&bytes[at..]).with_context(|| {
            let number = entries.len() + 1;
            let line = bytes[..at].split(|byte| *byte == b'\n').count();
            format!("request {number}, which begins in line {line}")
        })?;
        entries.push(Entry::Raw(bytes[at..at + length].to_vec()));
        at += length;
    }
}

/// The bytes of the request that these begin with.
fn raw_length(bytes: &[u8]) -> anyhow::Result<usize> {
    let head = Head::parse(bytes)?.context("its head does not end in an empty line")?;
    let behind = &bytes[head.length..];
    let body = match head.body {
        Body::Fixed(length) if length <= behind.len() => length,
        Body::Fixed(length) => bail!(
            "the file ends after {} of the {length} bytes of its body",
            behind.len()
        ),
        Body::Chunked => match Chunks::default().read(behind) {
            Ok((length, true)) => length,
            Ok((_, false)) => bail!("the file ends within its chunked body"),
            Err(_) => bail!("its chunked body is malformed"),
        },
    };
    Ok(head.length + body)
}

#[cfg(test)]
mod tests;
