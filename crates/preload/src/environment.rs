//! What the environment says while the program loads, and what is said back.
#![allow(
    unsafe_code,
    reason = "getenv and getauxval through libc: there is no std"
)]

use core::ffi::CStr;

use crate::line::Line;
use crate::raw;

/// Whether the program runs with more privileges than its user has. The variables are the user's, and must then have
/// no say.
pub fn is_privileged() -> bool {
    // SAFETY: has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The value of a variable that is set and not empty.
pub fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` is a C string. No other thread changes the environment while libraries load.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returns a C string, which is read before the program can change it.
    let value = unsafe { CStr::from_ptr(value) };
    (!value.is_empty()).then_some(value)
}

/// Says a line on stderr.
pub fn say(line: &Line) {
    raw::write(2, line.as_bytes());
}
