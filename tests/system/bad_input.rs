//! Bad input: a clear error, and nothing left behind.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::Test;
use crate::install;
use crate::kit::{Kit, compile_c, fail, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "bad_input::bench_refuses_what_cannot_work",
        needs: &[],
        run: bench_refuses,
    },
    Test {
        name: "bad_input::static_server",
        needs: &[Need::Program("cc")],
        run: static_server,
    },
    Test {
        name: "bad_input::port_taken",
        needs: &[],
        run: port_taken,
    },
    Test {
        name: "bad_input::folder_that_cannot_be_used",
        needs: &[],
        run: folder,
    },
    Test {
        name: "bad_input::server_that_does_not_start",
        needs: &[],
        run: server_that_does_not_start,
    },
    Test {
        name: "bad_input::hook_that_is_not_loaded",
        needs: &[],
        run: hook_not_loaded,
    },
    Test {
        name: "bad_input::words_that_are_not_utf8",
        needs: &[],
        run: not_utf8,
    },
    Test {
        name: "bad_input::correlate_needs_a_run",
        needs: &[],
        run: correlate,
    },
];

fn bench_refuses(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let refuse = |options: &[&str], code, texts: &[&str]| {
        let mut command = kit.bench();
        command.arg("--out").arg(&out).args(options);
        fail(&mut command, code, texts)
    };
    refuse(
        &["--hook=/nonexistent/hook.so"],
        1,
        &["--hook", "/nonexistent/hook.so", "No such file"],
    )?;
    refuse(
        &["--hook=/etc/passwd"],
        1,
        &["/etc/passwd", "not a 64-bit ELF file"],
    )?;
    let loadgen = kit.path("loadgen");
    let no_read = format!("--hook={}", loadgen.display());
    refuse(&[&no_read], 1, &["defines no function"])?;
    refuse(
        &["--hook-env=NOVALUE"],
        1,
        &["--hook-env NOVALUE", "NAME=VALUE"],
    )?;
    refuse(
        &["--hook-env=READHOOK_MODE=fast"],
        1,
        &["arm hooked does not start", "READHOOK_MODE must be"],
    )?;
    refuse(&["--micro-calls=0"], 2, &["--micro-calls"])?;
    refuse(&["--port=0"], 2, &["--port"])?;
    refuse(
        &["--no-probes", "--site=note"],
        2,
        &["--site", "--no-probes"],
    )?;
    refuse(&["--requests=10", "--blocks=20"], 1, &["--blocks 20"])?;
    refuse(&["--blocks=1"], 1, &["--blocks 1"])?;
    refuse(&["--trim=0.5"], 2, &["'0.5' for '--trim"])?;
    refuse(&["--path=work"], 1, &["--path work", "start with /"])?;
    refuse(
        &["--ring-bytes=5000"],
        1,
        &["--ring-bytes 5000", "power of two"],
    )?;
    refuse(
        &["--kernel-probe=magic"],
        2,
        &["--kernel-probe", "raw-tracepoint"],
    )?;
    refuse(&["--", "/nonexistent/server"], 1, &["/nonexistent/server"])?;
    refuse(
        &["--", "no-such-program-anywhere"],
        1,
        &["no-such-program-anywhere", "PATH"],
    )?;
    ensure!(!out.exists(), "a refused run left its folder");
    Ok(())
}

fn static_server(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_c(folder.path(), "int main(void) { return 0; }", &["-static"])?;
    fail(
        kit.bench()
            .args(["--no-probes", "--out"])
            .arg(folder.path().join("run"))
            .arg("--")
            .arg(program),
        1,
        &["is statically linked", "no hook can be preloaded"],
    )
}

fn port_taken(kit: &Kit) -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    fail(
        kit.command("sut").args(["--port", &port.to_string()]),
        1,
        &[&port.to_string(), "--port or SERVER_PORT"],
    )?;
    let folder = kit.scratch()?;
    fail(
        kit.bench()
            .args(["--no-probes", "--port", &port.to_string(), "--out"])
            .arg(folder.path().join("run")),
        1,
        &[
            &format!("port {port} cannot be used"),
            "--port",
            "Address already in use",
        ],
    )
}

fn folder(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let bench = |out: &std::path::Path, texts: &[&str]| {
        let mut command = kit.bench();
        fail(command.args(["--no-probes", "--out"]).arg(out), 1, texts)
    };
    let file = folder.path().join("file");
    fs::write(&file, "precious")?;
    bench(&file, &["--out", "file"])?;
    bench(&file.join("run"), &["--out", "Not a directory"])?;
    bench(folder.path(), &["is not empty"])?;
    ensure!(fs::read_to_string(&file)? == "precious");
    // proc is read-only for everybody.
    bench(
        std::path::Path::new("/proc/hookprobe"),
        &["--out", "/proc/hookprobe"],
    )
}

fn server_that_does_not_start(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let script = folder.path().join("server.sh");
    let text = "#!/bin/sh\necho cannot find my database >&2\nexit 7\n";
    install::script(text, &script)?;
    let out = folder.path().join("run");
    fail(
        kit.bench()
            .args(["--no-probes", "--out"])
            .arg(&out)
            .arg("--")
            .arg(&script),
        1,
        &[
            "arm baseline does not start",
            "exit status: 7",
            "cannot find my database",
        ],
    )?;
    ensure!(!out.exists(), "a run that never began left its folder");
    // A folder that was there before stays.
    let kept = folder.path().join("kept");
    fs::create_dir(&kept)?;
    fail(
        kit.bench()
            .args(["--no-probes", "--out"])
            .arg(kept.join("deeper/run"))
            .arg("--")
            .arg(&script),
        1,
        &["arm baseline does not start"],
    )?;
    ensure!(kept.is_dir() && fs::read_dir(&kept)?.next().is_none());
    Ok(())
}

/// What the dynamic linker ignores must not be measured as a hook that costs nothing.
fn hook_not_loaded(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let spaced = folder.path().join("my hook.so");
    fs::copy(kit.path("readhook.so"), &spaced)?;
    let bench = || {
        let mut command = kit.bench();
        command.args(["--no-probes", "--out"]);
        command.arg(folder.path().join("run"));
        command
    };
    fail(
        bench().arg(format!("--hook={}", spaced.display())),
        1,
        &["my hook.so", "spaces and colons"],
    )?;
    let script = format!(
        "unset LD_PRELOAD; exec {} --quiet",
        kit.path("sut").display()
    );
    fail(
        bench().args(["--", "sh", "-c", &script]),
        1,
        &["arm hooked does not start", "has not loaded", "LD_PRELOAD"],
    )
}

fn not_utf8(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let odd = OsStr::from_bytes(b"odd-\xff");
    let mut command = kit.bench();
    command
        .args(["--no-probes", "--requests=200", "--blocks=2"])
        .args([
            "--warmup=0",
            "--block-warmup=0",
            "--micro-calls=50",
            "--out",
        ])
        .arg(folder.path().join(odd))
        .env("UNRELATED", odd);
    succeed(&mut command)?;
    fail(
        command.env("READHOOK_LOG", odd),
        1,
        &["READHOOK_LOG", "not UTF-8"],
    )
}

fn correlate(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    fail(
        kit.command("probe-user")
            .arg("correlate")
            .arg(folder.path()),
        1,
        &["is not the folder of a run", "manifest.json"],
    )?;
    // A run without probes has nothing to join.
    let out = folder.path().join("run");
    let mut bench = kit.bench();
    bench.args(["--no-probes", "--requests=200", "--blocks=2", "--warmup=0"]);
    bench
        .args(["--block-warmup=0", "--micro-calls=50", "--out"])
        .arg(&out);
    succeed(&mut bench)?;
    fail(
        Command::new(kit.path("probe-user"))
            .arg("correlate")
            .arg(&out),
        1,
        &["without probes"],
    )
}
