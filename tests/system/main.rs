//! offloadd's package on a laptop, and the desktop that it watches: two machines of their own, each
//! under its own systemd.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod builds;
mod desk;
mod follows;
mod helper;
mod installed;
mod journal;
mod killed;
mod readme;
mod recovers;
mod rights;
mod steers;
