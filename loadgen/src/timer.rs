//! Waking up at an instant. A poll's own time-out is whole milliseconds; this timer is as exact as the
//! kernel's.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer that a poll reports.
#[derive(Debug)]
pub struct Timer {
    descriptor: OwnedFd,
    /// The instant that it is set to.
    set_ns: u64,
}

impl Timer {
    /// A timer that is reported as `token`.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let raw = descriptor.as_raw_fd();
        registry.register(&mut SourceFd(&raw), token, Interest::READABLE)?;
        Ok(Self {
            descriptor,
            set_ns: 0,
        })
    }

    /// Sets it to an instant on `CLOCK_MONOTONIC`. It goes off once; nothing needs to be read from it, as
    /// the poll reports edges.
    pub fn set(&mut self, instant_ns: u64) -> io::Result<()> {
        if instant_ns == self.set_ns {
            return Ok(());
        }
        let instant = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: (instant_ns / 1_000_000_000).cast_signed(),
                tv_nsec: (instant_ns % 1_000_000_000).cast_signed(),
            },
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &instant)?;
        self.set_ns = instant_ns;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;
    use crate::clock::monotonic_ns;

    #[test]
    fn it_goes_off_at_its_instant_each_time_that_it_is_set() {
        let mut poll = Poll::new().unwrap();
        let mut timer = Timer::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(1);
        for _ in 0..3 {
            let instant_ns = monotonic_ns() + 2_500_000;
            timer.set(instant_ns).unwrap();
            poll.poll(&mut events, Some(Duration::from_mins(1)))
                .unwrap();
            assert!(monotonic_ns() >= instant_ns);
            assert_eq!(events.iter().next().unwrap().token(), Token(7));
        }
        poll.poll(&mut events, Some(Duration::from_millis(20)))
            .unwrap();
        assert!(events.is_empty(), "once");
    }
}
