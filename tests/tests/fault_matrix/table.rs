//! The matrix: what breaks, how, and what is told of it.
//!
//! Stages in their order, faults in the order stall, garbage, flood, reset, drip. What can't be is a comment.

use offload_client::Kind::{self, Builder, Cache};
use offload_tests::fake::{Fault, Point};

/// One target that breaks in one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    /// Where, and how.
    pub(crate) at: &'static str,
    pub(crate) fault: Fault,
    /// State, reason and stage as they are published.
    pub(crate) told: &'static str,
}

const fn cell(kind: Kind, at: &'static str, fault: Fault, told: &'static str) -> Cell {
    Cell {
        kind,
        at,
        fault,
        told,
    }
}

/// The stage resolve has a table of its own: `resolve.rs`.
#[rustfmt::skip]
pub(crate) const MATRIX: &[Cell] = &[
    // Nobody says anything before a connection stands: no garbage, no flood, no drip.
    cell(Cache, "connect-stall", Fault::BlackHole, "down timed-out connect"),
    cell(Cache, "connect-reset", Fault::Refuse, "down refused connect"),

    cell(Cache, "tls-stall", Fault::Silent, "down timed-out tls"),
    cell(Cache, "tls-garbage", Fault::Garbage, "degraded tls-failed tls"),
    cell(Cache, "tls-flood", Fault::Endless, "degraded tls-failed tls"),
    cell(Cache, "tls-reset", Fault::ResetAfter(Point::Connection), "down connection-lost tls"),
    cell(Cache, "tls-drip", Fault::SlowDrip, "down timed-out tls"),

    cell(Cache, "http-stall", Fault::StallAfter(Point::FirstLine), "down timed-out http"),
    cell(Cache, "http-garbage", Fault::Garbage, "degraded not-http http"),
    cell(Cache, "http-flood", Fault::EndlessAfter(Point::FirstLine), "degraded not-http http"),
    cell(Cache, "http-reset", Fault::ResetAfter(Point::FirstLine), "down connection-lost http"),
    cell(Cache, "http-drip", Fault::SlowDrip, "down timed-out http"),

    // Until the body is there it is HTTP that is waited for.
    cell(Cache, "cache-info-stall", Fault::StallAfter(Point::Headers), "down timed-out http"),
    cell(Cache, "cache-info-garbage", Fault::GarbageAfter(Point::Headers), "degraded cache-info-invalid cache-info"),
    cell(Cache, "cache-info-flood", Fault::Endless, "degraded cache-info-invalid cache-info"),
    cell(Cache, "cache-info-reset", Fault::ResetAfter(Point::Headers), "down connection-lost http"),
    cell(Cache, "cache-info-drip", Fault::DripAfter(Point::Headers), "down timed-out http"),

    cell(Cache, "signature-stall", Fault::StallAfter(Point::CacheInfo), "down timed-out signature"),
    cell(Cache, "signature-garbage", Fault::GarbageAfter(Point::CacheInfo), "degraded narinfo-invalid signature"),
    cell(Cache, "signature-flood", Fault::EndlessAfter(Point::CacheInfo), "degraded narinfo-invalid signature"),
    cell(Cache, "signature-reset", Fault::ResetAfter(Point::CacheInfo), "down connection-lost signature"),
    cell(Cache, "signature-drip", Fault::DripAfter(Point::CacheInfo), "down timed-out signature"),

    cell(Builder, "connect-stall", Fault::BlackHole, "down timed-out connect"),
    cell(Builder, "connect-reset", Fault::Refuse, "down refused connect"),

    cell(Builder, "banner-stall", Fault::Silent, "down timed-out banner"),
    cell(Builder, "banner-garbage", Fault::Garbage, "degraded not-ssh banner"),
    cell(Builder, "banner-flood", Fault::Endless, "degraded not-ssh banner"),
    cell(Builder, "banner-reset", Fault::ResetAfter(Point::Connection), "down connection-lost banner"),
    cell(Builder, "banner-drip", Fault::SlowDrip, "down timed-out banner"),

    cell(Builder, "host-key-stall", Fault::StallAfter(Point::FirstLine), "down timed-out host-key"),
    cell(Builder, "host-key-garbage", Fault::GarbageAfter(Point::FirstLine), "degraded ssh-protocol host-key"),
    cell(Builder, "host-key-flood", Fault::EndlessAfter(Point::FirstLine), "degraded ssh-protocol host-key"),
    cell(Builder, "host-key-reset", Fault::ResetAfter(Point::FirstLine), "down connection-lost host-key"),
    cell(Builder, "host-key-drip", Fault::DripAfter(Point::FirstLine), "down timed-out host-key"),

    // From the key exchange on, noise is what no key opens: the connection is lost.
    cell(Builder, "auth-stall", Fault::StallAfter(Point::HostKey), "down timed-out auth"),
    cell(Builder, "auth-garbage", Fault::GarbageAfter(Point::HostKey), "degraded ssh-protocol auth"),
    cell(Builder, "auth-flood", Fault::EndlessAfter(Point::HostKey), "degraded ssh-protocol auth"),
    cell(Builder, "auth-reset", Fault::ResetAfter(Point::HostKey), "down connection-lost auth"),
    cell(Builder, "auth-drip", Fault::DripAfter(Point::HostKey), "down timed-out auth"),

    cell(Builder, "handshake-stall", Fault::StallAfter(Point::Magic), "down timed-out handshake"),
    cell(Builder, "handshake-garbage", Fault::GarbageAfter(Point::Magic), "degraded protocol-mismatch handshake"),
    cell(Builder, "handshake-flood", Fault::EndlessAfter(Point::Magic), "degraded protocol-mismatch handshake"),
    cell(Builder, "handshake-reset", Fault::ResetAfter(Point::Magic), "degraded login-refused handshake"),
    cell(Builder, "handshake-drip", Fault::DripAfter(Point::Auth), "down timed-out handshake"),

    // Whether it trusts us is the last message of Nix's handshake, and told as a part of it.
    cell(Builder, "trust-stall", Fault::StallAfter(Point::NixVersion), "down timed-out handshake"),
    cell(Builder, "trust-garbage", Fault::GarbageAfter(Point::NixVersion), "degraded protocol-mismatch handshake"),
    cell(Builder, "trust-flood", Fault::EndlessAfter(Point::NixVersion), "degraded protocol-mismatch handshake"),
    cell(Builder, "trust-reset", Fault::ResetAfter(Point::NixVersion), "down connection-lost handshake"),
    cell(Builder, "trust-drip", Fault::DripAfter(Point::NixVersion), "down timed-out handshake"),

    // What it builds may stay unknown: Nix never asks. Trust is then the last stage that passed.
    cell(Builder, "system-stall", Fault::StallAfter(Point::Handshake), "ready - trust"),
    cell(Builder, "system-garbage", Fault::GarbageAfter(Point::Handshake), "ready - trust"),
    cell(Builder, "system-flood", Fault::EndlessAfter(Point::Handshake), "ready - trust"),
    cell(Builder, "system-reset", Fault::ResetAfter(Point::Handshake), "down connection-lost system"),
    cell(Builder, "system-drip", Fault::DripAfter(Point::Handshake), "down timed-out system"),
];
