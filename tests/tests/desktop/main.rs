//! The laptop and the test desktop, made of real parts, through all that happens to them.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod black_hole;
mod blameless;
mod calls;
mod changes;
mod discover;
mod doctor;
mod explain;
mod faults;
mod fetch;
mod gateway;
mod half_open;
mod identity;
mod impostor;
mod loaded;
mod login;
mod many;
mod moves;
mod negative;
mod nix;
mod off;
mod quiet;
mod ready;
mod restart;
mod schema;
mod signature;
mod steer;
mod stops;
mod tls;
mod undeclared;
mod wake;
mod witness;
