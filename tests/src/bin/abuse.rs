//! How the daemon weathers what ordinary users can do to it over the bus: storms at full strength, on dbus-daemon and
//! on dbus-broker.
//!
//! `abuse [SECONDS]`: how long each storm lasts, ten where it is not said. `OFFLOAD_TESTS_BIN_DIR` holds the
//! release binary. It needs root, to be several users.

use std::{process::ExitCode, time::Duration};

use offload_tests::{
    Result,
    abuse::{Desk, storms},
    bus::Flavour,
    error::Context,
};

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    match weather(Duration::from_secs(seconds.unwrap_or(10))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn weather(duration: Duration) -> Result<()> {
    rlimit()?;
    for flavour in [Flavour::Daemon, Flavour::Broker] {
        let desk = Desk::start(flavour).await?;
        for (name, floods) in storms::all(&desk, duration, 1)? {
            println!("{flavour:?}: {name}:\n    {}", desk.weather(floods).await?);
        }
    }
    Ok(())
}

/// A thousand connections have two ends.
fn rlimit() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("the limit of open files")
}
