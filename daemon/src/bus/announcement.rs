//! When the verdict over all targets is told, of whose signals there is one for what has one cause: a desktop that goes
//! takes its caches and builders with it one by one, and whoever looks meanwhile finds some of them still there.

use std::{sync::Arc, time::Duration};

use offload_client::{OverallState, Snapshot, TargetState, snapshot::Target};
use tokio::time::Instant;

use super::values;

/// So long nothing more has come when it is told that not everything is ready any more.
const QUIET: Duration = Duration::from_millis(50);
/// So long it waits at most, for that and for targets that are in doubt.
const AT_MOST: Duration = Duration::from_millis(250);

/// The verdict as it was told last, and since when there is another.
#[derive(Debug)]
pub(super) struct Announcement {
    told: Arc<Snapshot>,
    waits: Option<Waits>,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    since: Instant,
    until: Instant,
}

impl Announcement {
    /// `told` is known to everybody.
    pub(super) fn new(told: Arc<Snapshot>) -> Self {
        Self { told, waits: None }
    }

    /// Takes in what is known at `now`: the one that was told before, where it is to be told. Good news, what adds to
    /// bad news, and who is watched do not wait.
    pub(super) fn take_in(&mut self, now: Instant, new: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let is_worse = self.told.state == OverallState::Ready && new.state != OverallState::Ready;
        if !is_worse || !values::are_same_objects(&self.told, new) {
            return Some(self.tell(new));
        }
        self.wait(now);
        None
    }

    /// Returns when what waits may be told.
    pub(super) async fn due(&self) {
        match self.waits {
            Some(waits) => tokio::time::sleep_until(waits.until).await,
            None => std::future::pending().await,
        }
    }

    /// The one that was told before, unless the next answer of a target may turn it once more.
    pub(super) fn settle(&mut self, now: Instant, new: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let is_late = self.waits.is_none_or(|it| now >= it.since + AT_MOST);
        if !is_late && new.targets.iter().any(is_in_doubt) {
            self.wait(now);
            return None;
        }
        Some(self.tell(new))
    }

    fn wait(&mut self, now: Instant) {
        let since = self.waits.map_or(now, |waits| waits.since);
        let until = (now + QUIET).min(since + AT_MOST);
        self.waits = Some(Waits { since, until });
    }

    fn tell(&mut self, new: &Arc<Snapshot>) -> Arc<Snapshot> {
        self.waits = None;
        std::mem::replace(&mut self.told, new.clone())
    }
}

/// Whether it has failed, and is ready as yet.
fn is_in_doubt(target: &Target) -> bool {
    target.state == TargetState::Ready && target.consecutive_failures > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(state: OverallState, targets: &[(TargetState, u32)]) -> Arc<Snapshot> {
        let target = |&(state, consecutive_failures): &(TargetState, u32)| Target {
            state,
            consecutive_failures,
            ..Target::default()
        };
        Arc::new(Snapshot {
            state,
            targets: targets.iter().map(target).collect(),
            ..Snapshot::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_desktop_that_goes_piece_by_piece_is_told_once() {
        use OverallState::{Degraded, Offline, Ready};
        let ready = snapshot(Ready, &[(TargetState::Ready, 0); 2]);
        let mut announcement = Announcement::new(ready.clone());
        let one = snapshot(Degraded, &[(TargetState::Down, 3), (TargetState::Ready, 1)]);
        assert!(announcement.take_in(Instant::now(), &one).is_none());
        announcement.due().await;
        assert!(announcement.settle(Instant::now(), &one).is_none());
        let both = snapshot(Offline, &[(TargetState::Down, 3); 2]);
        assert!(announcement.take_in(Instant::now(), &both).is_none());
        announcement.due().await;
        assert_eq!(announcement.settle(Instant::now(), &both), Some(ready));
        // What is bad already does not wait, nor does good news.
        assert_eq!(announcement.take_in(Instant::now(), &one), Some(both));
    }

    #[tokio::test(start_paused = true)]
    async fn doubt_holds_bad_news_back_for_a_moment_at_most() {
        let ready = snapshot(OverallState::Ready, &[(TargetState::Ready, 0)]);
        let mut announcement = Announcement::new(ready.clone());
        let doubtful = snapshot(OverallState::Degraded, &[(TargetState::Ready, 1)]);
        let from = Instant::now();
        assert!(announcement.take_in(from, &doubtful).is_none());
        let told = loop {
            announcement.due().await;
            if let Some(told) = announcement.settle(Instant::now(), &doubtful) {
                break told;
            }
        };
        assert_eq!((told, from.elapsed()), (ready, AT_MOST));
    }
}
