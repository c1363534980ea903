//! What an ordinary user does to the daemon over a real bus, and how others fare. `abuse` (a program of this crate)
//! does the same at full strength, and prints how fast.

use std::time::Duration;

use offload_client::names::BUS_NAME;
use offload_tests::{
    abuse::{Desk, storms},
    bus::Flavour,
    skip::is_root,
    supported,
};

/// One user has sixteen connections or so.
const DIVISOR: usize = 16;
const DURATION: Duration = Duration::from_secs(1);
/// What the daemon may take more of while a storm lasts, in KiB, not optimised: it took half a gigabyte.
const MORE: u64 = 32 * 1024;
/// And where calls are longer than any that is meant for it: nothing of them is kept.
const NOTHING: u64 = 4 * 1024;

async fn weather_all(flavour: Flavour) {
    if !is_root("becoming another user") {
        return;
    }
    let Some(desk) = supported(Desk::start(flavour).await) else {
        return;
    };
    for (name, floods) in storms::all(&desk, BUS_NAME, DURATION, DIVISOR).unwrap() {
        let weathered = desk.weather(floods).await.unwrap();
        println!("{flavour:?}: {name}:\n    {weathered}");
        let denied = |error: &str| error.contains("NotAuthorized");
        for flood in &weathered.floods {
            assert!(flood.sent > 0, "{name}: {weathered}");
            let mut errors = flood.errors.keys();
            assert!(!errors.any(|error| denied(error)), "{name}: {weathered}");
        }
        // A bus that is flooded may keep the daemon from asking polkit in time; that denies nobody.
        let mut errors = weathered.honest.checks.refusals.iter();
        assert!(!errors.any(|error| denied(error)), "{name}: {weathered}");
        let next = &weathered.next;
        for fared in [&weathered.honest.reads, &next.reads, &next.checks] {
            assert!(fared.refusals.is_empty(), "{name}: {weathered}");
        }
        let more = if name.contains("8 MB") { NOTHING } else { MORE };
        let most = weathered.before + more;
        assert!(weathered.peak < most, "{name}: {weathered}");
        assert!(weathered.after < most, "{name}: {weathered}");
    }
}

#[tokio::test]
async fn a_storm_on_dbus_daemon_denies_nobody_and_takes_little_memory() {
    weather_all(Flavour::Daemon).await;
}

#[tokio::test]
async fn a_storm_on_dbus_broker_denies_nobody_and_takes_little_memory() {
    weather_all(Flavour::Broker).await;
}
