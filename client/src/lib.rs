//! What `offloadd` publishes on the system bus, for programs and for people.
//!
//! - [`words`]: the closed vocabularies of the bus: states, stages, reasons, warnings.
//! - [`reasons`] and [`warnings`]: what each code means and how to mend it, in plain words.
//! - [`snapshot`]: everything the daemon knows at one moment; the JSON of `Describe()`.
//! - [`names`]: bus name, object paths and how a target's name becomes a path.

pub mod names;
pub mod reasons;
pub mod snapshot;
pub mod warnings;
pub mod words;

pub use snapshot::Snapshot;
pub use words::{Kind, OverallState, Reason, Stage, TargetState, WarningCode};
