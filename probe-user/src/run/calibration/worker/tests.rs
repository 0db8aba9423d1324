use super::*;

#[test]
fn every_call_can_be_made_and_takes_time() {
    let connection = Connection::open().unwrap();
    let trim = Trim::USUAL;
    let functions = EMPTY_FUNCTIONS
        .iter()
        .map(|f| Call::Function(f.begins_with));
    let others = [
        Call::ClockTwice,
        Call::NoWork,
        Call::RefusedRead,
        Call::RefusedWrite,
        Call::HookedRead,
    ];
    for call in others.into_iter().chain(functions) {
        for pace in [Pace::BackToBack, Pace::AfterPause] {
            let order = Order {
                call,
                calls: 100,
                pace,
            };
            let answer = follow(order, &connection, trim).unwrap();
            assert!(answer.mean_ns > 0.0, "{order:?}: {answer:?}");
        }
    }
}

#[test]
fn the_system_calls_are_refused() {
    let errno = || std::io::Error::last_os_error().raw_os_error();
    refused_read();
    assert_eq!(errno(), Some(libc::EBADF));
    Connection::open().unwrap().refused_write();
    assert_eq!(errno(), Some(libc::EINVAL));
}

#[test]
fn functions_are_found_in_our_executable() {
    let code = std::fs::read("/proc/self/exe").unwrap();
    for (kind, offset) in offsets_of_functions().unwrap() {
        let code = &code[usize::try_from(offset).unwrap()..];
        assert_eq!(
            super::super::first_instruction::FirstInstruction::of(code),
            kind
        );
    }
}
