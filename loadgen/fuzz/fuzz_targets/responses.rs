//! The reader of responses against itself, in pieces, and against a plain decoder of whole responses.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| loadgen_fuzz::check(input));
