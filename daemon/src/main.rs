//! `offloadd`: the daemon.

fn main() {}
