//! The server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::Test;
use crate::kit::Kit;
use crate::sockets::wait_until_read;

pub const TESTS: &[Test] = &[
    Test {
        name: "sut::answers_as_documented",
        needs: &[],
        run: answers_as_documented,
    },
    Test {
        name: "sut::answers_pipelined_and_split_requests",
        needs: &[],
        run: answers_pipelined_and_split_requests,
    },
    Test {
        name: "sut::logs_the_peer_unless_quiet",
        needs: &[],
        run: logs_the_peer_unless_quiet,
    },
];

/// Sends a request on a connection of its own and returns the whole answer.
fn exchange(stream: &mut TcpStream, request: &str) -> anyhow::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn answers_as_documented(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    for (request, status, end) in [
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "200 OK",
            "\r\n\r\nHello World",
        ),
        (
            "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "200 OK",
            "Content-Length: 11\r\nConnection: close\r\n\r\n",
        ),
        (
            "POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
            "200 OK",
            "\r\n\r\nabc",
        ),
        (
            "GET /work?us=100 HTTP/1.1\r\nConnection: close\r\n\r\n",
            "200 OK",
            "done",
        ),
        (
            "GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n",
            "404 Not Found",
            "\n",
        ),
        ("nonsense\r\n\r\n", "400 Bad Request", "\r\n\r\n"),
    ] {
        let answer = exchange(&mut server.connect()?, request)?;
        ensure!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request:?}: {answer:?}"
        );
        ensure!(answer.ends_with(end), "{request:?}: {answer:?}");
    }
    Ok(())
}

fn answers_pipelined_and_split_requests(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet", "--threads", "2"])?;
    let mut stream = server.connect()?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HT")?;
    wait_until_read(&stream)?;
    let answer = exchange(&mut stream, "TP/1.1\r\nConnection: close\r\n\r\n")?;
    ensure!(answer.matches("Hello World").count() == 3, "{answer:?}");
    Ok(())
}

fn logs_the_peer_unless_quiet(kit: &Kit) -> anyhow::Result<()> {
    for (arguments, lines) in [(&[][..], 1), (&["--quiet"][..], 0)] {
        let port = crate::ports::free_port()?;
        let mut command = kit.command("sut");
        command.args(arguments).arg("--port").arg(port.to_string());
        let running = crate::kit::Running::start_piped(&mut command)?;
        crate::kit::wait_for("the server to listen", || {
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        let peer = stream.local_addr()?;
        exchange(&mut stream, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n")?;
        running.signal(Signal::TERM)?;
        let output = running.output()?;
        ensure!(output.status.success(), "{}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let logged = text.matches(&format!("GET / from {peer}")).count();
        ensure!(logged == lines, "{arguments:?}: {text}");
    }
    Ok(())
}
