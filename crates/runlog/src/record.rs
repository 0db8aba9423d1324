//! The rows of the logs. Each becomes one structured NumPy array: `numpy.load("requests.npy")`.

use npyz::{AutoSerialize, Deserialize, Serialize};

/// What became of a request. Numbers are for ever: new outcomes get new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// A complete response with a 2xx status.
    Ok = 0,
    /// A complete response with a status of no other class here: 101, or none that HTTP knows.
    OtherStatus = 1,
    /// What arrived was not the head of an HTTP/1 response, or one that contradicts itself.
    MalformedHead = 2,
    /// The server closed the connection before the first byte of the response.
    ClosedUnanswered = 3,
    /// No byte of the response in time.
    TimedOutUnanswered = 4,
    /// The connection failed before all of the request was sent.
    SendFailed = 5,
    /// The block ended, or the run was cut short, while the request was under way. It is done at that
    /// instant.
    Unfinished = 6,
    /// A complete response with a 3xx status. Redirections are not followed.
    Status3xx = 7,
    /// A complete response with a 4xx status.
    Status4xx = 8,
    /// A complete response with a 5xx status.
    Status5xx = 9,
    /// The head of the response had more bytes or fields than the client reads.
    HeadTooLarge = 10,
    /// The chunks of the response's body were not framed as they must be.
    BadChunk = 11,
    /// The server closed the connection within the response.
    ClosedInResponse = 12,
    /// The server reset the connection.
    Reset = 13,
    /// The time was over before all of the request was sent: the server did not read it.
    TimedOutSending = 14,
    /// The time was over within the response.
    TimedOutInResponse = 15,
    /// Nobody accepted the connection that the request was to be sent on.
    ConnectRefused = 16,
    /// The connection that the request was to be sent on was not accepted in time.
    ConnectTimedOut = 17,
    /// There was no connection to send the request on for another reason: no route, no free port.
    ConnectFailed = 18,
    /// Sent behind another request on a connection that ended with that one: it failed, or the server
    /// closed the connection after it.
    PipelineCutOff = 19,
    /// It was due, and the block ended before a connection was free for it. It has no connection
    /// ([`Request::NO_CONNECTION`]), no bytes, and is sent and done at the instant of that end.
    Unsent = 20,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Ok,
        Self::OtherStatus,
        Self::MalformedHead,
        Self::ClosedUnanswered,
        Self::TimedOutUnanswered,
        Self::SendFailed,
        Self::Unfinished,
        Self::Status3xx,
        Self::Status4xx,
        Self::Status5xx,
        Self::HeadTooLarge,
        Self::BadChunk,
        Self::ClosedInResponse,
        Self::Reset,
        Self::TimedOutSending,
        Self::TimedOutInResponse,
        Self::ConnectRefused,
        Self::ConnectTimedOut,
        Self::ConnectFailed,
        Self::PipelineCutOff,
        Self::Unsent,
    ];

    /// What a complete response with this status is.
    pub fn of_status(status: u16) -> Self {
        match status / 100 {
            2 => Self::Ok,
            3 => Self::Status3xx,
            4 => Self::Status4xx,
            5 => Self::Status5xx,
            _ => Self::OtherStatus,
        }
    }

    /// The name that summaries use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::OtherStatus => "status_other",
            Self::MalformedHead => "malformed_head",
            Self::ClosedUnanswered => "closed_unanswered",
            Self::TimedOutUnanswered => "timed_out_unanswered",
            Self::SendFailed => "send_failed",
            Self::Unfinished => "unfinished",
            Self::Status3xx => "status_3xx",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::HeadTooLarge => "head_too_large",
            Self::BadChunk => "bad_chunk",
            Self::ClosedInResponse => "closed_in_response",
            Self::Reset => "reset",
            Self::TimedOutSending => "timed_out_sending",
            Self::TimedOutInResponse => "timed_out_in_response",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::ConnectFailed => "connect_failed",
            Self::PipelineCutOff => "pipeline_cut_off",
            Self::Unsent => "unsent",
        }
    }
}

/// One request, as the load generator saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct Request {
    /// Number of the request in the run, from 0; unique over all arms.
    pub sequence: u64,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// [`Request::WARMUP`], [`Request::OBSERVED`], [`Request::LATE`], [`Request::QUEUED`].
    pub flags: u16,
    /// Number of the block in the run, from 0.
    pub block: u32,
    /// Number of the connection in the run, from 0; [`Request::NO_CONNECTION`].
    pub connection: u32,
    /// The client's TCP port.
    pub local_port: u16,
    /// HTTP status, 0 without a response.
    pub status: u16,
    /// An [`Outcome`].
    pub outcome: u8,
    /// Which of the arm's requests it was, from 0: with a request file, the number of the request in it.
    pub variant: u32,
    /// Offset of the request's first byte in what the client sent on the connection.
    pub first_byte: u64,
    /// Offset behind the request's last byte.
    pub end_byte: u64,
    /// When it was due; in a closed loop, when it was sent.
    pub planned_ns: u64,
    /// Immediately before the first byte was written.
    pub sent_ns: u64,
    /// Immediately after the last byte of the response was read, or when it failed or was cut short.
    pub done_ns: u64,
}

impl Request {
    /// Counts as warm-up: logged, and left out of every estimate.
    pub const WARMUP: u16 = 1;
    /// Sent in a block with the probes attached.
    pub const OBSERVED: u16 = 2;
    /// Open loop: the load generator itself came to it later than the pacer's limit.
    pub const LATE: u16 = 4;
    /// Open loop: no connection was free when it was due. It waited in the load generator.
    pub const QUEUED: u16 = 8;
    /// [`Request::connection`] of a request that was never sent.
    pub const NO_CONNECTION: u32 = u32::MAX;

    /// Whether it belongs to the warm-up.
    pub fn is_warmup(&self) -> bool {
        self.flags & Self::WARMUP != 0
    }

    /// Whether the probes were attached.
    pub fn is_observed(&self) -> bool {
        self.flags & Self::OBSERVED != 0
    }

    /// Whether it got a complete response with a 2xx status.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok as u8
    }

    /// The name of what became of it; "unknown" for a number that this version does not know.
    pub fn outcome_name(&self) -> &'static str {
        let outcome = Outcome::ALL.get(usize::from(self.outcome));
        outcome.map_or("unknown", |outcome| outcome.name())
    }

    /// Whether it was ever sent, if only in part.
    pub fn was_sent(&self) -> bool {
        self.outcome != Outcome::Unsent as u8
    }

    /// `done - planned`: how long it took for whoever wanted it at the planned instant. In a closed loop
    /// the same as [`Request::response_time_ns`].
    pub fn latency_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.planned_ns)
    }

    /// `done - sent`.
    pub fn response_time_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.sent_ns)
    }
}

/// One connection, as the load generator saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct ClientConnection {
    /// Number of the connection in the run, from 0.
    pub connection: u32,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// The client's TCP port.
    pub local_port: u16,
    /// Number of the block in the run.
    pub block: u32,
    /// Before `connect`.
    pub opening_ns: u64,
    /// After `close`, or 0 when the run ended before.
    pub closed_ns: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

/// One connection, as the hook in the server saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct ServerConnection {
    /// The hook's identity of the connection.
    pub connection: u64,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// The client's TCP port, 0 when the hook could not tell.
    pub peer_port: u16,
    /// Number of the attach (observed block) in the run.
    pub attach: u32,
    /// The server's descriptor.
    pub fd: i32,
    /// After `accept` returned.
    pub accepted_ns: u64,
}

/// The end of a connection, as the hook in the server saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct ServerClose {
    /// The hook's identity of the connection.
    pub connection: u64,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// Number of the attach (observed block) in the run.
    pub attach: u32,
    /// The server's descriptor.
    pub fd: i32,
    /// Before `close` was called.
    pub closed_ns: u64,
    /// Bytes that were read from it; `u64::MAX` when the connection is older than the attach.
    pub received_bytes: u64,
}

/// One call of the hooked `read` on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct ReadSpan {
    /// The hook's identity of the connection.
    pub connection: u64,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// Rank of the matched keyword plus one, 0 without a match.
    pub keyword: u16,
    /// Number of the attach (observed block) in the run.
    pub attach: u32,
    /// Thread that called, as the root PID namespace numbers it.
    pub tid: u32,
    /// The server's descriptor.
    pub fd: i32,
    /// Offset in the connection of the first byte returned; `u64::MAX` when the connection is older
    /// than the attach.
    pub first_byte: u64,
    /// What `read` returned.
    pub returned: i64,
    /// Hook entered.
    pub enter_ns: u64,
    /// The inner `read` returned to the hook.
    pub inner_exit_ns: u64,
    /// Hook about to return.
    pub exit_ns: u64,
    /// `read(2)` entered in the kernel; 0 without a kernel probe.
    pub syscall_enter_ns: u64,
    /// `read(2)` left in the kernel; 0 without a kernel probe.
    pub syscall_exit_ns: u64,
    /// Which function was called: 0 `read`, 1 `recv`, 2 `recvfrom`, 3 `recvmsg`, 4 `readv`.
    pub function: u8,
}

impl ReadSpan {
    /// [`ReadSpan::first_byte`] of a connection that is older than the attach.
    pub const UNKNOWN_OFFSET: u64 = u64::MAX;

    /// Hook span minus inner span: what interposing added to this call.
    pub fn hook_overhead_ns(&self) -> u64 {
        self.exit_ns.saturating_sub(self.inner_exit_ns)
    }

    /// The syscall span, or `None` without a kernel probe.
    pub fn syscall_ns(&self) -> Option<u64> {
        (self.syscall_exit_ns != 0).then(|| self.syscall_exit_ns - self.syscall_enter_ns)
    }
}

/// One call of the write family on a connection that the hook tracks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct WriteSpan {
    /// The hook's identity of the connection.
    pub connection: u64,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// Number of the attach (observed block) in the run.
    pub attach: u32,
    /// Thread that called, as the root PID namespace numbers it.
    pub tid: u32,
    /// What the call returned.
    pub returned: i64,
    /// Entered in the kernel.
    pub enter_ns: u64,
    /// Left in the kernel.
    pub exit_ns: u64,
}

/// One call of `read(2)` in a traced process, hooked or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct ReadSyscallSpan {
    /// Index of the arm in the manifest; 0 in a trace.
    pub arm: u16,
    /// Number of the attach in the run.
    pub attach: u32,
    /// Process, as the root PID namespace numbers it.
    pub tgid: u32,
    /// Thread, likewise.
    pub tid: u32,
    /// The descriptor.
    pub fd: i32,
    /// What the call returned.
    pub returned: i64,
    /// Entered in the kernel.
    pub enter_ns: u64,
    /// Left in the kernel.
    pub exit_ns: u64,
}

/// One call of the function named by `--symbol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct FunctionSpan {
    /// Index of the arm in the manifest; 0 in a trace.
    pub arm: u16,
    /// Number of the attach in the run.
    pub attach: u32,
    /// Process, as the root PID namespace numbers it.
    pub tgid: u32,
    /// Thread, likewise.
    pub tid: u32,
    /// Entered.
    pub enter_ns: u64,
    /// Returned.
    pub exit_ns: u64,
}

/// One call of a connection of a trial that was timed around the hook, in front of it and behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct BracketedCall {
    /// Number of the server, from 0, as blocks take them in turn.
    pub server: u16,
    /// Number of the arm, as the server drew it.
    pub arm: u16,
    /// Which function was called: 0 `read`, 1 `recv`, 2 `recvfrom`, 3 `recvmsg`, 4 `readv`.
    pub function: u8,
    /// [`BracketedCall::REACHED_BACK`] and others.
    pub flags: u16,
    /// Salt of the connection.
    pub salt: u64,
    /// Which request of the connection the call read from, from 0.
    pub ordinal: u32,
    /// Bytes that the call returned. 0 if it found nothing left of a request that had begun.
    pub returned: u32,
    /// Entered, in front of the hook.
    pub enter_ns: u64,
    /// From `enter_ns` to the entry behind the hook.
    pub to_back_ns: u32,
    /// Returned from the C library, behind the hook.
    pub back_exit_ns: u64,
    /// From `back_exit_ns` to the return in front of the hook, without the arm's delay.
    pub from_back_ns: u32,
    /// How long the arm's delay lasted, measured.
    pub waited_ns: u32,
}

impl BracketedCall {
    /// Names of the functions, by their numbers.
    pub const FUNCTIONS: [&str; 5] = ["read", "recv", "recvfrom", "recvmsg", "readv"];

    /// The call got behind the hook. Otherwise the hook answered it in another way, and its time within is not known.
    pub const REACHED_BACK: u16 = 1;
    /// It got there more than once.
    pub const SEVERAL_INNER: u16 = 2;
    /// It is the first call of its request.
    pub const FRESH: u16 = 4;

    /// What the hook added to the call, and the bracket with it.
    pub fn overhead_ns(&self) -> u64 {
        u64::from(self.to_back_ns) + u64::from(self.from_back_ns)
    }
}

/// The `read(2)` calls of an arm's servers during one block, hooked or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, AutoSerialize)]
pub struct BlockReads {
    /// Number of the block in the run.
    pub block: u32,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// How many there were.
    pub reads: u64,
    /// Their mean duration in the kernel, trimmed as the run's other means; out of a histogram.
    pub mean_ns: f64,
}

/// One request with what happened inside the server for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AutoSerialize)]
pub struct JoinedRequest {
    /// Number of the request in the run.
    pub sequence: u64,
    /// Index of the arm in the manifest.
    pub arm: u16,
    /// The request's flags: [`Request::WARMUP`], [`Request::OBSERVED`], [`JoinedRequest::SHARED`].
    pub flags: u16,
    /// Number of the block in the run.
    pub block: u32,
    /// Calls of the hooked `read` for it.
    pub calls: u32,
    /// Its bytes.
    pub request_bytes: u64,
    /// Hook overhead of all its calls.
    pub hook_overhead_ns: u64,
    /// `read(2)` in the kernel, all its calls, from the instant on at which the request was sent; 0
    /// without a kernel probe.
    pub read_syscall_ns: u64,
    /// How long a blocking server had been waiting inside `read(2)` when the request was sent. No part
    /// of the response time; 0 without a kernel probe.
    pub waited_ns: u64,
    /// From the last read's return to the response's first write; 0 when no write was seen.
    pub application_ns: u64,
    /// The response's first write in the kernel; 0 when no write was seen.
    pub write_syscall_ns: u64,
    /// `done - sent`.
    pub response_time_ns: u64,
    /// First read entered.
    pub first_read_enter_ns: u64,
    /// Last read that returned bytes of it left.
    pub last_read_exit_ns: u64,
}

impl JoinedRequest {
    /// One of its reads returned bytes of another request too (pipelining).
    pub const SHARED: u16 = 1 << 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_listed_at_their_numbers() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number, "{}", outcome.name());
        }
        let names: std::collections::BTreeSet<_> = Outcome::ALL.map(Outcome::name).into();
        assert_eq!(names.len(), Outcome::ALL.len(), "a name each");
    }

    #[test]
    fn a_status_has_the_outcome_of_its_class() {
        for (status, outcome) in [
            (101, Outcome::OtherStatus),
            (200, Outcome::Ok),
            (299, Outcome::Ok),
            (304, Outcome::Status3xx),
            (404, Outcome::Status4xx),
            (599, Outcome::Status5xx),
            (600, Outcome::OtherStatus),
            (0, Outcome::OtherStatus),
        ] {
            assert_eq!(Outcome::of_status(status), outcome, "{status}");
        }
    }
}
