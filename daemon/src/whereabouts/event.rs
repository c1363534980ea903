//! What the core of whereabouts is told, and what it answers.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use offload_client::Printable;

use super::Routes;
use crate::{
    config::{Discover, Wake},
    discover::{How, Scope},
    health,
    net::Station,
    report::Stranger,
    target::{TargetId, TargetSpec},
};

/// What happened. Whatever names a target that is not watched is ignored.
#[derive(Clone)]
pub enum Event {
    /// These are watched from now on, in Nix's order, and looked for as `discover` says. What has the same
    /// specification as before stays where it was found.
    Planned {
        /// What is configured.
        specs: Vec<Arc<TargetSpec>>,
        /// Where to look without being asked.
        discover: Discover,
        /// Whether they are woken on demand.
        wake: Wake,
    },
    /// A target was found at this address before the daemon was started: it is looked for there first, where it is not
    /// at its own.
    Remembered {
        /// The target.
        target: TargetId,
        /// Where it was.
        address: IpAddr,
    },
    /// A builder was seen there while it proved its host key, now or before the daemon was started.
    Stationed {
        /// The builder.
        target: TargetId,
        /// Its hardware address, and the link.
        station: Station,
    },
    /// Time has passed: [`super::Whereabouts::next_wake`] has come.
    Tick,
    /// This machine is on these networks now.
    Networks(Arc<dyn Routes>),
    /// This machine has other addresses than before: searches look where it no longer is.
    Moved,
    /// Somebody is at this address who was not there.
    Appeared(IpAddr),
    /// A target is not where it was looked for ([`health::Effect::Missing`]).
    Missing(TargetId),
    /// A check showed this of where a target is, whatever it amounts to.
    Seen {
        /// The target.
        target: TargetId,
        /// What it showed.
        sighting: Sighting,
    },
    /// A check ended, and the health core has judged it.
    Checked {
        /// The target.
        target: TargetId,
        /// Whether it passed.
        passed: bool,
    },
    /// A search ended; ignored where it was ended before.
    Searched {
        /// What was looked for.
        target: TargetId,
        /// That of [`Effect::Search`].
        number: u64,
        /// Where it proved who it is, and how it was found.
        found: Option<(SocketAddr, How)>,
        /// Who answered in its place.
        strangers: Vec<Stranger>,
    },
    /// Somebody asks for whatever is missing, by every way that a person may ask for.
    Asked(RequestId),
    /// Somebody waits until nothing is looked for, and what was found is checked.
    Waits(RequestId),
    /// They do not wait any longer.
    GaveUp(Vec<RequestId>),
    /// Nobody looks from now on.
    Paused,
    /// All that happened at this moment was told: who waits is answered.
    TurnEnded,
}

/// Somebody who waits; whoever asks gives the numbers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a check showed of where a target is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// `host:port` that answered, or that was tried last.
    pub address: Option<String>,
    /// Whether the check passed.
    pub passed: bool,
    /// Whether it proved a host key that is known.
    pub proved: bool,
    /// Whether a proxy command leads to it.
    pub proxied: bool,
    /// Who is there, of a builder that proved its host key on a link of this machine's own.
    pub station: Option<Station>,
    /// The key that signs what a cache serves, where that was learned.
    pub signing_key: Option<Printable>,
    /// Who else answered; `None` where the check did not look.
    pub strangers: Option<Vec<Stranger>>,
}

/// What is to be done. Effects are in the order in which they are to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The health core is to know this.
    Judge(health::Event),
    /// Its checks try other addresses from now on: what is kept of the old ones goes.
    Readdressed(TargetId),
    /// Whether it is being woken is not what it was.
    Waking(TargetId),
    /// Begin a search. It is answered by one [`Event::Searched`], unless it is ended before.
    Search {
        /// Whose check leads to it.
        target: TargetId,
        /// Unique while the daemon runs.
        number: u64,
        /// What to look for, by what it is known by.
        wanted: Arc<TargetSpec>,
        /// Where.
        scope: Scope,
    },
    /// End a search that is under way.
    EndSearch(u64),
    /// Answers [`Event::Asked`]: what was found, in Nix's order.
    Found(RequestId, Result<Vec<TargetId>, DiscoverError>),
    /// Answers [`Event::Waits`].
    Quiet(RequestId),
}

/// Why nothing was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// Nothing is watched.
    #[error("nothing is configured to be watched")]
    NotConfigured,
    /// Checks are paused, and so is this.
    #[error("checks are paused")]
    Paused,
    /// A search that somebody asked for ended less than ten seconds ago, or too many wait for one.
    #[error("searches were asked for too often")]
    RateLimited,
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Stopping,
}
