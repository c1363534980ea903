//! A desktop inside of this process, for the faults that real parts do not have.
//!
//! A [`Port`] owns the listener and every connection. Between a connection and the server behind
//! it stands a wire, which holds, spoils or cuts what passes, as the [`Fault`] in force says: so
//! the cache and the SSH server themselves know only the faults that are theirs alone, and
//! connections that are already open obey the switch too.

pub mod cache;
pub mod certificate;
pub mod desktop;
pub mod fault;
mod narinfo;
mod nix;
pub mod port;
pub mod ssh;
mod wire;

pub use cache::Cache;
pub use certificate::Certificate;
pub use desktop::Desktop;
pub use fault::{Fault, Point};
pub use port::{Control, Port, Seen};
pub use ssh::SshServer;
