//! `offload-helper`: opens for offloadd what only root may read.

use std::process::ExitCode;

fn main() -> ExitCode {
    offloadd::privileged::run()
}
