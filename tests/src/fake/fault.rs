//! What can be wrong with a fake.

/// What is wrong with a fake at the moment.
///
/// A fault of the other kind of server (a wrong host key for a cache) is no fault at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    Healthy,
    /// The service was stopped: the listener and all connections are closed, in good order.
    Refuse,
    /// Connections are cut with a reset as soon as they are made, open ones at once.
    Reset,
    /// The machine hangs: connections are made, nothing is answered, on open ones neither.
    Silent,
    /// The machine is gone: even the attempt to connect is not answered. Open connections are
    /// silent.
    BlackHole,
    /// A new connection works up to this point and is silent from there; open ones are silent.
    StallAfter(Point),
    /// Whatever should be answered, noise comes instead, and then the end.
    Garbage,
    /// The answer begins well and never ends.
    Endless,
    /// Answers come one byte at a time.
    SlowDrip,
    /// Cache: this HTTP status.
    Status(u16),
    /// Cache: status 200 and a login page.
    CaptivePortal,
    /// Cache: it serves another store directory.
    WrongStoreDir,
    /// Builder: another host key; open connections end, as when the desktop was reinstalled.
    SwappedHostKey,
    /// Builder: no key is let in; open connections end, as when the desktop was rebuilt.
    RefusedKey,
}

/// How far a stalling connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The first line: HTTP's status line, SSH's identification.
    FirstLine,
    /// HTTP's headers: the body is missing.
    Headers,
    /// SSH's key exchange and host key: authentication gets no answer.
    HostKey,
}

/// What becomes of connections that are open when a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// They stay; the wire or the server shows the fault at the next exchange.
    Stay,
    /// They are closed in good order.
    Close,
    /// They are reset.
    Reset,
}

impl Fault {
    /// What becomes of open connections.
    pub(super) const fn open_connections(self) -> Open {
        match self {
            Self::Refuse | Self::SwappedHostKey | Self::RefusedKey => Open::Close,
            Self::Reset => Open::Reset,
            Self::Healthy
            | Self::Silent
            | Self::BlackHole
            | Self::StallAfter(_)
            | Self::Garbage
            | Self::Endless
            | Self::SlowDrip
            | Self::Status(_)
            | Self::CaptivePortal
            | Self::WrongStoreDir => Open::Stay,
        }
    }
}
