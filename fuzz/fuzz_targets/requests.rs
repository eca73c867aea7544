//! See tests/fuzz/src/requests.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| callboard_fuzz::requests(data));
