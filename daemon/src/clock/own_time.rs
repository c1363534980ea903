//! Bounds that count only the time in which this process had its turn.
//!
//! A process that is stopped, starved by others, or busy with another target hears nothing meanwhile,
//! whatever its peers say: their silence in that time is its own. A deadline by the wall falls due
//! all the same, and would blame them.

use std::{pin::pin, time::Duration};

use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep},
};

/// Whoever waits looks at the clock so often: of what passes between two looks, no more counts.
const TICK: Duration = Duration::from_millis(100);
/// Timers come so late without saying anything.
const SLACK: Duration = Duration::from_millis(10);

/// A stopwatch that stands still while this process does: of a gap between two looks, what is beyond
/// a tick was not ours.
///
/// It is looked at by whoever waits with [`OwnTime::within`]; what passes while nobody does is counted
/// as a tick at most. (A watch channel without receivers is a cell that may be shared.)
#[derive(Debug)]
pub struct OwnTime(watch::Sender<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    own: Duration,
}

impl OwnTime {
    /// Starts now.
    pub fn start() -> Self {
        Self(watch::Sender::new(Seen {
            at: Instant::now(),
            own: Duration::ZERO,
        }))
    }

    /// How much of its own time has passed.
    pub fn elapsed(&self) -> Duration {
        let now = Instant::now();
        self.0.send_modify(|seen| {
            let gap = now.saturating_duration_since(seen.at);
            seen.own = seen.own.saturating_add(gap.min(TICK + SLACK));
            seen.at = now;
        });
        self.0.borrow().own
    }

    /// Does `work`, for `bound` at most; `None` where that was not enough. What has arrived by then is
    /// looked at before.
    pub async fn within<F: Future>(&self, bound: Duration, work: F) -> Option<F::Output> {
        let until = self.elapsed().saturating_add(bound);
        self.until(until, work).await
    }

    /// The same until so much has [`OwnTime::elapsed`].
    pub async fn until<F: Future>(&self, until: Duration, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        loop {
            let left = until.saturating_sub(self.elapsed());
            select! {
                biased;
                done = &mut work => return Some(done),
                () = sleep(left.min(TICK)) => {}
            }
            if left.is_zero() {
                return None;
            }
        }
    }
}

/// Does `work` for `bound` of this process' own time at most: [`OwnTime::within`] of a new one.
pub async fn within<F: Future>(bound: Duration, work: F) -> Option<F::Output> {
    OwnTime::start().within(bound, work).await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{advance, timeout};

    use super::*;

    const BOUND: Duration = Duration::from_secs(2);

    /// As if this process were stopped for so long.
    async fn stopped(secs: u64) {
        advance(Duration::from_secs(secs)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_waited_for_as_long_as_it_is_bounded() {
        let began = Instant::now();
        assert_eq!(within(BOUND, pending::<()>()).await, None);
        let took = began.elapsed();
        assert!(took >= BOUND && took < BOUND + TICK, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_this_process_was_stopped_does_not_count() {
        let answer = || async {
            sleep(BOUND / 2).await;
            stopped(10).await;
            // What is missing is still on its way.
            sleep(BOUND / 4).await;
            "answer"
        };
        assert!(timeout(BOUND, answer()).await.is_err(), "by the wall");
        assert_eq!(within(BOUND, answer()).await, Some("answer"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_it_was_stopped_is_looked_at() {
        let (answer, arrives) = tokio::sync::oneshot::channel();
        let waits = async {
            sleep(BOUND - Duration::from_millis(1)).await;
            answer.send("answer").unwrap();
            stopped(10).await;
            pending::<()>().await;
        };
        let (heard, _) = tokio::join!(within(BOUND, arrives), within(BOUND, waits));
        assert_eq!(heard, Some(Ok("answer")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_starved_comes_to_an_end_all_the_same() {
        let began = Instant::now();
        let starved = async {
            loop {
                advance(TICK * 5).await;
                sleep(SLACK).await;
            }
        };
        assert_eq!(within(BOUND, starved).await, None::<()>);
        let turns = BOUND.div_duration_f32(TICK).ceil() as u32;
        assert!(began.elapsed() <= TICK * 6 * (turns + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bound_within_another_shares_its_clock() {
        let clock = OwnTime::start();
        let inner = async {
            stopped(10).await;
            clock.within(BOUND / 4, pending::<()>()).await
        };
        assert_eq!(clock.within(BOUND, inner).await, Some(None));
        assert!(clock.elapsed() < BOUND / 2, "{:?}", clock.elapsed());
    }
}
