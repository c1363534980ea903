//! A machine of its own: Debian, stable or sid, in a network namespace of the test's.

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
