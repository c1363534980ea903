//! Properties that hold whatever happens, in whatever order, over years.

use std::time::Duration;

use offload_client::{Kind, OverallState, Reason, Stage, TargetState};
use proptest::{collection::vec, prelude::*, sample::select};

use super::world::{PASSED, World, answer_next, failed, single};
use crate::{
    config::Poll,
    health::{Event, Outcome, TargetHealth},
    net::Reach,
    target::TargetId,
};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug)]
enum Step {
    Pass(Duration),
    /// Until the next wake, and a tick there.
    Wake,
    Happen(Event),
    Answer(TargetId, Outcome, Duration),
    AnswerLate(TargetId, Outcome),
    Request(TargetId),
    PauseFor(Duration),
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(time) => self.pass(time),
            Step::Wake => self.wake(),
            Step::Happen(event) => self.happen(event),
            Step::Answer(id, outcome, latency) => self.answer(&id, outcome, latency),
            Step::AnswerLate(id, outcome) => self.answer_late(&id, outcome),
            Step::Request(id) => self.request(&id),
            Step::PauseFor(time) => {
                let until = Some(self.now.boot + time);
                self.happen(Event::Pause { until });
            }
        }
    }
}

pub(super) fn ids() -> [TargetId; 3] {
    [
        TargetId::cache("desktop"),
        TargetId::builder("desktop"),
        TargetId::builder("other"),
    ]
}

fn any_id() -> impl Strategy<Value = TargetId> {
    select(ids().to_vec())
}

fn any_time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0..5_000_u64).prop_map(Duration::from_millis),
        2 => (0..600_u64).prop_map(Duration::from_secs),
        1 => (0..400_u64).prop_map(|days| DAY * days as u32),
    ]
}

pub(super) fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(PASSED),
        select(Reason::ALL).prop_filter_map("a cause", cause)
    ]
}

fn cause(reason: Reason) -> Option<Outcome> {
    let no_cause = [Reason::None, Reason::NotConfigured, Reason::Paused];
    let is_cause = !no_cause.contains(&reason) && reason.hindrance().is_none();
    is_cause.then(|| failed(reason))
}

fn any_poll() -> impl Strategy<Value = Poll> {
    (1..5_u32, 1..5_u32, 20..90_u64, 1..9_u64, 1..600_u64).prop_map(
        |(fall, rise, interval, fast, longest)| Poll {
            fall,
            rise,
            interval: Duration::from_secs(interval),
            fast_interval: Duration::from_secs(fast),
            down_max_interval: Duration::from_secs(longest),
            ..Poll::default()
        },
    )
}

fn any_reach() -> impl Strategy<Value = Reach> {
    select(&[Reach::Near, Reach::ByName, Reach::Far, Reach::Nowhere][..])
}

fn any_hindrance() -> impl Strategy<Value = Option<Reason>> {
    select(&[None, Some(Reason::AddressMoved), Some(Reason::NotInNixConf)][..])
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_time().prop_map(Step::Pass),
        16 => Just(Step::Wake),
        24 => (any_id(), any_outcome(), any_time()).prop_map(|(id, outcome, latency)| {
            Step::Answer(id, outcome, latency.min(Duration::from_secs(10)))
        }),
        2 => any_id().prop_map(|id| Step::Happen(Event::Added(id))),
        1 => any_id().prop_map(|id| Step::Happen(Event::Removed(id))),
        1 => any_id().prop_map(|id| Step::Happen(Event::Changed(id))),
        4 => Just(Step::Happen(Event::Tick)),
        4 => (any_id(), any_time())
            .prop_map(|(target, idle)| Step::Happen(Event::Closed { target, idle })),
        3 => proptest::option::of(any_id()).prop_map(|id| Step::Happen(Event::Refresh(id))),
        2 => any_id().prop_map(|id| Step::Happen(Event::Appeared(id))),
        3 => (any_id(), any_outcome()).prop_map(|(target, outcome)| {
            let outcome = outcome.map(drop).map_err(|(_, reason)| reason);
            Step::Happen(Event::Tested { target, outcome })
        }),
        3 => (any_id(), any_hindrance())
            .prop_map(|(target, reason)| Step::Happen(Event::Hindered { target, reason })),
        1 => (select(&[Kind::Builder, Kind::Cache][..]), any_hindrance())
            .prop_map(|(kind, reason)| Step::Happen(Event::KindHindered { kind, reason })),
        4 => (any_id(), any_reach())
            .prop_map(|(target, reach)| Step::Happen(Event::Reach { target, reach })),
        2 => any_id().prop_map(|target| Step::Happen(Event::Found { target })),
        1 => Just(Step::Happen(Event::Pause { until: None })),
        2 => any_time().prop_map(Step::PauseFor),
        2 => Just(Step::Happen(Event::Resume)),
        1 => any_poll().prop_map(|poll| Step::Happen(Event::PollChanged(poll))),
        4 => any_id().prop_map(Step::Request),
        2 => (any_id(), any_outcome()).prop_map(|(id, outcome)| Step::AnswerLate(id, outcome)),
    ]
}

/// Anything that may have happened to a world with something to watch.
#[derive(Clone, Debug)]
pub(super) struct Past {
    poll: Poll,
    seed: u64,
    steps: Vec<Step>,
}

pub(super) fn any_past() -> impl Strategy<Value = Past> {
    (any_poll(), any::<u64>(), vec(any_step(), 0..120)).prop_map(|(poll, seed, steps)| Past {
        poll,
        seed,
        steps,
    })
}

impl Past {
    /// The longest pause between two checks, by the poll that it leaves.
    pub(super) fn slowest(&self) -> Duration {
        let mut polls = self.steps.iter().filter_map(|step| match step {
            Step::Happen(Event::PollChanged(poll)) => Some(poll),
            _ => None,
        });
        let last = polls.next_back().unwrap_or(&self.poll);
        last.down_max_interval.max(last.interval)
    }

    /// Lets it happen. In the end all targets are watched and near, nothing is paused, and nothing keeps
    /// Nix from any of them.
    pub(super) fn world(self) -> World {
        let mut world = World::new(self.poll, self.seed);
        for id in ids() {
            world.happen(Event::Added(id));
        }
        for step in self.steps {
            world.step(step);
        }
        for id in ids() {
            world.happen(Event::Added(id));
        }
        world.happen(Event::Resume);
        for id in ids() {
            world.reach(&id, Reach::Near);
            let (target, reason) = (id, None);
            world.happen(Event::Hindered { target, reason });
        }
        world
    }
}

/// Long enough for any back-off of [`any_poll`], and for the rise after it.
pub(super) const SETTLED: Duration = Duration::from_secs(1800);

proptest! {
    // `World` holds every step against its own account: see there for what is asserted.
    #[test]
    fn what_always_answers_ends_ready(past in any_past()) {
        let mut world = past.world();
        world.run(SETTLED, |_| PASSED);
        for id in ids() {
            // Checks that pass don't mend what a test build has found: only another one does.
            let health = world.health.target(&id).unwrap();
            let found = (health.state, health.reason, health.stage);
            match world.misbuilt(&id) {
                Some(reason) if health.state == TargetState::Degraded => {
                    prop_assert_eq!(found, (TargetState::Degraded, reason, Stage::Build));
                }
                Some(_) | None => {
                    let ready = (TargetState::Ready, Reason::None, Stage::Auth);
                    prop_assert_eq!(found, ready);
                }
            }
        }
        let changes = world.changes;
        world.run(SETTLED, |_| PASSED);
        prop_assert_eq!(world.changes, changes, "quiet is quiet");

        for target in ids() {
            world.happen(Event::Tested { target, outcome: Ok(()) });
        }
        for id in ids() {
            prop_assert_eq!(world.state(&id), TargetState::Ready);
        }
        prop_assert_eq!(world.health.overall().state, OverallState::Ready);
        prop_assert_eq!(world.health.overall().reason, Reason::None);
        let changes = world.changes;
        world.run(SETTLED, |_| PASSED);
        prop_assert_eq!(world.changes, changes, "quiet is quiet");
    }

    #[test]
    fn what_nix_does_not_go_to_is_never_ready(past in any_past(), outcome in any_outcome()) {
        let mut world = past.world();
        world.run(SETTLED, |_| outcome);
        let before = ids().map(|id| world.health.target(&id).cloned());
        let reason = Some(Reason::NotInNixConf);
        for target in ids() {
            world.happen(Event::Hindered { target, reason });
        }
        world.run(SETTLED, |_| outcome);
        for id in ids() {
            let health = world.health.target(&id).unwrap();
            prop_assert_ne!(health.state, TargetState::Ready);
            // What its checks have to say, it says all the same.
            let hindered = health.reason == Reason::NotInNixConf;
            prop_assert_eq!(hindered, health.passes);
        }
        for target in ids() {
            world.happen(Event::Hindered { target, reason: None });
        }
        let after = ids().map(|id| world.health.target(&id).cloned());
        for (before, after) in before.into_iter().zip(after) {
            let standing = |health: Option<TargetHealth>| health.map(|it| (it.state, it.reason));
            prop_assert_eq!(standing(before), standing(after), "at once");
        }
    }

    #[test]
    fn what_never_answers_ends_down(
        past in any_past(),
        reason in select(&[Reason::TimedOut, Reason::Refused, Reason::ConnectionLost][..]),
    ) {
        let mut world = past.world();
        world.run(SETTLED, |_| failed(reason));
        for id in ids() {
            prop_assert_eq!(world.state(&id), TargetState::Down);
            prop_assert_eq!(world.health.target(&id).unwrap().reason, reason);
        }
        prop_assert_eq!(world.health.overall().state, OverallState::Offline);
        prop_assert_eq!(world.health.overall().reason, reason);
    }

    #[test]
    fn what_a_person_must_mend_ends_degraded(past in any_past()) {
        let mut world = past.world();
        world.run(SETTLED, |_| failed(Reason::AuthRejected));
        for id in ids() {
            prop_assert_eq!(world.state(&id), TargetState::Degraded);
        }
        prop_assert_eq!(world.health.overall().reason, Reason::AuthRejected);
    }

    #[test]
    fn quiet_hours_are_few_ticks(
        past in any_past(),
        poll in any_poll(),
        outcome in any_outcome(),
    ) {
        let mut world = past.world();
        world.happen(Event::PollChanged(poll.clone()));
        world.run(SETTLED, |_| outcome);
        let fastest = poll.interval * 9 / 10;
        let most = HOUR.as_millis() / fastest.as_millis() + 1;
        let ticks = world.run(HOUR, |_| outcome) as u128;
        prop_assert!(ticks <= most * ids().len() as u128, "{ticks} ticks, {poll:?}");
    }

    #[test]
    fn fewer_silences_than_fall_change_nothing(
        fall in 1..6_u32,
        runs in vec((1..5_u32, 0..5_u32), 1..40),
        seed: u64,
    ) {
        let (mut world, id) = single(Poll { fall, ..Poll::default() }, seed);
        answer_next(&mut world, &id, PASSED);
        let changes = world.changes;
        for (passed, silent) in runs {
            for _ in 0..passed {
                answer_next(&mut world, &id, PASSED);
            }
            for _ in 0..silent.min(fall - 1) {
                answer_next(&mut world, &id, failed(Reason::TimedOut));
            }
        }
        prop_assert_eq!(world.changes, changes);
        for _ in 0..fall {
            prop_assert_eq!(world.changes, changes);
            answer_next(&mut world, &id, failed(Reason::TimedOut));
            if world.changes > changes {
                break;
            }
        }
        prop_assert_eq!(world.state(&id), TargetState::Down);
    }

    #[test]
    fn fewer_successes_than_rise_change_nothing(
        rise in 1..6_u32,
        runs in vec((0..5_u32, 1..5_u32), 1..40),
        seed: u64,
    ) {
        let (mut world, id) = single(Poll { rise, ..Poll::default() }, seed);
        answer_next(&mut world, &id, failed(Reason::TimedOut));
        let changes = world.changes;
        for (passed, silent) in runs {
            for _ in 0..passed.min(rise - 1) {
                answer_next(&mut world, &id, PASSED);
            }
            for _ in 0..silent {
                answer_next(&mut world, &id, failed(Reason::TimedOut));
            }
        }
        prop_assert_eq!(world.changes, changes);
        for _ in 0..rise {
            answer_next(&mut world, &id, PASSED);
        }
        prop_assert_eq!(world.state(&id), TargetState::Ready);
    }

    #[test]
    fn closes_never_poll_faster_than_once_a_second(
        idles in vec(0..900_u64, 200),
        seed: u64,
    ) {
        let (mut world, id) = single(Poll::default(), seed);
        answer_next(&mut world, &id, PASSED);
        let (began, starts) = (world.now.boot, world.starts);
        for idle in idles {
            let idle = Duration::from_millis(idle);
            world.pass(idle);
            world.happen(Event::Closed { target: id.clone(), idle });
            world.answer(&id, PASSED, Duration::ZERO);
        }
        let secs = (world.now.boot - began).as_secs() as usize;
        prop_assert!(world.starts - starts <= secs + 1);
    }

    #[test]
    fn equal_seeds_and_events_make_equal_runs(
        poll in any_poll(), seed: u64, steps in vec(any_step(), 0..60),
    ) {
        let run = || {
            let mut world = World::new(poll.clone(), seed);
            ids().into_iter().for_each(|id| world.happen(Event::Added(id)));
            steps.iter().cloned().for_each(|step| world.step(step));
            (world.now, world.starts, world.changes, world.health.next_wake())
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_year_of_outages() {
    let (mut world, id) = single(Poll::default(), 3);
    let day = |answer: Outcome| move |_: &TargetId| answer;
    for _ in 0..73 {
        world.run(DAY / 4, day(PASSED));
        assert_eq!(world.state(&id), TargetState::Ready);
        world.run(DAY * 17 / 4, day(failed(Reason::TimedOut)));
        assert_eq!(world.state(&id), TargetState::Down);
        world.run(DAY / 2, day(failed(Reason::HostKeyMismatch)));
        assert_eq!(world.state(&id), TargetState::Degraded);
    }
    assert_eq!(world.changes, 3 * 73);
    assert_eq!(world.health.history(&id, usize::MAX).len(), 64);
}
