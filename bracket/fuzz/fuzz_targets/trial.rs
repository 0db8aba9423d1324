//! What front and the agent read of a trial: its text, salts in requests, records in shared memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bracket_fuzz::check(input));
