//! Exit statuses, by sysexits(3) where it has one.

/// What was asked for is done, or everything is ready.
pub const OK: u8 = 0;
/// `--once`: not everything is ready.
pub const NOT_READY: u8 = 3;
/// The command line is wrong (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// The bus is gone (`EX_UNAVAILABLE`).
pub const BUS_GONE: u8 = 69;
/// The kernel refused something (`EX_OSERR`).
pub const OS_ERROR: u8 = 71;
/// The configuration is wrong (`EX_CONFIG`).
pub const CONFIG: u8 = 78;
/// `--once` was interrupted: this and the signal's number, as a shell says it.
pub const INTERRUPTED: u8 = 128;
