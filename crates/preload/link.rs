//! Links a preloaded library so that one file loads under every C library: for the build scripts of these.
//!
//! Linked in the usual way, each import would name the version of the glibc that it was built with, and
//! older ones would refuse the file. So it is linked to stubs: libraries made here from `imports.txt`, which have
//! the names of the real ones (musl answers to these, too), the symbols that it imports, no versions, and
//! no code. The C compiler's start files are left out: they would bring imports of their own and do nothing that
//! a library without destructors needs.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What rustc links to on account of the libc crate. Empty, and so left out again: the machine's own would be
/// found otherwise, and its imports in them.
const EMPTY: [&str; 7] = ["c", "dl", "m", "pthread", "rt", "util", "gcc_s"];

/// Links the library whose build script calls this, and whose imports are listed beside that.
pub fn preloaded() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=imports.txt");
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let imports = fs::read_to_string("imports.txt").expect("imports.txt can be read");

    // In a folder of their own: `-l` must not find these, or they would be left out where nothing of them is used.
    let (named, searched) = (out.join("needed"), out.join("searched"));
    for folder in [&named, &searched] {
        fs::create_dir_all(folder).expect("folders can be made in OUT_DIR");
    }
    let needed = ["libdl.so.2", "libc.so.6"];
    for library in needed {
        make_stub(
            &named.join(library),
            library,
            &symbols_of(&imports, library),
        );
    }
    for library in EMPTY {
        let file = format!("lib{library}.so");
        make_stub(&searched.join(&file), &file, &[]);
    }

    // Of the library alone: the unit tests are an ordinary program.
    link("-nostartfiles");
    link(&format!("-L{}", searched.display()));
    link("-Wl,--no-as-needed");
    for library in needed {
        link(&named.join(library).display().to_string());
    }
    // An import that is not in imports.txt fails here, rather than in somebody's program.
    link("-Wl,-z,defs");
    // What is registered for `fork` must stay where it is, and so must what the program has bound to.
    link("-Wl,-z,nodelete");
    // The semaphores' page of the file in one mapping alone. What is made read-only after relocation is writable at
    // first; sharing the page, it took the kernel's count in place of the semaphores in a process that begins while a
    // tracer is attached. Linkers that do not know this option have one mapping of both, and warn.
    link("-Wl,-z,separate-loadable-segments");
}

fn link(argument: &str) {
    println!("cargo:rustc-cdylib-link-arg={argument}");
}

/// The symbols that the list takes from a library.
fn symbols_of<'a>(imports: &'a str, library: &str) -> Vec<&'a str> {
    imports
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let symbol = fields.next()?;
            (fields.next() == Some(library)).then_some(symbol)
        })
        .collect()
}

/// Makes a library that has these functions, with the linker that cargo takes for the target.
fn make_stub(path: &Path, name: &str, symbols: &[&str]) {
    let mut source = String::from(".text\n");
    for symbol in symbols {
        let _ = writeln!(
            source,
            ".globl {symbol}\n.type {symbol}, %function\n{symbol}:"
        );
    }
    source.push_str(".section .note.GNU-stack, \"\", %progbits\n");
    let assembly = path.with_extension("s");
    fs::write(&assembly, source).expect("files can be made in OUT_DIR");
    let compiler = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler)
        .args(["-shared", "-nostdlib", "-o"])
        .arg(path)
        .arg(format!("-Wl,-soname,{name}"))
        .arg(&assembly)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!(
            "{} cannot make {} ({status})",
            compiler.display(),
            path.display()
        ),
        Err(error) => panic!(
            "cannot start {}: {error}; a C compiler is needed to link",
            compiler.display()
        ),
    }
}
