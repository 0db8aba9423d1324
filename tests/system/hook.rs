//! The hook, in programs that nobody built for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

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
        name: "hook::links_to_the_c_library_alone",
        needs: &[Need::Program("readelf")],
        run: links_to_libc,
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

/// What the C programs below share: a listener, and connections to it.
const CONNECTIONS: &str = r#"
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct connection { int client, server; } connection(void) {
    static int listener = -1;
    static struct sockaddr_in address = {.sin_family = AF_INET};
    if (listener < 0) {
        socklen_t length = sizeof address;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listener = socket(AF_INET, SOCK_STREAM, 0);
        assert(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 9) == 0);
        assert(getsockname(listener, (void *)&address, &length) == 0);
    }
    struct connection c = {.client = socket(AF_INET, SOCK_STREAM, 0)};
    assert(connect(c.client, (void *)&address, sizeof address) == 0);
    c.server = accept(listener, NULL, NULL);
    assert(c.server >= 0);
    return c;
}

/* Sends a word to the descriptor `to` and reads it at `from`. */
static void pass(const char *word, int to, int from) {
    char buffer[64];
    ssize_t length = 0;
    while (word[length])
        length++;
    assert(write(to, word, length) == length && read(from, buffer, sizeof buffer) == length);
}
"#;

/// Compiles a program of [`CONNECTIONS`] and `source`.
fn compile_with_connections(
    folder: &Path,
    source: &str,
    options: &[&str],
) -> anyhow::Result<PathBuf> {
    compile_c(folder, &[CONNECTIONS, source].concat(), options)
}

/// Children that share the marks, and children that have their own.
const CHILDREN: &str = r#"
static struct connection c;
static int p[2];

static void succeeds(pid_t child) {
    int status;
    assert(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void vfork_and_close(void) {
    pid_t child = vfork();
    if (child == 0) {
        close(c.server);
        _exit(0);
    }
    succeeds(child);
}

/* Closes the connection and gives its number to a pipe, without telling the hook. */
static void close_and_reuse(void) {
    assert(close(c.server) == 0 && dup2(p[0], c.server) == c.server);
}

int main(void) {
    c = connection();
    assert(pipe(p) == 0);
    vfork_and_close();
    pass("after-vfork", c.client, c.server);

    pid_t child = fork();
    if (child == 0) {
        vfork_and_close();
        pass("in-fork-after-vfork", c.client, c.server);
        close_and_reuse();
        pass("in-fork-after-close", p[1], c.server);
        _exit(0);
    }
    succeeds(child);

    /* No handlers of fork run in this one. */
    child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        pass("in-clone", c.client, c.server);
        close_and_reuse();
        pass("in-clone-after-close", p[1], c.server);
        _exit(0);
    }
    succeeds(child);

    pass("after-fork", c.client, c.server);
    close_and_reuse();
    pass("after-close", p[1], c.server);
    return 0;
}
"#;

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
            .env("LD_PRELOAD", kit.path("readhook.so"))
            .env("READHOOK_MODE", "log")
            .env("READHOOK_LOG", &log)
            .env("READHOOK_KEYWORDS", &list),
    )?;
    let text = fs::read_to_string(&log)?;
    ensure!(
        words(&text)
            == [
                "after-vfork",
                "in-fork-after-vfork",
                "in-clone",
                "after-fork"
            ],
        "{text}"
    );
    Ok(())
}

/// Threads that find, all at once, that the program has closed the log.
const CLOSED_LOG: &str = r#"
enum { THREADS = 8, ROUNDS = 300 };

static struct connection connections[THREADS];
static pthread_barrier_t start, end;

static void *read_each_round(void *number) {
    for (int round = 0; round < ROUNDS; round++) {
        char buffer[8];
        pthread_barrier_wait(&start);
        assert(read(connections[(long)number].server, buffer, sizeof buffer) == 5);
        pthread_barrier_wait(&end);
    }
    return NULL;
}

int main(void) {
    pthread_t thread;
    pthread_barrier_init(&start, NULL, THREADS + 1);
    pthread_barrier_init(&end, NULL, THREADS + 1);
    for (long i = 0; i < THREADS; i++) {
        connections[i] = connection();
        assert(pthread_create(&thread, NULL, read_each_round, (void *)i) == 0);
    }
    int most = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++)
            assert(write(connections[i].client, "admin", 5) == 5);
        for (int fd = 500; fd < 600; fd++)
            close(fd);
        pthread_barrier_wait(&start);
        pthread_barrier_wait(&end);
        int open = 0;
        for (int fd = 500; fd < 600; fd++)
            open += fcntl(fd, F_GETFD) >= 0;
        most = open > most ? open : most;
    }
    printf("%d\n", most);
    return 0;
}
"#;

fn keeps_one_log(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    let program = compile_with_connections(folder.path(), CLOSED_LOG, &["-pthread"])?;
    let output = succeed(
        Command::new(&program)
            .env("LD_PRELOAD", kit.path("readhook.so"))
            .env("READHOOK_MODE", "log")
            .env("READHOOK_LOG", &log),
    )?;
    let most = String::from_utf8(output.stdout)?;
    ensure!(most == "1\n", "{} descriptors of the log", most.trim());
    // Eight threads, 300 rounds: nothing is lost either.
    let text = fs::read_to_string(&log)?;
    ensure!(words(&text) == ["admin"; 8 * 300], "{}", words(&text).len());
    Ok(())
}

/// A thread that is cancelled when its read has the bytes but is still in the hook, which waits
/// before it logs: once with the log open, once with the log closed by the program.
const CANCELLED: &str = r#"
static struct connection c;
static volatile int returned;

static void *read_once(void *unused) {
    char buffer[8];
    returned = read(c.server, buffer, sizeof buffer);
    for (;;)
        pause();
}

int main(void) {
    for (int closed = 0; closed < 2; closed++) {
        pthread_t thread;
        void *result;
        c = connection();
        returned = -1;
        for (int fd = 500; closed && fd < 600; fd++)
            close(fd);
        assert(write(c.client, "admin", 5) == 5);
        assert(pthread_create(&thread, NULL, read_once, NULL) == 0);
        for (int left = 5; left > 0; ioctl(c.server, FIONREAD, &left))
            usleep(1000);
        usleep(50000); /* out of the system call, into the wait */
        pthread_cancel(thread);
        assert(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
        printf("%d\n", returned);
    }
    return 0;
}
"#;

fn survives_cancelling(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    let program = compile_with_connections(folder.path(), CANCELLED, &["-pthread"])?;
    let output = succeed(
        Command::new(&program)
            .env("LD_PRELOAD", kit.path("readhook.so"))
            .env("READHOOK_MODE", "log")
            .env("READHOOK_LOG", &log)
            .env("READHOOK_DELAY_NS", "300000000"),
    )?;
    let returned = String::from_utf8(output.stdout)?;
    ensure!(returned == "5\n5\n", "{returned}");
    let text = fs::read_to_string(&log)?;
    ensure!(words(&text) == ["admin"; 2], "{text}");
    Ok(())
}

/// Says whether it runs with more privileges than its user has.
const PRIVILEGED: &str = r#"
int main(void) {
    struct connection c = connection();
    pass("admin", c.client, c.server);
    printf("%lu\n", getauxval(AT_SECURE));
    return 0;
}
"#;

fn takes_no_orders(kit: &Kit) -> anyhow::Result<()> {
    const NOBODY: u32 = 65_534;
    let folder = kit.scratch()?;
    let log = folder.path().join("log");
    let hook = kit.path("readhook.so");
    // The dynamic linker drops LD_PRELOAD in such programs, so this one is linked to the hook.
    let hook = hook.to_str().context("UTF-8")?;
    let program =
        compile_with_connections(folder.path(), PRIVILEGED, &["-Wl,--no-as-needed", hook])?;
    let run = || {
        succeed(
            Command::new(&program)
                .env("READHOOK_MODE", "log")
                .env("READHOOK_LOG", &log),
        )
    };
    // As an ordinary program first: the hook must be in it at all.
    ensure!(run()?.stdout == b"0\n");
    ensure!(words(&fs::read_to_string(&log)?) == ["admin"]);
    fs::remove_file(&log)?;

    std::os::unix::fs::chown(&program, Some(NOBODY), None)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let output = run()?;
    ensure!(output.stdout == b"1\n", "set-uid has no effect here");
    ensure!(output.stderr.is_empty());
    ensure!(!log.exists(), "made {}", log.display());
    Ok(())
}

/// Cargo gives the libc crate other features, and with them other libraries to link, depending on
/// what is built along with the hook.
fn links_to_libc(kit: &Kit) -> anyhow::Result<()> {
    let hook = kit.path("readhook.so");
    let dynamic = succeed(Command::new("readelf").arg("-dW").arg(&hook))?;
    let dynamic = String::from_utf8(dynamic.stdout)?;
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    ensure!(needed == ["libc.so.6"], "{needed:?}");

    let symbols = succeed(
        Command::new("readelf")
            .args(["-W", "--dyn-syms"])
            .arg(&hook),
    )?;
    let symbols = String::from_utf8(symbols.stdout)?;
    // 2.17 is the oldest glibc on all machines; dlsym is bound to that of the machine that built it.
    let too_new: Vec<&str> = symbols
        .lines()
        .filter_map(|line| line.split_once("@GLIBC_2."))
        .filter(|(line, version)| {
            let minor = version.split([' ', '.']).next().unwrap_or_default();
            minor.parse().is_ok_and(|minor: u32| minor > 17) && !line.ends_with(" dlsym")
        })
        .map(|(line, _)| line)
        .collect();
    ensure!(symbols.contains("@GLIBC_2."), "{symbols}");
    ensure!(too_new.is_empty(), "{too_new:?}");
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
        ensure!(start.elapsed() >= least, "{:?}", start.elapsed());
    }
    ensure!(is_alive(server.pid()), "the server ended");
    Ok(())
}
