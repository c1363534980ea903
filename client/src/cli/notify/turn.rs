//! When builds turn: from other machines to this one, and back. No clock, no bus.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Cause, Kind, OverallState, Snapshot, TargetState,
    cause::Root,
    language::{say, tr},
};

/// Where builds go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At least one builder takes them.
    Out,
    /// None does, that should.
    Here,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whether somebody may want to do something.
    pub(super) is_bad: bool,
    pub(super) title: String,
    /// Plain text, lines of it.
    pub(super) body: String,
}

/// What was told, and what may be to be told.
#[derive(Debug)]
pub(super) struct Turns {
    /// What was so for a shorter time was a flap: a restart, a roaming laptop, a resume.
    settled: Duration,
    /// Where builds go as far as a person knows; nothing before anything was judged.
    told: Option<Place>,
    turning: Option<Turning>,
}

#[derive(Debug)]
struct Turning {
    to: Place,
    since: Instant,
    notice: Notice,
}

impl Turns {
    pub(super) fn new(settled: Duration) -> Self {
        Self {
            settled,
            told: None,
            turning: None,
        }
    }

    /// Takes what the daemon knows now; `None` without one.
    pub(super) fn observe(&mut self, now: Option<&Snapshot>, at: Instant) {
        let place = now.and_then(place);
        let (Some(now), Some(to)) = (now, place) else {
            // Nobody knows, or it is meant to be so: what was told stands until it is another.
            self.turning = None;
            return;
        };
        match self.told {
            // How it is at the start is no change.
            None => self.told = Some(to),
            Some(told) if told == to => self.turning = None,
            Some(_) => {
                let since = self
                    .turning
                    .as_ref()
                    .filter(|it| it.to == to)
                    .map_or(at, |it| it.since);
                let notice = notice(to, now);
                self.turning = Some(Turning { to, since, notice });
            }
        }
    }

    /// When [`Self::ring`] is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.turning
            .as_ref()
            .map(|turning| turning.since + self.settled)
    }

    /// The notice that is to be shown now.
    pub(super) fn ring(&mut self, at: Instant) -> Option<Notice> {
        let settled = self.settled;
        let turning = self
            .turning
            .take_if(|turning| turning.since + settled <= at)?;
        self.told = Some(turning.to);
        Some(turning.notice)
    }
}

/// Whether builds stay on this machine that should go out.
pub(in crate::cli) fn stay_here(now: &Snapshot) -> bool {
    place(now) == Some(Place::Here)
}

/// Nothing where nobody knows yet, where there is no builder, and where somebody wants it so: paused, or elsewhere.
fn place(now: &Snapshot) -> Option<Place> {
    if now.has_ready_builder() {
        return Some(Place::Out);
    }
    if matches!(
        now.builder_state,
        OverallState::Unknown | OverallState::Away | OverallState::Paused
    ) {
        return None;
    }
    let mut builders = now
        .targets
        .iter()
        .filter(|target| target.kind == Kind::Builder);
    let is_unjudged = |state| {
        matches!(
            state,
            TargetState::Unknown | TargetState::Away | TargetState::Paused
        )
    };
    builders.clone().next()?;
    // One that is not judged may take them.
    (!builders.any(|builder| is_unjudged(builder.state))).then_some(Place::Here)
}

fn notice(to: Place, now: &Snapshot) -> Notice {
    match to {
        Place::Out => {
            let mut targets = now.targets.iter();
            let ready = targets.find(|it| it.kind == Kind::Builder && it.state.is_ready());
            let name = ready.map_or_else(String::new, |it| it.name.to_string());
            Notice {
                is_bad: false,
                title: tr("Builds go out again").to_owned(),
                body: say!("{name} takes them.", name),
            }
        }
        Place::Here => {
            let cause = cause(now).unwrap_or_default();
            let lines = [cause.target, cause.title, cause.remedy];
            let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            let title = if now.is_built_elsewhere_alone() {
                tr("Nothing is built any more")
            } else {
                tr("Builds stay on this machine")
            };
            Notice {
                is_bad: true,
                title: title.to_owned(),
                body: lines.join("\n"),
            }
        }
    }
}

/// What keeps builds here: the root cause, but where that concerns caches alone the first builder's own.
fn cause(now: &Snapshot) -> Option<Cause> {
    let root = now.root_cause.as_ref();
    let mut about = root
        .into_iter()
        .flat_map(|root| root.target.iter().chain(&root.explains))
        .peekable();
    let of_caches = about.peek().is_some() && about.all(|(kind, _)| *kind == Kind::Cache);
    if !of_caches {
        return now.cause();
    }
    let mut targets = now.targets.iter();
    let builder = targets.find(|target| target.kind == Kind::Builder)?;
    Some(Root::Target(builder).told())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Reason,
        snapshot::{CauseKind, RootCause, Target},
    };

    fn snapshot(overall: OverallState, state: TargetState) -> Snapshot {
        let builder = Target {
            name: "desktop".into(),
            kind: Kind::Builder,
            state,
            reason: match state {
                TargetState::Down => Reason::Refused,
                _ => Reason::None,
            },
            ..Target::default()
        };
        Snapshot {
            builder_state: overall,
            targets: vec![builder].into(),
            root_cause: (state == TargetState::Down).then(|| RootCause {
                kind: CauseKind::Reason,
                code: "refused".into(),
                target: Some((Kind::Builder, "desktop".into())),
                ..RootCause::default()
            }),
            ..Snapshot::default()
        }
    }

    fn ready() -> Snapshot {
        snapshot(OverallState::Ready, TargetState::Ready)
    }

    fn down() -> Snapshot {
        snapshot(OverallState::Offline, TargetState::Down)
    }

    /// The titles that are told of what comes after so many seconds each.
    fn told(days: &[(u64, Option<Snapshot>)]) -> Vec<(u64, String)> {
        let start = Instant::now();
        let (mut turns, mut told, mut passed) =
            (Turns::new(Duration::from_secs(15)), Vec::new(), 0);
        for (after, now) in days {
            for _ in 0..*after {
                passed += 1;
                let at = start + Duration::from_secs(passed);
                if turns.due().is_some_and(|due| due <= at)
                    && let Some(notice) = turns.ring(at)
                {
                    told.push((passed, notice.title));
                }
            }
            turns.observe(now.as_ref(), start + Duration::from_secs(passed));
        }
        told
    }

    const HERE: &str = "Builds stay on this machine";
    const OUT: &str = "Builds go out again";

    #[test]
    fn each_turn_is_told_once_when_it_has_settled() {
        let end = (60, Some(ready()));
        assert_eq!(
            told(&[
                (1, Some(ready())),
                (60, Some(down())),
                // The same again is no other change.
                (60, Some(down())),
                (60, Some(ready())),
                end
            ]),
            [(76, HERE.to_owned()), (196, OUT.to_owned())]
        );
    }

    #[test]
    fn how_it_is_at_the_start_is_not_told_nor_is_a_flap() {
        assert_eq!(
            told(&[(1, None), (5, Some(down())), (600, Some(down()))]),
            []
        );
        let mut flaps = vec![(1, Some(ready()))];
        for _ in 0..20 {
            flaps.extend([(10, Some(down())), (5, Some(ready()))]);
        }
        flaps.push((600, Some(ready())));
        assert_eq!(told(&flaps), []);
    }

    #[test]
    fn a_resume_a_restart_and_what_is_meant_to_be_so_are_not_told() {
        let unknown = snapshot(OverallState::Unknown, TargetState::Unknown);
        let away = snapshot(OverallState::Away, TargetState::Away);
        let paused = snapshot(OverallState::Paused, TargetState::Paused);
        for between in [None, Some(unknown), Some(away), Some(paused)] {
            let days = [
                (1, Some(ready())),
                (60, between.clone()),
                (600, Some(ready())),
                (60, None),
            ];
            assert_eq!(told(&days), [], "{between:?}");
            // A fault that began before it is told after it, when it is still there.
            let days = [
                (1, Some(ready())),
                (60, between),
                (9, Some(down())),
                (600, Some(down())),
            ];
            assert_eq!(told(&days).len(), 1);
        }
    }

    #[test]
    fn the_cause_and_the_remedy_are_in_it() {
        let told = notice(Place::Here, &down());
        assert!(
            told.body
                .starts_with("builder/desktop\nconnection refused\n"),
            "{told:?}"
        );
        assert!(told.body.contains("systemctl start sshd"), "{told:?}");
        assert_eq!(notice(Place::Out, &ready()).body, "desktop takes them.");
    }

    #[test]
    fn what_is_wrong_with_a_cache_is_not_why_builds_stay_here() {
        let mut now = down();
        let cache = Target {
            name: "desktop".into(),
            state: TargetState::Down,
            reason: Reason::DnsFailed,
            ..Target::default()
        };
        let of_it = (Kind::Cache, cache.name.clone());
        now.targets = [cache]
            .into_iter()
            .chain(now.targets.iter().cloned())
            .collect::<Vec<_>>()
            .into();
        now.root_cause = Some(RootCause {
            kind: CauseKind::Reason,
            code: "dns-failed".into(),
            target: Some(of_it.clone()),
            explains: vec![of_it],
        });
        let told = notice(Place::Here, &now).body;
        assert!(
            told.starts_with("builder/desktop\nconnection refused\n"),
            "{told}"
        );
        // One difference may keep Nix from both.
        let root = now.root_cause.as_mut().unwrap();
        root.explains.push((Kind::Builder, "desktop".into()));
        let told = notice(Place::Here, &now).body;
        assert!(told.starts_with("cache/desktop\n"), "{told}");
    }
}
