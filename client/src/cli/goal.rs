//! What is waited for, and whether it is so.

use super::{
    failure::{Failure, Outcome},
    session,
};
use crate::{
    Kind, Printable, Reason, Snapshot, TargetState,
    language::{say, tr},
    reasons,
    snapshot::Target,
};

/// What is to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal<'a> {
    /// Everything that is watched.
    Everything,
    /// Each target of this name.
    Targets(&'a str),
    /// At least one builder.
    AnyBuilder,
}

/// Whether it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoalState {
    Ready,
    NotReady,
    /// It is not, but the daemon has not judged everything yet: it may turn out to be.
    Unjudged,
}

impl<'a> Goal<'a> {
    /// The targets of that name, or everything.
    pub(super) fn targets(name: Option<&'a str>) -> Self {
        name.map_or(Self::Everything, Self::Targets)
    }

    /// Judges it.
    ///
    /// # Errors
    /// No target has that name.
    pub(super) fn judge(self, snapshot: &Snapshot) -> Result<GoalState, Failure> {
        if self == Self::Everything {
            return Ok(if snapshot.state.is_ready() {
                GoalState::Ready
            } else {
                GoalState::NotReady
            });
        }
        let states: Vec<TargetState> = self
            .concerned(snapshot)?
            .iter()
            .map(|target| target.state)
            .collect();
        let any = self == Self::AnyBuilder;
        let unjudged = |state: &TargetState| *state == TargetState::Unknown;
        let ready = |state: &TargetState| state.is_ready();
        Ok(match any {
            true if states.iter().any(ready) => GoalState::Ready,
            true if states.iter().any(unjudged) => GoalState::Unjudged,
            true => GoalState::NotReady,
            false if states.iter().all(ready) => GoalState::Ready,
            false if states.iter().all(|s| ready(s) || unjudged(s)) => GoalState::Unjudged,
            false => GoalState::NotReady,
        })
    }

    /// The same as the end of a command.
    ///
    /// # Errors
    /// No target has that name.
    pub(super) fn outcome(self, snapshot: &Snapshot) -> Result<Outcome, Failure> {
        Ok(Outcome::ready(self.judge(snapshot)? == GoalState::Ready))
    }

    /// The targets that it is about.
    ///
    /// # Errors
    /// No target has that name.
    pub(super) fn concerned(self, snapshot: &'a Snapshot) -> Result<Vec<&'a Target>, Failure> {
        Ok(match self {
            Self::Everything => snapshot.targets.iter().collect(),
            Self::Targets(name) => session::select(snapshot, Some(name))?,
            Self::AnyBuilder => {
                let builders = snapshot.targets.iter();
                builders
                    .filter(|target| target.kind == Kind::Builder)
                    .collect()
            }
        })
    }

    /// Whether it can't be met from where this machine is: the reason for which what is missing is away.
    pub(super) fn is_out_of_reach(self, snapshot: &Snapshot) -> Option<Reason> {
        let concerned = self.concerned(snapshot).ok()?;
        let away = |target: &&&Target| target.state == TargetState::Away;
        let reason = concerned.iter().find(away)?.reason;
        // Of several builders each would do; of anything else all is needed.
        let all_are = concerned.iter().all(|target| away(&target));
        (self != Self::AnyBuilder || all_are).then_some(reason)
    }

    /// What is ready of it, in a line: `builder/desktop is ready`.
    pub(super) fn achieved(self, snapshot: &Snapshot) -> String {
        let concerned = self.concerned(snapshot).unwrap_or_default();
        let ready: Vec<String> = concerned
            .iter()
            .filter(|target| target.state.is_ready())
            .map(|target| target.label())
            .collect();
        match ready.len() {
            0 | 1 => say!("{target} is ready", target = ready.concat()),
            _ => say!("{targets} are ready", targets = ready.join(", ")),
        }
    }

    /// What is missing, in a line: `builder/desktop is down, connection refused`.
    pub(super) fn missing(self, snapshot: Option<&Snapshot>) -> String {
        let Some(snapshot) = snapshot else {
            return tr("offloadd is not running").to_owned();
        };
        let concerned = self.concerned(snapshot).unwrap_or_default();
        if let (Self::AnyBuilder, []) = (self, concerned.as_slice()) {
            return tr("no builder is watched").to_owned();
        }
        let waiting: Vec<String> = concerned
            .iter()
            .filter(|target| !target.state.is_ready())
            .map(|target| {
                let title = reasons::title_for(target);
                let why = if title.is_empty() { "" } else { ", " };
                say!(
                    "{target} is {state}{why}",
                    target = target.label(),
                    state = target.state,
                    why = format!("{why}{title}")
                )
            })
            .collect();
        if !waiting.is_empty() {
            return waiting.join("; ");
        }
        match (self, reasons::text(snapshot.reason).title) {
            (Self::Targets(name), _) => say!(
                "{target} is no longer watched",
                target = Printable::from(name)
            ),
            (_, "") => snapshot.state.to_string(),
            (_, title) => title.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(states: &[(Kind, &str, TargetState)]) -> Snapshot {
        let target = |(kind, name, state): &(Kind, &str, TargetState)| Target {
            kind: *kind,
            name: (*name).into(),
            state: *state,
            ..Target::default()
        };
        Snapshot {
            targets: states.iter().map(target).collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn one_ready_builder_is_enough_and_a_cache_is_none() {
        use TargetState::{Down, Ready, Unknown};
        let judge = |states: &[_]| Goal::AnyBuilder.judge(&snapshot(states)).unwrap();
        let (b, c) = (Kind::Builder, Kind::Cache);
        assert_eq!(judge(&[(b, "a", Down), (b, "b", Ready)]), GoalState::Ready);
        assert_eq!(
            judge(&[(b, "a", Down), (b, "b", Unknown)]),
            GoalState::Unjudged
        );
        assert_eq!(
            judge(&[(b, "a", Down), (c, "a", Ready)]),
            GoalState::NotReady
        );
        assert_eq!(judge(&[]), GoalState::NotReady);
    }

    #[test]
    fn one_builder_that_is_not_away_is_worth_waiting_for_and_of_all_none_may_be() {
        use TargetState::{Away, Down};
        let states = [(Kind::Builder, "a", Away), (Kind::Builder, "b", Down)];
        let far = |goal: Goal<'_>| goal.is_out_of_reach(&snapshot(&states)).is_some();
        assert!(!far(Goal::AnyBuilder));
        assert!(far(Goal::Everything));
        assert!(far(Goal::Targets("a")));
        assert!(!far(Goal::Targets("b")));
        let alone = snapshot(&states[..1]);
        assert!(Goal::AnyBuilder.is_out_of_reach(&alone).is_some());
        assert!(Goal::AnyBuilder.is_out_of_reach(&snapshot(&[])).is_none());
    }

    #[test]
    fn of_a_name_each_target_must_be_ready() {
        use TargetState::{Degraded, Paused, Ready, Unknown};
        let judge = |states: &[_]| Goal::Targets("a").judge(&snapshot(states)).unwrap();
        let (b, c) = (Kind::Builder, Kind::Cache);
        assert_eq!(judge(&[(b, "a", Ready), (c, "a", Ready)]), GoalState::Ready);
        assert_eq!(
            judge(&[(b, "a", Ready), (c, "a", Unknown)]),
            GoalState::Unjudged
        );
        // What is judged already decides, whatever becomes of the other.
        assert_eq!(
            judge(&[(b, "a", Unknown), (c, "a", Degraded)]),
            GoalState::NotReady
        );
        assert_eq!(judge(&[(b, "a", Paused)]), GoalState::NotReady);
        Goal::Targets("b")
            .judge(&snapshot(&[(b, "a", Ready)]))
            .unwrap_err();
    }

    #[test]
    fn what_is_missing_is_named_with_its_cause() {
        let mut now = snapshot(&[
            (Kind::Builder, "a", TargetState::Down),
            (Kind::Cache, "a", TargetState::Down),
        ]);
        now.targets[0].reason = Reason::Refused;
        assert_eq!(
            Goal::AnyBuilder.missing(Some(&now)),
            "builder/a is down, connection refused"
        );
        assert_eq!(
            Goal::AnyBuilder.missing(Some(&snapshot(&[]))),
            "no builder is watched"
        );
        assert_eq!(
            Goal::Targets("b").missing(Some(&now)),
            "b is no longer watched"
        );
        assert_eq!(Goal::AnyBuilder.missing(None), "offloadd is not running");
    }
}
