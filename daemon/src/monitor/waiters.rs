//! Callers who wait for checks to end.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::handle::CheckError;
use crate::target::TargetId;

/// How many callers may wait at once: more than the bus lets in (`bus/gate.rs`).
const MOST: usize = 128;

/// Callers who wait for checks to end.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<Waiter>);

#[derive(Debug)]
struct Waiter {
    pending: BTreeSet<TargetId>,
    /// Whether every target was asked for, as many as there may be.
    all: bool,
    reply: oneshot::Sender<Result<(), CheckError>>,
}

impl Waiters {
    /// Answers `reply` once a check of each of `pending`, which are `all` or one, has ended.
    pub(super) fn add(
        &mut self,
        pending: BTreeSet<TargetId>,
        all: bool,
        reply: oneshot::Sender<Result<(), CheckError>>,
    ) {
        // A caller who gave up leaves no trace.
        self.0.retain(|waiter| !waiter.reply.is_closed());
        if pending.is_empty() {
            let _ = reply.send(Ok(()));
        } else if self.0.len() >= MOST {
            let _ = reply.send(Err(CheckError::Busy));
        } else {
            self.0.push(Waiter {
                pending,
                all,
                reply,
            });
        }
    }

    /// There is nothing more to wait for from `target`: its check has ended, well or badly for
    /// those who asked for it alone.
    pub(super) fn done(&mut self, target: &TargetId, end: Result<(), CheckError>) {
        let over = |waiter: &mut Waiter| waiter.pending.remove(target) && waiter.pending.is_empty();
        for waiter in self.0.extract_if(.., over) {
            let _ = waiter.reply.send(if waiter.all { Ok(()) } else { end });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(waiters: &mut Waiters, ids: &[&str]) -> oneshot::Receiver<Result<(), CheckError>> {
        let (reply, answer) = oneshot::channel();
        let pending = ids.iter().map(|id| TargetId::cache(id)).collect();
        waiters.add(pending, ids.len() > 1, reply);
        answer
    }

    #[test]
    fn who_asked_for_all_is_answered_when_the_last_has_ended() {
        let mut waiters = Waiters::default();
        let mut all = ask(&mut waiters, &["a", "b"]);
        waiters.done(&TargetId::cache("a"), Ok(()));
        assert!(all.try_recv().is_err());
        waiters.done(&TargetId::cache("b"), Err(CheckError::NoSuchTarget));
        assert_eq!(all.try_recv(), Ok(Ok(())));
    }

    #[test]
    fn who_asked_for_a_target_that_goes_learns_that() {
        let mut waiters = Waiters::default();
        let mut one = ask(&mut waiters, &["a"]);
        waiters.done(&TargetId::cache("a"), Err(CheckError::NoSuchTarget));
        assert_eq!(one.try_recv(), Ok(Err(CheckError::NoSuchTarget)));
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let mut waiters = Waiters::default();
        let waiting: Vec<_> = (0..MOST).map(|_| ask(&mut waiters, &["a"])).collect();
        assert_eq!(
            ask(&mut waiters, &["a"]).try_recv(),
            Ok(Err(CheckError::Busy))
        );
        drop(waiting);
        assert!(
            ask(&mut waiters, &["a"]).try_recv().is_err(),
            "they gave up"
        );
    }
}
