//! The loop over one block: open connections, send what is due, take responses, end on time.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use mio::{Events, Poll};
use runlog::record::{Outcome, Request};

use crate::client::{ArmTarget, BlockEnd, CutShort, Log, Numbered};
use crate::clock::{TICK, as_ns, monotonic_ns};
use crate::connection::{Inbox, Step};
use crate::pace::Pace;
use crate::slots::Slots;
use crate::timer::Timer;

/// What a block waits with.
#[derive(Debug)]
pub struct Waiting {
    /// Where connections and the timer report.
    pub poll: Poll,
    /// What they reported.
    pub events: Events,
    /// Wakes the loop at the next planned instant.
    pub timer: Timer,
    /// Whether to ask again and again instead of sleeping.
    pub spin: bool,
    /// Raised when the run is to stop.
    pub stop: Arc<AtomicBool>,
}

/// When a block must end, whatever the server does.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "units belong into names")]
pub struct Times {
    /// No request is sent from here on, unless it became due before; `u64::MAX` where the number of
    /// requests decides.
    pub end_ns: u64,
    /// No request is warm-up from here on: the warm-up of a block that lasts for a time must leave most of it.
    pub warmup_end_ns: u64,
    /// How long what is under way may take from there on.
    pub drain_ns: u64,
    /// How long a response may take.
    pub timeout_ns: u64,
}

impl Times {
    /// Whether no request may be sent any more.
    fn are_over(&self) -> bool {
        self.end_ns != u64::MAX && monotonic_ns() >= self.end_ns
    }
}

/// A block in progress.
pub struct BlockRun<'b> {
    pub waiting: &'b mut Waiting,
    pub target: &'b mut ArmTarget,
    pub numbered: Numbered,
    pub log: &'b mut dyn Log,
    pub on_request: &'b mut dyn FnMut(&Request),
    pub times: Times,
    pub pace: Pace,
    pub slots: Slots,
    /// How many users of each place want to send (closed loop).
    pub wanting: Vec<usize>,
    /// Places with room for a request, each once (open loop), and whether a place is among them.
    pub free: VecDeque<usize>,
    pub is_free: Vec<bool>,
    /// Requests that got a number.
    pub numbered_requests: u64,
    /// Requests under way.
    pub under_way: u64,
    /// Places where more may have arrived that the poll does not report again.
    pub unread: Vec<usize>,
    /// Where responses arrive.
    pub inbox: &'b mut Inbox,
}

impl BlockRun<'_> {
    /// Runs the block to its end, once connections are open.
    pub fn drive(&mut self) -> anyhow::Result<BlockEnd> {
        for slot in 0..self.slots.len() {
            self.fill(slot)?;
        }
        let mut ready = Vec::new();
        let mut next_tick_ns = 0;
        let mut now_ns = monotonic_ns();
        loop {
            self.send_due(now_ns)?;
            if self.is_over(now_ns) {
                return Ok(Ok(()));
            }
            self.wait(now_ns)?;
            ready.clear();
            ready.extend(self.unread.drain(..).map(|slot| (slot, false)));
            let events = self.waiting.events.iter();
            ready.extend(events.map(|event| (event.token().0, event.is_read_closed())));
            for &(slot, server_closed) in &ready {
                self.on_ready(slot, server_closed)?;
                if let Pace::Open(_) = self.pace {
                    // A batch of responses must not make the pacer late.
                    self.send_due(monotonic_ns())?;
                }
            }
            now_ns = monotonic_ns();
            if now_ns >= next_tick_ns {
                next_tick_ns = now_ns + as_ns(TICK);
                if let Some(cut_short) = self.tick(now_ns)? {
                    return Ok(Err(cut_short));
                }
            }
        }
    }

    /// Opens the connections. The block begins when all are open, or when no more can be opened.
    pub fn open_all(&mut self) -> anyhow::Result<BlockEnd> {
        let mut opened = Vec::new();
        loop {
            let now_ns = monotonic_ns();
            let registry = self.waiting.poll.registry();
            self.slots.open_vacant(registry, now_ns, &mut opened)?;
            if self.slots.are_all_open() {
                return Ok(Ok(()));
            }
            if let Some(cut_short) = self.cut_short(now_ns) {
                return Ok(Err(cut_short));
            }
            if self.slots.are_stuck(now_ns) {
                return Ok(Ok(()));
            }
            poll(self.waiting, Some(TICK))?;
            for event in &self.waiting.events {
                let (slot, server_closed) = (event.token().0, event.is_read_closed());
                if let Some(connection) = self.slots.connection(slot) {
                    let step = connection.on_ready(server_closed, self.inbox);
                    self.slots.note_opened(slot);
                    match step {
                        Step::NotConnected(error) => self.slots.note_failure(slot, error),
                        Step::Over => drop(self.slots.take(slot, now_ns + as_ns(TICK))),
                        Step::Waiting | Step::Unread => {}
                    }
                }
            }
        }
    }

    /// Logs what is under way, and what never got a connection, as of the instant of the end.
    pub fn end(&mut self) -> anyhow::Result<()> {
        let now_ns = monotonic_ns();
        for slot in 0..self.slots.len() {
            if let Some(mut connection) = self.slots.take(slot, u64::MAX) {
                connection.cut(now_ns, self.inbox);
                self.log.connection(&connection.close())?;
            }
        }
        self.log_ended()?;
        while let Pace::Open(open) = &mut self.pace {
            let Some((planned_ns, flags)) = open.backlog.pop_front() else {
                break;
            };
            open.lateness.unsent += 1;
            let request = Request {
                connection: Request::NO_CONNECTION,
                outcome: Outcome::Unsent as u8,
                sent_ns: now_ns,
                done_ns: now_ns,
                ..self.next_request(planned_ns, flags)
            };
            self.log.request(&request)?;
            (self.on_request)(&request);
        }
        Ok(())
    }

    /// Whether there is nothing left to do, or no time left to do it.
    fn is_over(&self, now_ns: u64) -> bool {
        let all_sent = match &self.pace {
            Pace::Closed(closed) => closed.left == 0 || now_ns >= self.times.end_ns,
            Pace::Open(open) => open.is_done(),
        };
        (all_sent && self.under_way == 0) || now_ns >= self.last_instant_ns()
    }

    /// When the block ends even if requests are under way or waiting.
    fn last_instant_ns(&self) -> u64 {
        let end_ns = match &self.pace {
            Pace::Closed(_) => self.times.end_ns,
            Pace::Open(open) => open.last_ns().unwrap_or(u64::MAX),
        };
        end_ns.saturating_add(self.times.drain_ns)
    }

    /// Waits for events, until the next instant that matters.
    fn wait(&mut self, now_ns: u64) -> anyhow::Result<()> {
        let next_ns = match &self.pace {
            Pace::Closed(closed) => closed.next_ns(),
            Pace::Open(open) => open.arrivals.next_ns(),
        };
        let last_ns = self.last_instant_ns();
        let end_ns = Some(self.times.end_ns).filter(|end_ns| now_ns < *end_ns);
        let next_ns = next_ns.into_iter().chain(end_ns).fold(last_ns, u64::min);
        if self.waiting.spin || next_ns <= now_ns || !self.unread.is_empty() {
            return poll(self.waiting, Some(Duration::ZERO));
        }
        if next_ns < now_ns + as_ns(TICK) {
            self.waiting
                .timer
                .set(next_ns)
                .context("cannot set the timer")?;
        }
        poll(self.waiting, Some(TICK))
    }

    /// What is not done for each request: time-outs, new attempts to connect, signals.
    fn tick(&mut self, now_ns: u64) -> anyhow::Result<Option<CutShort>> {
        let sent_before_ns = now_ns.saturating_sub(self.times.timeout_ns);
        for slot in 0..self.slots.len() {
            if let Some(connection) = self.slots.connection(slot) {
                match connection.expire(sent_before_ns, self.inbox) {
                    Step::Waiting => {}
                    step => self.settle(slot, step)?,
                }
            }
        }
        if self.may_send() {
            let mut opened = Vec::new();
            let registry = self.waiting.poll.registry();
            self.slots.open_vacant(registry, now_ns, &mut opened)?;
            for slot in opened {
                self.fill(slot)?;
            }
        }
        Ok(self.cut_short(now_ns))
    }

    fn cut_short(&self, now_ns: u64) -> Option<CutShort> {
        if self.waiting.stop.load(Ordering::Relaxed) {
            return Some(CutShort::Stopped);
        }
        let why = self.slots.why_gone(now_ns).filter(|_| self.may_send())?;
        let ArmTarget { name, address, .. } = &self.target;
        let reason = format!("arm {name}: cannot connect to {address}: {why}");
        Some(CutShort::ArmGone(reason))
    }

    /// Takes an event of a place's socket, or of the timer.
    fn on_ready(&mut self, slot: usize, server_closed: bool) -> anyhow::Result<()> {
        let Some(connection) = self.slots.connection(slot) else {
            return Ok(()); // the timer, or a connection that has ended meanwhile
        };
        let step = connection.on_ready(server_closed, self.inbox);
        self.slots.note_opened(slot);
        self.settle(slot, step)
    }

    /// Logs what has ended on a place, gets it a new connection if need be, and lets it go on sending.
    fn settle(&mut self, slot: usize, mut step: Step) -> anyhow::Result<()> {
        loop {
            let ended = self.inbox.ended.len();
            let done_ns = self.inbox.ended.last().map(|request| request.done_ns);
            self.log_ended()?;
            match step {
                Step::Waiting => {}
                Step::Unread => self.unread.push(slot),
                Step::NotConnected(error) => self.slots.note_failure(slot, error),
                Step::Over => {
                    // A server that closes what it has just accepted must not keep us busy.
                    let retry_ns = done_ns.unwrap_or_else(|| monotonic_ns() + as_ns(TICK));
                    if let Some(connection) = self.slots.take(slot, retry_ns) {
                        self.log.connection(&connection.close())?;
                    }
                    if ended > 0 && self.may_send() {
                        self.slots.begin(slot, self.waiting.poll.registry())?;
                    }
                }
            }
            if let (Pace::Closed(closed), Some(done_ns)) = (&mut self.pace, done_ns) {
                for _ in 0..ended {
                    self.wanting[slot] += usize::from(closed.sends_at_once(slot, done_ns));
                }
            }
            step = self.send_on(slot);
            if self.inbox.ended.is_empty() && matches!(step, Step::Waiting) {
                return Ok(());
            }
        }
    }

    /// Lets a place send.
    fn fill(&mut self, slot: usize) -> anyhow::Result<()> {
        match self.send_on(slot) {
            Step::Waiting => Ok(()),
            step => self.settle(slot, step),
        }
    }

    /// Whether requests may still be sent.
    fn may_send(&self) -> bool {
        match &self.pace {
            Pace::Closed(closed) => closed.left > 0 && !self.times.are_over(),
            Pace::Open(open) => !open.is_done(),
        }
    }

    /// Sends on a place as long as it has room and somebody wants to.
    fn send_on(&mut self, slot: usize) -> Step {
        let mut is_queued = false;
        while self.slots.can_send(slot) {
            let due = match &mut self.pace {
                Pace::Closed(closed) => {
                    if self.wanting[slot] == 0 || closed.left == 0 || self.times.are_over() {
                        None
                    } else {
                        self.wanting[slot] -= 1;
                        closed.left -= 1;
                        Some((0, 0))
                    }
                }
                Pace::Open(open) => open.backlog.pop_front(),
            };
            let Some((planned_ns, flags)) = due else {
                self.offer(slot);
                break;
            };
            self.queue(slot, planned_ns, flags);
            is_queued = true;
        }
        if is_queued {
            self.flush(slot)
        } else {
            Step::Waiting
        }
    }

    /// A place has room for a request that becomes due (open loop).
    fn offer(&mut self, slot: usize) {
        if matches!(self.pace, Pace::Open(_)) && !std::mem::replace(&mut self.is_free[slot], true) {
            self.free.push_back(slot);
        }
    }

    /// Sends what has become due.
    fn send_due(&mut self, mut now_ns: u64) -> anyhow::Result<()> {
        loop {
            match &mut self.pace {
                Pace::Closed(closed) => {
                    let Some(slot) = closed.take_due(now_ns) else {
                        return Ok(());
                    };
                    self.wanting[slot] += 1;
                    self.fill(slot)?;
                }
                Pace::Open(open) => {
                    let Some((planned_ns, flags)) = open.take_due(now_ns) else {
                        return Ok(());
                    };
                    if let Some(slot) = self.take_free() {
                        self.queue(slot, planned_ns, flags);
                        match self.flush(slot) {
                            // It may have room for more.
                            Step::Waiting if self.slots.can_send(slot) => self.offer(slot),
                            Step::Waiting => {}
                            step => self.settle(slot, step)?,
                        }
                    } else if let Pace::Open(open) = &mut self.pace {
                        open.queue(planned_ns, flags);
                    }
                    now_ns = monotonic_ns();
                }
            }
        }
    }

    /// A place with room for a request.
    fn take_free(&mut self) -> Option<usize> {
        while let Some(slot) = self.free.pop_front() {
            self.is_free[slot] = false;
            if self.slots.can_send(slot) {
                return Some(slot);
            }
        }
        None
    }

    fn queue(&mut self, slot: usize, planned_ns: u64, flags: u16) {
        let mut request = self.next_request(planned_ns, flags);
        if let Some(connection) = self.slots.connection(slot) {
            self.under_way += 1;
            let (variant, message) = self.target.requests.next();
            request.variant = variant;
            connection.queue(request, message);
        }
    }

    fn flush(&mut self, slot: usize) -> Step {
        match self.slots.connection(slot) {
            Some(connection) => connection.flush(self.inbox),
            None => Step::Waiting,
        }
    }

    /// The next request, with its number.
    fn next_request(&mut self, planned_ns: u64, mut flags: u16) -> Request {
        let Numbered {
            number,
            first_sequence,
            step,
            block,
        } = &self.numbered;
        if self.numbered_requests < block.warmup && monotonic_ns() < self.times.warmup_end_ns {
            flags |= Request::WARMUP;
        }
        if block.observed {
            flags |= Request::OBSERVED;
        }
        let sequence = first_sequence + step * self.numbered_requests;
        self.numbered_requests += 1;
        Request {
            sequence,
            arm: block.arm,
            flags,
            block: *number,
            planned_ns,
            ..Request::default()
        }
    }

    fn log_ended(&mut self) -> anyhow::Result<()> {
        for request in self.inbox.ended.drain(..) {
            self.under_way -= 1;
            self.log.request(&request)?;
            (self.on_request)(&request);
        }
        Ok(())
    }
}

/// Polls; a signal is no error.
fn poll(waiting: &mut Waiting, patience: Option<Duration>) -> anyhow::Result<()> {
    match waiting.poll.poll(&mut waiting.events, patience) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => {
            Err(error).context("cannot poll the connections")
        }
        _ => Ok(()),
    }
}
