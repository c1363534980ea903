//! Proxies of the daemon's interfaces, for programs.
//!
//! `dbus/*.xml` is the interface; a test holds these against it. Words are plain strings here, as
//! on the bus: [`crate::words`] reads them, [`Printable`] makes text of others safe to show, and [`crate::Client::snapshot`] reads everything at once.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, proxy};

use crate::{Printable, errors::BusError};

/// A warning as it stands on the bus: code, the target's object path or nothing, particulars.
pub type RawWarning = (String, String, HashMap<String, OwnedVariant>);

/// A line of history as it stands on the bus: time, state, reason, latency (both microseconds).
pub type RawHistoryEntry = (u64, String, String, u64);

/// The overall verdict.
#[proxy(
    interface = "org.offloadd.Offload1.Manager",
    default_service = "org.offloadd.Offload1",
    default_path = "/org/offloadd/Offload1"
)]
pub trait Manager {
    /// Checks every target now; answers with the state when the round is over.
    fn check(&self) -> Result<String, BusError>;

    /// Stops all checks for so many microseconds; 0: until [`Self::resume`]. May ask for a password.
    #[zbus(allow_interactive_auth)]
    fn pause(&self, usec: u64) -> Result<(), BusError>;

    /// Ends a pause. May ask for a password.
    #[zbus(allow_interactive_auth)]
    fn resume(&self) -> Result<(), BusError>;

    /// Looks for every target that is at none of its addresses; answers with the objects of those
    /// that were found, which may take half a minute. May ask for a password.
    #[zbus(allow_interactive_auth)]
    fn discover(&self) -> Result<Vec<OwnedObjectPath>, BusError>;

    /// The object of the target of that kind (`cache` or `builder`) and name.
    fn get_target(&self, kind: &str, name: &str) -> Result<OwnedObjectPath, BusError>;

    /// Where Nix would send a build for `system` that asks for `features`, as the JSON of
    /// [`crate::explain::Explanation`]. Option: `prefer-local-build` (`b`).
    fn explain(
        &self,
        system: &str,
        features: &[&str],
        options: HashMap<String, OwnedVariant>,
    ) -> Result<String, BusError>;

    /// The whole [`crate::Snapshot`] as JSON.
    fn describe(&self) -> Result<String, BusError>;

    /// The state went from one word to another. (Under its own name it would collide with the
    /// stream of the property's changes.)
    #[zbus(signal, name = "StateChanged")]
    fn overall_state_changed(&self, old: &str, new: &str, reason: &str) -> zbus::Result<()>;

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// The verdict over all targets.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Why it is not ready.
    #[zbus(property)]
    fn reason(&self) -> zbus::Result<String>;

    /// The verdict over all builders.
    #[zbus(property)]
    fn builder_state(&self) -> zbus::Result<String>;

    /// The verdict over all caches.
    #[zbus(property)]
    fn cache_state(&self) -> zbus::Result<String>;

    /// When the state last changed: microseconds of `CLOCK_REALTIME`.
    #[zbus(property)]
    fn state_change_timestamp(&self) -> zbus::Result<u64>;

    /// The same, of `CLOCK_MONOTONIC`.
    #[zbus(property)]
    fn state_change_timestamp_monotonic(&self) -> zbus::Result<u64>;

    /// The targets' objects, in the order in which Nix would try them.
    #[zbus(property)]
    fn targets(&self) -> zbus::Result<Vec<OwnedObjectPath>>;

    /// What is wrong without being a target's state.
    #[zbus(property)]
    fn warnings(&self) -> zbus::Result<Vec<RawWarning>>;

    /// What to mend first: whose vocabulary the code is from (`warning`, `reason`, `state`), the code, the
    /// target's object path or `""`; all empty where nothing is wrong.
    #[zbus(property)]
    fn root_cause(&self) -> zbus::Result<(String, String, String)>;
}

/// What a cache and a builder have in common.
#[proxy(
    interface = "org.offloadd.Offload1.Target",
    default_service = "org.offloadd.Offload1"
)]
pub trait Target {
    /// Checks this target now; answers with its state.
    fn check(&self) -> Result<String, BusError>;

    /// Sends the desktop that it is on a magic packet: `waking`, `awake` or `not-wanted`, and for how many microseconds
    /// whoever would use it is to wait. May ask for a password.
    #[zbus(allow_interactive_auth)]
    fn wake(&self, options: HashMap<&str, OwnedVariant>) -> Result<(String, u64), BusError>;

    /// The last changes, newest first, at most `max`.
    fn get_history(&self, max: u32) -> Result<Vec<RawHistoryEntry>, BusError>;

    /// Its name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;

    /// `cache` or `builder`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::Result<String>;

    /// What Nix is configured with.
    #[zbus(property(emits_changed_signal = "const"))]
    fn uri(&self) -> zbus::Result<String>;

    /// `host:port` where it answered last, or was last looked for.
    #[zbus(property)]
    fn address(&self) -> zbus::Result<String>;

    /// The verdict.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Why it is not ready.
    #[zbus(property)]
    fn reason(&self) -> zbus::Result<String>;

    /// The stage that failed, or the last one that passed.
    #[zbus(property)]
    fn stage(&self) -> zbus::Result<String>;

    /// When the state last changed: microseconds of `CLOCK_REALTIME`.
    #[zbus(property)]
    fn state_change_timestamp(&self) -> zbus::Result<u64>;

    /// The same, of `CLOCK_MONOTONIC`.
    #[zbus(property)]
    fn state_change_timestamp_monotonic(&self) -> zbus::Result<u64>;

    /// Whether its machine has been sent a magic packet and is given time to come up.
    #[zbus(property)]
    fn waking(&self) -> zbus::Result<bool>;

    /// When the last check ended.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_check_timestamp(&self) -> zbus::Result<u64>;

    /// When a check last passed.
    #[zbus(property(emits_changed_signal = "false"))]
    fn last_success_timestamp(&self) -> zbus::Result<u64>;

    /// When the next check is due; 0 when none is.
    #[zbus(property(emits_changed_signal = "false"))]
    fn next_check_timestamp(&self) -> zbus::Result<u64>;

    /// How long the last passed check took, in microseconds.
    #[zbus(property(emits_changed_signal = "false"), name = "LatencyUSec")]
    fn latency_usec(&self) -> zbus::Result<u64>;

    /// Checks that failed in a row.
    #[zbus(property(emits_changed_signal = "false"))]
    fn consecutive_failures(&self) -> zbus::Result<u32>;

    /// What else is worth knowing; [`crate::wire::details`] reads it.
    #[zbus(property(emits_changed_signal = "false"))]
    fn details(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;
}

/// What only a cache has.
#[proxy(
    interface = "org.offloadd.Offload1.Cache",
    default_service = "org.offloadd.Offload1"
)]
pub trait Cache {
    /// The store directory it serves.
    #[zbus(property)]
    fn store_dir(&self) -> zbus::Result<String>;

    /// Whether Nix may ask it for many paths at once.
    #[zbus(property)]
    fn want_mass_query(&self) -> zbus::Result<bool>;

    /// Lower is asked first.
    #[zbus(property)]
    fn priority(&self) -> zbus::Result<u32>;

    /// The key that signs what it serves.
    #[zbus(property)]
    fn signing_key(&self) -> zbus::Result<String>;

    /// Has Nix ask it again for what it lacked: how many paths. May ask for a password.
    #[zbus(allow_interactive_auth)]
    fn forget_misses(&self) -> Result<u64, BusError>;
}

/// What only a builder has.
#[proxy(
    interface = "org.offloadd.Offload1.Builder",
    default_service = "org.offloadd.Offload1"
)]
pub trait Builder {
    /// `ssh` or `ssh-ng`.
    #[zbus(property)]
    fn protocol(&self) -> zbus::Result<String>;

    /// The systems it builds for.
    #[zbus(property)]
    fn systems(&self) -> zbus::Result<Vec<String>>;

    /// The features it offers.
    #[zbus(property)]
    fn features(&self) -> zbus::Result<Vec<String>>;

    /// How many builds Nix hands it at once.
    #[zbus(property)]
    fn max_jobs(&self) -> zbus::Result<u32>;

    /// Nix prefers the faster of two.
    #[zbus(property)]
    fn speed_factor(&self) -> zbus::Result<f64>;

    /// The version of its Nix.
    #[zbus(property)]
    fn nix_version(&self) -> zbus::Result<String>;

    /// Whether its Nix trusts us: `yes`, `no` or `unknown`.
    #[zbus(property)]
    fn trusted(&self) -> zbus::Result<String>;

    /// The host key it proved, as `SHA256:…`.
    #[zbus(property)]
    fn host_key_fingerprint(&self) -> zbus::Result<String>;

    /// Builds a trivial derivation on it; answers with the path of the [`JobProxy`]. May ask for a
    /// password.
    #[zbus(allow_interactive_auth)]
    fn test_build(
        &self,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<OwnedObjectPath, BusError>;
}

/// Something under way that somebody asked for.
#[proxy(
    interface = "org.offloadd.Offload1.Job",
    default_service = "org.offloadd.Offload1"
)]
pub trait Job {
    /// Ends it.
    fn cancel(&self) -> Result<(), BusError>;

    /// What it has printed so far.
    fn get_output(&self) -> Result<Vec<Printable>, BusError>;

    /// It printed a line.
    #[zbus(signal, name = "Output")]
    fn printed(&self, line: &str) -> zbus::Result<()>;

    /// `running`, `succeeded`, `failed` or `cancelled`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Why it failed.
    #[zbus(property)]
    fn reason(&self) -> zbus::Result<String>;

    /// The builder it is for.
    #[zbus(property(emits_changed_signal = "const"), name = "Builder")]
    fn builder_path(&self) -> zbus::Result<OwnedObjectPath>;

    /// When it began: microseconds of `CLOCK_REALTIME`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_timestamp(&self) -> zbus::Result<u64>;

    /// When it ended; 0 while it is running.
    #[zbus(property)]
    fn finish_timestamp(&self) -> zbus::Result<u64>;
}
