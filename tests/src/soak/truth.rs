//! What is true of a target, and what may be published of it.

use std::time::Duration;

use offload_client::TargetState;

use super::faults::Standing;

/// What is published of a target. Times are of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) standing: Standing,
    pub(super) address: String,
}

/// What is true of one target.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// What made it so.
    pub(super) what: String,
    /// Any of these is right.
    is: Vec<Standing>,
    /// Where it answers.
    address: String,
    /// What may be published as well until it is due.
    before: Vec<Standing>,
    since: Duration,
    due: Duration,
    seen: Option<Duration>,
    /// Samples that contradicted it.
    wrong: u64,
}

/// What a sample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// The truth, for the first time after so long.
    News(Duration),
    /// The truth, or what may be published yet.
    Nothing,
    /// What is not true (any more). Of each truth the first such sample is news.
    Wrong { first: bool },
}

impl Truth {
    /// `is` from `since` on, which has to be published by `due`; until then `before` may be.
    pub(super) fn new(
        what: String,
        is: &[Standing],
        address: String,
        before: Vec<Standing>,
        (since, due): (Duration, Duration),
    ) -> Self {
        Self {
            what,
            is: is.to_vec(),
            address,
            before,
            since,
            due,
            seen: None,
            wrong: 0,
        }
    }

    pub(super) fn judge(&mut self, at: Duration, published: &Published) -> Shows {
        if self.allows(published) {
            return match self.seen.replace(self.seen.unwrap_or(at)) {
                Some(_) => Shows::Nothing,
                None => Shows::News(at.saturating_sub(self.since)),
            };
        }
        let standing = &published.standing;
        let is_pending = self.is.contains(standing) || self.before.contains(standing);
        if at <= self.due && is_pending {
            return Shows::Nothing;
        }
        self.wrong += 1;
        Shows::Wrong {
            first: self.wrong == 1,
        }
    }

    /// Whether it is what is published.
    pub(super) fn allows(&self, published: &Published) -> bool {
        // Where it is not ready, the address is one of those that were tried.
        let is_there =
            published.standing.0 != TargetState::Ready || published.address == self.address;
        is_there && self.is.contains(&published.standing)
    }

    /// What may still be published when another truth follows now: itself, and what was pending.
    pub(super) fn leaves(&self, at: Duration) -> Vec<Standing> {
        let pending = self.before.iter().filter(|_| at <= self.due);
        self.is.iter().chain(pending).copied().collect()
    }

    /// The machine was busy, or the daemon stopped, for `more`.
    pub(super) fn delay(&mut self, more: Duration) {
        self.due += more;
    }

    /// A daemon that knows nothing began at `since`: the truth has to be published again by `due`.
    pub(super) fn begins_anew(&mut self, since: Duration, due: Duration, unknown: Standing) {
        self.since = since;
        self.due = self.due.max(due);
        self.before.push(unknown);
        self.seen = None;
    }

    /// Whether it is that the target is well.
    pub(super) fn is_ready(&self) -> bool {
        self.is
            .iter()
            .all(|(state, _)| *state == TargetState::Ready)
    }

    pub(super) fn is_seen(&self) -> bool {
        self.seen.is_some()
    }

    pub(super) fn is_overdue(&self, at: Duration) -> bool {
        at > self.due
    }

    /// For a person who reads of a sample that contradicts it.
    pub(super) fn tell(&self) -> String {
        let is: Vec<String> = self.is.iter().map(tell).collect();
        format!(
            "{} since {:.3} s, due by {:.3} s: {} at {}",
            self.what,
            self.since.as_secs_f64(),
            self.due.as_secs_f64(),
            is.join(" or "),
            self.address
        )
    }
}

pub(super) fn tell((state, reason): &Standing) -> String {
    format!("{state} {reason}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use offload_client::Reason;

    use super::*;

    const READY: Standing = (TargetState::Ready, Reason::None);
    const REFUSED: Standing = (TargetState::Down, Reason::Refused);
    const SILENT: Standing = (TargetState::Down, Reason::TimedOut);

    fn published(standing: Standing, address: &str) -> Published {
        Published {
            standing,
            address: address.to_owned(),
        }
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn stopped() -> Truth {
        let times = (secs(10), secs(12));
        Truth::new("stop".into(), &[REFUSED], "a".into(), vec![READY], times)
    }

    #[test]
    fn what_was_true_may_be_published_until_the_truth_is_due() {
        let mut truth = stopped();
        assert_eq!(
            truth.judge(secs(11), &published(READY, "a")),
            Shows::Nothing
        );
        let wrong = truth.judge(secs(13), &published(READY, "a"));
        assert_eq!(wrong, Shows::Wrong { first: true });
        let wrong = truth.judge(secs(14), &published(READY, "a"));
        assert_eq!(wrong, Shows::Wrong { first: false });
    }

    #[test]
    fn what_was_never_true_is_wrong_at_once() {
        let mut truth = stopped();
        let wrong = truth.judge(secs(11), &published(SILENT, "a"));
        assert_eq!(wrong, Shows::Wrong { first: true });
    }

    #[test]
    fn the_truth_is_news_once_and_says_how_late() {
        let mut truth = stopped();
        let told = truth.judge(secs(11), &published(REFUSED, "a"));
        assert_eq!(told, Shows::News(secs(1)));
        let told = truth.judge(secs(60), &published(REFUSED, "a"));
        assert_eq!(told, Shows::Nothing);
    }

    #[test]
    fn ready_at_an_address_where_it_is_not_is_wrong() {
        let times = (secs(0), secs(2));
        let mut truth = Truth::new("move".into(), &[READY], "b".into(), vec![READY], times);
        assert_eq!(truth.judge(secs(1), &published(READY, "a")), Shows::Nothing);
        let wrong = truth.judge(secs(3), &published(READY, "a"));
        assert_eq!(wrong, Shows::Wrong { first: true });
        assert!(!truth.is_seen());
    }
}
