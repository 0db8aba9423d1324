//! At which instruction of the hook's probe site the kernel serves a uprobe best.
#![allow(
    unsafe_code,
    reason = "the kernel is asked by a system call that no library wraps"
)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The body of a site on x86-64, but for the final return: a 1-byte nop, a 10-byte NOP, a 5-byte
/// NOP. The hook's `site` module says why.
const X86_64_BODY: [u8; 16] = [
    0x90, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0f, 0x1f, 0x44, 0x00, 0x00,
];

/// Where in a site to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SiteChoice {
    /// Where this kernel serves it best
    #[default]
    Auto,
    /// Where the USDT note points: a trap, which every kernel and every debugger knows. strace 6.1
    /// crashes on the system call of optimised sites
    Note,
}

impl SiteChoice {
    /// The offset that this choice means here.
    pub fn offset(self) -> SiteOffset {
        match self {
            Self::Auto => ask_kernel(),
            Self::Note => SiteOffset {
                bytes: 0,
                reason: "asked for (--site note)".to_owned(),
            },
        }
    }
}

/// The choice, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteOffset {
    /// Offset from the note's address, in bytes.
    pub bytes: u64,
    /// Why.
    pub reason: String,
}

/// `uprobe(2)` of x86-64, which no header names yet.
const SYS_UPROBE: libc::c_long = 336;

/// Asks the kernel. System call 336 of x86-64 is what optimised uprobes enter the kernel by; called
/// from elsewhere than their trampoline it fails, and how it fails tells the version of the scheme.
fn ask_kernel() -> SiteOffset {
    if !cfg!(target_arch = "x86_64") {
        return SiteOffset {
            bytes: 0,
            reason: "not x86-64: uprobes are traps".to_owned(),
        };
    }
    // SAFETY: called from here the kernel refuses it, and its arguments are no pointers.
    let result = unsafe { libc::syscall(SYS_UPROBE, 0, 0, 0, 0, 0, 0) };
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    if result == 0 {
        return choice(0);
    }
    choice(errno)
}

fn choice(errno: i32) -> SiteOffset {
    let (bytes, reason) = match errno {
        libc::EPROTO => (
            1,
            "uprobe(2) answers EPROTO: the 10-byte NOP becomes a call",
        ),
        libc::ENXIO => (11, "uprobe(2) answers ENXIO: the 5-byte NOP becomes a call"),
        libc::ENOSYS => (
            0,
            "uprobe(2) is not there: every uprobe is a trap, the 1-byte nop the cheapest",
        ),
        _ => (
            0,
            "uprobe(2) gives an answer this version does not know: the 1-byte nop works everywhere",
        ),
    };
    SiteOffset {
        bytes,
        reason: reason.to_owned(),
    }
}

/// The offset to use at one site. A site of another shape is probed where its note points.
pub fn at_site(wanted: &SiteOffset, file: &Path, site: u64) -> u64 {
    let mut body = [0; X86_64_BODY.len()];
    let read = File::open(file).and_then(|file| file.read_exact_at(&mut body, site));
    if read.is_ok() && body == X86_64_BODY {
        wanted.bytes
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_answer_decides() {
        assert_eq!(choice(libc::EPROTO).bytes, 1);
        assert_eq!(choice(libc::ENXIO).bytes, 11);
        assert_eq!(choice(libc::ENOSYS).bytes, 0);
        assert_eq!(choice(libc::EINVAL).bytes, 0);
    }

    #[test]
    fn asking_is_harmless_and_gives_the_same_answer_twice() {
        assert_eq!(ask_kernel(), ask_kernel());
    }

    #[test]
    fn sites_of_another_shape_are_probed_at_their_note() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[0xcc; 4]).unwrap();
        file.write_all(&X86_64_BODY).unwrap();
        file.write_all(&[0xc3]).unwrap();
        let wanted = choice(libc::ENXIO);
        assert_eq!(at_site(&wanted, file.path(), 4), 11);
        assert_eq!(at_site(&wanted, file.path(), 3), 0);
        assert_eq!(at_site(&wanted, file.path(), 12), 0, "over the end");
        assert_eq!(at_site(&wanted, Path::new("/nonexistent"), 0), 0);
    }
}
