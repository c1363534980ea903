//! What `offload-helper` does as root: it opens the files that root's Nix and ssh read, for offloadd alone, asks ssh what it
//! would do for a builder, runs its proxy for that, has Nix build on it, and has the kernel tell of what changes. What may be asked for stands in root's own files; a question only picks from
//! that. The other side, and what is said between the two, is in `helper`.

mod agent;
mod build;
mod child;
mod dial;
mod environment;
mod forget;
mod open;
mod roots;
mod serve;
mod slots;
mod ssh;
mod ssh_agent;
#[cfg(test)]
mod tests;
mod watch;

pub use serve::run;
