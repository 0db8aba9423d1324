//! The symbols by which connections come and go: `accept`, `accept4` and `close`.

/// Defines them for a library with probe sites, which are in its module `site`. `is_at_work` says whether connections are to be marked,
/// and `also` is what is done with one that was, before it is reported.
#[macro_export]
macro_rules! connections {
    (site: $site:ident, is_at_work: $is_at_work:expr, also: |$fd:ident| $also:block) => {
        /// `close(2)`.
        ///
        /// # Safety
        /// As the C library's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn close(fd: ::core::ffi::c_int) -> ::core::ffi::c_int {
            if $crate::marks::get(fd) != 0 {
                forget(fd);
            }
            // SAFETY: the caller's argument, passed on.
            unsafe { $crate::next::CLOSE.get()(fd) }
        }

        /// `accept(2)`.
        ///
        /// # Safety
        /// As the C library's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn accept(
            fd: ::core::ffi::c_int,
            address: *mut $crate::libc::sockaddr,
            length: *mut $crate::libc::socklen_t,
        ) -> ::core::ffi::c_int {
            // SAFETY: the caller's arguments, passed on.
            let accepted = unsafe { $crate::next::ACCEPT.get()(fd, address, length) };
            mark(accepted);
            accepted
        }

        /// `accept4(2)`.
        ///
        /// # Safety
        /// As the C library's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn accept4(
            fd: ::core::ffi::c_int,
            address: *mut $crate::libc::sockaddr,
            length: *mut $crate::libc::socklen_t,
            flags: ::core::ffi::c_int,
        ) -> ::core::ffi::c_int {
            // SAFETY: the caller's arguments, passed on.
            let accepted = unsafe { $crate::next::ACCEPT4.get()(fd, address, length, flags) };
            mark(accepted);
            accepted
        }

        /// Clears the mark of a connection that is about to be closed. Out of line, so that the close of
        /// anything else saves no registers for it.
        #[cold]
        #[inline(never)]
        fn forget(fd: ::core::ffi::c_int) {
            if let Some(connection) = $crate::marks::forget(fd)
                && $site::CLOSED.is_watched()
            {
                $site::closed(fd, connection);
            }
        }

        /// Marks an accepted descriptor if it is an internet connection.
        fn mark(fd: ::core::ffi::c_int) {
            if !$is_at_work {
                return;
            }
            $crate::marks::accept(fd, |connection| {
                let $fd = fd;
                $also
                if $site::ACCEPTED.is_watched() {
                    let peer = $crate::connection::peer_of(fd);
                    $site::accepted(fd, connection, peer, $crate::clock::monotonic_ns());
                }
            });
        }
    };
}
