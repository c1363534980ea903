//! The test desktop and what is shown with it.
//!
//! The real parts ([`Avahi`], [`Bus`], [`Sshd`], [`Nginx`], [`NixDaemon`], [`container::Desktop`], [`Namespace`],
//! [`Daemon`]) prove that offloadd works with what people run; [`fake`] is for the faults that real
//! parts do not have. Everything is a value whose `Drop` ends its process and removes its files.
//! Nothing here dials anything but 127.0.0.0/8 and the addresses of a [`Namespace`].

pub mod abuse;
pub mod avahi;
pub mod bench;
pub mod bus;
pub mod container;
pub mod daemon;
pub mod desktop;
pub mod dice;
pub mod error;
pub mod fake;
pub mod follower;
pub mod ground;
pub mod keys;
pub mod laptop;
pub mod namespace;
pub mod nginx;
pub mod nix_conf;
pub mod nix_daemon;
pub mod notify;
pub mod outcome;
pub mod package;
pub mod parity;
pub mod practice;
pub mod process;
pub mod prometheus;
pub mod pty;
pub mod relay;
pub mod signals;
pub mod skip;
pub mod soak;
pub mod sshd;
pub mod wait;

pub use avahi::Avahi;
pub use bus::Bus;
pub use daemon::Daemon;
pub use desktop::Desktop;
pub use error::{Error, Result};
pub use follower::Follower;
pub use ground::Ground;
pub use laptop::Laptop;
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use nix_conf::NixConf;
pub use nix_daemon::NixDaemon;
pub use prometheus::Prometheus;
pub use relay::Relay;
pub use signals::Signals;
pub use skip::supported;
pub use sshd::Sshd;
pub use wait::eventually;
