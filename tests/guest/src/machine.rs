//! The parts of being an init that take system calls without a safe wrapper.
#![allow(
    unsafe_code,
    reason = "ioctl on a socket, and a byte to an I/O port of the machine"
)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// Port of QEMU's `isa-debug-exit`, as `xtask` configures it.
#[cfg(target_arch = "x86_64")]
const EXIT_PORT: u16 = 0xf4;

/// Brings the interface `lo` up; a kernel starts with it down.
pub fn raise_loopback() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: the socket is open and the request complete.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw mut request,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends the machine. Where there is `isa-debug-exit`, QEMU exits with twice the value written plus one,
/// so 16 becomes 33. Elsewhere the code is what was printed, and the machine is switched off.
pub fn end(code: u8) -> ! {
    // What was printed must be out before the machine is gone.
    let _ = rustix::termios::tcdrain(rustix::stdio::stdout());
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: as root this process may use the port, which nothing else does.
        let allowed = unsafe { libc::ioperm(EXIT_PORT.into(), 4, 1) };
        if allowed == 0 {
            let value = 16 + u32::from(code);
            // SAFETY: writing to this port ends the machine.
            unsafe {
                std::arch::asm!("out dx, eax", in("dx") EXIT_PORT, in("eax") value, options(nomem, nostack));
            }
        }
    }
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    std::process::exit(code.into())
}
