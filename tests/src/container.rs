//! A machine of its own: Debian, stable or sid, in a network namespace of the test's.
//!
//! Made once by debootstrap into `target/containers` (or `$OFFLOAD_CONTAINERS`) and booted by systemd-nspawn. It
//! shares this machine's kernel, and so its boot id; its init hides that from a login, but not from Nix's sandbox,
//! which is off there. Where there can be none, its tests say why and pass.

mod base;
mod cache;
mod cgroup;
mod desktop;
mod laptop;
mod machine;
mod overlay;

pub use base::{Suite, base, unsupported};
pub use cache::Cache;
pub use desktop::Desktop;
pub use laptop::Laptop;
pub use machine::Container;
