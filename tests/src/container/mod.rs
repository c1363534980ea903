//! A machine of its own: Debian trixie under systemd, in a network namespace of the test's.

mod base;

pub use base::{base, unsupported};
