//! The scanner against a naive search, with the page behind the haystack unreadable.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hook_fuzz::check(input));
