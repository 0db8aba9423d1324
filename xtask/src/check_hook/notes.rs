//! USDT notes in the bytes of a `.note.stapsdt` section. The format is that of
//! <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `provider:name`.
    pub name: String,
    /// Address of the instruction.
    pub location: u64,
    /// Address of the semaphore, or 0.
    pub semaphore: u64,
}

/// The notes, up to the first that is malformed.
pub fn parse(mut bytes: &[u8]) -> Vec<Note> {
    std::iter::from_fn(|| note(&mut bytes)).collect()
}

fn note(bytes: &mut &[u8]) -> Option<Note> {
    let name_length = word(bytes)?.next_multiple_of(4);
    let descriptor_length = word(bytes)?.next_multiple_of(4);
    let _kind = word(bytes)?;
    let owner = take(bytes, name_length)?;
    let mut descriptor = take(bytes, descriptor_length)?;
    if owner != b"stapsdt\0" {
        return None;
    }
    let location = address(&mut descriptor)?;
    let _base = address(&mut descriptor)?;
    let semaphore = address(&mut descriptor)?;
    let mut texts = descriptor.split(|byte| *byte == 0).map(str::from_utf8);
    let (provider, name) = (texts.next()?.ok()?, texts.next()?.ok()?);
    Some(Note {
        name: format!("{provider}:{name}"),
        location,
        semaphore,
    })
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn word(bytes: &mut &[u8]) -> Option<usize> {
    let word = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
    usize::try_from(word).ok()
}

fn address(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}
