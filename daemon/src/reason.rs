//! What the reason of a failed check means to the program: one row for each, which is what every
//! judgement of a reason follows from. People's words for it are the client crate's.

use offload_client::Reason;

/// What follows from a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// How much the failure proves of its target.
    pub weight: Weight,
    /// Whose answer it may be.
    pub who: Who,
    /// How much it tells beside what other addresses of the same target came to: the highest is told.
    pub telling: u8,
}

/// How much a failed check proves of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Somebody answered that nothing is there: decides at once.
    Refusal,
    /// A connection was cut in mid-exchange. A kept one may merely have been stale, so the first
    /// cut is a reason to look again at once; the next one is a [`Weight::Refusal`].
    Cut,
    /// The target turned this machine away before it was asked anything, and will for a while: decides at
    /// once, and hides nothing that was known shortly before.
    TurnedAway,
    /// The target hung up on a login that it had no reason left to reject: the first time it may have been
    /// shutting down, so that it is looked at again at once; the next one is [`Weight::Misconfigured`].
    Dropped,
    /// Nothing came back, which a busy network explains as well: only several in a row decide.
    Silence,
    /// This machine lacked what a check takes: it says nothing of the target.
    Nothing,
    /// The target answers, and only a person can make Nix able to use it: decides at once.
    Misconfigured,
    /// Somebody answers, and what Nix would find was not looked for: it is not known, at once.
    Withheld,
}

/// Whose answer a failure may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody's: nothing came back, no way leads there, or the name means nothing here.
    Nobody,
    /// The target's as well as another machine's.
    Either,
    /// Another machine's, at what used to be the target's address: the target is looked for elsewhere.
    Another,
    /// The target's own, which has proved itself; or nobody was asked.
    Own,
}

/// The least [`Traits::telling`] of a failure after somebody took the connection.
pub const ANSWERED: u8 = 7;

/// The row of `reason`. A new one has to be placed here to compile.
pub const fn traits(reason: Reason) -> Traits {
    use Weight::{Cut, Dropped, Misconfigured, Nothing, Refusal, Silence, TurnedAway, Withheld};
    use Who::{Another, Either, Nobody, Own};
    let (weight, who, telling) = match reason {
        // A host key says more than anything, and one that can't be judged more than any other answer.
        Reason::HostKeyMismatch => (Misconfigured, Another, 12),
        Reason::HostKeyUnknown | Reason::SshConfigPrevents => (Misconfigured, Either, 11),
        // The target is well, and what Nix's hook does only a test build shows.
        Reason::ForeignBuildHook => (Withheld, Own, 0),
        // The target is well, and what nix-daemon has instead of what stands in nix.conf is not known.
        Reason::DaemonConfigUnknown => (Withheld, Own, 0),
        Reason::KnownHostsUnreadable | Reason::SshConfigUnsupported => (Withheld, Either, 11),
        Reason::SshProtocol => (Misconfigured, Another, 10),
        Reason::StoreDirMismatch | Reason::Unsigned | Reason::UntrustedSignature => {
            (Misconfigured, Another, 9)
        }
        Reason::NotSsh
        | Reason::NotHttp
        | Reason::HttpStatus
        | Reason::CaptivePortal
        | Reason::CacheInfoInvalid => (Misconfigured, Another, 8),
        Reason::TlsFailed => (Misconfigured, Either, 8),
        Reason::Redirected | Reason::NotVisible => (Withheld, Either, 8),

        // Who is not there may be the one, and whoever refuses elsewhere a stranger at an old address.
        Reason::HostUnreachable => (Refusal, Nobody, 6),
        Reason::TimedOut => (Silence, Nobody, 5),
        Reason::Refused => (Refusal, Either, 4),
        // It never left this machine, whose networks are about to say that the target is away. Where
        // they don't, something here bars the way, and goes on to.
        Reason::NoRoute => (Silence, Nobody, 3),
        Reason::ConnectionLost => (Cut, Either, 2),
        Reason::TurnedAway => (TurnedAway, Either, 2),
        // A resolver that stumbles once (mDNS is UDP) says little of the desktop.
        Reason::DnsFailed => (Silence, Nobody, 1),
        // The proxy command ended: it is to its target what a refusing socket is to ours.
        Reason::ProxyFailed => (Refusal, Either, 0),

        // What was not tried may be the one.
        Reason::OutOfResources => (Nothing, Own, u8::MAX),

        Reason::LoginRefused => (Dropped, Own, 0),
        Reason::AuthRejected
        | Reason::KeyUnreadable
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
        | Reason::NixDeclines
        | Reason::DaemonConfigStale
        | Reason::StoreFull
        | Reason::BuildFailed
        | Reason::BuiltLocally
        | Reason::BuiltElsewhere => (Misconfigured, Own, 0),

        // Builds go there: all the more reason to think that it is well.
        Reason::BuilderFull
        // No check fails for these; if one did, it would prove the least.
        | Reason::NixConfBroken
        | Reason::MachinesFileBroken
        | Reason::StoreElsewhere
        | Reason::SubstitutionOff
        | Reason::BuildersDisabled
        | Reason::SshMissing
        | Reason::AddressMoved
        | Reason::NotInNixConf
        | Reason::NixVersion
        | Reason::BuilderWithoutSlots
        | Reason::HostKeyNotKnown
        | Reason::None
        | Reason::NotConfigured
        | Reason::Paused => (Silence, Own, 0),
    };
    Traits {
        weight,
        who,
        telling,
    }
}

impl Traits {
    /// Whether nobody answered: what a way that leads nowhere comes to.
    pub const fn is_absence(self) -> bool {
        matches!(self.who, Who::Nobody)
    }

    /// Whether the failure is no news of the target at all.
    pub const fn is_nothing(self) -> bool {
        matches!(self.weight, Weight::Nothing)
    }

    /// Whether it is about who answers, and not about the way there: another address may be the
    /// target's.
    pub const fn is_of_identity(self) -> bool {
        matches!(self.who, Who::Either | Who::Another) && self.telling > ANSWERED
    }
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
            assert_eq!(traits(reason).weight, Weight::Misconfigured, "{reason}");
        }
    }

    #[test]
    fn whoever_answers_in_the_targets_place_tells_more_than_any_silence() {
        let all = Reason::ALL.iter().map(|reason| (reason, traits(*reason)));
        for (reason, traits) in all.filter(|(_, traits)| traits.who == Who::Another) {
            assert!(traits.is_of_identity(), "{reason}");
        }
        let all = Reason::ALL.iter().map(|reason| (reason, traits(*reason)));
        for (reason, traits) in all.filter(|(_, traits)| traits.is_absence()) {
            assert!(traits.telling < ANSWERED, "{reason}");
        }
    }
}
