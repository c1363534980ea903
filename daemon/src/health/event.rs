//! What the health core is told, and what it answers.

use std::time::Duration;

use offload_client::{Kind, OverallState, Reason, Stage, TargetState};

use crate::{config::Poll, net::Reach, target::TargetId};

/// How a check ended: the last stage that passed, or the one that failed and why.
pub type Outcome = Result<Stage, (Stage, Reason)>;

/// One check, unique while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub(super) u64);

/// How far back a check begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// On the kept connection, where there is one.
    Cheap,
    /// From scratch, as a new build would: what a kept connection outlives (a key taken out of
    /// `authorized_keys`, a daemon that takes no new connections) shows here.
    Deep,
    /// The same because somebody asked: what is not done unattended is done too, as Nix would.
    Asked,
}

impl Depth {
    /// Whether it begins from scratch.
    pub const fn is_deep(self) -> bool {
        matches!(self, Self::Deep | Self::Asked)
    }
}

/// What happened. Whatever names a target that is not watched is ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A target is to be watched; ignored where it is watched already.
    Added(TargetId),
    /// It is no longer to be watched.
    Removed(TargetId),
    /// Its specification changed: what was known no longer counts, and it is unknown until the
    /// first answer.
    Changed(TargetId),
    /// Time has passed: [`super::Health::next_wake`] has come.
    Tick,
    /// A check ended; ignored where it was aborted meanwhile.
    Reported {
        /// Whose check.
        target: TargetId,
        /// The one of [`Effect::Start`].
        check: CheckId,
        /// What it found.
        outcome: Outcome,
        /// How long it took.
        latency: Duration,
    },
    /// A test build ended; nothing was wrong, or why it failed. A check begins at once, and where that passes the verdict
    /// stands, until a test build succeeds, the specification changes, or a check fails. Only
    /// `build-failed`, `built-locally` and `built-elsewhere` count against a target.
    Tested {
        /// The builder.
        target: TargetId,
        /// What it showed.
        outcome: Result<(), Reason>,
    },
    /// What a builder was proved with by a test build is not what it was. Where its checks can't look as far as Nix
    /// goes, it is as if there had been none.
    Unproved {
        /// The builder.
        target: TargetId,
    },
    /// What keeps Nix from a target, whatever its checks come to; nothing until told otherwise. One that
    /// passes them is degraded for that reason, and ready again as soon as nothing does.
    Hindered {
        /// The target.
        target: TargetId,
        /// Why Nix does not go there.
        reason: Option<Reason>,
    },
    /// What keeps Nix from all targets of a kind: it is degraded for that reason where none of them is
    /// watched.
    KindHindered {
        /// The kind.
        kind: Kind,
        /// Why Nix uses none.
        reason: Option<Reason>,
    },
    /// The peer closed the kept connection.
    Closed {
        /// Whose connection.
        target: TargetId,
        /// How long it had been idle.
        idle: Duration,
    },
    /// Resume from suspend, or a change of the network, for one target or for all: its state
    /// stays published, but the next answer decides alone, and is looked for at once.
    Refresh(Option<TargetId>),
    /// Somebody has appeared where a target is missed: it is checked at once, unless a check is
    /// finding out anyway. What is known of it counts as before.
    Appeared(TargetId),
    /// The networks of this machine lead to a target as this says; [`Reach::Near`] until told
    /// otherwise. What they don't lead to is away at once, and looked at as seldom as can be; what
    /// they lead to again is looked at at once, and the next answer decides alone.
    Reach {
        /// The target.
        target: TargetId,
        /// The best way to any of its addresses.
        reach: Reach,
    },
    /// A target was found at another address than those it was looked for at: checked there at
    /// once, and that answer decides alone.
    Found {
        /// The target.
        target: TargetId,
    },
    /// Stop looking. A second pause replaces the first.
    Pause {
        /// When to look again (boot clock); `None` for not before [`Event::Resume`].
        until: Option<Duration>,
    },
    /// Look again; ignored where nothing is paused.
    Resume,
    /// The intervals or thresholds changed.
    PollChanged(Poll),
}

/// What is to be done. Effects are in the order in which they are to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin a check. Each is answered by one [`Event::Reported`], unless it is aborted before:
    /// until then there is no other check of this target.
    Start {
        /// Whose check.
        target: TargetId,
        /// To be reported with the outcome.
        check: CheckId,
        /// How far back it begins.
        depth: Depth,
    },
    /// Drop a check: its outcome no longer counts.
    Abort {
        /// Whose check.
        target: TargetId,
        /// The one that was started.
        check: CheckId,
    },
    /// Look for a target elsewhere: at each deep check that finds it missing, or somebody else in
    /// its place. The back-off of the checks is that of the searches.
    Missing {
        /// The target.
        target: TargetId,
    },
    /// A target's state or reason changed.
    Changed {
        /// Whose.
        target: TargetId,
        /// What they were.
        old: (TargetState, Reason),
        /// What they are.
        new: (TargetState, Reason),
    },
    /// The state over all targets changed. (The reason, and the states of the kinds, may change
    /// without it: read [`super::Health::overall`].)
    OverallChanged {
        /// What it was.
        old: OverallState,
        /// What it is.
        new: OverallState,
        /// Why.
        reason: Reason,
    },
}

/// Why a check that somebody asked for is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No target has that name.
    #[error("no such target")]
    NoSuchTarget,
    /// Checks are paused.
    #[error("checks are paused")]
    Paused,
}
