//! `/init` of the virtual machines that proofs run in: mounts what programs expect, runs the
//! command in `/command` (one argument a line), and ends the machine with its exit code.
//!
//! It is linked statically, so that a machine needs no C library of its own to begin with. QEMU's
//! device `isa-debug-exit` turns what is written to its port into QEMU's exit code; success is 33, as
//! a panic of the kernel would end QEMU with 0.

mod machine;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::thread;

use rustix::mount::{MountFlags, mount};

const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
];

fn main() {
    let code = match run() {
        Ok(code) => code,
        Err(error) => {
            println!("guest: {error}");
            99
        }
    };
    println!("guest: exit code {code}");
    machine::end(code);
}

fn run() -> std::io::Result<u8> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place)?;
        if let Err(error) = mount(kind, place, kind, MountFlags::empty(), None) {
            println!("guest: {kind} is not mounted on {place}: {error}");
        }
    }
    machine::raise_loopback()?;
    let text = fs::read_to_string("/command")?;
    let mut words = text.lines();
    let program = words.next().unwrap_or_default();
    println!("guest: {}", text.lines().collect::<Vec<_>>().join(" "));
    // Pipes, not the console: on a terminal the program would draw progress bars.
    let mut child = Command::new(program)
        .args(words)
        .env("PATH", "/bin")
        .env("RUST_BACKTRACE", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let copiers = [
        child.stdout.take().map(|pipe| copy(pipe, "stdout")),
        child.stderr.take().map(|pipe| copy(pipe, "stderr")),
    ];
    let status = child.wait()?;
    for copier in copiers.into_iter().flatten() {
        let _ = copier.join();
    }
    if let Some(signal) = status.signal() {
        println!("guest: killed by signal {signal}");
    }
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(98))
}

/// Copies lines to the console as they come, each with its stream's name before it: the kernel writes
/// there too.
fn copy(pipe: impl Read + Send + 'static, stream: &'static str) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            println!("{stream}: {}", String::from_utf8_lossy(&line));
        }
    })
}
