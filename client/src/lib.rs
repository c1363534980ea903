//! What `offloadd` publishes on the system bus, for programs and for people.
//!
//! A widget needs three lines:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use futures_util::StreamExt;
//!
//! let connection = offload_client::connect::find_bus(None).await?;
//! let mut updates = offload_client::watch::watch(&connection);
//! while let Some(snapshot) = updates.next().await {
//!     println!("{}", snapshot.map_or("no daemon".into(), |s| s.state.to_string()));
//! }
//! # Ok(()) }
//! ```
//!
//! - [`words`]: the closed vocabularies of the bus: states, stages, reasons, warnings.
//! - [`reasons`] and [`warnings`]: what each code means and how to mend it, in plain words.
//! - [`snapshot`]: everything the daemon knows at one moment; the JSON of `Describe()`.
//! - [`Printable`]: text from outside, safe wherever it is shown.
//! - [`names`]: bus name, object paths and how a target's name becomes a path.
//! - [`connect`] and [`embedded`]: which bus the daemon is on.
//! - [`read`] and [`watch`](mod@watch): the snapshot once, and whenever it changes.
//! - [`proxy`], [`wire`] and [`errors`]: the interfaces one by one, as they stand on the bus.
//! - [`job`] and [`test_build`]: a test build followed, and what the last one came to.
//! - [`explain`]: where Nix would send a build.
//! - [`page`]: the status page for people.
//! - [`language`]: what it and the words are said in.

#[cfg(feature = "cli")]
pub mod cli;
pub mod connect;
pub mod embedded;
pub mod errors;
pub mod explain;
pub mod job;
pub mod language;
pub mod names;
pub mod page;
mod printable;
pub mod proxy;
pub mod read;
pub mod reasons;
pub mod snapshot;
mod template;
pub mod test_build;
pub mod warnings;
mod warnings_drift;
pub mod watch;
pub mod wire;
pub mod words;

pub use printable::Printable;
pub use snapshot::Snapshot;
pub use words::{JobState, Kind, OverallState, Reason, Stage, TargetState, WarningCode};
