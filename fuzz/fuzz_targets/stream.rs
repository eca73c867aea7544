//! See tests/fuzz/src/stream.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(callboard_fuzz::stream(data)));
