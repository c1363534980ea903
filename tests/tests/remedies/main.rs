//! Each remedy, followed to the letter, mends its cause: on a laptop and a desktop under systemd, with OpenSSH, nginx and Nix.
//!
//! A row spoils something, finds its reason and the words of its remedy on the page, does what they say, and finds the
//! target ready; Nix itself is asked before and after. The table of them is printed.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod builder;
mod cache;
mod laptop;
mod login;
mod machines;
mod row;
