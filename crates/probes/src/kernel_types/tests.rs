use super::*;

/// `struct list_head { struct list_head *next, *prev; };`, `struct outer { union { int a; int b; }; int c; };`
fn made() -> KernelTypes {
    let strings = b"\0list_head\0next\0prev\0outer\0a\0b\0c\0int\0";
    let name = |text: &str| {
        let text = format!("\0{text}\0");
        let found = strings
            .windows(text.len())
            .position(|part| part == text.as_bytes());
        u32::try_from(found.unwrap() + 1).unwrap()
    };
    let int = [name("int"), INT << 24, 4, 32];
    let pointer = [0, 2 << 24, 3];
    let list = [
        name("list_head"),
        STRUCT << 24 | 2,
        16,
        name("next"),
        2,
        0,
        name("prev"),
        2,
        64,
    ];
    let inner = [0, UNION << 24 | 2, 4, name("a"), 1, 0, name("b"), 1, 0];
    let outer = [
        name("outer"),
        1 << 31 | STRUCT << 24 | 2,
        12,
        0,
        4,
        32,
        name("c"),
        1,
        64,
    ];
    let types: Vec<u32> = [&int[..], &pointer, &list, &inner, &outer].concat();
    let length = u32::try_from(4 * types.len()).unwrap();
    let header = [
        u32::from(MAGIC) | 1 << 16,
        24,
        0,
        length,
        length,
        u32::try_from(strings.len()).unwrap(),
    ];
    let words = header
        .iter()
        .chain(&types)
        .flat_map(|word| word.to_ne_bytes());
    KernelTypes::parse(words.chain(strings.iter().copied()).collect()).unwrap()
}

#[test]
fn members_are_found_also_in_what_has_no_name() {
    let types = made();
    assert_eq!(types.size("list_head").unwrap(), 16);
    assert_eq!(types.offset("list_head", "prev").unwrap(), 8);
    assert_eq!(types.offset("outer", "b").unwrap(), 4);
    assert_eq!(types.offset("outer", "c").unwrap(), 8);
    let error = types.offset("outer", "d").unwrap_err().to_string();
    assert_eq!(error, "the kernel's struct outer has no d");
    assert!(types.offset("nothing", "d").is_err());
}

#[test]
fn nonsense_is_an_error() {
    assert!(KernelTypes::parse(Vec::new()).is_err());
    assert!(KernelTypes::parse(vec![7; 100]).is_err());
    let mut cut = made().bytes;
    cut.truncate(60);
    assert!(KernelTypes::parse(cut).is_err());
}
