//! What a panic of a program does.

use std::panic;
use std::process;

/// From here on a panic is said, and ends the whole process, in whichever thread it is: half of a program must not go
/// on measuring. Libraries and tests are built to unwind, and the programs with the same libraries.
pub fn ends_the_process() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |of| {
        say(of);
        process::abort();
    }));
}
