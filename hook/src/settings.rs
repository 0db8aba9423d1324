//! The environment variables, read once while the program loads.
//!
//! | variable | meaning |
//! |---|---|
//! | `READHOOK_MODE` | the rung: `off`, `passthrough`, `lookup`, `scan` (default) or `log` |
//! | `READHOOK_KEYWORDS` | a file with one word a line, instead of the paper's 200 |
//! | `READHOOK_LOG` | where `log` appends |
//! | `READHOOK_FUNCTIONS` | which functions are hooked, with commas between: `read` (default), `recv`, `recvfrom`, `recvmsg`, `readv` |
//! | `READHOOK_SCANNER` | `auto` (default): by vector instructions where the processor has them; `portable`: without |
//! | `READHOOK_DELAY_NS` | busy-wait after each read of a connection, at most one minute |
//!
//! Nonsense in any of them is one line on stderr, and the hook passes everything through. So it does,
//! without a word, in set-uid programs and their like (`AT_SECURE`), whatever the variables say: the
//! hook gets there by `/etc/ld.so.preload` or by being linked to.

use core::ffi::CStr;
use core::fmt::{self, Write as _};

use preload::environment::{is_privileged, say, variable};
use preload::line::Line;
use preload::next;
use preload::site::Function;

use crate::rung::{self, Rung};
use crate::scan::{Filter, Problem};
use crate::words::LoadError;
use crate::{match_log, words};

/// The longest delay that `READHOOK_DELAY_NS` may ask for.
const MAX_DELAY_NS: u64 = 60_000_000_000;

/// Why a variable was refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Mode,
    Functions,
    Scanner,
    Delay,
    Keywords(LoadError),
    LogMissing,
    LogUnwritable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode => {
                f.write_str("READHOOK_MODE must be off, passthrough, lookup, scan or log")
            }
            Self::Functions => f.write_str(
                "READHOOK_FUNCTIONS must name some of read, recv, recvfrom, recvmsg and readv, with commas between",
            ),
            Self::Scanner => f.write_str("READHOOK_SCANNER must be auto or portable"),
            Self::Delay => write!(
                f,
                "READHOOK_DELAY_NS must be a whole number from 0 to {MAX_DELAY_NS}"
            ),
            Self::Keywords(LoadError::Unreadable(errno)) => {
                write!(f, "READHOOK_KEYWORDS cannot be read (errno {errno})")
            }
            Self::Keywords(LoadError::TooLong) => {
                f.write_str("READHOOK_KEYWORDS is longer than 64 KiB")
            }
            Self::Keywords(LoadError::Words(Problem::Empty)) => {
                f.write_str("READHOOK_KEYWORDS holds no word")
            }
            Self::Keywords(LoadError::Words(Problem::TooManyWords)) => {
                f.write_str("READHOOK_KEYWORDS holds more than 4096 words")
            }
            Self::Keywords(LoadError::Words(Problem::WordTooLong { line })) => {
                write!(f, "READHOOK_KEYWORDS line {line} is longer than 255 bytes")
            }
            Self::LogMissing => f.write_str("READHOOK_MODE=log needs READHOOK_LOG to name a file"),
            Self::LogUnwritable => f.write_str("READHOOK_LOG cannot be opened for appending"),
        }
    }
}

/// A set of functions, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Functions(u8);

impl Functions {
    const NONE: Self = Self(0);
    const READ: Self = Self::NONE.with(Function::Read);

    const fn with(self, function: Function) -> Self {
        Self(self.0 | 1 << function as u8)
    }

    const fn contains(self, function: Function) -> bool {
        self.0 >> function as u8 & 1 != 0
    }
}

/// What the variables ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chosen {
    rung: Rung,
    functions: Functions,
    delay_ns: u64,
}

impl Chosen {
    const NOTHING: Self = Self {
        rung: Rung::Off,
        functions: Functions::NONE,
        delay_ns: 0,
    };
}

/// Reads the variables and puts the hook to work. Called from the constructor.
pub fn apply() {
    resolve();
    match chosen(is_privileged(), variable) {
        Ok(Chosen {
            rung,
            functions,
            delay_ns,
        }) => rung::install(rung, |function| functions.contains(function), delay_ns),
        Err(refusal) => {
            let mut line = Line::new();
            let _ = writeln!(
                line,
                "readhook: {refusal}; the hook passes everything through"
            );
            say(&line);
            rung::install(Rung::Off, |_| false, 0);
        }
    }
}

/// What the variables ask for. In a program that runs with more privileges than its user has, nothing:
/// the variables are the user's, and would make it read and append to files that are not.
fn chosen(
    is_privileged: bool,
    variable: impl Fn(&CStr) -> Option<&'static CStr>,
) -> Result<Chosen, Refusal> {
    if is_privileged {
        return Ok(Chosen::NOTHING);
    }
    let rung = match variable(c"READHOOK_MODE") {
        None => Rung::Scan,
        Some(name) => parse_rung(name.to_bytes()).ok_or(Refusal::Mode)?,
    };
    let functions = match variable(c"READHOOK_FUNCTIONS") {
        None => Functions::READ,
        Some(names) => parse_functions(names.to_bytes()).ok_or(Refusal::Functions)?,
    };
    match variable(c"READHOOK_SCANNER").map(CStr::to_bytes) {
        None | Some(b"auto") => Filter::fastest().put_in_use(),
        Some(b"portable") => {}
        Some(_) => return Err(Refusal::Scanner),
    }
    let delay_ns = match variable(c"READHOOK_DELAY_NS") {
        None => 0,
        Some(number) => parse_delay(number.to_bytes()).ok_or(Refusal::Delay)?,
    };
    if let Some(path) = variable(c"READHOOK_KEYWORDS") {
        words::load(path).map_err(Refusal::Keywords)?;
    }
    if rung == Rung::Log {
        let path = variable(c"READHOOK_LOG").ok_or(Refusal::LogMissing)?;
        if !match_log::open(path) {
            return Err(Refusal::LogUnwritable);
        }
    }
    Ok(Chosen {
        rung,
        functions,
        delay_ns,
    })
}

/// Looks up all that the hook stands in front of.
fn resolve() {
    next::READ.get();
    next::RECV.get();
    next::RECVFROM.get();
    next::RECVMSG.get();
    next::READV.get();
    next::CLOSE.get();
    next::ACCEPT.get();
    next::ACCEPT4.get();
}

fn parse_rung(name: &[u8]) -> Option<Rung> {
    match name {
        b"off" => Some(Rung::Off),
        b"passthrough" => Some(Rung::Passthrough),
        b"lookup" => Some(Rung::Lookup),
        b"scan" => Some(Rung::Scan),
        b"log" => Some(Rung::Log),
        _ => None,
    }
}

fn parse_functions(names: &[u8]) -> Option<Functions> {
    names
        .split(|byte| *byte == b',')
        .try_fold(Functions::NONE, |functions, name| {
            let function = match name {
                b"read" => Function::Read,
                b"recv" => Function::Recv,
                b"recvfrom" => Function::RecvFrom,
                b"recvmsg" => Function::RecvMsg,
                b"readv" => Function::ReadV,
                _ => return None,
            };
            Some(functions.with(function))
        })
}

fn parse_delay(number: &[u8]) -> Option<u64> {
    let number: u64 = str::from_utf8(number).ok()?.parse().ok()?;
    (number <= MAX_DELAY_NS).then_some(number)
}

#[cfg(test)]
mod tests;
