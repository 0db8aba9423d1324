//! The hook, in programs that nobody built for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::Test;
use crate::kit::{Kit, Server, compile_c, succeed, wait_for};
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
fn words(log: &str) -> Vec<&str> {
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
    // The words as they stand in data/keywords.txt: "admin" comes before "en" and "user" before
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
    ensure!(words(&text) == ["admin", "en", "go"], "{text}");
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
    ensure!(words(&text) == ["second", "first"], "{text}");
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
            .env("LD_PRELOAD", kit.path("readhook.so"))
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
                .env("LD_PRELOAD", kit.path("readhook.so"))
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
const CONTRACT: &str = r#"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener;
static struct sockaddr_in address = {.sin_family = AF_INET};

static int client(void) {
    int c = socket(AF_INET, SOCK_STREAM, 0);
    assert(connect(c, (void *)&address, sizeof address) == 0);
    return c;
}

static void *read_for_ever(void *cleaned) {
    char buffer[16];
    int s = accept(listener, NULL, NULL);
    pthread_cleanup_push((void (*)(void *))close, (void *)(long)s);
    read(s, buffer, sizeof buffer);
    pthread_cleanup_pop(1);
    return cleaned;
}

int main(void) {
    char buffer[64];
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 9) == 0);
    assert(getsockname(listener, (void *)&address, &length) == 0);

    /* Without an address, with one, and with one too short for even the family. */
    int c = client();
    int s = accept(listener, NULL, NULL);
    assert(s >= 0 && write(c, "admin", 5) == 5);
    memset(buffer, '#', sizeof buffer);
    assert(read(s, buffer, sizeof buffer) == 5 && memcmp(buffer, "admin#", 6) == 0);
    int c2 = client();
    struct sockaddr_in peer;
    socklen_t one = 1;
    memset(&peer, '#', sizeof peer);
    int s2 = accept4(listener, (void *)&peer, &one, SOCK_NONBLOCK);
    assert(s2 >= 0 && one == sizeof peer && ((char *)&peer)[1] == '#');
    struct sockaddr_in mine;
    length = sizeof mine;
    int c3 = client();
    getsockname(c3, (void *)&mine, &length);
    length = sizeof peer;
    int s3 = accept(listener, (void *)&peer, &length);
    assert(peer.sin_port == mine.sin_port && length == sizeof peer);

    /* errno: set by failures as the kernel sets it, left alone by successes. */
    errno = 0;
    assert(read(s2, buffer, sizeof buffer) == -1 && errno == EAGAIN);
    assert(read(-1, buffer, 1) == -1 && errno == EBADF);
    assert(write(c, "xadmin", 6) == 6);
    errno = 77;
    assert(read(s, buffer, 3) == 3 && read(s, buffer, 0) == 0 && errno == 77);
    assert(read(s, buffer, sizeof buffer) == 3 && errno == 77);
    assert(write(c, "x", 1) == 1);
    assert(read(s, (void *)1, 8) == -1 && errno == EFAULT);
    assert(read(s, buffer, 8) == 1);
    errno = 77;
    assert(close(s3) == 0 && errno == 77);
    assert(close(s3) == -1 && errno == EBADF);
    shutdown(c, SHUT_WR);
    assert(read(s, buffer, 8) == 0);

    /* A number used again for something that is no connection. */
    close(s);
    int p[2];
    assert(pipe(p) == 0 && write(p[1], "admin", 5) == 5);
    assert(read(p[0], buffer, 8) == 5);

    /* A child goes on reading what its parent accepted. */
    assert(write(c2, "child", 5) == 5);
    pid_t child = fork();
    if (child == 0) {
        usleep(20000);
        _exit(read(s2, buffer, 8) == 5 ? 0 : 1);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && status == 0);

    /* A thread cancelled in a hooked read is unwound and cleaned up. */
    pthread_t thread;
    int c4 = client();
    assert(pthread_create(&thread, NULL, read_for_ever, NULL) == 0);
    usleep(50000);
    pthread_cancel(thread);
    void *result;
    assert(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    assert(read(c4, buffer, 8) == 0);
    puts("the contract holds");
    return 0;
}
"#;

fn keeps_the_c_contract(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_c(folder.path(), CONTRACT, &["-pthread"])?;
    // Without the hook first: the program itself must be right.
    succeed(&mut Command::new(&program))?;
    for mode in ["off", "passthrough", "lookup", "scan", "log"] {
        let log = folder.path().join(format!("log-{mode}"));
        let output = succeed(
            Command::new(&program)
                .env("LD_PRELOAD", kit.path("readhook.so"))
                .env("READHOOK_MODE", mode)
                .env("READHOOK_LOG", &log),
        )
        .with_context(|| format!("mode {mode}"))?;
        ensure!(output.stdout == b"the contract holds\n");
        if mode == "log" {
            // "admin" in one read, "min" (no word) and "adm" (no word) in two, nothing from the pipe.
            let text = fs::read_to_string(&log)?;
            ensure!(words(&text) == ["admin"], "{text}");
        }
    }
    Ok(())
}

fn delays(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(Some(&[("READHOOK_DELAY_NS", "200000000")]), &["--quiet"])?;
    let start = std::time::Instant::now();
    get(&server, "")?;
    // The end of the stream is a read too, but returns no bytes, so waits for nothing.
    let least = std::time::Duration::from_millis(199);
    ensure!(start.elapsed() >= least, "{:?}", start.elapsed());
    wait_for("the server to stay alive", || Ok(true))
}
