//! The two cores together: checks and searches are answered by the test.

mod plays;
mod properties;
pub(crate) mod targets;
mod wakes;
mod world;
