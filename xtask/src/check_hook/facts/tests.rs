use std::process::Command;

use super::*;

/// The facts of a library that the C compiler makes of `source`.
fn built(source: &str, options: &[&str]) -> Facts {
    let folder = std::env::temp_dir().join(format!(
        "check-hook-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let (input, output) = (folder.join("library.c"), folder.join("library.so"));
    std::fs::write(&input, source).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&output)
        .arg(&input)
        .args(options)
        .status();
    assert!(status.unwrap().success());
    let bytes = std::fs::read(&output).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    Facts::read(&bytes).unwrap()
}

#[test]
fn a_library_linked_in_the_usual_way_has_versions_and_weak_imports() {
    let source = "#include <unistd.h>\nint shown(void) { return getpid(); }";
    let facts = built(source, &["-Wl,-z,lazy,-z,norelro"]);
    assert!(facts.is_library && facts.exports == ["shown"]);
    assert!(facts.imports.contains(&"getpid".to_owned()));
    assert!(facts.weak_imports.contains(&"__cxa_finalize".to_owned()));
    assert_eq!(facts.needed, ["libc.so.6"]);
    assert!(
        facts
            .version_needs
            .iter()
            .any(|need| need.starts_with("libc.so.6: GLIBC_"))
    );
    assert!(!facts.relro && !facts.bind_now && !facts.stays_loaded && facts.notes.is_empty());
    assert!(!facts.executable_stack && !facts.thread_storage && facts.indirect.is_empty());
}

#[test]
fn each_trespass_is_seen() {
    let facts = built(
        "_Thread_local int mine; int *shown(void) { return &mine; }\n\
             static int real(void) { return 1; }\n\
             static void *choose(void) { return real; }\n\
             int chosen(void) __attribute__((ifunc(\"choose\")));",
        &["-Wl,-z,execstack,-z,now,-z,nodelete,-rpath,/somewhere"],
    );
    assert!(facts.thread_storage && facts.executable_stack && facts.indirect == ["chosen"]);
    assert!(facts.bind_now && facts.stays_loaded && facts.search_paths == ["/somewhere"]);
    assert!(!facts.odd_relocations.is_empty());
}

#[test]
fn writable_code_is_seen() {
    let facts = built(
        "int shown = 1; int code(void) { return shown; }",
        &["-nostdlib", "-Wl,-N"],
    );
    assert!(facts.writable_code == 1 && facts.needed.is_empty());
}

#[test]
fn sites_are_found_with_what_is_wrong_with_them() {
    // A site in code with a semaphore in data, and one the other way round.
    let note = |name: &str, site: &str, semaphore: &str| {
        format!(
            ".pushsection .note.stapsdt,\\\"\\\",%note\\n.balign 4\\n.4byte 8,2f-1f,3\\n\
                 .asciz \\\"stapsdt\\\"\\n1: .8byte {site}\\n.8byte 0\\n.8byte {semaphore}\\n\
                 .asciz \\\"p\\\"\\n.asciz \\\"{name}\\\"\\n.asciz \\\"\\\"\\n2: .balign 4\\n.popsection\\n"
        )
    };
    let source = format!(
        "__attribute__((visibility(\"hidden\"))) int data = 1;\n\
             __attribute__((visibility(\"hidden\"))) void code(void) {{}}\n\
             __asm__(\"{}{}\");",
        note("right", "code", "data"),
        note("wrong", "data", "code"),
    );
    let facts = built(&source, &["-nostdlib"]);
    let names: Vec<&str> = facts.notes.iter().map(|note| note.name.as_str()).collect();
    assert_eq!(names, ["p:right", "p:wrong"]);
    assert_eq!(facts.sites_outside_code, ["p:wrong"]);
    assert_eq!(facts.semaphores_outside_data, ["p:wrong"]);
}

#[test]
fn other_files_are_refused() {
    assert!(Facts::read(b"#!/bin/sh").is_err());
    assert!(Facts::read(&[]).is_err());
}
