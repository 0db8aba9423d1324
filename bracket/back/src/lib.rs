//! `back.so`: stands behind a hook and calls the C library.
//!
//! Where front has a call under way in the same thread for the same descriptor, it notes that the hook has come this
//! far, and when. Without front it passes everything on. What `preload` says of preloaded libraries holds here.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "the test program is not preloaded, so nothing enters"
    )
)]

preload::library!();

mod entry;
mod storage;
