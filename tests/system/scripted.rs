//! A client that sends requests as a test wants them, and writes the same log as the load generator.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context as _, bail};
use runlog::clock::Clock;
use runlog::manifest::Schedule;
use runlog::record::{ClientConnection, Request};
use runlog::summary::{self, ArmLoad, LoadSummary};
use runlog::table::TableWriter;
use runlog::{RunDirectory, json};

use crate::kit::{SOON, monotonic_ns};
use crate::sockets::wait_until_read;

/// The body of every answer of sut's.
const ANSWER: &[u8] = b"Hello World";

/// What all clients of a test have sent.
#[derive(Debug, Default)]
pub struct Script {
    next_sequence: u64,
    /// The requests that were answered, in the order of their answers.
    pub requests: Vec<Request>,
    /// The connections that were closed.
    pub connections: Vec<ClientConnection>,
    opened: u32,
}

/// One connection of a script.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    log: ClientConnection,
    /// Sent and not answered.
    pending: VecDeque<Request>,
    received: Vec<u8>,
}

impl Script {
    /// Opens a connection.
    pub fn open(&mut self, port: u16) -> anyhow::Result<Client> {
        let opening_ns = monotonic_ns();
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        let log = ClientConnection {
            connection: self.opened,
            local_port: stream.local_addr()?.port(),
            opening_ns,
            ..ClientConnection::default()
        };
        self.opened += 1;
        Ok(Client {
            stream,
            log,
            pending: VecDeque::new(),
            received: Vec::new(),
        })
    }

    /// Sends a request in so many parts.
    pub fn send(&mut self, client: &mut Client, parts: usize) -> anyhow::Result<()> {
        let text = self.request(client);
        let size = text.len().div_ceil(parts);
        for (index, part) in text.chunks(size).enumerate() {
            if index > 0 {
                wait_until_read(&client.stream)?;
            }
            client.write(part)?;
        }
        Ok(())
    }

    /// Sends so many requests in one go, the last of them with its end to come.
    pub fn pipeline(&mut self, client: &mut Client, depth: usize) -> anyhow::Result<()> {
        let texts: Vec<Vec<u8>> = (0..depth).map(|_| self.request(client)).collect();
        let text = texts.concat();
        let (all_but_the_end, end) = text.split_at(text.len() - 7);
        client.write(all_but_the_end)?;
        wait_until_read(&client.stream)?;
        client.write(end)
    }

    /// The bytes of the next request, which counts as sent now.
    fn request(&mut self, client: &mut Client) -> Vec<u8> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        // Of different lengths, as requests are.
        let padding = "x".repeat(usize::try_from(sequence % 37).unwrap_or(0));
        let text = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Sequence: {sequence}\r\nX-Padding: {padding}\r\n\r\n"
        );
        let before = client.pending.back().map(|request| request.end_byte);
        let first_byte = before.unwrap_or(client.log.sent_bytes);
        let sent_ns = monotonic_ns();
        client.pending.push_back(Request {
            sequence,
            connection: client.log.connection,
            local_port: client.log.local_port,
            first_byte,
            end_byte: first_byte + text.len() as u64,
            planned_ns: sent_ns,
            sent_ns,
            ..Request::default()
        });
        text.into_bytes()
    }

    /// Waits for the answers to all that the client has sent.
    pub fn receive(&mut self, client: &mut Client) -> anyhow::Result<()> {
        while let Some(mut request) = client.pending.pop_front() {
            let end = loop {
                let received = &client.received;
                let found = received
                    .windows(ANSWER.len())
                    .position(|window| window == ANSWER);
                if let Some(at) = found {
                    break at + ANSWER.len();
                }
                let mut buffer = [0; 4096];
                match client.stream.read(&mut buffer).context("no answer")? {
                    0 => bail!("the server closed the connection"),
                    count => client.received.extend(&buffer[..count]),
                }
            };
            request.done_ns = monotonic_ns();
            request.status = 200;
            client.received.drain(..end);
            self.requests.push(request);
        }
        Ok(())
    }

    /// Sends one request and waits for its answer.
    pub fn ask(&mut self, client: &mut Client) -> anyhow::Result<()> {
        self.send(client, 1)?;
        self.receive(client)
    }

    /// Closes a connection.
    pub fn close(&mut self, client: Client) {
        let Client {
            stream, mut log, ..
        } = client;
        drop(stream);
        log.closed_ns = monotonic_ns();
        self.connections.push(log);
    }

    /// Writes everything down as the load generator would.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let run = RunDirectory::create(folder)?;
        let mut requests = TableWriter::create(run.requests())?;
        for request in &self.requests {
            requests.push(request)?;
        }
        requests.finish()?;
        let mut connections = TableWriter::create(run.client_connections())?;
        for connection in &self.connections {
            connections.push(connection)?;
        }
        connections.finish()?;
        let summary = LoadSummary {
            schema: summary::SCHEMA.to_owned(),
            cut_short: None,
            schedule: Schedule {
                order: runlog::Order::Sequential,
                seed: 0,
                connections: 1,
                requests_per_cell: self.requests.len() as u64,
                servers_per_arm: 1,
                blocks_per_cell: 1,
                warmup_requests: 0,
                block_warmup_requests: 0,
                trial: None,
            },
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            clock: Clock::of_this_process(),
            load: None,
            agent: None,
            arms: vec![ArmLoad {
                name: "hooked".to_owned(),
                url: String::new(),
                requests: self.requests.len() as u64,
                warmup_requests: 0,
                observed_requests: 0,
                errors: 0,
                errors_by_kind: std::collections::BTreeMap::new(),
                requests_per_second: 0.0,
                latency_ns: None,
                latency_from_sent_ns: None,
                pacer: None,
                failed_connects: std::collections::BTreeMap::new(),
            }],
        };
        Ok(json::write(&run.load_summary(), &summary)?)
    }
}

impl Client {
    /// The request itself is counted in [`Script::request`]; here its bytes are.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.log.sent_bytes += bytes.len() as u64;
        Ok(self.stream.write_all(bytes)?)
    }
}
