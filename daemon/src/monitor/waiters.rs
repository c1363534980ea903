//! Callers who wait for checks to end.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::handle::CheckError;
use crate::target::TargetId;

/// How many callers may wait at once.
const MOST: usize = 64;

/// Callers who wait for checks to end.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<Waiter>);

#[derive(Debug)]
struct Waiter {
    pending: BTreeSet<TargetId>,
    reply: oneshot::Sender<Result<(), CheckError>>,
}

impl Waiters {
    /// Answers `reply` once a check of each of `pending` has ended.
    pub(super) fn add(
        &mut self,
        pending: BTreeSet<TargetId>,
        reply: oneshot::Sender<Result<(), CheckError>>,
    ) {
        // A caller who gave up leaves no trace.
        self.0.retain(|waiter| !waiter.reply.is_closed());
        if pending.is_empty() {
            let _ = reply.send(Ok(()));
        } else if self.0.len() >= MOST {
            let _ = reply.send(Err(CheckError::Busy));
        } else {
            self.0.push(Waiter { pending, reply });
        }
    }

    /// A check of `target` has ended, or will never end: it was aborted or its target is gone.
    pub(super) fn done(&mut self, target: &TargetId) {
        for waiter in self.0.extract_if(.., |waiter| {
            waiter.pending.remove(target) && waiter.pending.is_empty()
        }) {
            let _ = waiter.reply.send(Ok(()));
        }
    }
}
