#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| offload_fuzz::run("helper", bytes));
