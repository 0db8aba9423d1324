//! Writes the folder of a made-up run, for timing the join and the analysis: one hooked arm, as many
//! requests as asked for, four reads and a write each.
//!
//! `synthetic_run FOLDER REQUESTS BLOCKS CONNECTIONS`; prints how many spans there are.

use std::path::PathBuf;

use runlog::analysis;
use runlog::clock::Clock;
use runlog::manifest::{self, Arm, Environment, Manifest, Placement, Probes, Schedule};
use runlog::record::{
    ClientConnection, ReadSpan, Request, ServerClose, ServerConnection, WriteSpan,
};
use runlog::summary::{self, LoadSummary};
use runlog::table::TableWriter;
use runlog::{Result, RunDirectory, json};

/// Bytes of a request.
const LENGTH: u64 = 160;
/// Reads that a request takes.
const READS: u64 = 4;
/// How long a request takes, and how long after the last on its connection the next one is sent.
const RESPONSE_NS: u64 = 20_000;
const PERIOD_NS: u64 = 25_000;
/// The arms: the baseline has requests, the hooked arm spans as well.
const ARMS: [&str; 2] = ["baseline", "hooked"];

struct Tables {
    requests: TableWriter<Request>,
    client: TableWriter<ClientConnection>,
    server: TableWriter<ServerConnection>,
    closes: TableWriter<ServerClose>,
    reads: TableWriter<ReadSpan>,
    writes: TableWriter<WriteSpan>,
}

/// A few bits that differ from request to request.
fn jitter(sequence: u64, bits: u32) -> u64 {
    sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)
}

impl Tables {
    fn create(run: &RunDirectory) -> Result<Self> {
        Ok(Self {
            requests: TableWriter::create(run.requests())?,
            client: TableWriter::create(run.client_connections())?,
            server: TableWriter::create(run.server_connections())?,
            closes: TableWriter::create(run.server_closes())?,
            reads: TableWriter::create(run.reads())?,
            writes: TableWriter::create(run.writes())?,
        })
    }

    /// One block: requests of all connections in turn.
    fn block(&mut self, shape: &Shape, block: u32, start_ns: u64) -> Result<u64> {
        let arm = u16::try_from(block % 2).unwrap_or(0);
        let connections = u64::from(shape.connections);
        let each = shape.requests / u64::from(shape.blocks) / connections;
        let first = block * shape.connections;
        for connection in 0..shape.connections {
            self.client.push(&ClientConnection {
                connection: first + connection,
                arm,
                local_port: port(connection),
                block,
                opening_ns: start_ns,
                closed_ns: start_ns + (each + 2) * PERIOD_NS,
                sent_bytes: each * LENGTH,
            })?;
            if arm == 1 {
                self.server.push(&ServerConnection {
                    connection: identity(first + connection),
                    arm,
                    peer_port: port(connection),
                    attach: block,
                    fd: 9,
                    accepted_ns: start_ns + 10,
                })?;
            }
        }
        for round in 0..each {
            for connection in 0..shape.connections {
                let sequence = self.requests.rows();
                let within = PERIOD_NS * u64::from(connection) / connections;
                let sent_ns = start_ns + 1_000 + round * PERIOD_NS + within;
                self.requests.push(&Request {
                    sequence,
                    arm,
                    flags: Request::OBSERVED * arm,
                    block,
                    connection: first + connection,
                    local_port: port(connection),
                    status: 200,
                    first_byte: round * LENGTH,
                    end_byte: (round + 1) * LENGTH,
                    planned_ns: sent_ns,
                    sent_ns,
                    done_ns: sent_ns + RESPONSE_NS + jitter(sequence, 12),
                    ..Request::default()
                })?;
                if arm == 1 {
                    self.spans(first + connection, block, round, sent_ns, sequence)?;
                }
            }
        }
        Ok(start_ns + (each + 4) * PERIOD_NS)
    }

    fn spans(
        &mut self,
        connection: u32,
        attach: u32,
        round: u64,
        sent_ns: u64,
        sequence: u64,
    ) -> Result<()> {
        let part = LENGTH / READS;
        for read in 0..READS {
            let enter_ns = sent_ns + 1_000 + read * 2_000;
            self.reads.push(&ReadSpan {
                connection: identity(connection),
                arm: 1,
                attach,
                tid: 7,
                fd: 9,
                first_byte: round * LENGTH + read * part,
                returned: part.cast_signed(),
                enter_ns,
                inner_exit_ns: enter_ns + 900,
                exit_ns: enter_ns + 1_200 + jitter(sequence + read, 6),
                syscall_enter_ns: enter_ns + 50,
                syscall_exit_ns: enter_ns + 850,
                ..ReadSpan::default()
            })?;
        }
        self.writes.push(&WriteSpan {
            connection: identity(connection),
            arm: 1,
            attach,
            tid: 7,
            returned: 100,
            enter_ns: sent_ns + 12_000,
            exit_ns: sent_ns + 15_000,
        })
    }

    fn finish(self) -> Result<u64> {
        self.requests.finish()?;
        self.client.finish()?;
        self.server.finish()?;
        self.closes.finish()?;
        Ok(self.reads.finish()? + self.writes.finish()?)
    }
}

fn port(connection: u32) -> u16 {
    u16::try_from(10_000 + connection % 50_000).unwrap_or(0)
}

fn identity(connection: u32) -> u64 {
    u64::from(connection).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// What to make.
struct Shape {
    /// Requests of both arms.
    requests: u64,
    /// Blocks of both arms.
    blocks: u32,
    connections: u32,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder: PathBuf = arguments
        .next()
        .unwrap_or_else(|| "synthetic".into())
        .into();
    let mut number = |default: u64| {
        let text = arguments.next().and_then(|text| text.into_string().ok());
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (requests, blocks, connections) = (number(2_000_000), number(100), number(1));
    let shape = Shape {
        requests: 2 * requests,
        blocks: u32::try_from(2 * blocks).unwrap_or(2),
        connections: u32::try_from(connections).unwrap_or(1).max(1),
    };
    let run = RunDirectory::create(folder)?;
    describe(&run, &shape)?;
    let mut tables = Tables::create(&run)?;
    let mut now_ns = 1_000_000_000;
    for block in 0..shape.blocks {
        now_ns = tables.block(&shape, block, now_ns)?;
    }
    println!("{}", tables.finish()?);
    Ok(())
}

/// The manifest and the load generator's summary.
fn describe(run: &RunDirectory, shape: &Shape) -> Result<()> {
    let schedule = Schedule {
        order: runlog::Order::Rmit,
        seed: 1,
        connections: shape.connections as usize,
        requests_per_cell: shape.requests / 2,
        servers_per_arm: 1,
        blocks_per_cell: shape.blocks / 2,
        warmup_requests: 0,
        block_warmup_requests: 0,
        trial: None,
    };
    let arms = ARMS.map(|name| Arm {
        name: name.to_owned(),
        role: None,
        url: "http://127.0.0.1:1/".to_owned(),
        pids: vec![],
        hook: (name == "hooked").then(|| "readhook.so".to_owned()),
        hook_environment: vec![],
        hook_functions: vec![],
    });
    let clock = Clock::of_this_process();
    json::write(
        &run.load_summary(),
        &LoadSummary {
            schema: summary::SCHEMA.to_owned(),
            cut_short: None,
            schedule: schedule.clone(),
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            clock: clock.clone(),
            load: None,
            agent: None,
            arms: vec![],
        },
    )?;
    json::write(
        &run.manifest(),
        &Manifest {
            schema: manifest::SCHEMA.to_owned(),
            version: format!("made up, for {}", analysis::SCHEMA),
            command: vec![],
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            clock,
            ended: "complete".to_owned(),
            environment: Environment::default(),
            placement: Placement::default(),
            arms: arms.to_vec(),
            schedule,
            probes: Some(Probes::default()),
            resources: None,
            doctor: None,
            calibration: None,
        },
    )
}
