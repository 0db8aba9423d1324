//! The hook's one file under C libraries other than the one that it was built with.
//!
//! The test program is one file too: it is linked to stubs, as the hook is. It runs through each library's own
//! loader, on this machine's kernel.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Test;
use crate::kit::{Kit, output, succeed};
use crate::skips::Need;

const HERE: [Need; 3] = [
    Need::Architecture("x86_64"),
    Need::Program("cc"),
    Need::Program("nm"),
];

/// What a C library needs of the machine, in front of what every test here needs.
macro_rules! needs {
    ($library:literal) => {
        &[Need::CLibrary($library), HERE[0], HERE[1], HERE[2]]
    };
}

pub const TESTS: &[Test] = &[
    Test {
        name: "portable::under_the_glibc_of_this_machine",
        needs: &HERE,
        run: |kit| behaves(kit, &Library::of_this_machine()),
    },
    Test {
        name: "portable::under_glibc_2_31",
        needs: needs!("glibc-2.31"),
        run: |kit| behaves(kit, &Library::glibc("2.31")),
    },
    Test {
        name: "portable::under_glibc_2_41",
        needs: needs!("glibc-2.41"),
        run: |kit| behaves(kit, &Library::glibc("2.41")),
    },
    Test {
        name: "portable::under_musl",
        needs: needs!("musl-1.2"),
        run: |kit| behaves(kit, &Library::musl()),
    },
    Test {
        name: "portable::imports_are_as_old_as_listed",
        needs: &[
            Need::CLibrary("glibc-2.31"),
            Need::CLibrary("glibc-2.41"),
            Need::CLibrary("musl-1.2"),
            Need::Architecture("x86_64"),
            Need::Program("readelf"),
        ],
        run: |_| imports_are_as_old_as_listed(),
    },
];

/// A C library.
struct Library {
    /// Its folder and its loader; `None` is this machine's.
    loader: Option<(PathBuf, &'static str)>,
    /// What the program says of it.
    says: String,
}

impl Library {
    fn of_this_machine() -> Self {
        Self {
            loader: None,
            says: "glibc 2.".to_owned(),
        }
    }

    fn glibc(version: &str) -> Self {
        let folder = folder(&format!("glibc-{version}"));
        Self {
            loader: Some((folder, "ld-linux-x86-64.so.2")),
            says: format!("glibc {version}\n"),
        }
    }

    /// The C library of musl is its loader as well.
    fn musl() -> Self {
        Self {
            loader: Some((folder("musl-1.2"), "libc.so")),
            says: "not glibc\n".to_owned(),
        }
    }

    /// A program that runs under it.
    fn command(&self, program: &Path) -> Command {
        match &self.loader {
            None => Command::new(program),
            Some((folder, loader)) => {
                let mut command = Command::new(folder.join(loader));
                command.arg("--library-path").arg(folder).arg(program);
                command
            }
        }
    }
}

/// Where `cargo xtask test` puts a C library.
pub fn folder(library: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/libcs")).join(library)
}

const PROGRAM: &str = include_str!("c/portable.c");

/// Compiles the program, and links it to libraries with its imports and without versions.
fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = |name| folder.join(name);
    fs::write(path("portable.c"), PROGRAM)?;
    let cc = || {
        let mut cc = Command::new("cc");
        cc.current_dir(folder);
        cc
    };
    succeed(
        cc().args(["-O1", "-fPIE", "-fno-stack-protector", "-U_FORTIFY_SOURCE"])
            .args(["-c", "portable.c"]),
    )?;
    let undefined = succeed(
        Command::new("nm")
            .args(["-u", "-P"])
            .arg(path("portable.o")),
    )?;
    let undefined = String::from_utf8(undefined.stdout)?;
    let mut stub = String::from(".text\n");
    for symbol in undefined
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|symbol| *symbol != "_GLOBAL_OFFSET_TABLE_")
    {
        writeln!(
            stub,
            ".globl {symbol}\n.type {symbol}, %function\n{symbol}:"
        )?;
    }
    // Threads have a library of their own in glibc before 2.34; musl takes this name for itself, too.
    for (library, source) in [("libc.so.6", stub.as_str()), ("libpthread.so.0", "")] {
        fs::write(path("stub.s"), source)?;
        succeed(
            cc().args(["-shared", "-nostdlib", "stub.s", "-o", library])
                .arg(format!("-Wl,-soname,{library}")),
        )?;
    }
    succeed(cc().args([
        "-pie",
        "-nostdlib",
        "-Wl,--no-as-needed",
        "portable.o",
        "libpthread.so.0",
        "libc.so.6",
        "-o",
        "portable",
    ]))?;
    Ok(path("portable"))
}

fn behaves(kit: &Kit, library: &Library) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = build(folder.path())?;
    let list = folder.path().join("list");
    fs::write(
        &list,
        "in-main\nin-thread\nin-handler\nin-fork\nafter-fork\nnot-a-connection\n",
    )?;
    // The program itself must be right, and be where it was to be.
    let bare = output(&mut library.command(&program))?;
    let said = String::from_utf8(bare.stdout.clone())?;
    ensure!(
        said.starts_with(&library.says) && bare.status.code() == Some(7),
        "{said:?}, {}: {}",
        bare.status,
        String::from_utf8_lossy(&bare.stderr)
    );
    for mode in ["off", "passthrough", "lookup", "scan", "log", "fast"] {
        let log = folder.path().join(format!("log-{mode}"));
        let hooked = output(
            library
                .command(&program)
                .envs(kit.hook())
                .env("READHOOK_MODE", mode)
                .env("READHOOK_KEYWORDS", &list)
                .env("READHOOK_LOG", &log),
        )?;
        let stderr = String::from_utf8(hooked.stderr)?;
        ensure!(
            hooked.stdout == bare.stdout && hooked.status == bare.status,
            "mode {mode}: {}: {stderr}",
            hooked.status
        );
        // The refusal shows that the hook is there at all, and reads its environment.
        let refuses = stderr.lines().count() == 1 && stderr.starts_with("readhook: READHOOK_MODE");
        ensure!(refuses == (mode == "fast"), "mode {mode}: {stderr}");
        ensure!(refuses || stderr.is_empty(), "mode {mode}: {stderr}");
        ensure!(log.exists() == (mode == "log"), "mode {mode}");
    }
    let text = fs::read_to_string(folder.path().join("log-log"))?;
    let words: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("word="))
        .map(|(_, word)| word)
        .collect();
    ensure!(
        words
            == kit.seen(&[
                "in-main",
                "in-thread",
                "in-handler",
                "in-fork",
                "after-fork"
            ]),
        "{text}"
    );
    Ok(())
}

/// The release of glibc that first had a symbol, as the lists of the preloaded libraries say.
const IMPORTS: [&str; 3] = [
    include_str!("../../hook/imports.txt"),
    include_str!("../../bracket/front/imports.txt"),
    include_str!("../../bracket/back/imports.txt"),
];

fn imports_are_as_old_as_listed() -> anyhow::Result<()> {
    for glibc in ["glibc-2.31", "glibc-2.41"] {
        // Since 2.34 all symbols are in the one library, which the loader searches as well.
        let symbols = [
            exported(&folder(glibc).join("libdl.so.2"))?,
            exported(&folder(glibc).join("libc.so.6"))?,
        ]
        .concat();
        for (symbol, listed) in imports() {
            let versions: Vec<Vec<u32>> = symbols
                .iter()
                .filter_map(|exported| exported.strip_prefix(symbol)?.strip_prefix('@'))
                .filter_map(|version| version.trim_start_matches('@').strip_prefix("GLIBC_"))
                .filter_map(|version| version.split('.').map(|part| part.parse().ok()).collect())
                .collect();
            let listed: Vec<u32> = listed
                .split('.')
                .map_while(|part| part.parse().ok())
                .collect();
            // Others may be there too: nodes of a symbol that has changed, or has come from another library.
            ensure!(
                versions.contains(&listed),
                "{glibc} has {symbol} as of {versions:?}, not {listed:?}"
            );
        }
    }
    let musl = exported(&folder("musl-1.2").join("libc.so"))?;
    for (symbol, _) in imports() {
        ensure!(
            musl.iter().any(|exported| exported == symbol),
            "musl has no {symbol}"
        );
    }
    Ok(())
}

/// Symbol and version of each import.
fn imports() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMPORTS
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some((fields.next()?, fields.nth(1)?))
        })
}

/// The symbols that a library exports, as `name@VERSION`.
fn exported(library: &Path) -> anyhow::Result<Vec<String>> {
    let shown = succeed(
        Command::new("readelf")
            .args(["-W", "--dyn-syms"])
            .arg(library),
    )?;
    Ok(String::from_utf8(shown.stdout)?
        .lines()
        .filter(|line| !line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().nth(7))
        .map(str::to_owned)
        .collect())
}
