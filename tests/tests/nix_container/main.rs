//! The daemon on a laptop, watching a desktop that is another machine with another Nix: ready means
//! that a build would go, each cause has its own word, and a test build proves where it ran.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod builds;
mod causes;
mod desk;
mod fixture;
mod forced;
mod ready;
mod silence;
