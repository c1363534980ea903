//! Who waits for searches.

use std::{collections::BTreeSet, time::Duration};

use super::{DiscoverError, Effect, RequestId};
use crate::{clock::Now, target::TargetId};

/// So long after a search that somebody asked for there is no other one.
const PAUSE: Duration = Duration::from_secs(10);

/// How many may wait for a search at once.
const MAX_WAITING: usize = 64;

/// Who waits for searches.
#[derive(Debug, Default)]
pub(super) struct Requests {
    asked: Option<Asked>,
    /// When the last search that somebody asked for ended (boot clock).
    asked_ended: Option<Duration>,
    /// Who waits for whatever is under way.
    waiting: Vec<RequestId>,
    /// What was found, and is checked where it was found.
    checking: BTreeSet<TargetId>,
}

/// A search that somebody asked for.
#[derive(Debug)]
struct Asked {
    searching: BTreeSet<TargetId>,
    found: BTreeSet<TargetId>,
    requests: Vec<RequestId>,
}

impl Requests {
    /// Lets somebody share the search that others have asked for; `None` where nobody has.
    pub(super) fn join(&mut self, request: RequestId) -> Option<Result<(), DiscoverError>> {
        let asked = self.asked.as_mut()?;
        if asked.requests.len() >= MAX_WAITING {
            return Some(Err(DiscoverError::RateLimited));
        }
        asked.requests.push(request);
        Some(Ok(()))
    }

    /// A search begins that somebody asks for.
    ///
    /// # Errors
    ///
    /// Where the last one has only just ended.
    pub(super) fn ask(&mut self, now: Now, request: RequestId) -> Result<(), DiscoverError> {
        let is_soon = |ended: Duration| now.boot < ended.saturating_add(PAUSE);
        if self.asked_ended.is_some_and(is_soon) {
            return Err(DiscoverError::RateLimited);
        }
        self.asked = Some(Asked {
            searching: BTreeSet::new(),
            found: BTreeSet::new(),
            requests: vec![request],
        });
        Ok(())
    }

    /// Who asked waits for the search for `target`, too.
    pub(super) fn search(&mut self, target: &TargetId) {
        if let Some(asked) = &mut self.asked {
            asked.searching.insert(target.clone());
        }
    }

    /// Whether somebody who asked waits for the search for `target`.
    pub(super) fn is_asked(&self, target: &TargetId) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|asked| asked.searching.contains(target))
    }

    /// `target` was found, and is checked there.
    pub(super) fn found(&mut self, target: &TargetId) {
        self.checking.insert(target.clone());
        if let Some(asked) = &mut self.asked {
            asked.found.insert(target.clone());
        }
    }

    /// Somebody waits until nothing is under way, unless too many do.
    pub(super) fn wait(&mut self, request: RequestId) -> Option<Effect> {
        if self.waiting.len() >= MAX_WAITING {
            return Some(Effect::Quiet(request));
        }
        self.waiting.push(request);
        None
    }

    pub(super) fn give_up(&mut self, gone: &[RequestId]) {
        self.waiting.retain(|request| !gone.contains(request));
        if let Some(asked) = &mut self.asked {
            asked.requests.retain(|request| !gone.contains(request));
        }
    }

    /// Answers those for whom it is over, by what `is` under way.
    pub(super) fn answer(&mut self, now: Now, is: &impl UnderWay) -> Vec<Effect> {
        self.checking.retain(|id| is.checked(id));
        let mut effects = Vec::new();
        if let Some(asked) = &mut self.asked {
            asked.searching.retain(|id| is.sought(id));
            let is_over = asked.searching.is_empty() && self.checking.is_disjoint(&asked.found);
            let answer = if is.paused() {
                Some(Err(DiscoverError::Paused))
            } else {
                is_over.then(|| Ok(is.in_order(&asked.found)))
            };
            if let Some(answer) = answer {
                let requests = asked.requests.iter();
                effects.extend(requests.map(|request| Effect::Found(*request, answer.clone())));
                self.asked_ended = Some(now.boot);
                self.asked = None;
            }
        }
        if !self.waiting.is_empty() && self.checking.is_empty() && !is.any_sought() {
            effects.extend(self.waiting.drain(..).map(Effect::Quiet));
        }
        effects
    }
}

/// What is under way, for those who wait for its end.
pub(super) trait UnderWay {
    fn checked(&self, id: &TargetId) -> bool;
    fn sought(&self, id: &TargetId) -> bool;
    fn any_sought(&self) -> bool;
    fn paused(&self) -> bool;
    /// Those that are watched, in Nix's order.
    fn in_order(&self, ids: &BTreeSet<TargetId>) -> Vec<TargetId>;
}
