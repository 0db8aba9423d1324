use super::*;

#[test]
fn a_privileged_program_takes_no_orders_from_its_user() {
    let nonsense = |_: &CStr| Some(c"/nonexistent/nonsense");
    assert_eq!(chosen(true, nonsense), Ok(Chosen::NOTHING));
    assert_eq!(chosen(true, |_| None), Ok(Chosen::NOTHING));
    assert_eq!(chosen(false, nonsense), Err(Refusal::Mode));
    let default = Chosen {
        rung: Rung::Scan,
        functions: Functions::READ,
        delay_ns: 0,
    };
    assert_eq!(chosen(false, |_| None), Ok(default));
}

#[test]
fn modes_and_delays_are_read_exactly() {
    assert_eq!(parse_rung(b"scan"), Some(Rung::Scan));
    for nonsense in [b"Scan".as_slice(), b"scan ", b"", b"3"] {
        assert_eq!(parse_rung(nonsense), None);
    }
    assert_eq!(parse_delay(b"1000"), Some(1_000));
    assert_eq!(parse_delay(b"60000000000"), Some(MAX_DELAY_NS));
    for nonsense in [
        b"60000000001".as_slice(),
        b"-1",
        b"1e3",
        b"1000ns",
        b" 1",
        b"\xff",
    ] {
        assert_eq!(parse_delay(nonsense), None);
    }
}

#[test]
fn functions_are_read_exactly() {
    let parsed = parse_functions(b"recv,readv").unwrap();
    let hooked = [
        Function::Read,
        Function::Recv,
        Function::RecvFrom,
        Function::RecvMsg,
        Function::ReadV,
    ]
    .map(|function| parsed.contains(function));
    assert_eq!(hooked, [false, true, false, false, true]);
    assert_eq!(parse_functions(b"read"), Some(Functions::READ));
    for nonsense in [
        b"".as_slice(),
        b"read,",
        b"read recv",
        b"Read",
        b"pread",
        b"read,,recv",
    ] {
        assert_eq!(parse_functions(nonsense), None);
    }
}
