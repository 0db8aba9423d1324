use std::path::Path;

use super::*;
use crate::discover::mapped::find_library;

fn this_program() -> Elf {
    Elf::open(&std::env::current_exe().unwrap()).unwrap()
}

fn libc() -> Elf {
    let pid = i32::try_from(std::process::id()).unwrap();
    Elf::open(&find_library(pid, Path::new("libc.so.6")).unwrap().path).unwrap()
}

fn symbol(name: &str) -> FunctionName {
    FunctionName::Symbol(name.to_owned())
}

fn refusal(elf: &Elf, name: &FunctionName) -> String {
    elf.function_offset(name).unwrap_err().to_string()
}

#[test]
fn functions_are_found_and_others_are_named() {
    let elf = this_program();
    assert!(elf.function_offset(&symbol("main")).unwrap() > 0);
    let error = refusal(&elf, &symbol("no_such_function"));
    assert!(
        error.contains("no function \"no_such_function\""),
        "{error}"
    );
    let error = refusal(&elf, &symbol("maim"));
    assert!(error.contains("did you mean main"), "{error}");
    let error = refusal(&elf, &symbol("main+0x4"));
    assert!(error.contains("name \"main\" without"), "{error}");
    let error = refusal(&elf, &symbol("read"));
    assert!(error.contains("another library"), "{error}");
}

/// glibc has kept its first `pthread_cond_signal` for programs from before 2.3.2, and chooses
/// `strlen` by CPU.
#[test]
fn the_version_of_today_is_found_and_indirect_functions_are_refused() {
    let elf = libc();
    // What this program was linked to.
    let signal = (libc::pthread_cond_signal as *const ()).addr() as u64;
    let read = (libc::read as *const ()).addr() as u64;
    let offset = |name| elf.function_offset(&symbol(name)).unwrap();
    assert_eq!(
        offset("pthread_cond_signal").wrapping_sub(offset("read")),
        signal.wrapping_sub(read)
    );
    let error = refusal(&elf, &symbol("strlen"));
    assert!(error.contains("indirect function"), "{error}");
    assert_eq!(offset("read@GLIBC_2.2.5"), offset("read"));
    assert_ne!(
        offset("pthread_cond_signal@GLIBC_2.2.5"),
        offset("pthread_cond_signal")
    );
    let error = refusal(&elf, &symbol("read@GLIBC_9"));
    assert!(error.contains("did you mean read@GLIBC_2.2.5"), "{error}");
}

#[test]
fn an_address_must_be_where_a_function_begins() {
    let elf = libc();
    let file = elf.parse().unwrap();
    let read = file
        .dynamic_symbols()
        .find(|entry| entry.name() == Ok("read"))
        .unwrap();
    let start = read.address();
    let at = FunctionName::Address;
    assert_eq!(
        elf.function_offset(&at(start)).unwrap(),
        elf.function_offset(&symbol("read")).unwrap()
    );
    let error = refusal(&elf, &at(start + 3));
    assert!(error.contains("0x3 bytes into \""), "{error}");
    let error = refusal(&elf, &at(u64::MAX));
    assert!(error.contains("has no code at 0xff"), "{error}");
    assert!(error.contains("its code is at 0x"), "{error}");
    // The header is mapped, but not as code.
    let error = refusal(&elf, &at(0));
    assert!(error.contains("has no code at 0x0"), "{error}");
}
