//! The faults that real parts do not have: the fakes have them, and the daemon has a word for each.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod deep;
mod fakes;
mod nix;
mod signature;
