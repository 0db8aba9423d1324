//! The slowest requests as a trace in the Trace Event Format, which Perfetto and Chrome's tracing open.
//!
//! One process is the load generator, with a thread for each connection; one is each hooked arm's servers, with the
//! threads that read. All instants are on the client's clock. A thread's slices nest or follow each other, as the format
//! demands: requests that overlap on a connection (pipelining) get a thread each.

use std::collections::{BTreeMap, HashMap, HashSet};

use runlog::Result;
use runlog::record::{JoinedRequest, ReadSpan, Request, WriteSpan};
use runlog::table::Rows;
use serde::Serialize;
use serde_json::{Value, json};

use crate::run::Run;

/// The process of the load generator; arm n is process n + 2.
const CLIENT: u32 = 1;

/// A trace.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// The events.
    #[serde(rename = "traceEvents")]
    pub events: Vec<Value>,
    /// The unit that viewers show.
    #[serde(rename = "displayTimeUnit")]
    unit: &'static str,
    /// What it is of.
    #[serde(rename = "otherData")]
    pub about: About,
}

/// What a trace is of.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The folder's name.
    pub run: String,
    /// Requests that were joined to their reads.
    pub joined_requests: u64,
    /// The slowest of them, which are here.
    pub requests: u64,
    /// The others, which are not.
    pub left_out: u64,
    /// Requests that are here without their row in the request log, or whose reads were not found again.
    pub incomplete: u64,
}

/// The slowest `most` requests of a run.
///
/// # Errors
/// Logs that are not there or cannot be read.
pub fn trace(run: &Run, most: usize) -> Result<Trace> {
    let (slowest, joined_requests) = slowest(run, most)?;
    let requests = requests(run, &slowest)?;
    let reads = reads(run, &slowest)?;
    let writes = writes(run, &slowest)?;
    let mut drawing = Drawing::new(run);
    let mut incomplete = 0;
    for joined in &slowest {
        let request = requests.get(&joined.sequence);
        let reads = reads.get(&joined.sequence);
        if let Some(request) = request {
            drawing.request(joined, request);
        }
        if let Some(reads) = reads {
            drawing.server(joined, reads, writes.get(&joined.sequence));
        }
        if request.is_none() || reads.is_none() {
            incomplete += 1;
        }
    }
    let shown = slowest.len() as u64;
    Ok(Trace {
        events: drawing.finish(),
        unit: "ns",
        about: About {
            run: run.name(),
            joined_requests,
            requests: shown,
            left_out: joined_requests - shown,
            incomplete,
        },
    })
}

/// The slowest requests outside the warm-up, in the order of time, and how many there were.
fn slowest(run: &Run, most: usize) -> Result<(Vec<JoinedRequest>, u64)> {
    let mut kept: Vec<JoinedRequest> = Vec::new();
    let mut all = 0;
    let shorten = |kept: &mut Vec<JoinedRequest>| {
        kept.sort_by_key(|joined| std::cmp::Reverse((joined.response_time_ns, joined.sequence)));
        kept.truncate(most);
    };
    for joined in Rows::<JoinedRequest>::open(run.directory.joined())? {
        let joined = joined?;
        if joined.flags & Request::WARMUP != 0 {
            continue;
        }
        all += 1;
        kept.push(joined);
        if kept.len() > 2 * most + 1_000 {
            shorten(&mut kept);
        }
    }
    shorten(&mut kept);
    kept.sort_by_key(|joined| joined.first_read_enter_ns);
    Ok((kept, all))
}

/// Their rows of the request log.
fn requests(run: &Run, slowest: &[JoinedRequest]) -> Result<HashMap<u64, Request>> {
    let wanted: HashSet<u64> = slowest.iter().map(|joined| joined.sequence).collect();
    let mut found = HashMap::new();
    for request in Rows::<Request>::open(run.directory.requests())? {
        let request = request?;
        if wanted.contains(&request.sequence) {
            found.insert(request.sequence, request);
        }
    }
    Ok(found)
}

/// Requests by an instant of the server, to find their spans by.
fn by_instant(
    slowest: &[JoinedRequest],
    instant: fn(&JoinedRequest) -> u64,
) -> BTreeMap<(u16, u64), Vec<&JoinedRequest>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for joined in slowest {
        found
            .entry((joined.arm, instant(joined)))
            .or_default()
            .push(joined);
    }
    found
}

/// Their reads: the first has the instant that the join wrote down; others follow on its connection.
fn reads(run: &Run, slowest: &[JoinedRequest]) -> Result<HashMap<u64, Vec<ReadSpan>>> {
    let firsts = by_instant(slowest, |joined| joined.first_read_enter_ns);
    let mut open: HashMap<u64, Vec<&JoinedRequest>> = HashMap::new();
    let mut found = HashMap::<u64, Vec<ReadSpan>>::new();
    for read in Rows::<ReadSpan>::open(run.directory.reads())? {
        let read = read?;
        let on_connection = open.entry(read.connection).or_default();
        if let Some(begun) = firsts.get(&(read.arm, read.enter_ns)) {
            on_connection.extend(begun);
        }
        on_connection.retain(|joined| read.exit_ns <= joined.last_read_exit_ns);
        for joined in on_connection.iter() {
            found.entry(joined.sequence).or_default().push(read);
        }
        if on_connection.is_empty() {
            open.remove(&read.connection);
        }
    }
    Ok(found)
}

/// The write that each waited for.
fn writes(run: &Run, slowest: &[JoinedRequest]) -> Result<HashMap<u64, WriteSpan>> {
    let begins = by_instant(slowest, |joined| {
        joined.last_read_exit_ns + joined.application_ns
    });
    let mut found = HashMap::new();
    for write in Rows::<WriteSpan>::open(run.directory.writes())? {
        let write = write?;
        for joined in begins
            .get(&(write.arm, write.enter_ns))
            .into_iter()
            .flatten()
        {
            let took_ns = write.exit_ns.saturating_sub(write.enter_ns);
            if joined.write_syscall_ns == took_ns {
                found.insert(joined.sequence, write);
            }
        }
    }
    Ok(found)
}

/// A span of a thread, on the client's clock.
struct Slice {
    name: &'static str,
    track: (u32, u64),
    from_ns: u64,
    until_ns: u64,
    about: Value,
}

/// Events as they are drawn.
struct Drawing {
    slices: Vec<Slice>,
    /// The server's clock minus the client's.
    offset_ns: i64,
    /// Names of processes and threads.
    threads: BTreeMap<(u32, u64), String>,
    processes: BTreeMap<u32, String>,
    arms: Vec<String>,
    /// The end of the last request of each lane of a connection.
    lanes: HashMap<u32, Vec<u64>>,
}

impl Drawing {
    fn new(run: &Run) -> Self {
        let clocks = run
            .analysed()
            .and_then(|analysis| analysis.join.as_ref()?.clocks);
        Self {
            slices: Vec::new(),
            offset_ns: clocks.map_or(0, |clocks| whole(clocks.offset_ns)),
            threads: BTreeMap::new(),
            processes: BTreeMap::new(),
            arms: run
                .manifest
                .arms
                .iter()
                .map(|arm| arm.name.clone())
                .collect(),
            lanes: HashMap::new(),
        }
    }

    fn slice(
        &mut self,
        name: &'static str,
        track: (u32, u64),
        [from_ns, until_ns]: [u64; 2],
        about: Value,
    ) {
        self.slices.push(Slice {
            name,
            track,
            from_ns,
            until_ns,
            about,
        });
    }

    fn request(&mut self, joined: &JoinedRequest, request: &Request) {
        let lanes = self.lanes.entry(request.connection).or_default();
        let lane = lanes
            .iter()
            .position(|end_ns| *end_ns <= request.sent_ns)
            .unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(end_ns) => *end_ns = request.done_ns,
            None => lanes.push(request.done_ns),
        }
        // A hundred thousand connections are more than a machine has ports for.
        let thread = u64::from(request.connection) + 1 + lane as u64 * 10_000_000;
        self.processes
            .entry(CLIENT)
            .or_insert_with(|| "load generator".to_owned());
        self.threads.entry((CLIENT, thread)).or_insert_with(|| {
            format!(
                "connection {} (port {})",
                request.connection, request.local_port
            )
        });
        let arm = self.arm(joined.arm);
        let about = json!({
            "sequence": joined.sequence, "arm": arm, "block": joined.block, "status": request.status,
            "calls": joined.calls, "hook_overhead_ns": joined.hook_overhead_ns, "read_syscall_ns": joined.read_syscall_ns,
            "application_ns": joined.application_ns, "write_syscall_ns": joined.write_syscall_ns,
        });
        self.slice(
            "request",
            (CLIENT, thread),
            [request.sent_ns, request.done_ns],
            about,
        );
    }

    fn arm(&self, arm: u16) -> String {
        let name = self.arms.get(usize::from(arm)).cloned();
        name.unwrap_or_else(|| format!("arm {arm}"))
    }

    /// An instant of the server on the client's clock.
    fn on_client(&self, server_ns: u64) -> u64 {
        server_ns.saturating_add_signed(-self.offset_ns)
    }

    fn server(&mut self, joined: &JoinedRequest, reads: &[ReadSpan], write: Option<&WriteSpan>) {
        let process = u32::from(joined.arm) + 2;
        let name = format!("server {}", self.arm(joined.arm));
        self.processes.entry(process).or_insert(name);
        for read in reads {
            let track = self.thread(process, read.tid);
            let [enter, inner_exit, exit] =
                [read.enter_ns, read.inner_exit_ns, read.exit_ns].map(|ns| self.on_client(ns));
            let about =
                json!({"sequence": joined.sequence, "returned": read.returned, "fd": read.fd});
            self.slice("hook", track, [enter, exit], about.clone());
            if read.syscall_ns().is_some() {
                let syscall =
                    [read.syscall_enter_ns, read.syscall_exit_ns].map(|ns| self.on_client(ns));
                self.slice("read", track, syscall, about);
            } else {
                self.slice("read", track, [enter, inner_exit], about);
            }
            self.slice(
                "hook overhead",
                track,
                [inner_exit, exit],
                json!({"sequence": joined.sequence, "keyword": read.keyword}),
            );
        }
        if let Some(write) = write {
            let track = self.thread(process, write.tid);
            let span = [write.enter_ns, write.exit_ns].map(|ns| self.on_client(ns));
            self.slice(
                "write",
                track,
                span,
                json!({"sequence": joined.sequence, "returned": write.returned}),
            );
        }
    }

    fn thread(&mut self, process: u32, thread: u32) -> (u32, u64) {
        let track = (process, u64::from(thread));
        self.threads
            .entry(track)
            .or_insert_with(|| format!("thread {thread}"));
        track
    }

    /// The events, those that name processes and threads first.
    fn finish(self) -> Vec<Value> {
        let processes = self.processes.into_iter().map(|(process, name)| {
            json!({"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}})
        });
        let threads = self.threads.into_iter().map(|((process, thread), name)| {
            json!({"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": name}})
        });
        // The first instant becomes 0: a double has no room for nanoseconds since the boot in microseconds.
        let start_ns = self
            .slices
            .iter()
            .map(|slice| slice.from_ns)
            .min()
            .unwrap_or(0);
        let slices = self.slices.into_iter().map(|slice| {
            let Slice { name, track, from_ns, until_ns, about } = slice;
            json!({
                "ph": "X", "name": name, "cat": "hookprobe", "pid": track.0, "tid": track.1,
                "ts": us(from_ns - start_ns), "dur": us(until_ns.saturating_sub(from_ns)), "args": about,
            })
        });
        processes.chain(threads).chain(slices).collect()
    }
}

/// Nanoseconds without a fraction. What is out of range is at its end.
#[allow(clippy::cast_possible_truncation, reason = "the fraction is what goes")]
fn whole(ns: f64) -> i64 {
    ns.round() as i64
}

/// Nanoseconds as microseconds, which the format has.
fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}
