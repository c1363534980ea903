//! The life of the daemon on its machine: how it starts, says what it sees, is asked, reloads and ends.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod abuse;
mod catalog;
mod embedded;
mod flag;
mod foreign_text;
mod interface;
mod journal;
mod many;
mod network;
mod nix_files;
mod policy;
mod polkit;
mod programs;
mod redirects;
mod refusals;
mod reload;
mod start;
mod stop;
mod stuck;
mod top;
mod widget;
