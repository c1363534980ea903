//! `offloadd` watches the caches and builders this machine's Nix is configured to use, and
//! publishes their health on the bus. ARCHITECTURE.md shows the rooms and the way of the data.

pub mod build;
pub mod bus;
mod check_config;
pub mod cli;
pub mod clock;
pub mod config;
mod credential;
pub mod discover;
pub mod drift;
pub mod exit;
mod explain;
mod file;
pub mod files;
pub mod forget;
#[doc(hidden)]
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod gateway;
pub mod health;
mod helper;
pub mod http;
#[cfg(test)]
mod imports;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod monitor;
pub mod net;
pub mod nix;
mod nonce;
pub mod notify;
pub mod once;
mod page;
pub mod plan;
pub mod privileged;
pub mod probe;
mod program;
pub mod proof;
pub mod reason;
mod reload;
pub mod report;
mod run;
pub mod service;
pub mod state;
pub mod target;
pub mod whereabouts;

pub use check_config::check_config;
pub use run::{Options, RunError, run};
