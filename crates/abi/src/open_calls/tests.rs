extern crate std;

use std::vec::Vec;

use super::*;

/// Enters; the new call is to be open. Returns how many calls had been left.
fn enter(calls: &mut OpenCalls, stack_pointer: u64) -> u64 {
    let entered = calls.enter(stack_pointer, || false);
    entered.call.unwrap().enter_ns = stack_pointer;
    entered.left
}

/// Leaves; the call is to be the one that had begun there.
fn leave(calls: &mut OpenCalls, stack_pointer: u64) -> u64 {
    let returned = calls.leave(stack_pointer);
    assert_eq!(returned.call.unwrap().enter_ns, stack_pointer);
    returned.left
}

#[test]
fn nested_calls_are_kept_apart() {
    let mut calls = OpenCalls::default();
    for stack_pointer in [900, 800, 700] {
        assert_eq!(enter(&mut calls, stack_pointer), 0);
    }
    assert_eq!(leave(&mut calls, 700), 0);
    assert_eq!(enter(&mut calls, 700), 0);
    for stack_pointer in [700, 800, 900] {
        assert_eq!(leave(&mut calls, stack_pointer), 0);
    }
    assert_eq!(calls.depth(), 0);
}

#[test]
fn calls_left_by_longjmp_are_found_at_the_next_entry_or_return() {
    let mut calls = OpenCalls::default();
    for stack_pointer in [900, 800, 700, 600] {
        enter(&mut calls, stack_pointer);
    }
    assert_eq!(enter(&mut calls, 650), 1, "600 is below");
    assert_eq!(enter(&mut calls, 650), 1, "the same frame again");
    assert_eq!(leave(&mut calls, 800), 2, "650 and 700 are below");
    assert_eq!(calls.depth(), 1);
    assert_eq!(leave(&mut calls, 900), 0);
}

#[test]
fn a_return_without_entry_takes_no_open_call_for_its_own() {
    let mut calls = OpenCalls::default();
    enter(&mut calls, 900);
    assert_eq!(calls.leave(800).call, None);
    assert_eq!(leave(&mut calls, 900), 0);
    assert_eq!(calls.leave(900).call, None);
}

#[test]
fn tail_calls_share_a_frame_and_return_one_after_the_other() {
    let mut calls = OpenCalls::default();
    enter(&mut calls, 900);
    for _ in 0..2 {
        let entered = calls.enter(900, || true);
        assert_eq!(entered.left, 0);
        entered.call.unwrap().enter_ns = 900;
    }
    for _ in 0..3 {
        assert_eq!(leave(&mut calls, 900), 0);
    }
    assert_eq!(calls.depth(), 0);
}

#[test]
fn beyond_the_kernels_limit_no_return_is_awaited() {
    let mut calls = OpenCalls::default();
    let frame = |depth: u64| 10_000 - 100 * depth;
    for depth in 0..64 {
        assert_eq!(enter(&mut calls, frame(depth)), 0);
    }
    for depth in 64..70 {
        assert_eq!(calls.enter(frame(depth), || false).call, None);
    }
    for depth in (0..64).rev() {
        assert_eq!(leave(&mut calls, frame(depth)), 0);
    }
    assert_eq!(calls.depth(), 0);
}

/// The kernel clears up only when it has room, or when a call returns.
#[test]
fn calls_left_at_the_limit_keep_their_room_until_an_outer_call_returns() {
    let mut calls = OpenCalls::default();
    for depth in 0..64 {
        enter(&mut calls, 10_000 - 100 * depth);
    }
    let entered = calls.enter(9_950, || false);
    assert_eq!((entered.left, entered.call), (63, None));
    assert_eq!(calls.depth(), 1, "the outermost is open still");
    assert_eq!(calls.enter(9_950, || false).call, None);
    assert_eq!(leave(&mut calls, 10_000), 0);
    assert_eq!(enter(&mut calls, 9_950), 0);
}

/// Random walks over a stack, against a plain vector of what is on it.
#[test]
fn every_call_is_accounted_for_on_random_walks() {
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut calls = OpenCalls::default();
    let mut stack: Vec<u64> = Vec::new();
    let (mut entered, mut returned, mut left) = (0, 0, 0);
    for _ in 0..100_000 {
        match next(16) {
            0 => {
                // longjmp: some of the innermost are gone, and nobody is told.
                let kept = next(stack.len() as u64 + 1);
                stack.truncate(usize::try_from(kept).unwrap());
            }
            1..=8 if stack.len() < MAX_OPEN_CALLS && calls.depth() < 64 => {
                let top = stack.last().copied().unwrap_or(100_000);
                let stack_pointer = top - 16 - 16 * next(4);
                stack.push(stack_pointer);
                left += enter(&mut calls, stack_pointer);
                entered += 1;
            }
            _ => {
                if let Some(stack_pointer) = stack.pop() {
                    left += leave(&mut calls, stack_pointer);
                    returned += 1;
                }
            }
        }
    }
    assert_eq!(entered, returned + left + calls.depth());
    assert!(returned > 1_000 && left > 1_000, "{returned} {left}");
}
