//! What front and the agent read that others have written: the text of a trial, the salt in a connection's first request, and
//! records in memory that any server may write to.
//!
//! The search for salts is front's own source file: front is a library for the dynamic linker alone.

#[path = "../../front/src/salt.rs"]
mod salt;

use abi::trial::calls::{Call, Slot, WORDS};
use abi::trial::slices::Slices;
use abi::trial::{SALT_DIGITS, SALT_FIELD, Trial};
use salt::Search;
use zerocopy::FromBytes as _;

/// One input of the fuzzer. The first byte chooses what the rest is read as.
///
/// # Panics
/// When something that was read is not what it was read from.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else {
        return;
    };
    match choice % 3 {
        0 => check_text(rest),
        1 => check_salt(rest),
        _ => check_record(rest),
    }
}

/// A text is refused, or names a trial whose own text names the same.
fn check_text(text: &[u8]) {
    let Ok(trial) = Trial::parse(text) else {
        return;
    };
    assert_eq!(Trial::parse(trial.to_string().as_bytes()), Ok(trial));
    if !trial.is_by_slices() {
        let made = Trial::new(trial.seed, trial.size, trial.run, trial.arms());
        assert_eq!(made, Ok(trial));
    }
    if let Some(slices) = Slices::of(&trial) {
        let slice = slices.at(trial.seed);
        assert!((slice.begin_ns..slice.end_ns).contains(&trial.seed));
        assert!(slice.arm < trial.arms().len());
    }
    for ordinal in [0, 1, 2, u64::MAX] {
        let arm = trial.arm_of(trial.seed, ordinal);
        assert_eq!(arm.is_none(), ordinal == 0);
        assert!(arm.is_none_or(|arm| arm < trial.arms().len()));
    }
}

/// A salt is found where a plain search finds one, however the stream is cut: two bytes are the sizes of pieces that take
/// turns.
fn check_salt(input: &[u8]) {
    let [one, other, stream @ ..] = input else {
        return;
    };
    let mut search = Search::default();
    let (mut found, mut rest) = (None, stream);
    for size in [*one, *other].into_iter().cycle() {
        if rest.is_empty() || found.is_some() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min(1 + usize::from(size)));
        found = search.find(piece);
        rest = behind;
    }
    assert_eq!(found, plain_search(stream));
}

fn plain_search(stream: &[u8]) -> Option<u64> {
    let lines = (0..stream.len()).filter(|place| stream[*place] == b'\n');
    lines.filter_map(|end| salt_of(&stream[end + 1..])).next()
}

/// The salt of the header field that this begins with.
fn salt_of(line: &[u8]) -> Option<u64> {
    let (name, rest) = line.split_at_checked(SALT_FIELD.len())?;
    let mut value = rest.strip_prefix(b":")?;
    while let [b' ' | b'\t', behind @ ..] = value {
        value = behind;
    }
    let digits = value.get(..SALT_DIGITS)?;
    let is_salt = name.eq_ignore_ascii_case(SALT_FIELD.as_bytes())
        && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = is_salt.then_some(str::from_utf8(digits).ok()?)?;
    u64::from_str_radix(digits, 16).ok()
}

/// A slot holds no record of a number, or exactly the one that is written under it.
fn check_record(input: &[u8]) {
    let Ok((number, rest)) = u64::read_from_prefix(input) else {
        return;
    };
    let Ok((slot, _)) = Slot::read_from_prefix(rest) else {
        return;
    };
    if let Some(call) = slot.decode(number) {
        assert_eq!(call.encode(number), slot);
    }
    // As a writer has it that knows the checksum.
    let call = call_of(slot.words);
    let record = call.encode(number);
    assert_eq!(record.words, slot.words);
    assert_eq!(record.decode(number), Some(call));
    assert_eq!(record.decode(number ^ 1), None);
}

/// The call that these words say.
fn call_of([salt, place, enter_ns, back_exit_ns, spans, ends]: [u64; WORDS - 2]) -> Call {
    let halves = |word: u64| ((word >> 32) as u32, word as u32);
    let (ordinal, place) = halves(place);
    let (to_back_ns, from_back_ns) = halves(spans);
    let (waited_ns, returned) = halves(ends);
    let [arm, function, flags @ ..] = place.to_be_bytes();
    Call {
        salt,
        ordinal,
        arm,
        function,
        flags: u16::from_be_bytes(flags),
        enter_ns,
        back_exit_ns,
        to_back_ns,
        from_back_ns,
        waited_ns,
        returned,
    }
}
