//! Makes what the tests' containers stand on, so that no test pays for it: `container [trixie|sid]`.

use std::process::ExitCode;

use offload_tests::{
    Error,
    container::{self, Suite},
    error::Context,
};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let suite = match std::env::args().nth(1).as_deref() {
        Some("sid") => Suite::Sid,
        _ => Suite::Trixie,
    };
    let made = runtime
        .context("a runtime")
        .and_then(|runtime| runtime.block_on(container::base(suite)));
    match made {
        Ok(tree) => {
            println!("{}", tree.display());
            ExitCode::SUCCESS
        }
        // The tests that need one say so too.
        Err(Error::Unsupported(why)) => {
            println!("skipped: {why}");
            println!("skipped with it: nix_container, package, system");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("container: {error}");
            ExitCode::FAILURE
        }
    }
}
