//! The load generator's reader of responses (`loadgen/fuzz`).

use std::path::Path;

use super::{Fuzzer, dictionary, write};

/// The fuzzer. The address sanitizer looks after the parser of heads, which has unsafe code.
pub const RESPONSES: Fuzzer = Fuzzer {
    name: "responses",
    folder: "loadgen/fuzz",
    write_seeds,
    write_dictionary,
    sanitizer: "address",
};

/// Streams to begin with.
const STREAMS: [&str; 11] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nA;x=\"1\"\r\n0123456789\r\n0;y\r\nA: b\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 1, 1\r\n\r\na",
    "HTTP/1.1 200 OK\nConnection: close\n\nuntil the end",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\u{1}",
    "\r\n\nHTTP/1.1 503 \r\nContent-Length: 0\r\n\r\nHTTP/1.1 2",
    "SSH-2.0-OpenSSH_9.2\r\n",
];

/// What responses are made of.
const WORDS: [&str; 20] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 404 \r\n",
    "HTTP/1.1 100 C\r\n\r\n",
    "HTTP/1.1 204 N\r\n",
    "HTTP/1.1 101 S\r\n",
    "Content-Length: ",
    "Transfer-Encoding: ",
    "Connection: ",
    "chunked",
    "gzip, ",
    "close",
    "keep-alive",
    "\r\n",
    "\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "ffffffffffffffff\r\n",
    "18446744073709551615",
    ";a=b",
    "1\r\na\r\n",
];

/// Inputs as `loadgen/fuzz/src/lib.rs` has them: a byte for the method, two for the sizes of pieces, then the
/// stream.
fn write_seeds(folder: &Path) -> anyhow::Result<()> {
    for (number, stream) in STREAMS.iter().enumerate() {
        for (name, start) in [
            ("whole", [0, 255, 255]),
            ("bytes", [0, 0, 0]),
            ("head", [1, 2, 9]),
        ] {
            let path = folder.join(format!("{name}-{number}"));
            write(&path, &[&start, stream.as_bytes()])?;
        }
    }
    // A line and a head near their limits.
    let extension = "x".repeat(4 * 1024 - 4);
    let line = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\n");
    write(&folder.join("line"), &[&[0, 255, 7], line.as_bytes()])?;
    let fields = "A: b\r\n".repeat(100);
    let head = format!("HTTP/1.1 204 No\r\n{fields}\r\n");
    write(&folder.join("fields"), &[&[0, 255, 7], head.as_bytes()])
}

fn write_dictionary(path: &Path) -> anyhow::Result<()> {
    write(path, &[dictionary(WORDS).as_bytes()])
}
