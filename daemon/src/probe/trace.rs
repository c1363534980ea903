//! How far a check has come, for when it is cut short.

use std::{future::pending, time::Duration};

use offload_client::{Printable, Reason, Stage};
use tokio::sync::watch;

use crate::{
    clock::OwnTime,
    reason::{ANSWERED, traits},
    report::Failure,
};

/// Where a check stands: written by the stages, read by who bounds the whole check.
///
/// It lives beside the check's future, so that a time-out, which drops the future, can still say
/// what was being tried. (A watch channel without receivers is a cell that may be shared.)
#[derive(Debug)]
pub struct Trace {
    progress: watch::Sender<Progress>,
    time: OwnTime,
}

#[derive(Clone, Debug)]
struct Progress {
    stage: Stage,
    address: Option<String>,
    lookup: Option<String>,
    told: Option<(Failure, Option<String>)>,
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl Trace {
    /// Nothing was tried yet.
    pub fn new() -> Self {
        Self {
            progress: watch::Sender::new(Progress {
                stage: Stage::None,
                address: None,
                lookup: None,
                told: None,
            }),
            time: OwnTime::start(),
        }
    }

    /// How long the check has taken of this process' own time, in which alone it is bounded.
    pub fn elapsed(&self) -> Duration {
        self.time.elapsed()
    }

    /// Does a part of the check, for `bound` of that time at most; `None` where it was not enough.
    pub async fn within<F: Future>(&self, bound: Duration, work: F) -> Option<F::Output> {
        self.time.within(bound, work).await
    }

    /// Waits until the check has taken so long.
    pub(super) async fn until(&self, elapsed: Duration) {
        self.time.until(elapsed, pending::<()>()).await;
    }

    /// A stage begins.
    pub fn enter(&self, stage: Stage) {
        self.progress.send_modify(|progress| progress.stage = stage);
    }

    /// This `host:port` is being tried, or has answered.
    pub fn at(&self, address: impl ToString) {
        let address = Some(address.to_string());
        self.progress
            .send_modify(|progress| progress.address = address);
    }

    /// The resolver is being asked for this name.
    pub(super) fn looking_up(&self, name: &str) {
        let name = Some(name.to_owned());
        self.progress.send_modify(|progress| progress.lookup = name);
    }

    /// The stage that was entered last.
    pub fn stage(&self) -> Stage {
        self.progress.borrow().stage
    }

    /// `host:port` that answered, or that was tried last.
    pub fn address(&self) -> Option<String> {
        self.progress.borrow().address.clone()
    }

    /// A failure in the stage that was entered last.
    pub fn failure(&self, reason: Reason, detail: impl Into<Printable>) -> Failure {
        Failure {
            stage: self.stage(),
            reason,
            detail: detail.into(),
        }
    }

    /// One of several candidates failed: the most telling failure is remembered, the first of
    /// equal ones (candidates come best first). Whether it is this one.
    pub(super) fn note(&self, failure: Failure, address: Option<String>) -> bool {
        let mut is_told = false;
        self.progress.send_modify(|progress| {
            let known = progress.told.as_ref();
            if known.is_none_or(|(known, _)| outranks(&failure, known)) {
                progress.told = Some((failure, address));
                is_told = true;
            }
        });
        is_told
    }

    /// A candidate is the one: what the others said is of no account any more.
    pub(super) fn settle(&self) {
        self.progress.send_modify(|progress| progress.told = None);
    }

    /// Why no candidate is the one: the most telling failure, whose address becomes this check's.
    pub(super) fn told(&self) -> Option<Failure> {
        let (failure, address) = self.progress.borrow().told.clone()?;
        if address.is_some() {
            self.progress
                .send_modify(|progress| progress.address = address);
        }
        Some(failure)
    }

    /// `failure` ends the check, unless somebody else had shown before that it is not the one, or
    /// had said as little.
    pub(super) fn told_before(&self, failure: Failure) -> Failure {
        let is_told = {
            let progress = self.progress.borrow();
            let told = progress.told.as_ref();
            told.is_some_and(|(told, _)| has_answered(told) && !outranks(&failure, told))
        };
        if is_told {
            self.told().unwrap_or(failure)
        } else {
            failure
        }
    }

    /// The check ran out of time. While one candidate is silent the refusal of another proves
    /// nothing: it may be a stranger at the desktop's old address. So it is silence that is told,
    /// with what the others said beside it. Who took the connection is told before that, the more so
    /// who showed that it is somebody else: no silence may hide it.
    pub fn expired(&self) -> Failure {
        if self.has_answer()
            && let Some(failure) = self.told()
        {
            return failure;
        }
        let progress = self.progress.borrow().clone();
        let mut failure = match (self.stage(), progress.lookup) {
            (Stage::Resolve, Some(name)) => {
                let detail = format!("{name}: no answer from the resolver in time");
                self.failure(Reason::DnsFailed, detail)
            }
            _ => self.failure(Reason::TimedOut, "no answer in time"),
        };
        let looking = matches!(failure.stage, Stage::Resolve | Stage::Connect);
        if looking && let Some((told, _)) = progress.told {
            failure.detail = format!("{}; and {}", failure.detail, told.detail).into();
        }
        failure
    }

    fn has_answer(&self) -> bool {
        let progress = self.progress.borrow();
        let told = progress.told.as_ref();
        told.is_some_and(|(told, _)| has_answered(told))
    }
}

/// Whether it is the failure of somebody who took the connection.
fn has_answered(failure: &Failure) -> bool {
    telling(failure) >= ANSWERED
}

fn outranks(failure: &Failure, other: &Failure) -> bool {
    telling(failure) > telling(other)
}

/// How much a failure tells: who took the connection and then said nothing, or hung up, says more than
/// those who were not there.
fn telling(failure: &Failure) -> u8 {
    let telling = traits(failure.reason).telling;
    match failure.stage {
        Stage::None | Stage::Resolve | Stage::Connect => telling,
        _ => telling.max(ANSWERED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: Reason) -> Failure {
        Failure {
            stage: Stage::Connect,
            reason,
            detail: Printable::default(),
        }
    }

    #[test]
    fn a_time_out_names_its_stage() {
        let trace = Trace::new();
        trace.enter(Stage::Tls);
        let failure = trace.expired();
        assert_eq!(
            (failure.stage, failure.reason),
            (Stage::Tls, Reason::TimedOut)
        );
    }

    #[test]
    fn a_refusal_proves_nothing_while_another_candidate_is_silent() {
        let trace = Trace::new();
        trace.enter(Stage::Connect);
        let refused = Failure {
            detail: "127.0.15.7:1: refused".into(),
            ..failure(Reason::Refused)
        };
        trace.note(failure(Reason::DnsFailed), None);
        trace.note(refused, Some("127.0.15.7:1".to_owned()));
        let expired = trace.expired();
        assert_eq!(expired.reason, Reason::TimedOut);
        assert_eq!(
            expired.detail,
            "no answer in time; and 127.0.15.7:1: refused"
        );
    }

    #[test]
    fn who_is_not_there_is_not_hidden_by_a_refusal_elsewhere() {
        // The kernel may give up before the check does: what it says of silence is silence.
        for silence in [Reason::TimedOut, Reason::HostUnreachable] {
            let reasons = [silence, Reason::Refused];
            for order in [[0, 1], [1, 0]] {
                let trace = Trace::new();
                trace.enter(Stage::Connect);
                for which in order {
                    trace.note(failure(reasons[which]), Some(format!("127.0.15.{which}:1")));
                }
                let told = trace.told().map(|failure| failure.reason);
                assert_eq!(told, Some(silence), "{order:?}");
                assert_eq!(trace.address().as_deref(), Some("127.0.15.0:1"));
            }
        }
    }

    #[test]
    fn what_this_machine_could_not_try_outweighs_what_others_said() {
        let trace = Trace::new();
        trace.enter(Stage::Connect);
        trace.note(failure(Reason::OutOfResources), None);
        for said in [Reason::Refused, Reason::NotSsh, Reason::HostKeyMismatch] {
            assert!(!trace.note(failure(said), None), "{said}");
            let ended = trace.told_before(failure(said));
            assert_eq!(ended.reason, Reason::OutOfResources);
        }
        assert_eq!(trace.expired().reason, Reason::OutOfResources);
    }

    #[test]
    fn what_failed_before_the_connection_stood_is_forgotten_after() {
        let trace = Trace::new();
        trace.enter(Stage::Connect);
        trace.note(failure(Reason::Refused), Some("127.0.15.6:1".to_owned()));
        trace.at("127.0.15.7:1");
        trace.enter(Stage::Http);
        assert_eq!(trace.expired().reason, Reason::TimedOut);
        assert_eq!(trace.address().as_deref(), Some("127.0.15.7:1"));
    }

    #[test]
    fn a_resolver_that_does_not_answer_is_a_dns_failure() {
        let trace = Trace::new();
        trace.enter(Stage::Resolve);
        assert_eq!(trace.expired().reason, Reason::TimedOut, "no name yet");
        trace.looking_up("desktop.local");
        let failure = trace.expired();
        assert_eq!(
            (failure.stage, failure.reason),
            (Stage::Resolve, Reason::DnsFailed)
        );
        assert!(failure.detail.starts_with("desktop.local: "));
        trace.enter(Stage::Connect);
        assert_eq!(trace.expired().reason, Reason::TimedOut);
    }

    #[test]
    fn somebody_else_is_told_before_any_silence_until_the_right_one_is_found() {
        let trace = Trace::new();
        trace.enter(Stage::HostKey);
        let mismatch = failure(Reason::HostKeyMismatch);
        assert!(trace.note(mismatch.clone(), Some("127.0.15.6:22".to_owned())));
        assert!(!trace.note(failure(Reason::Refused), None));
        assert!(!trace.note(failure(Reason::NotSsh), None));
        trace.at("127.0.15.7:22");
        trace.enter(Stage::Banner);
        assert_eq!(trace.expired(), mismatch);
        assert_eq!(trace.address().as_deref(), Some("127.0.15.6:22"));
        trace.settle();
        assert_eq!(trace.expired().reason, Reason::TimedOut);
    }

    #[test]
    fn who_took_the_connection_and_was_mute_is_told_before_who_was_not_there() {
        let trace = Trace::new();
        let mute = Failure {
            stage: Stage::Banner,
            ..failure(Reason::TimedOut)
        };
        trace.note(failure(Reason::Refused), Some("127.0.15.7:1".to_owned()));
        trace.note(mute.clone(), Some("127.0.15.6:1".to_owned()));
        trace.note(failure(Reason::Refused), Some("127.0.15.8:1".to_owned()));
        trace.enter(Stage::Connect);
        assert_eq!(trace.expired(), mute);
        assert_eq!(trace.told_before(failure(Reason::Refused)), mute);
        assert_eq!(trace.address().as_deref(), Some("127.0.15.6:1"));
    }

    #[test]
    fn an_unknown_name_says_less_than_silence() {
        let trace = Trace::new();
        trace.enter(Stage::Connect);
        trace.note(failure(Reason::DnsFailed), None);
        assert_eq!(trace.expired().reason, Reason::TimedOut);
    }
}
