//! The probe sites, in front of a hook that may have none: see [`preload::site`].
#![allow(
    unsafe_code,
    reason = "the sites are assembly, and their semaphores are written by the kernel"
)]

preload::sites!(true);
