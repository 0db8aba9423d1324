//! Hooks of other functions than those that read, hooks that no server calls, and hooks that break the server.

use std::path::Path;
use std::process::Command;

use runlog::RunDirectory;
use runlog::manifest::Manifest;

use crate::Test;
use crate::kit::{Kit, check_schema, compile_c, fail, json, succeed};
use crate::skips::Need;
use crate::trial_bench::trial_bench;
use crate::trial_refusals::ended;

pub const TESTS: &[Test] = &[
    Test {
        name: "other_hooks::one_that_reads_nothing_is_measured_by_whole_servers",
        needs: &[Need::Program("cc")],
        run: whole_servers,
    },
    Test {
        name: "other_hooks::one_that_no_server_calls_has_no_verdict",
        needs: &[Need::Program("cc")],
        run: not_called,
    },
    Test {
        name: "other_hooks::what_no_trial_can_measure_is_refused_with_advice",
        needs: &[Need::Program("cc")],
        run: refusals,
    },
    Test {
        name: "other_hooks::a_server_that_does_not_start_is_tried_with_the_hook_alone",
        needs: &[Need::Program("cc")],
        run: hook_alone,
    },
];

/// An allocator's part.
const MALLOC: &str = "\
#include <stddef.h>
void *__libc_malloc(size_t);
void *malloc(size_t size) { return __libc_malloc(size); }
";

/// A hook of a function that sut does not read by.
const RECVMSG: &str = "\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    return ((ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, \"recvmsg\"))(fd, message, flags);
}
";

/// A hook that would have the bracket find what is behind it for the hook itself.
const DLSYM: &str = "\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
ssize_t read(int fd, void *buffer, size_t count) {
    return ((ssize_t (*)(int, void *, size_t))dlvsym(RTLD_NEXT, \"read\", \"GLIBC_2.2.5\"))(fd, buffer, count);
}
void *dlsym(void *library, const char *name) { return dlvsym(library, name, \"GLIBC_2.2.5\"); }
";

/// A hook that ends the program, as one without its settings does.
const ENDING: &str = "\
#include <sys/syscall.h>
#include <unistd.h>
__attribute__((constructor)) static void end(void) { _exit(7); }
ssize_t read(int fd, void *buffer, size_t count) { return syscall(SYS_read, fd, buffer, count); }
";

fn short(mut command: Command, hook: &Path) -> Command {
    command
        .args(["--no-probes", "--requests=400", "--blocks=4"])
        .arg("--hook")
        .arg(hook);
    command
}

fn compile(folder: &Path, source: &str) -> anyhow::Result<std::path::PathBuf> {
    compile_c(folder, source, &["-shared", "-fPIC", "-ldl"])
}

/// Whether a text is among strings of a result.
fn says(strings: &serde_json::Value, text: &str) -> bool {
    let mut strings = strings.as_array().into_iter().flatten();
    strings.any(|string| string.as_str().is_some_and(|string| string.contains(text)))
}

fn whole_servers(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let hook = compile(folder.path(), MALLOC)?;
    let out = folder.path().join("run");
    let mut command = short(kit.bench(), &hook);
    command.args(["--json", "--warmup=40", "--block-warmup=5", "--servers=2"]);
    let analysis = json(&succeed(command.arg("--out").arg(&out))?)?;
    check_schema(&analysis, "analysis")?;
    let difference = &analysis["macro"]["difference"]["estimate"];
    ensure!(difference.is_f64(), "{}", analysis["macro"]);
    let warnings = &analysis["warnings"];
    ensure!(says(warnings, "defines none of read, recv"), "{warnings}");
    let micro = &analysis["micro"]["missing"];
    ensure!(
        micro
            .as_str()
            .is_some_and(|why| why.contains("no function \"read\"")),
        "{micro}"
    );
    let manifest: Manifest = runlog::json::read(&RunDirectory::existing(&out).manifest())?;
    let hooked = manifest.arms.iter().map(|arm| arm.hooked_reads.as_deref());
    ensure!(hooked.eq([None, None, Some([].as_slice())]), "{manifest:?}");
    Ok(())
}

fn not_called(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let hook = compile(folder.path(), RECVMSG)?;
    let mut command = short(trial_bench(kit, &folder.path().join("run")), &hook);
    let analysis = json(&ended(&mut command, 4)?)?;
    check_schema(&analysis, "analysis")?;
    let functions = &analysis["trial"]["counts"]["functions"];
    let called = functions["read"].as_u64();
    ensure!(called.is_some_and(|called| called > 0), "{functions}");
    ensure!(functions["recvmsg"].is_null(), "{functions}");
    let agreement = &analysis["agreement"];
    let said = &analysis["not_usable"];
    ensure!(says(said, "it was called for no request"), "{said:?}");
    ensure!(
        agreement.is_null() || agreement["verdict"] == "withheld",
        "{agreement}"
    );
    Ok(())
}

fn refusals(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    for (source, text) in [
        (MALLOC, "defines none of read, recv"),
        (DLSYM, "defines dlsym"),
    ] {
        let hook = compile(folder.path(), source)?;
        let mut command = short(trial_bench(kit, &out), &hook);
        fail(&mut command, 1, &[text, "--order rmit"])?;
        ensure!(!out.exists());
    }
    Ok(())
}

fn hook_alone(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let ending = compile(folder.path(), ENDING)?;
    let mut command = short(trial_bench(kit, &out), &ending);
    let by_hook = "the server does not start (nor with the hook alone)";
    fail(&mut command, 1, &[by_hook, "exit status: 7"])?;
    ensure!(!out.exists());
    let mut command = short(trial_bench(kit, &out), &kit.path("readhook.so"));
    command.args(["--", "env", "-u", "HOOKPROBE_TRIAL"]);
    command.arg(kit.path("sut")).arg("--quiet");
    let by_bracket = "the server does not start (with the hook alone it does)";
    fail(&mut command, 1, &[by_bracket, "has not mapped the memory"])?;
    ensure!(!out.exists());
    Ok(())
}
