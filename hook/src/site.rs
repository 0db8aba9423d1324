//! The hook's probe sites: see [`preload::site`].
#![allow(
    unsafe_code,
    reason = "the sites are assembly, and their semaphores are written by the kernel"
)]

preload::sites!(!cfg!(feature = "without-sites"));

#[cfg(test)]
mod tests {
    use preload::site::Function;

    use super::*;

    #[test]
    fn a_site_nobody_watches_returns_at_once() {
        assert!(!READ_DONE.is_watched() && !ACCEPTED.is_watched() && !CLOSED.is_watched());
        read_done(CallWord::new(Function::Read, 1, None), 0, 0, 0, 0, 1);
        accepted(
            1,
            1,
            Peer {
                family: 2,
                port: 80,
            },
            0,
        );
        closed(1, 1);
    }
}
