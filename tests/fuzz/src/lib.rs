//! Runs a target of `offloadd::fuzz` within the memory that it may take.

use allocation_counter::measure;
use offloadd::fuzz;

/// Runs the target called `name`.
pub fn run(name: &str, bytes: &[u8]) {
    let Some(target) = fuzz::TARGETS.iter().find(|target| target.name == name) else {
        panic!("there is no target {name}");
    };
    if bytes.len() <= target.most {
        let taken = measure(|| (target.run)(bytes));
        let allowed = target.memory(bytes.len());
        assert!(taken.bytes_max <= allowed, "{taken:?} for {} bytes", bytes.len());
    }
}
