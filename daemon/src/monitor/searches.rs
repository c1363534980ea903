//! The searches under way, and who waits for them.

use std::collections::BTreeMap;

use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use super::{DiscoverError, Monitor};
use crate::{
    clock::Now,
    discover::{self, SearchResult},
    target::TargetId,
    whereabouts::{self, Effect, RequestId},
};

/// A search that came to its end.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) target: TargetId,
    /// That of [`Effect::Search`].
    pub(super) number: u64,
    pub(super) search: SearchResult,
}

/// The searches under way, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Searches {
    tasks: JoinSet<Searched>,
    under_way: BTreeMap<u64, AbortHandle>,
    waiting: BTreeMap<RequestId, Waiting>,
    /// The number of the last who waits.
    last: u64,
}

#[derive(Debug)]
enum Waiting {
    /// For what is found.
    Found(oneshot::Sender<Result<Vec<TargetId>, DiscoverError>>),
    /// Until nothing is looked for.
    Quiet(oneshot::Sender<()>),
}

impl Searches {
    /// The next that ends; nothing of one that was ended. `None` while there is none.
    pub(super) async fn next(&mut self) -> Option<Option<Searched>> {
        match self.tasks.join_next().await? {
            Ok(searched) => Some(Some(searched)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Some(None),
        }
    }

    /// Somebody asks for what is missing.
    pub(super) fn asked(
        &mut self,
        reply: oneshot::Sender<Result<Vec<TargetId>, DiscoverError>>,
    ) -> RequestId {
        self.wait(Waiting::Found(reply))
    }

    /// Somebody waits until nothing is looked for.
    pub(super) fn waits(&mut self, done: oneshot::Sender<()>) -> RequestId {
        self.wait(Waiting::Quiet(done))
    }

    /// Those who do not wait any longer.
    pub(super) fn forget_who_gave_up(&mut self) -> Vec<RequestId> {
        let has_gone = |waiting: &Waiting| match waiting {
            Waiting::Found(reply) => reply.is_closed(),
            Waiting::Quiet(done) => done.is_closed(),
        };
        let gone = self.waiting.iter().filter(|(_, waiting)| has_gone(waiting));
        let gone: Vec<_> = gone.map(|(request, _)| *request).collect();
        for request in &gone {
            self.waiting.remove(request);
        }
        gone
    }

    fn wait(&mut self, waiting: Waiting) -> RequestId {
        self.last = self.last.wrapping_add(1);
        self.waiting.insert(RequestId(self.last), waiting);
        RequestId(self.last)
    }
}

impl Monitor {
    /// A search ended.
    pub(super) fn searched(&mut self, now: Now, searched: Searched) {
        let Searched {
            target,
            number,
            search,
        } = searched;
        self.searches.under_way.remove(&number);
        match &search.found {
            Some((address, how)) => tracing::info!("{target} was found at {address}, by {how:?}"),
            None => tracing::debug!("{target} was not found"),
        }
        self.touched.insert(target.clone());
        let event = whereabouts::Event::Searched {
            target,
            number,
            found: search.found,
            strangers: search.strangers,
        };
        self.locate(now, event);
    }

    /// Begins and ends searches, and answers those who wait.
    pub(super) fn search(&mut self, effect: Effect) {
        let searches = &mut self.searches;
        match effect {
            Effect::Search {
                target,
                number,
                wanted,
                scope,
            } => {
                let (network, context) = (self.network.clone(), self.context.clone());
                let search = discover::search(wanted, scope, network, context);
                let abort = searches.tasks.spawn(async move {
                    let search = search.await;
                    Searched {
                        target,
                        number,
                        search,
                    }
                });
                searches.under_way.insert(number, abort);
            }
            Effect::EndSearch(number) => {
                if let Some(abort) = searches.under_way.remove(&number) {
                    abort.abort();
                }
            }
            Effect::Found(request, found) => {
                if let Some(Waiting::Found(reply)) = searches.waiting.remove(&request) {
                    let _ = reply.send(found);
                }
            }
            Effect::Quiet(request) => {
                if let Some(Waiting::Quiet(done)) = searches.waiting.remove(&request) {
                    let _ = done.send(());
                }
            }
            Effect::Judge(_) | Effect::Readdressed(_) | Effect::Waking(_) => {}
        }
    }
}
