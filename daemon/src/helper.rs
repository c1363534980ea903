//! `offload-helper`, seen by who asks it: the files that root's Nix and ssh read, for who is not root. What it
//! does itself is in `privileged`.

mod client;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod wire;

#[cfg(test)]
pub(crate) use client::RootsProxy;
pub(crate) use client::{Agent, Helper, Life, Told};
pub(crate) use wire::Ended;
