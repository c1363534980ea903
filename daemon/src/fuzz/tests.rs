//! The inputs that are kept, once more.

use std::{fs, path::PathBuf};

use allocation_counter::measure;
use rustix::time::{ClockId, clock_gettime};

use super::*;

/// The processor time, in seconds, that one input may take without optimisation: most take a thousandth of it.
const SECONDS: i64 = 10;
/// To so many bytes an input is repeated: what takes more than proportional time takes minutes then.
const LONG: usize = 64 << 10;

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus"))
}

/// Runs a target with every input that is kept for it, and with each of them many times over.
fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(corpus().join(name)).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let long = input.repeat((LONG.min(target.most) / input.len().max(1)).max(1));
        for bytes in [input, long] {
            let before = clock_gettime(ClockId::ThreadCPUTime);
            let taken = measure(|| (target.run)(&bytes));
            let after = clock_gettime(ClockId::ThreadCPUTime);
            let (path, length) = (path.display(), bytes.len());
            let allowed = target.memory(length);
            assert!(
                taken.bytes_max <= allowed,
                "{path}: {taken:?} for {length} bytes"
            );
            assert!(
                after.tv_sec - before.tv_sec <= SECONDS,
                "{path}: {length} bytes"
            );
        }
        count += 1;
    }
    assert!(count > 0, "nothing is kept for {name}");
}

macro_rules! each {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_has_a_program_and_a_test() {
            let named: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!([$(stringify!($name)),*].as_slice(), named);
            let programs = fs::read_dir(corpus().with_file_name("fuzz_targets")).unwrap();
            let programs = programs.map(|entry| entry.unwrap().path());
            let mut programs: Vec<_> = programs
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            programs.sort();
            let mut sorted = named;
            sorted.sort_unstable();
            assert_eq!(programs, sorted);
        }
    };
}

each!(
    cache_info http narinfo redirect
    banner nix_protocol remote_system
    helper
    mdns netlink proc
    config_toml disk_cache known_hosts machines netrc nix_conf snapshot ssh_config ssh_keys ssh_options store_uri
);
