//! What was decided when the library was loaded: where calls go, and what is counted. It never changes afterwards.
#![allow(
    unsafe_code,
    reason = "it is written once, in place, while the program loads"
)]

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::trial::Trial;
use abi::trial::shared::Shared;
use abi::trial::slices::Slices;
use preload::frame::{Back, Frame};
use preload::site::Function;

use crate::stream::{HOOK, PAST, SLOTS};

/// Where the calls of a function go, by slot.
pub type Targets = [*mut c_void; SLOTS];

/// The plan.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The trial, if there is one.
    pub trial: Option<Trial>,
    /// Its slices of time, if arms go by these.
    pub slices: Option<Slices>,
    /// By function, then by slot: no branch tells arms apart.
    targets: [Targets; Function::COUNT],
    /// How long a call waits when it has read something, by slot.
    delays_ns: [u64; SLOTS],
    /// Whether any of them waits. All then read the clock.
    pub has_delays: bool,
    /// Back, if it is there.
    back: Option<&'static Back>,
    /// Where to count and record, if anywhere.
    pub shared: Option<&'static Shared>,
}

impl Plan {
    /// Calls go to the hook.
    pub const fn without_trial(
        hook: [*mut c_void; Function::COUNT],
        back: Option<&'static Back>,
    ) -> Self {
        let mut targets = [[ptr::null_mut(); SLOTS]; Function::COUNT];
        let mut function = 0;
        while function < Function::COUNT {
            targets[function][HOOK] = hook[function];
            function += 1;
        }
        Self {
            trial: None,
            slices: None,
            targets,
            delays_ns: [0; SLOTS],
            has_delays: false,
            back,
            shared: None,
        }
    }

    /// Calls of connections go where the trial says.
    pub fn with_trial(
        hook: [*mut c_void; Function::COUNT],
        back: &'static Back,
        trial: &Trial,
        shared: Option<&'static Shared>,
    ) -> Self {
        let mut plan = Self::without_trial(hook, Some(back));
        for (targets, past) in plan.targets.iter_mut().zip(&back.functions) {
            let past = past.load(Ordering::Relaxed);
            let hook = targets[HOOK];
            targets[PAST] = past;
            for (target, arm) in targets.iter_mut().zip(trial.arms()) {
                *target = if arm.is_hooked() { hook } else { past };
            }
        }
        for (delay_ns, arm) in plan.delays_ns.iter_mut().zip(trial.arms()) {
            *delay_ns = arm.delay_ns();
            plan.has_delays |= *delay_ns > 0;
        }
        plan.trial = Some(*trial);
        plan.slices = Slices::of(trial);
        plan.shared = shared;
        plan
    }

    /// The arm that all requests have at an instant, if arms go by slices of time.
    #[inline]
    pub fn arm_at(&self, now_ns: u64) -> Option<usize> {
        let slices = self.slices.as_ref()?;
        // The unit that somebody looked up last, above its arm: to be found out once a unit, not once a call.
        let unit = slices.unit(now_ns);
        let known = CURRENT.load(Ordering::Relaxed);
        let arm = if known >> ARM_BITS == unit + 1 {
            known & ((1 << ARM_BITS) - 1)
        } else {
            let arm = slices.at(now_ns).arm as u64;
            CURRENT.store((unit + 1) << ARM_BITS | arm, Ordering::Relaxed);
            arm
        };
        usize::try_from(arm).ok()
    }

    /// Where a call goes.
    #[inline]
    pub fn target(&self, function: Function, slot: usize) -> *mut c_void {
        self.targets[function as usize][slot % SLOTS]
    }

    /// How long a call waits.
    #[inline]
    pub fn delay_ns(&self, slot: usize) -> u64 {
        self.delays_ns[slot % SLOTS]
    }

    /// The frame of the calling thread, if back is there. Nobody may keep it longer than a call.
    #[inline]
    pub fn frame(&self) -> Option<&'static Frame> {
        let frame = (self.back?.frame)();
        // SAFETY: back says where this thread's is, which is there as long as the thread.
        unsafe { frame.as_ref() }
    }

    /// Whether calls are to be recorded now.
    #[inline]
    pub fn is_recording(&self) -> bool {
        self.shared
            .is_some_and(|shared| shared.is_recording.load(Ordering::Relaxed) != 0)
    }
}

/// Bits of an arm's number.
const ARM_BITS: u32 = SLOTS.trailing_zeros();
/// See [`Plan::arm_at`]; 0 at first.
static CURRENT: AtomicU64 = AtomicU64::new(0);

struct Settled(UnsafeCell<Plan>);

// SAFETY: written by `put_to_work` alone, in the constructor, before connections are marked; read for calls of these.
unsafe impl Sync for Settled {}

static PLAN: Settled = Settled(UnsafeCell::new(Plan::without_trial(
    [ptr::null_mut(); Function::COUNT],
    None,
)));
static AT_WORK: AtomicBool = AtomicBool::new(false);

/// Puts a plan to work for the life of the program. Called at most once, from the constructor.
pub fn put_to_work(plan: &Plan) {
    // SAFETY: nobody reads it before the flag is up (see `Settled`).
    unsafe { *PLAN.0.get() = *plan };
    AT_WORK.store(true, Ordering::Release);
}

/// Whether accepted connections are to be marked.
pub fn is_at_work() -> bool {
    AT_WORK.load(Ordering::Acquire)
}

/// The plan, for calls of connections that were marked.
#[inline]
pub fn plan() -> &'static Plan {
    // SAFETY: see `Settled`.
    unsafe { &*PLAN.0.get() }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicPtr;

    use super::*;

    extern "C" fn no_frame() -> *const Frame {
        ptr::null()
    }

    /// An address that is told from others, and never called.
    fn address(number: usize) -> *mut c_void {
        ptr::without_provenance_mut(number)
    }

    #[test]
    fn every_instant_has_the_arm_of_its_slice() {
        let trial = Trial::parse(b"seed=1 slice=1000000 arms=off,on").unwrap();
        let slices = Slices::of(&trial).unwrap();
        let plan = Plan {
            slices: Some(slices),
            ..Plan::without_trial([ptr::null_mut(); Function::COUNT], None)
        };
        // Back in time, too, as threads see the clock.
        for now_ns in (0..20_000_000).step_by(300_001).chain([0, 7_000_000]) {
            assert_eq!(plan.arm_at(now_ns), Some(slices.at(now_ns).arm));
        }
    }

    #[test]
    fn arms_go_to_the_hook_or_past_it_each_by_its_own_slot() {
        let back: &'static Back = Box::leak(Box::new(Back {
            version: Back::VERSION,
            functions: [1, 2, 3, 4, 5].map(|number| AtomicPtr::new(address(number))),
            frame: no_frame,
        }));
        let hook = [11, 12, 13, 14, 15].map(address);
        let trial = Trial::parse(b"seed=1 size=64 arms=on,off,on+70,null").unwrap();
        let plan = Plan::with_trial(hook, back, &trial, None);
        let target = |slot| plan.target(Function::RecvMsg, slot) as usize;
        assert_eq!([0, 1, 2, 3].map(target), [14, 4, 14, 4]);
        assert_eq!([PAST, HOOK].map(target), [4, 14]);
        assert_eq!([0, 1, 2, 3].map(|slot| plan.delay_ns(slot)), [0, 0, 70, 0]);
        assert!(plan.has_delays && plan.frame().is_none() && !plan.is_recording());

        let without = Plan::without_trial(hook, None);
        assert_eq!(without.arm_at(1), None);
        assert_eq!(without.target(Function::ReadV, HOOK) as usize, 15);
        assert!(!without.has_delays);
    }
}
