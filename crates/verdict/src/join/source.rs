//! Where the rows to join come from.

use runlog::RunDirectory;
use runlog::groups::Groups;
use runlog::record::{
    ClientConnection, ReadSpan, Request, ServerClose, ServerConnection, WriteSpan,
};
use runlog::table;

/// What is to be joined. Usable without the program around it: folders in, joined requests out.
#[allow(missing_debug_implementations, reason = "it holds a closure")]
pub struct Source<'s> {
    /// The folder with `requests.npy` and `connections-client.npy`.
    pub load: RunDirectory,
    /// The folder with the spans and the server's connections.
    pub spans: RunDirectory,
    /// How rows of both belong together.
    pub grouping: Grouping,
    /// Whether requests to this arm, with the probes attached or not, are to be joined.
    pub wants: &'s dyn Fn(u16, bool) -> bool,
    /// When the probes were attached.
    pub window: Window,
    /// Whether both sides have one clock; `None` if nobody knows.
    pub one_clock: Option<bool>,
}

/// How the rows of both folders belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// By the number of the block, which is that of the attach. Connections live within it.
    Block,
    /// All rows are of one attach.
    All,
}

/// A span of time on the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub from_ns: u64,
    /// Its end.
    pub until_ns: u64,
}

impl Window {
    /// Everything.
    pub const ALWAYS: Self = Self {
        from_ns: 0,
        until_ns: u64::MAX,
    };

    /// Whether a request, on the server's clock, lies in it from its first byte to its answer.
    pub fn holds(self, request: &Request) -> bool {
        request.sent_ns >= self.from_ns && request.done_ns <= self.until_ns
    }
}

/// The rows of requests and spans, each read once, from the start to the end.
#[derive(Debug)]
pub struct Rows {
    /// Requests.
    pub requests: Groups<Request>,
    /// Hooked reads.
    pub reads: Groups<ReadSpan>,
    /// Writes.
    pub writes: Groups<WriteSpan>,
    /// How far beyond the end of a request the spans are to be read.
    pub look_ahead_ns: u64,
}

/// How far beyond the end of a request the spans are read in any case. Writes are recorded when they have
/// ended, perhaps after the client has read the response; and the offset of two clocks is an estimate.
const LEAST_LOOK_AHEAD_NS: u64 = 100_000_000;

/// By how much the latest of all rows comes after one that is younger. Threads gather records before they
/// write them, and keep the last ones for as long as they sleep.
fn lateness_ns<T>(
    rows: impl Iterator<Item = runlog::Result<T>>,
    ended_ns: fn(&T) -> u64,
) -> runlog::Result<u64> {
    let (mut youngest_ns, mut lateness_ns) = (0, 0);
    for row in rows {
        let ended_ns = ended_ns(&row?);
        youngest_ns = ended_ns.max(youngest_ns);
        lateness_ns = lateness_ns.max(youngest_ns - ended_ns);
    }
    Ok(lateness_ns)
}

/// The rows of connections.
#[derive(Debug)]
pub struct ConnectionRows {
    /// The client's.
    pub client: Groups<ClientConnection>,
    /// The server's.
    pub server: Groups<ServerConnection>,
    /// Their ends.
    pub closes: Groups<ServerClose>,
}

impl Source<'_> {
    /// Opens the rows of requests and spans.
    pub fn rows(&self) -> runlog::Result<Rows> {
        Ok(match self.grouping {
            Grouping::Block => Rows {
                requests: Groups::open(self.load.requests(), |row: &Request| row.block)?,
                reads: Groups::open(self.spans.reads(), |row: &ReadSpan| row.attach)?,
                writes: Groups::open(self.spans.writes(), |row: &WriteSpan| row.attach)?,
                look_ahead_ns: LEAST_LOOK_AHEAD_NS,
            },
            Grouping::All => Rows {
                requests: Groups::open(self.load.requests(), |_| 0)?,
                reads: Groups::open(self.spans.reads(), |_| 0)?,
                writes: Groups::open(self.spans.writes(), |_| 0)?,
                look_ahead_ns: LEAST_LOOK_AHEAD_NS + self.lateness_ns()?,
            },
        })
    }

    /// By how much spans are late in their logs.
    fn lateness_ns(&self) -> runlog::Result<u64> {
        let reads = table::Rows::open(self.spans.reads())?;
        let writes = table::Rows::open(self.spans.writes())?;
        let of_reads = lateness_ns(reads, |read: &ReadSpan| read.exit_ns)?;
        Ok(of_reads.max(lateness_ns(writes, |write: &WriteSpan| write.enter_ns)?))
    }

    /// Opens the rows of connections.
    pub fn connections(&self) -> runlog::Result<ConnectionRows> {
        let client = self.load.client_connections();
        let (server, closes) = (self.spans.server_connections(), self.spans.server_closes());
        Ok(match self.grouping {
            Grouping::Block => ConnectionRows {
                client: Groups::open(client, |row: &ClientConnection| row.block)?,
                server: Groups::open(server, |row: &ServerConnection| row.attach)?,
                closes: Groups::open(closes, |row: &ServerClose| row.attach)?,
            },
            Grouping::All => ConnectionRows {
                client: Groups::open(client, |_| 0)?,
                server: Groups::open(server, |_| 0)?,
                closes: Groups::open(closes, |_| 0)?,
            },
        })
    }

    /// Whether a request is to be joined. No server has read one that was never sent.
    pub fn wants_request(&self, request: &Request) -> bool {
        request.was_sent() && (self.wants)(request.arm, request.is_observed())
    }
}

impl Rows {
    /// The next request of a group that is to be joined.
    pub fn next_request(
        &mut self,
        source: &Source<'_>,
        number: u32,
    ) -> runlog::Result<Option<Request>> {
        while let Some(request) = self.requests.next_of(number)? {
            if source.wants_request(&request) {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// Whether a file was cut short. Known once all was read.
    pub fn were_cut_short(&self) -> bool {
        self.requests.was_cut_short() || self.reads.was_cut_short() || self.writes.was_cut_short()
    }
}
