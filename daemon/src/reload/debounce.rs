//! Of what is asked for again and again, the first is done at once and the rest is gathered.

use std::{future::pending, time::Duration};

use tokio::time::{Instant, sleep_until};

/// What is asked for so soon after the last time was done is done once, at the end of this.
const WINDOW: Duration = Duration::from_secs(1);

/// When what was asked for is to be done.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    /// Until then it is gathered.
    closed: Option<Instant>,
    /// Somebody has asked, and it is to be done then.
    due: Option<Instant>,
}

impl Debounce {
    /// Somebody asks.
    pub(super) fn ask(&mut self) {
        let now = Instant::now();
        let due = self.closed.map_or(now, |closed| closed.max(now));
        self.due.get_or_insert(due);
    }

    /// Comes back when it is to be done; never where nobody has asked. Nothing is lost when dropped.
    pub(super) async fn is_due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }

    /// It is being done: whoever asks from now on means another time.
    pub(super) fn begin(&mut self) {
        self.due = None;
        self.closed = Some(Instant::now() + WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it is done, in milliseconds, for what is asked at these moments.
    async fn done(asked: &[u64]) -> Vec<u128> {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        let mut done = Vec::new();
        let mut asked = asked.iter().map(|at| start + Duration::from_millis(*at));
        let mut next = asked.next();
        while next.is_some() || debounce.due.is_some() {
            tokio::select! {
                biased;
                () = debounce.is_due() => {
                    debounce.begin();
                    done.push(start.elapsed().as_millis());
                }
                () = sleep_until(next.unwrap_or(start)), if next.is_some() => {
                    debounce.ask();
                    next = asked.next();
                }
            }
        }
        done
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_done_at_once_and_the_rest_is_gathered() {
        assert_eq!(done(&[]).await, [0; 0]);
        assert_eq!(done(&[5]).await, [5]);
        assert_eq!(done(&[0, 1, 2, 999]).await, [0, 1000]);
        assert_eq!(done(&[0, 1500, 1600]).await, [0, 1500, 2500]);
        let storm: Vec<u64> = (0..5000).step_by(8).collect();
        assert_eq!(done(&storm).await, [0, 1000, 2000, 3000, 4000, 5000]);
    }
}
