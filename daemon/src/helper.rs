//! `offload-helper`, seen by who asks it: the files that root's Nix and ssh read, for who is not root. What it
//! does itself is in `privileged`.

mod client;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod wire;

pub(crate) use client::{Agent, Helper, Told};
pub(crate) use wire::Ended;
