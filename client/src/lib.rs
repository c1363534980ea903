//! What `offloadd` publishes on the system bus, for programs and for people.
//!
//! A widget needs three lines:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::StreamExt;
//!
//! let mut updates = offload_client::Client::connect().await?.watch();
//! while let Some(snapshot) = updates.next().await {
//!     println!("{}", snapshot.map_or("no daemon".into(), |s| s.state.to_string()));
//! }
//! # Ok(()) }
//! ```
//!
//! The feature `cli` is on by default, because `cargo run --bin offloadctl` and whoever packages this would have to name it
//! otherwise. A program goes without: `default-features = false`.
//!
//! - [`Client`]: the daemon: its snapshot once and whenever it changes, and what may be asked of it.
//! - [`words`]: the closed vocabularies of the bus: states, stages, reasons, warnings.
//! - [`reasons`] and [`warnings`]: what each code means and how to mend it, in plain words.
//! - [`snapshot`]: everything the daemon knows at one moment; the JSON of `Describe()`.
//! - [`Printable`]: text from outside, safe wherever it is shown.
//! - [`names`]: bus name, object paths and how a target's name becomes a path.
//! - [`Bus`] and [`embedded`]: which bus the daemon is on.
//! - [`proxy`], [`wire`] and [`errors`]: the interfaces one by one, as they stand on the bus.
//! - [`job`] and [`test_build`]: a test build that is followed, and what the last one came to.
//! - [`explain`]: where Nix would send a build.
//! - [`page`]: the status page for people.
//! - [`language`]: what it and the words are said in.

#[cfg(test)]
mod api;
mod cause;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
mod connect;
pub mod embedded;
pub mod errors;
pub mod explain;
pub mod job;
pub mod language;
pub mod names;
pub mod page;
mod printable;
pub mod proxy;
pub mod reasons;
pub mod snapshot;
mod template;
pub mod test_build;
pub mod warnings;
mod warnings_drift;
pub mod wire;
pub mod words;

pub use cause::{Cause, Words};
pub use client::{Client, ClientError, Waking, Woken};
pub use connect::{Bus, NoDaemon, NotABus, Tried};
pub use printable::Printable;
pub use snapshot::Snapshot;
pub use words::{JobState, Kind, OverallState, Reason, Stage, TargetState, WarningCode};
