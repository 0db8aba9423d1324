use super::*;

fn note(provider: &str, location: u64) -> Vec<u8> {
    let mut descriptor = Vec::new();
    for word in [location, 0x10, 0x20] {
        descriptor.extend(word.to_ne_bytes());
    }
    descriptor.extend(format!("{provider}\0done\0-4@%edi\0").bytes());
    let mut bytes = Vec::new();
    let length = u32::try_from(descriptor.len()).unwrap();
    for word in [8, length, 3] {
        bytes.extend(u32::to_ne_bytes(word));
    }
    bytes.extend(b"stapsdt\0");
    bytes.extend(descriptor);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn notes_are_parsed_one_after_the_other() {
    let bytes = [note("a", 1), note("provider", 2), note("b", 3)].concat();
    let notes: Vec<_> = parse_notes(&bytes)
        .map(|note| (note.provider, note.location))
        .collect();
    assert_eq!(notes, [("a", 1), ("provider", 2), ("b", 3)]);
}

#[test]
fn damaged_notes_end_the_list_without_harm() {
    let bytes = [note("a", 1), note("b", 2)].concat();
    for cut in 0..bytes.len() {
        let found: Vec<_> = parse_notes(&bytes[..cut])
            .map(|note| note.provider)
            .collect();
        assert!(["a", "b"].starts_with(&found), "{cut} bytes: {found:?}");
    }
    let mut huge = note("a", 1);
    huge[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(parse_notes(&huge).count(), 0);
}

#[test]
fn this_program_is_dynamic_and_has_no_sites() {
    let elf = Elf::open(&std::env::current_exe().unwrap()).unwrap();
    assert!(elf.is_dynamic_executable().unwrap());
    assert_eq!(elf.usdt_sites("readhook").unwrap(), []);
}

#[test]
fn other_files_are_refused() {
    let error = Elf::open(Path::new("Cargo.toml")).unwrap_err().to_string();
    assert!(error.contains("not a 64-bit ELF file"), "{error}");
    let error = Elf::open(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent");
    assert!(std::error::Error::source(&error).is_some());
}
