//! A machine of its own: Debian trixie (systemd 257, Nix 2.26) in a network namespace of the test's.

mod base;
mod cgroup;
mod desktop;
mod machine;
mod overlay;

pub use base::{base, unsupported};
pub use desktop::Desktop;
pub use machine::Container;
