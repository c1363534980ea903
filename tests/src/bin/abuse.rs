//! How the daemon weathers what ordinary users can do to it over the bus: storms at full strength, on dbus-daemon and
//! on dbus-broker; and how a service that does nothing weathers them, which is what the bus alone takes.
//!
//! `abuse [SECONDS [WORD]]`: how long each storm lasts, ten where it is not said, and a word of the names of those
//! that are meant, all where it is not said. `OFFLOAD_TESTS_BIN_DIR` holds the release binary. It needs root, to be
//! several users.

use std::{process::ExitCode, time::Duration};

use offload_client::names::BUS_NAME;
use offload_tests::{
    Result,
    abuse::{Desk, Honest, control::CONTROL, storms},
    bus::Flavour,
    error::Context,
};

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let word = std::env::args().nth(2).unwrap_or_default();
    match weather(Duration::from_secs(seconds.unwrap_or(10)), &word) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn weather(duration: Duration, word: &str) -> Result<()> {
    rlimit()?;
    for flavour in [Flavour::Daemon, Flavour::Broker] {
        let desk = Desk::start(flavour).await?;
        let storms = storms::all(&desk, BUS_NAME, duration, 1)?;
        let others = storms::all(&desk, CONTROL, duration, 1)?;
        for ((name, floods), (_, others)) in storms.into_iter().zip(others) {
            let name = format!("{flavour:?}: {name}");
            if name.contains(word) {
                println!("{name}:\n    {}", desk.weather(floods).await?);
                let Honest { control, bus, .. } = desk.weather(others).await?.honest;
                println!(
                    "    the same against a service that does nothing:\n        it: {control}\n        the bus itself: {bus}"
                );
            }
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
