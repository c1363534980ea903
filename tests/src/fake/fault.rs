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
    /// After this point, noise comes instead of an answer, and then the end.
    GarbageAfter(Point),
    /// After this point, an answer begins well and never ends.
    EndlessAfter(Point),
    /// After this point, the connection is cut with a reset.
    ResetAfter(Point),
    /// After this point, answers come one byte at a time.
    DripAfter(Point),
    /// After this point, the answer ends before it begins. Only points after [`Point::HostKey`].
    EndAfter(Point),
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
    /// Cache: what it serves carries no signature.
    Unsigned,
    /// Cache: what it serves is signed with a key that nobody knows.
    ForeignKey,
    /// Cache: the signature has the right key's name and is not that key's.
    BadSignature,
    /// Builder: Nix is not on the path.
    NoNix,
    /// Builder: Nix can't reach its daemon.
    NixDaemonDown,
    /// Builder: its Nix does not trust the user.
    Untrusted,
    /// Builder: the user's profile prints before anything else.
    ProfileOutput,
    /// Builder: whatever is asked for, another program answers.
    NotNix,
    /// Builder: the server runs no program at all.
    NoPrograms,
    /// Builder: its Nix speaks a protocol of another age.
    OldNix,
    /// Builder: it builds for another system than it was set up for.
    SystemMissing,
    /// Builder: it lacks `kvm`, by its configuration.
    FeatureMissing,
    /// Builder: another host key; open connections end, as when the desktop was reinstalled.
    SwappedHostKey,
    /// Builder: no key is let in; open connections end, as when the desktop was rebuilt.
    RefusedKey,
}

/// How far a stalling connection comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The connection: nothing of an answer comes.
    Connection,
    /// The first line: HTTP's status line, SSH's identification.
    FirstLine,
    /// HTTP's headers: the body is missing.
    Headers,
    /// SSH's key exchange and host key: authentication gets no answer.
    HostKey,
    /// SSH's authentication: a program starts and says nothing.
    Auth,
    /// The magic number of Nix's protocol.
    Magic,
    /// The version of the protocol.
    Version,
    /// The version of Nix, which ssh-ng alone has.
    NixVersion,
    /// Whether the user is trusted, which ssh-ng alone has.
    Trust,
    /// The whole handshake: what is asked next gets no answer, nor does a program that is no
    /// handshake at all.
    Handshake,
    /// A cache's `nix-cache-info`: a narinfo does not come.
    CacheInfo,
}

impl Point {
    /// Whether a connection comes to it once, when it is new.
    const fn is_passed_once(self) -> bool {
        matches!(
            self,
            Self::Connection | Self::FirstLine | Self::Headers | Self::HostKey
        )
    }
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
            // What comes before these points is over on a connection that is open already.
            Self::GarbageAfter(point)
            | Self::EndlessAfter(point)
            | Self::ResetAfter(point)
            | Self::DripAfter(point)
                if point.is_passed_once() =>
            {
                Open::Close
            }
            Self::Healthy
            | Self::Silent
            | Self::BlackHole
            | Self::StallAfter(_)
            | Self::GarbageAfter(_)
            | Self::EndlessAfter(_)
            | Self::EndAfter(_)
            | Self::ResetAfter(_)
            | Self::DripAfter(_)
            | Self::Garbage
            | Self::Endless
            | Self::SlowDrip
            | Self::Status(_)
            | Self::CaptivePortal
            | Self::WrongStoreDir
            | Self::Unsigned
            | Self::ForeignKey
            | Self::BadSignature
            | Self::NoNix
            | Self::NixDaemonDown
            | Self::Untrusted
            | Self::ProfileOutput
            | Self::NotNix
            | Self::NoPrograms
            | Self::OldNix
            | Self::SystemMissing
            | Self::FeatureMissing => Open::Stay,
        }
    }
}
