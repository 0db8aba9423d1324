//! The hook, in programs that nobody built for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::Test;
use crate::kit::{Kit, Server, compile_c, is_alive, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "hook::logs_the_first_word_of_the_list_of_each_request",
        needs: &[],
        run: logs_matches,
    },
    Test {
        name: "hook::takes_a_list_of_its_own",
        needs: &[],
        run: takes_a_list,
    },
    Test {
        name: "hook::passes_through_on_nonsense",
        needs: &[],
        run: passes_through_on_nonsense,
    },
    Test {
        name: "hook::changes_nothing_for_other_programs",
        needs: &[],
        run: changes_nothing,
    },
    Test {
        name: "hook::keeps_the_c_contract",
        needs: &[Need::Program("cc")],
        run: keeps_the_c_contract,
    },
    Test {
        name: "hook::leaves_the_marks_to_the_process_that_they_belong_to",
        needs: &[Need::Program("cc")],
        run: keeps_marks_apart,
    },
    Test {
        name: "hook::keeps_one_descriptor_for_the_log",
        needs: &[Need::Program("cc")],
        run: keeps_one_log,
    },
    Test {
        name: "hook::a_cancelled_thread_keeps_what_it_has_read",
        needs: &[Need::Program("cc")],
        run: survives_cancelling,
    },
    Test {
        name: "hook::takes_no_orders_in_a_set_uid_program",
        needs: &[Need::Program("cc"), Need::Root],
        run: takes_no_orders,
    },
    Test {
        name: "hook::delays_by_what_it_is_told",
        needs: &[],
        run: delays,
    },
];

fn get(server: &Server, head: &str) -> anyhow::Result<String> {
    let mut stream = server.connect()?;
    stream.write_all(format!("GET / HTTP/1.1\r\n{head}Connection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The words that a log of the hook names, in order.
pub fn words(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.split_once("word="))
        .map(|(_, word)| word)
        .collect()
}

fn logs_matches(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    let log = log.to_str().context("UTF-8")?;
    let server = kit.sut(
        Some(&[("READHOOK_MODE", "log"), ("READHOOK_LOG", log)]),
        &["--quiet"],
    )?;
    // The words as they stand in hook/keywords.txt: "admin" comes before "en" and "user" before
    // neither; "X-Q: zz" has none but for "go"; the last request has none at all.
    for head in [
        "User-Agent: admin\r\n",
        "User-Agent: x\r\n",
        "X-Q: go\r\n",
        "X-Q: zz\r\n",
    ] {
        ensure!(get(&server, head)?.ends_with("Hello World"));
    }
    let text = fs::read_to_string(log)?;
    ensure!(words(&text) == kit.seen(&["admin", "en", "go"]), "{text}");
    ensure!(
        text.lines()
            .all(|line| line.contains(&format!("pid={} ", server.pid()))),
        "{text}"
    );
    Ok(())
}

fn takes_a_list(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let (log, list) = (folder.path().join("log"), folder.path().join("list"));
    fs::write(&list, "second\nfirst\n")?;
    let settings = [
        ("READHOOK_MODE", "log"),
        ("READHOOK_LOG", log.to_str().context("UTF-8")?),
        ("READHOOK_KEYWORDS", list.to_str().context("UTF-8")?),
    ];
    let server = kit.sut(Some(&settings), &["--quiet"])?;
    get(&server, "A: first second\r\n")?;
    get(&server, "A: first\r\n")?;
    get(&server, "A: admin\r\n")?;
    let text = fs::read_to_string(log)?;
    ensure!(words(&text) == kit.seen(&["second", "first"]), "{text}");
    Ok(())
}

fn passes_through_on_nonsense(kit: &Kit) -> anyhow::Result<()> {
    for (name, value) in [
        ("READHOOK_MODE", "fast"),
        ("READHOOK_DELAY_NS", "1us"),
        ("READHOOK_KEYWORDS", "/nonexistent/list"),
        ("READHOOK_MODE", "log"),
    ] {
        let mut cat = Command::new("cat");
        cat.arg("/proc/self/status")
            .envs(kit.hook())
            .env(name, value);
        let output = succeed(&mut cat)?;
        let stderr = String::from_utf8(output.stderr)?;
        ensure!(stderr.lines().count() == 1, "{stderr}");
        let named = if value == "log" { "READHOOK_LOG" } else { name };
        ensure!(
            stderr.starts_with("readhook: ") && stderr.contains(named),
            "{stderr}"
        );
        ensure!(output.stdout.starts_with(b"Name:\tcat"));
    }
    Ok(())
}

fn changes_nothing(kit: &Kit) -> anyhow::Result<()> {
    let script = "seq 1 20000 | sort -r | head -c 50000 | md5sum; \
                  find /usr/bin -name 'b*' | sort | xargs -n 20 sh -c 'cat \"$@\" | wc -c' x";
    let bare = succeed(Command::new("sh").args(["-c", script]))?;
    let folder = kit.scratch()?;
    for mode in ["off", "passthrough", "lookup", "scan", "log"] {
        let hooked = succeed(
            Command::new("sh")
                .args(["-c", script])
                .envs(kit.hook())
                .env("READHOOK_MODE", mode)
                .env("READHOOK_LOG", folder.path().join("log")),
        )?;
        ensure!(
            hooked.stdout == bare.stdout && hooked.stderr == bare.stderr,
            "mode {mode}"
        );
    }
    Ok(())
}

/// What POSIX promises of accept, read and close, asked for in ways that an interposer gets wrong.
pub const CONTRACT: &str = include_str!("c/contract.c");

fn keeps_the_c_contract(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_c(folder.path(), CONTRACT, &["-pthread"])?;
    // Without the hook first: the program itself must be right.
    succeed(&mut Command::new(&program))?;
    for mode in ["off", "passthrough", "lookup", "scan", "log"] {
        let log = folder.path().join(format!("log-{mode}"));
        let output = succeed(
            Command::new(&program)
                .envs(kit.hook())
                .env("READHOOK_MODE", mode)
                .env("READHOOK_LOG", &log),
        )
        .with_context(|| format!("mode {mode}"))?;
        ensure!(output.stdout == b"the contract holds\n");
        if mode == "log" {
            // "admin" in one read, "min" (no word) and "adm" (no word) in two, nothing from the pipe.
            let text = fs::read_to_string(&log)?;
            ensure!(words(&text) == kit.seen(&["admin"]), "{text}");
        }
    }
    Ok(())
}

/// What the C programs below share: a listener, and connections to it.
const CONNECTIONS: &str = include_str!("c/connections.c");

/// Compiles a program of [`CONNECTIONS`] and `source`.
pub fn compile_with_connections(
    folder: &Path,
    source: &str,
    options: &[&str],
) -> anyhow::Result<PathBuf> {
    compile_c(folder, &[CONNECTIONS, source].concat(), options)
}

/// Children that share the marks, and children that have their own.
const CHILDREN: &str = include_str!("c/children.c");

fn keeps_marks_apart(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let (log, list) = (folder.path().join("log"), folder.path().join("list"));
    let program = compile_with_connections(folder.path(), CHILDREN, &[])?;
    // The longer words first: the first of the list wins.
    fs::write(
        &list,
        "in-fork-after-vfork\nin-fork-after-close\nin-clone-after-close\nin-clone\n\
         after-vfork\nafter-fork\nafter-close\n",
    )?;
    succeed(
        Command::new(&program)
            .envs(kit.hook())
            .env("READHOOK_MODE", "log")
            .env("READHOOK_LOG", &log)
            .env("READHOOK_KEYWORDS", &list),
    )?;
    let text = fs::read_to_string(&log)?;
    ensure!(
        words(&text)
            == kit.seen(&[
                "after-vfork",
                "in-fork-after-vfork",
                "in-clone",
                "after-fork"
            ]),
        "{text}"
    );
    Ok(())
}

/// Threads that find, all at once, that the program has closed the log.
const CLOSED_LOG: &str = include_str!("c/closed_log.c");

fn keeps_one_log(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    let program = compile_with_connections(folder.path(), CLOSED_LOG, &["-pthread"])?;
    let output = succeed(
        Command::new(&program)
            .envs(kit.hook())
            .env("READHOOK_MODE", "log")
            .env("READHOOK_LOG", &log),
    )?;
    let most = String::from_utf8(output.stdout)?;
    ensure!(most == "1\n", "{} descriptors of the log", most.trim());
    // Eight threads, 300 rounds: nothing is lost either.
    let text = fs::read_to_string(&log)?;
    ensure!(
        words(&text) == kit.seen(&vec!["admin"; 8 * 300]),
        "{}",
        words(&text).len()
    );
    Ok(())
}

/// A thread that is cancelled when its read has the bytes but is still in the hook, which waits
/// before it logs: once with the log open, once with the log closed by the program.
const CANCELLED: &str = include_str!("c/cancelled.c");

fn survives_cancelling(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    let program = compile_with_connections(folder.path(), CANCELLED, &["-pthread"])?;
    let output = succeed(
        Command::new(&program)
            .envs(kit.hook())
            .env("READHOOK_MODE", "log")
            .env("READHOOK_LOG", &log)
            .env("READHOOK_DELAY_NS", "300000000"),
    )?;
    let returned = String::from_utf8(output.stdout)?;
    ensure!(returned == "5\n5\n", "{returned}");
    let text = fs::read_to_string(&log)?;
    ensure!(words(&text) == kit.seen(&["admin"; 2]), "{text}");
    Ok(())
}

/// Says whether it runs with more privileges than its user has.
const PRIVILEGED: &str = include_str!("c/privileged.c");

fn takes_no_orders(kit: &Kit) -> anyhow::Result<()> {
    const NOBODY: u32 = 65_534;
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    // The dynamic linker drops LD_PRELOAD in such programs, so this one is linked to the hook.
    let preloaded = kit.preloaded();
    let mut options = vec!["-Wl,--no-as-needed"];
    options.extend(preloaded.iter().filter_map(|path| path.to_str()));
    let program = compile_with_connections(folder.path(), PRIVILEGED, &options)?;
    let run = || {
        succeed(
            Command::new(&program)
                .envs(kit.hook())
                .env_remove("LD_PRELOAD")
                .env("READHOOK_MODE", "log")
                .env("READHOOK_LOG", &log),
        )
    };
    // As an ordinary program first: the hook must be in it at all.
    ensure!(run()?.stdout == b"0\n");
    ensure!(words(&fs::read_to_string(&log)?) == kit.seen(&["admin"]));
    fs::remove_file(&log)?;

    std::os::unix::fs::chown(&program, Some(NOBODY), None)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let output = run()?;
    ensure!(output.stdout == b"1\n", "set-uid has no effect here");
    ensure!(output.stderr.is_empty());
    ensure!(!log.exists(), "made {}", log.display());
    Ok(())
}

fn delays(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(Some(&[("READHOOK_DELAY_NS", "200000000")]), &["--quiet"])?;
    // The second request finds that the server lives on.
    for _ in 0..2 {
        let start = std::time::Instant::now();
        ensure!(get(&server, "")?.ends_with("Hello World"));
        // The end of the stream is a read too, but returns no bytes, so waits for nothing.
        let least = std::time::Duration::from_millis(199);
        let is_delayed = !kit.seen(&[least]).is_empty();
        ensure!(
            !is_delayed || start.elapsed() >= least,
            "{:?}",
            start.elapsed()
        );
    }
    ensure!(is_alive(server.pid()), "the server ended");
    Ok(())
}
