//! What is injected, and what is then true.

use std::time::Duration;

use offload_client::{
    Reason::{self, *},
    TargetState::{self, *},
};

use crate::fake::{Fault, Point};

/// State and reason.
pub(super) type Standing = (TargetState, Reason);

/// The configuration of the daemon that is watched, in which everything goes by quicker than in life.
pub(super) const POLL: &str = "[poll]\n\
                               interval = \"1s\"\n\
                               fast_interval = \"200ms\"\n\
                               down_max_interval = \"1s\"\n\
                               timeout = \"1s\"\n\
                               deep_timeout = \"2s\"\n\
                               deep_interval = \"2s\"\n\
                               fall = 3\n\
                               rise = 2\n";
const INTERVAL: Duration = Duration::from_millis(1100);
const FAST: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(1);
const DEEP_TIMEOUT: Duration = Duration::from_secs(2);
const DEEP_INTERVAL: Duration = Duration::from_secs(2);
/// How long nobody is asked who may be punishing us (`health/schedule.rs`), and the tenth more of any wait.
pub(super) const PENALTY: Duration = Duration::from_secs(22);
/// What a machine takes beside.
const SLACK: Duration = Duration::from_millis(1500);

/// How a fault comes to be known, which says how long that may take (design: "How a verdict is reached").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A connection ends, and what follows is an answer: a second.
    Closing,
    /// The next look shows it.
    Look,
    /// The next look from scratch shows it.
    DeepLook,
    /// `fall` silences in a row.
    Silence,
    /// `rise` successes in a row, after what is left of the back-off and of a check under way.
    Rise,
    /// The first answer after a start.
    Start,
    /// The kernel says so.
    Network,
}

impl Evidence {
    /// How long after it the truth has to be published of a target that was ready, or was not: then a check may be
    /// under way, the next one is the back-off's, and another reason counts once it came twice.
    pub(super) fn due(self, was_ready: bool) -> Duration {
        let evident = match self {
            Self::Closing | Self::Look if !was_ready => DEEP_TIMEOUT + INTERVAL + FAST + TIMEOUT,
            Self::Closing => Duration::from_secs(1),
            Self::Look => DEEP_TIMEOUT + INTERVAL + TIMEOUT,
            Self::DeepLook => DEEP_TIMEOUT + DEEP_INTERVAL + INTERVAL + DEEP_TIMEOUT,
            Self::Silence => DEEP_TIMEOUT + INTERVAL + 3 * (TIMEOUT + FAST),
            Self::Rise => DEEP_TIMEOUT + INTERVAL + 2 * (FAST + TIMEOUT),
            // The first cut is looked at again, at once.
            Self::Start => 2 * DEEP_TIMEOUT,
            Self::Network => Duration::from_secs(1),
        };
        evident + SLACK
    }
}

/// What is done to one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It breaks like this, or is well again.
    Set(Fault),
    /// Neither of its addresses answers.
    Vanish,
    /// Its address does not answer, and the other one refuses.
    Mute,
    /// It moves to its other address, and is well.
    Move,
    /// It stops and starts every few hundred milliseconds, and ends well.
    Flap,
    /// It is silent for less than a time-out, a few times, and ends well.
    Hiccup,
}

/// Something that happens to one target, and what is then true of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Injection {
    pub(super) name: &'static str,
    pub(super) act: Act,
    pub(super) evidence: Evidence,
    /// Any of these is the truth.
    pub(super) truth: &'static [Standing],
    /// What else may be published until then.
    pub(super) transit: &'static [Standing],
}

impl Injection {
    /// What is true of a target to which `before` was done.
    pub(super) fn truth_after(&self, before: Option<Self>) -> Vec<Standing> {
        // sshd cuts off for a while whose logins have failed: what was found behind the host key stays.
        const BEHIND_HOST_KEY: &[Reason] = &[
            AuthRejected,
            NixDaemonDown,
            NixMissing,
            NotTrusted,
            SystemMissing,
        ];
        let found = before.map_or(&[][..], |before| before.truth).iter();
        let stays = found.filter(|(_, reason)| BEHIND_HOST_KEY.contains(reason));
        let stays = stays.filter(|_| self.truth == RESET);
        self.truth.iter().chain(stays).copied().collect()
    }
}

const fn it(
    name: &'static str,
    act: Act,
    evidence: Evidence,
    truth: &'static [Standing],
    transit: &'static [Standing],
) -> Injection {
    Injection {
        name,
        act,
        evidence,
        truth,
        transit,
    }
}

pub(super) const READY: &[Standing] = &[(Ready, None)];
const REFUSED: &[Standing] = &[(Down, Refused)];
const SILENT: &[Standing] = &[(Down, TimedOut)];
/// A reset that comes with the connection is a refusal.
const RESET: &[Standing] = &[(Down, ConnectionLost), (Down, Refused)];
/// One that stops is cut off first.
const CUT: &[Standing] = &[(Down, ConnectionLost)];

/// A check that is under way hears the noise in the middle of an exchange, or of an answer's head.
const MIDWAY: &[Standing] = &[
    (Degraded, CacheInfoInvalid),
    (Degraded, NarinfoInvalid),
    (Degraded, NotHttp),
];
const MIDWAY_SSH: &[Standing] = &[(Degraded, SshProtocol), (Down, ConnectionLost)];

/// All is well.
pub(super) const MENDED: Injection =
    it("mend", Act::Set(Fault::Healthy), Evidence::Rise, READY, &[]);

/// What happens to any target.
#[rustfmt::skip]
pub(super) const ANY: &[Injection] = &[
    it("stop", Act::Set(Fault::Refuse), Evidence::Closing, REFUSED, CUT),
    it("reset", Act::Set(Fault::Reset), Evidence::Closing, RESET, &[]),
    it("stall", Act::Set(Fault::Silent), Evidence::Silence, SILENT, &[]),
    it("vanish", Act::Vanish, Evidence::Silence, SILENT, &[]),
    it("one address mute, the other refuses", Act::Mute, Evidence::Silence, SILENT, &[]),
    it("move", Act::Move, Evidence::Rise, READY, REFUSED),
    it("flap", Act::Flap, Evidence::Rise, READY, RESET),
    it("hiccup", Act::Hiccup, Evidence::Rise, READY, &[]),
];

/// What happens to a cache.
#[rustfmt::skip]
pub(super) const CACHE: &[Injection] = &[
    it("captive portal", Act::Set(Fault::CaptivePortal), Evidence::Look, &[(Degraded, CaptivePortal)], MIDWAY),
    it("status 503", Act::Set(Fault::Status(503)), Evidence::Look, &[(Degraded, HttpStatus)], &[]),
    it("garbage", Act::Set(Fault::Garbage), Evidence::Look, &[(Degraded, NotHttp)], MIDWAY),
    it("flood", Act::Set(Fault::Endless), Evidence::Look, &[(Degraded, CacheInfoInvalid)], MIDWAY),
    it("wrong store", Act::Set(Fault::WrongStoreDir), Evidence::Look, &[(Degraded, StoreDirMismatch)], &[]),
    it("drip", Act::Set(Fault::SlowDrip), Evidence::Silence, SILENT, &[]),
    it("foreign key", Act::Set(Fault::ForeignKey), Evidence::DeepLook, &[(Degraded, UntrustedSignature)], &[]),
];

/// What happens to a cache behind TLS.
#[rustfmt::skip]
pub(super) const SECURED: &[Injection] = &[
    it("garbage for TLS", Act::Set(Fault::Garbage), Evidence::Look, &[(Degraded, TlsFailed)], &[]),
    it("flood for TLS", Act::Set(Fault::Endless), Evidence::Look, &[(Degraded, TlsFailed)], &[]),
];

/// What happens to a builder.
#[rustfmt::skip]
pub(super) const BUILDER: &[Injection] = &[
    it("garbage", Act::Set(Fault::Garbage), Evidence::DeepLook, &[(Degraded, NotSsh)], MIDWAY_SSH),
    it("swapped host key", Act::Set(Fault::SwappedHostKey), Evidence::Closing, &[(Degraded, HostKeyMismatch)], &[]),
    it("refused key", Act::Set(Fault::RefusedKey), Evidence::Closing, &[(Degraded, AuthRejected)], &[]),
    it("stall in the login", Act::Set(Fault::StallAfter(Point::HostKey)), Evidence::Silence, SILENT, &[]),
    it("nix-daemon stopped", Act::Set(Fault::NixDaemonDown), Evidence::DeepLook, &[(Degraded, NixDaemonDown)], &[]),
    it("no Nix", Act::Set(Fault::NoNix), Evidence::DeepLook, &[(Degraded, NixMissing)], &[]),
    it("not trusted", Act::Set(Fault::Untrusted), Evidence::DeepLook, &[(Degraded, NotTrusted)], &[]),
    it("wrong system", Act::Set(Fault::SystemMissing), Evidence::DeepLook, &[(Degraded, SystemMissing)], &[]),
];

/// What happens to the laptop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upset {
    /// SIGHUP: nothing has changed.
    Hup,
    /// Nix's configuration is written anew, and says the same.
    Rewrite,
    /// The daemon is stopped for so long, and goes on.
    Freeze(Duration),
    /// The daemon is killed, and started again.
    Kill,
    /// The message bus is started again, and with it the daemon.
    Bus,
    /// The cable is pulled, and plugged in again.
    Link,
}

impl Upset {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hup => "SIGHUP",
            Self::Rewrite => "machines rewritten",
            Self::Freeze(_) => "SIGSTOP",
            Self::Kill => "kill -9",
            Self::Bus => "bus restarted",
            Self::Link => "link down",
        }
    }
}
