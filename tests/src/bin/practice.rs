//! `cargo practice`: the daemon beside a desktop that misbehaves on request.

fn main() {}
