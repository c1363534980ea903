//! `offloadctl`: the status of the desktop, for people.

fn main() {}
