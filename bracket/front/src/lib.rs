//! `front.so`: stands before a hook, and decides call by call whether it runs.
//!
//! It marks accepted connections as the hook does, and knows the place of each call in their streams. In a trial
//! ([`abi::trial`]) that tells the arm of the call: by a table of targets it goes to the hook or straight to back, which stands
//! behind the hook. Calls are counted, and recorded while somebody wants them to be. Without a trial all calls go to the hook;
//! those of connections are timed around it while a tracer watches the sites, so a hook needs none of its own.
//!
//! What `preload` says of preloaded libraries holds here, and so do the limits of our hook.
//!
//! One idea a module: [`entry`] holds the interposed symbols, [`call`] what is done on a call, [`stream`] which request it
//! belongs to, [`salt`] how a connection's salt is found, [`plan`] what was decided when the library was loaded, [`memory`]
//! where calls are counted and recorded, [`settings`] the environment variables.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "the test program is not preloaded, so nothing enters"
    )
)]

preload::library!();

mod call;
mod entry;
mod memory;
mod plan;
mod salt;
mod settings;
mod site;
mod stream;
