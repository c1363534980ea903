//! How much one failed check proves.

use offload_client::Reason;

use crate::config::Poll;

/// How much a failure proves of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Somebody answered that nothing is there: decides at once.
    Refusal,
    /// A connection was cut in mid-exchange. A kept one may merely have been stale, so the first
    /// cut is a reason to look again at once; the next one is a [`Weight::Refusal`].
    Cut,
    /// Nothing came back, which a busy network explains as well: only several in a row decide.
    Silence,
    /// This machine lacked what a check takes: it says nothing of the target.
    Nothing,
    /// The target answers, and only a person can make Nix able to use it: decides at once.
    Misconfigured,
    /// Somebody answers, and what Nix would find was not looked for: it is not known, at once.
    Withheld,
}

impl Weight {
    /// The weight of a failure for `reason`. A new reason has to be placed here to compile.
    pub(super) const fn of(reason: Reason) -> Self {
        match reason {
            Reason::Refused
            | Reason::HostUnreachable
            // The proxy command ended: it is to its target what a refusing socket is to ours.
            | Reason::ProxyFailed => Self::Refusal,

            Reason::ConnectionLost => Self::Cut,

            Reason::Redirected | Reason::SshConfigUnsupported => Self::Withheld,
            Reason::OutOfResources => Self::Nothing,

            Reason::TimedOut
            // It never left this machine, whose networks are about to say that the target is away. Where they
            // don't, something here bars the way, and goes on to.
            | Reason::NoRoute
            // A resolver that stumbles once (mDNS is UDP) says little of the desktop.
            | Reason::DnsFailed
            // No check fails for these; if one did, it would prove the least.
            | Reason::NixConfBroken
            | Reason::MachinesFileBroken
            | Reason::SubstitutionOff
            | Reason::BuildersDisabled
            | Reason::AddressMoved
            | Reason::NotInNixConf
            | Reason::NixVersion
            | Reason::BuilderWithoutSlots
            | Reason::HostKeyNotKnown
            | Reason::None
            | Reason::NotConfigured
            | Reason::Paused
            // Builds go there: all the more reason to think that it is well.
            | Reason::BuilderFull => Self::Silence,

            Reason::TlsFailed
            | Reason::NotHttp
            | Reason::HttpStatus
            | Reason::CaptivePortal
            | Reason::CacheInfoInvalid
            | Reason::StoreDirMismatch
            | Reason::NotSsh
            | Reason::SshProtocol
            | Reason::HostKeyUnknown
            | Reason::KnownHostsUnreadable
            | Reason::HostKeyMismatch
            | Reason::AuthRejected
            | Reason::KeyUnreadable
            | Reason::SshConfigPrevents
            | Reason::NixMissing
            | Reason::NixDaemonDown
            | Reason::ProfileOutput
            | Reason::NotNix
            | Reason::ProtocolMismatch
            | Reason::NotTrusted
            | Reason::SystemMissing
            | Reason::FeatureMissing
            | Reason::NarinfoInvalid
            | Reason::NarMissing
            | Reason::Unsigned
            | Reason::UntrustedSignature
            | Reason::BuildFailed
            | Reason::BuiltLocally
            | Reason::BuiltElsewhere => Self::Misconfigured,
        }
    }
}

/// Whether a failure for `reason` is what a way that leads nowhere comes to: nobody answered, or the
/// name means nothing here.
pub(super) const fn is_absence(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TimedOut | Reason::NoRoute | Reason::HostUnreachable | Reason::DnsFailed
    )
}

/// Whether a failure for `reason` is what another machine at the target's address comes to.
pub(super) const fn is_of_another(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::HostKeyMismatch
            | Reason::NotSsh
            | Reason::CaptivePortal
            | Reason::NotHttp
            | Reason::HttpStatus
            | Reason::UntrustedSignature
    )
}

/// How many answers in a row make a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// Silences before what answered is down; at least 1.
    pub(super) fall: u32,
    /// Successes before what failed is ready; at least 1.
    pub(super) rise: u32,
}

impl Thresholds {
    /// Those of `poll`; a 0, which no valid configuration has, counts as 1.
    pub(super) fn new(poll: &Poll) -> Self {
        Self {
            fall: poll.fall.max(1),
            rise: poll.rise.max(1),
        }
    }
}

/// Whether a failure for `reason` is no news of the target at all.
pub(super) const fn is_nothing(reason: Reason) -> bool {
    matches!(Weight::of(reason), Weight::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_only_a_person_can_mend_are_no_silence() {
        for reason in [
            Reason::HostKeyMismatch,
            Reason::AuthRejected,
            Reason::StoreDirMismatch,
        ] {
            assert_eq!(Weight::of(reason), Weight::Misconfigured, "{reason}");
        }
    }

    #[test]
    fn a_threshold_of_zero_counts_as_one() {
        let poll = Poll {
            fall: 0,
            rise: 0,
            ..Poll::default()
        };
        assert_eq!(Thresholds::new(&poll), Thresholds { fall: 1, rise: 1 });
    }
}
