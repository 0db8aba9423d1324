//! One call that reads from a connection, whichever function it is.

use core::ffi::c_void;

use abi::trial::calls::Call;
use abi::trial::shared::{ArmCount, Count, Shared};
use libc::ssize_t;
use preload::clock::{busy_wait_since, monotonic_ns};
use preload::frame::{Frame, Inner};
use preload::site::{CallWord, Function};

use crate::plan::plan;
use crate::site;
use crate::stream::{HOOK, Place, STREAMS};

/// Calls the target of the call's place. `call` calls what it is given; `takes` says whether bytes are taken from the stream:
/// what only looks at them goes where the next read will go. `pieces` is where so many bytes were read to.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "each function has its own: it is called through pointers already"
)]
pub fn on_connection<'b, P: Iterator<Item = &'b [u8]>>(
    function: Function,
    fd: i32,
    connection: u64,
    takes: bool,
    call: impl FnOnce(*mut c_void) -> ssize_t,
    pieces: impl FnOnce(usize) -> P,
) -> ssize_t {
    let plan = plan();
    let frame = plan.frame();
    let stack = (&raw const plan).addr();
    if frame.is_some_and(|frame| frame.encloses(fd, stack)) {
        // The hook calls a function of the family by its name: the outer call returns what this one reads.
        return call(plan.target(function, HOOK));
    }
    let stream = STREAMS.get(fd);
    let in_trial = stream.zip(plan.trial.as_ref());
    // By slices the instant of entry decides, and what is recorded is that same instant.
    let decided_ns = plan.slices.map(|_| monotonic_ns());
    let slice = decided_ns.and_then(|now_ns| plan.arm_at(now_ns));
    let mut place = in_trial.map_or(Place::OUTSIDE, |(stream, trial)| {
        stream.next(trial, connection, slice)
    });
    let target = plan.target(function, place.slot);
    if !takes {
        return call(target);
    }

    let is_watched = site::READ_DONE.is_watched();
    let is_recording = plan.is_recording();
    let is_timed = is_watched || is_recording;
    let outer = frame.map(|frame| frame.replace(Inner::new(fd, is_timed, stack)));
    let enter_ns = match decided_ns {
        Some(decided_ns) => decided_ns,
        None if is_timed => monotonic_ns(),
        None => 0,
    };
    let returned = call(target);
    let exit_ns = if is_timed || plan.has_delays {
        monotonic_ns()
    } else {
        0
    };
    let inner = frame.zip(outer).map(|(frame, outer)| frame.replace(outer));
    if is_timed && inner.is_some_and(|inner| inner.entries == 0) {
        // All arms read the clock as often: back has not done it here.
        monotonic_ns();
        monotonic_ns();
    }
    let times = Times {
        enter_ns,
        exit_ns,
        inner: inner.unwrap_or(Inner::new(fd, false, stack)),
    };

    let mut waited_ns = 0;
    if let Some((stream, trial)) = in_trial {
        let length = usize::try_from(returned).unwrap_or(0);
        if length > 0 {
            if trial.is_of_any_size() {
                stream.look_again(&mut place);
            }
            if plan.has_delays {
                waited_ns = busy_wait_since(exit_ns, plan.delay_ns(place.slot));
            }
            stream.advance(trial, &place, length as u64, pieces(length), plan.shared);
        }
        // A call that found nothing left is of the request under way. Before the first bytes of one nothing is.
        if let (Some(shared), Some(arm)) = (plan.shared, place.arm())
            && (length > 0 || !place.is_fresh)
        {
            if length > 0 && times.inner.entries == 0 {
                shared.add(arm, ArmCount::Unreached, 1);
            }
            if is_recording {
                let call = times.call(function, &place, arm, waited_ns, length);
                write(shared, frame, call);
            }
        }
    }
    if is_watched {
        let word = CallWord::new(function, fd, None);
        let inner_exit_ns = times.inner_exit_ns();
        // To probes the delay is the hook's.
        let left_ns = exit_ns.wrapping_add(waited_ns);
        site::read_done(word, returned, enter_ns, inner_exit_ns, left_ns, connection);
    }
    returned
}

/// Notes that the server writes to a connection: the next read begins another request. Where nobody else tells when requests are
/// answered, it is recorded.
pub fn on_write(fd: i32, connection: u64) {
    let Some(stream) = STREAMS.get(fd) else {
        return;
    };
    // Before it is written: another thread may read the client's next request before this call returns.
    stream.wrote();
    let plan = plan();
    if let Some(trial) = &plan.trial
        && trial.is_of_any_size()
        && plan.is_recording()
        && let Some(shared) = plan.shared
        && let Some((arm, ordinal)) = stream.under_way()
    {
        let now_ns = monotonic_ns();
        let ordinal = u32::try_from(ordinal).ok();
        let answer = ordinal.zip(u8::try_from(arm).ok());
        let answer = answer.map(|(ordinal, arm)| Call {
            salt: connection,
            ordinal,
            arm,
            function: Call::ANSWER,
            enter_ns: now_ns,
            back_exit_ns: now_ns,
            ..Call::default()
        });
        write(shared, plan.frame(), answer);
    }
}

fn write(shared: &Shared, frame: Option<&Frame>, call: Option<Call>) {
    match (frame, call) {
        (Some(frame), Some(call)) => shared.record(&raw const *frame as usize, &call),
        _ => shared.count(Count::Unrecordable),
    }
}

/// When a call was where.
#[derive(Clone, Copy, Debug)]
struct Times {
    enter_ns: u64,
    exit_ns: u64,
    inner: Inner,
}

impl Times {
    /// When the call came back from back; if it never was there, when it began.
    #[inline]
    fn inner_exit_ns(&self) -> u64 {
        if self.inner.entries == 0 {
            self.enter_ns
        } else {
            self.inner.exit_ns
        }
    }

    /// The call as a record, if its spans fit into one.
    #[inline]
    fn call(
        &self,
        function: Function,
        place: &Place,
        arm: usize,
        waited_ns: u64,
        length: usize,
    ) -> Option<Call> {
        let back_exit_ns = self.inner_exit_ns();
        let to_back_ns = self.inner.enter_ns.wrapping_sub(self.enter_ns);
        let (reached, to_back_ns) = match self.inner.entries {
            0 => (0, 0),
            1 => (Call::REACHED_BACK, to_back_ns),
            _ => (Call::REACHED_BACK | Call::SEVERAL_INNER, to_back_ns),
        };
        Some(Call {
            salt: place.salt,
            ordinal: u32::try_from(place.ordinal).ok()?,
            arm: u8::try_from(arm).ok()?,
            function: function as u8,
            flags: reached | if place.is_fresh { Call::FRESH } else { 0 },
            enter_ns: self.enter_ns,
            back_exit_ns,
            to_back_ns: u32::try_from(to_back_ns).ok()?,
            from_back_ns: u32::try_from(self.exit_ns.wrapping_sub(back_exit_ns)).ok()?,
            waited_ns: u32::try_from(waited_ns).ok()?,
            returned: u32::try_from(length).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(entries: u64) -> Times {
        let mut inner = Inner::new(3, true, 0);
        inner.entries = entries;
        inner.enter_ns = 1_150;
        inner.exit_ns = 1_700;
        Times {
            enter_ns: 1_000,
            exit_ns: 1_900,
            inner,
        }
    }

    fn record(times: &Times) -> Option<Call> {
        times.call(Function::Recv, &Place::OUTSIDE, 2, 40, 64)
    }

    #[test]
    fn a_record_has_the_spans_before_and_behind_the_c_library() {
        let call = record(&times(1)).unwrap();
        assert_eq!((call.enter_ns, call.to_back_ns), (1_000, 150));
        assert_eq!((call.back_exit_ns, call.from_back_ns), (1_700, 200));
        assert_eq!((call.arm, call.function, call.waited_ns), (2, 1, 40));
        assert_eq!((call.flags, call.returned), (Call::REACHED_BACK, 64));
        let several = record(&times(3)).unwrap().flags;
        assert_eq!(several, Call::REACHED_BACK | Call::SEVERAL_INNER);
    }

    #[test]
    fn what_never_reached_back_is_all_the_hooks() {
        let call = record(&times(0)).unwrap();
        assert_eq!((call.flags, call.to_back_ns), (0, 0));
        assert_eq!((call.back_exit_ns, call.from_back_ns), (1_000, 900));
    }

    #[test]
    fn spans_that_do_not_fit_are_no_record() {
        let late = Times {
            exit_ns: 1_700 + (1 << 32),
            ..times(1)
        };
        assert!(record(&late).is_none());
        let back_in_time = Times {
            exit_ns: 1_600,
            ..times(1)
        };
        assert!(record(&back_in_time).is_none());
    }
}
