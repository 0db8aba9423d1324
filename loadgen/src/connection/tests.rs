//! A connection and a server of a few lines, on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::*;
use crate::request::RequestOptions;

/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(20);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Both ends.
struct Pair {
    connection: Connection,
    server: std::net::TcpStream,
    poll: Poll,
    inbox: Inbox,
    message: Message,
    queued: u64,
}

impl Pair {
    fn new(depth: usize) -> Self {
        Self::with(depth, &RequestOptions::default())
    }

    fn with(depth: usize, options: &RequestOptions) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut connection = Connection::open(address, depth, ClientConnection::default()).unwrap();
        let poll = Poll::new().unwrap();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(connection.source(), Token(0), both)
            .unwrap();
        let (server, _) = listener.accept().unwrap();
        let arm = "a=http://a/".parse().unwrap();
        let mut requests = options.requests(&arm, false, 0).unwrap();
        let (_, message) = requests.next();
        let mut pair = Self {
            connection,
            server,
            poll,
            inbox: Inbox::new(),
            message: message.clone(),
            queued: 0,
        };
        if !pair.connection.can_send() {
            let _ = pair.turn();
        }
        assert!(pair.connection.can_send());
        pair
    }

    /// Sends as many requests as may be under way.
    fn fill(&mut self) {
        while self.connection.can_send() {
            let request = Request {
                sequence: self.queued,
                ..Request::default()
            };
            self.queued += 1;
            self.connection.queue(request, &mut self.message);
        }
        let step = self.connection.flush(&mut self.inbox);
        assert!(matches!(step, Step::Waiting), "{step:?}");
    }

    /// Reads this many requests at the server.
    fn serve_read(&mut self, count: usize) {
        let length = self.message.numbered(0).len();
        self.server.set_read_timeout(Some(SOON)).unwrap();
        self.server
            .read_exact(&mut vec![0; count * length])
            .unwrap();
    }

    /// What the next event leads to.
    fn turn(&mut self) -> Step {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(SOON)).unwrap();
        let closed = events.iter().any(mio::event::Event::is_read_closed);
        assert!(!events.is_empty(), "nothing happened");
        self.connection.on_ready(closed, &mut self.inbox)
    }

    /// Goes on until the connection is over, and says what became of the requests.
    fn until_over(&mut self) -> Vec<Outcome> {
        loop {
            match self.turn() {
                Step::Waiting => {}
                Step::Over => return self.outcomes(),
                step => panic!("{step:?}"),
            }
        }
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let ended = self.inbox.ended.drain(..);
        ended
            .map(|request| Outcome::ALL[usize::from(request.outcome)])
            .collect()
    }

    /// Gives up on what was sent until now.
    fn expire(&mut self) -> Vec<Outcome> {
        let step = self.connection.expire(monotonic_ns() + 1, &mut self.inbox);
        assert!(matches!(step, Step::Over), "{step:?}");
        self.outcomes()
    }
}

#[test]
fn requests_under_way_are_answered_in_order() {
    // More than one write takes.
    let depth = 3 * MAX_BATCH;
    let mut pair = Pair::new(depth);
    pair.fill();
    assert!(!pair.connection.can_send());
    pair.serve_read(depth);
    pair.server.write_all(&OK.repeat(depth)).unwrap();
    while pair.inbox.ended.len() < depth {
        assert!(matches!(pair.turn(), Step::Waiting));
    }
    let length = pair.message.numbered(0).len() as u64;
    for (number, request) in (0..).zip(&pair.inbox.ended) {
        assert_eq!((request.sequence, request.status), (number, 200));
        assert_eq!(request.first_byte, number * length);
        assert_eq!(request.end_byte, (number + 1) * length);
        assert!(request.is_ok() && request.sent_ns < request.done_ns);
        assert_eq!(request.planned_ns, request.sent_ns);
    }
    pair.inbox.ended.clear();
    pair.fill();
    pair.serve_read(depth);
    assert_eq!(
        pair.connection.close().sent_bytes,
        2 * depth as u64 * length
    );
}

#[test]
fn a_planned_instant_is_kept() {
    let mut pair = Pair::new(1);
    let request = Request {
        planned_ns: 7,
        ..Request::default()
    };
    pair.connection.queue(request, &mut pair.message);
    let _ = pair.connection.flush(&mut pair.inbox);
    pair.server.write_all(OK).unwrap();
    while pair.inbox.ended.is_empty() {
        let _ = pair.turn();
    }
    let request = pair.inbox.ended[0];
    assert!(request.planned_ns == 7 && request.sent_ns > 7);
}

#[test]
fn what_the_server_does_decides_what_becomes_of_requests() {
    use Outcome::{
        BadChunk, ClosedInResponse, ClosedUnanswered, HeadTooLarge, MalformedHead, Ok,
        PipelineCutOff, Status4xx, Status5xx,
    };
    let closing = b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let too_large = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 40_000]].concat();
    let two = [OK, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"].concat();
    let surplus = [OK, OK, b"x"].concat();
    let until_close = [OK, b"HTTP/1.1 200 OK\r\n\r\nHello"].concat();
    let rest = [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"].concat();
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz";
    for (answer, expected) in [
        (&b""[..], [ClosedUnanswered, PipelineCutOff]),
        (b"HTTP/1.1 2", [ClosedInResponse, PipelineCutOff]),
        (b"garbage\r\n\r\n", [MalformedHead, PipelineCutOff]),
        (&too_large, [HeadTooLarge, PipelineCutOff]),
        (chunk, [BadChunk, PipelineCutOff]),
        (closing, [Status5xx, PipelineCutOff]),
        (&two, [Ok, Status4xx]),
        (&surplus, [Ok, Ok]),
        (&until_close, [Ok, Ok]),
        (&rest, [Ok, ClosedInResponse]),
        (OK, [Ok, ClosedUnanswered]),
    ] {
        let mut pair = Pair::new(2);
        pair.fill();
        pair.serve_read(2);
        pair.server.write_all(answer).unwrap();
        pair.server.shutdown(std::net::Shutdown::Write).unwrap();
        let text = String::from_utf8_lossy(answer).into_owned();
        assert_eq!(pair.until_over(), expected, "{text}");
    }
}

#[test]
fn a_server_that_leaves_requests_unread_resets_the_connection() {
    let mut pair = Pair::new(1);
    pair.fill();
    let Pair { server, .. } = &pair;
    server.set_read_timeout(Some(SOON)).unwrap();
    server.peek(&mut [0]).unwrap();
    let (idle, _listener) = idle_stream();
    drop(std::mem::replace(&mut pair.server, idle));
    assert_eq!(pair.until_over(), [Outcome::Reset]);
}

/// A connection that has nothing to do with the test.
fn idle_stream() -> (std::net::TcpStream, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream, listener)
}

#[test]
fn time_outs_say_how_far_a_request_came() {
    let mut pair = Pair::new(2);
    pair.fill();
    let step = pair.connection.expire(1, &mut pair.inbox);
    assert!(matches!(step, Step::Waiting), "not due: {step:?}");
    assert_eq!(pair.expire(), [Outcome::TimedOutUnanswered; 2]);

    let mut pair = Pair::new(1);
    pair.fill();
    pair.server.write_all(&OK[..OK.len() - 1]).unwrap();
    assert!(matches!(pair.turn(), Step::Waiting));
    assert_eq!(pair.expire(), [Outcome::TimedOutInResponse]);

    let mut pair = Pair::with(1, &large());
    pair.fill();
    assert_eq!(pair.expire(), [Outcome::TimedOutSending]);
}

/// A body that no socket takes at once.
fn large() -> RequestOptions {
    RequestOptions {
        body: Some("x".repeat(32 << 20)),
        ..RequestOptions::default()
    }
}

#[test]
fn a_large_request_is_sent_as_the_server_reads_it() {
    let mut pair = Pair::with(1, &large());
    pair.fill();
    let mut server = pair.server.try_clone().unwrap();
    let length = pair.message.numbered(0).len();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; length];
        server.read_exact(&mut bytes).unwrap();
        server.write_all(OK).unwrap();
        bytes
    });
    while pair.inbox.ended.is_empty() {
        assert!(matches!(pair.turn(), Step::Waiting));
    }
    assert_eq!(pair.outcomes(), [Outcome::Ok]);
    assert!(reader.join().unwrap()[..] == pair.message.numbered(0)[..]);
    assert!(pair.connection.can_send());
}

#[test]
fn an_answer_before_the_request_is_sent_counts_and_ends_the_connection() {
    let mut pair = Pair::with(1, &large());
    pair.fill();
    let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
    pair.server.write_all(answer).unwrap();
    assert_eq!(pair.until_over(), [Outcome::Status4xx]);

    let mut pair = Pair::with(1, &large());
    pair.fill();
    pair.server.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(pair.until_over(), [Outcome::SendFailed]);
}

#[test]
fn a_request_that_asks_to_close_is_the_last() {
    let options = RequestOptions {
        close: true,
        ..RequestOptions::default()
    };
    let mut pair = Pair::with(5, &options);
    pair.fill();
    assert_eq!(pair.queued, 1);
    // The server keeps it open, against the request.
    pair.server.write_all(OK).unwrap();
    assert_eq!(pair.until_over(), [Outcome::Ok]);
}

#[test]
fn a_connection_that_nobody_needs_any_more_is_over_and_no_request_failed() {
    let mut pair = Pair::new(1);
    pair.server.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(pair.until_over(), []);
    let mut pair = Pair::new(1);
    pair.server
        .write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        .unwrap();
    assert_eq!(pair.until_over(), []);
}

#[test]
fn a_cut_leaves_requests_unfinished_at_one_instant() {
    let mut pair = Pair::new(3);
    pair.fill();
    let now_ns = monotonic_ns();
    pair.connection.cut(now_ns, &mut pair.inbox);
    assert!(
        pair.inbox
            .ended
            .iter()
            .all(|request| request.done_ns == now_ns)
    );
    assert_eq!(pair.outcomes(), [Outcome::Unfinished; 3]);
}

#[test]
fn connecting_in_vain_says_why() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = match Connection::open(address, 1, ClientConnection::default()) {
        Err(error) => error,
        Ok(mut connection) => match connection.on_ready(true, &mut Inbox::new()) {
            Step::NotConnected(error) => error,
            step => panic!("{step:?}"),
        },
    };
    assert_eq!(outcome_of_connecting(&error), Outcome::ConnectRefused);
    let late = io::Error::from(io::ErrorKind::TimedOut);
    assert_eq!(outcome_of_connecting(&late), Outcome::ConnectTimedOut);
    let other = io::Error::from(io::ErrorKind::AddrNotAvailable);
    assert_eq!(outcome_of_connecting(&other), Outcome::ConnectFailed);
}
