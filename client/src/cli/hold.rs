//! `hold`: lives exactly while the desktop can be built on, for units that are bound to it.
//!
//! As a service of `Type=notify` it is "starting" until ready, then up, and it ends with status 3
//! when that is over, or has not begun in time.
//!
//! Without a daemon, a bus or a verdict it holds on for ten seconds, so that an upgrade stops nothing that is bound
//! to it; a verdict ends it at once.

use std::{convert::Infallible, future::Future, time::Duration};

use futures_util::{Stream, StreamExt};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    args::Cli,
    failure::{Failure, Outcome},
    goal::{Goal, GoalState},
    output::Output,
    spinner::Spinner,
};
use crate::{
    Client, Snapshot,
    language::{say, tr},
};

/// How long what was ready may be without a daemon, or without a verdict: an upgrade or a restart of
/// offloadd or of the bus, and a resume, stop nothing that is bound to it.
const GRACE: Duration = Duration::from_secs(10);
/// Holds until SIGTERM or SIGINT, or until the goal is no longer met.
pub(super) async fn hold(
    cli: &Cli,
    output: Output,
    target: Option<&str>,
    limit: Option<Duration>,
) -> Result<Outcome, Failure> {
    let stop = stop_signal()?;
    let client = Client::on(cli.bus.clone());
    let goal = target.map_or(Goal::AnyBuilder, Goal::Targets);
    let told = Told {
        spinner: Spinner::new(tr("waiting")),
        waiting: true,
        output,
    };
    tokio::select! {
        end = holding(goal, limit, client.watch(), told) => match end {
            Err(Failure::NoDaemonInTime) => Err(nobody(&client).await),
            end => end,
        },
        () = stop => {
            tell(&[NotifyState::Stopping]);
            Ok(Outcome::Ready)
        }
    }
}

/// Where it was looked for, where there is not even a bus.
async fn nobody(client: &Client) -> Failure {
    match client.connection().await {
        Ok(_) => Failure::NoDaemonInTime,
        Err(error) => error.into(),
    }
}

/// The life of it: waits until the goal is met, for `limit` at the most, says so, and comes back when it no longer
/// is. With a limit it waits for a daemon too; without one that would be to wait for nobody.
async fn holding(
    goal: Goal<'_>,
    limit: Option<Duration>,
    mut updates: impl Stream<Item = Option<Snapshot>> + Unpin,
    mut told: impl Tell,
) -> Result<Outcome, Failure> {
    let mut held = false;
    let mut until: Option<Instant> = None;
    let mut start = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut nobody = None;
    let mut last: Option<Snapshot> = None;
    loop {
        tokio::select! {
            Some(item) = updates.next() => last = item,
            () = at(until) => return Err(over(goal, last.as_ref(), &mut told)),
            () = at(start) => return Err(Failure::NotReadyInTime(goal.missing(last.as_ref()))),
            () = at(nobody) => return Err(Failure::NoDaemonInTime),
            never = told.turn() => match never {},
        }
        nobody = match &last {
            None if !held && start.is_none() => nobody.or_else(|| Some(Instant::now() + GRACE)),
            _ => None,
        };
        let verdict = match &last {
            None => GoalState::Unjudged,
            // A target that went while it was held is not ready any more; one that never was there is
            // a name that somebody got wrong.
            Some(now) if held => goal.judge(now).unwrap_or(GoalState::NotReady),
            Some(now) => goal.judge(now)?,
        };
        match (verdict, held, &last) {
            (GoalState::Ready, _, Some(now)) => {
                (until, start) = (None, None);
                told.ready(&goal.achieved(now), !held)?;
                held = true;
            }
            (GoalState::NotReady, true, _) => return Err(over(goal, last.as_ref(), &mut told)),
            (_, true, _) => {
                until = until.or_else(|| Some(Instant::now() + GRACE));
                told.status(&say!(
                    "holding on for {seconds} s: {missing}",
                    seconds = GRACE.as_secs(),
                    missing = goal.missing(last.as_ref())
                ));
            }
            (_, false, _) => told.status(&say!(
                "waiting: {missing}",
                missing = goal.missing(last.as_ref())
            )),
        }
    }
}

fn over(goal: Goal<'_>, last: Option<&Snapshot>, told: &mut impl Tell) -> Failure {
    let missing = goal.missing(last);
    told.over(&missing);
    Failure::NoLongerReady(missing)
}

/// Who is told how it stands.
trait Tell {
    /// Ready; `first`: for the first time.
    fn ready(&mut self, what: &str, first: bool) -> Result<(), Failure>;
    /// How it stands otherwise.
    fn status(&mut self, text: &str);
    /// It is over.
    fn over(&mut self, missing: &str);
    /// A sign of life while nothing happens; may be cancelled and called again.
    fn turn(&mut self) -> impl Future<Output = Infallible>;
}

/// The service manager, and a person at a terminal.
struct Told {
    spinner: Spinner,
    /// A sign of life is for what may end soon, not for hours.
    waiting: bool,
    output: Output,
}

impl Tell for Told {
    fn ready(&mut self, what: &str, first: bool) -> Result<(), Failure> {
        if first {
            tell(&[NotifyState::Ready, NotifyState::Status(what)]);
        } else {
            tell(&[NotifyState::Status(what)]);
        }
        self.spinner.clear();
        self.waiting = false;
        if first && self.output.terminal {
            let line = say!("{what}; this ends when that does, or with Ctrl-C\n", what);
            self.output.print(&line)?;
        }
        Ok(())
    }

    fn status(&mut self, text: &str) {
        tell(&[NotifyState::Status(text)]);
        self.spinner.say(text.to_owned());
        self.waiting = true;
    }

    fn over(&mut self, missing: &str) {
        self.spinner.clear();
        tell(&[NotifyState::Stopping, NotifyState::Status(missing)]);
    }

    async fn turn(&mut self) -> Infallible {
        if self.waiting {
            self.spinner.turn().await
        } else {
            std::future::pending().await
        }
    }
}

/// Nobody who listens is no fault: a person may have started it.
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}

/// Comes back on SIGTERM or SIGINT; the signals are caught from the call on.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;
    use crate::{Kind, Reason, TargetState, snapshot::Target};

    /// Writes down what it is told.
    #[derive(Clone, Default)]
    struct Notes(Rc<RefCell<Vec<String>>>);

    impl Tell for Notes {
        fn ready(&mut self, what: &str, first: bool) -> Result<(), Failure> {
            let word = if first { "READY" } else { "again" };
            self.0.borrow_mut().push(format!("{word} {what}"));
            Ok(())
        }

        fn status(&mut self, text: &str) {
            self.0.borrow_mut().push(text.to_owned());
        }

        fn over(&mut self, missing: &str) {
            self.0.borrow_mut().push(format!("over {missing}"));
        }

        fn turn(&mut self) -> impl Future<Output = Infallible> {
            std::future::pending()
        }
    }

    fn builder(state: TargetState) -> Option<Snapshot> {
        Some(Snapshot {
            targets: vec![Target {
                name: "desktop".into(),
                kind: Kind::Builder,
                state,
                reason: match state {
                    TargetState::Down => Reason::Refused,
                    _ => Reason::None,
                },
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        })
    }

    /// What comes, each so long after the one before; then nothing more.
    fn coming(items: Vec<(u64, Option<Snapshot>)>) -> impl Stream<Item = Option<Snapshot>> + Unpin {
        let items = stream::iter(items).then(|(after, item)| async move {
            sleep(Duration::from_secs(after)).await;
            item
        });
        Box::pin(items.chain(stream::pending()))
    }

    /// How it ended, when, and what was told.
    async fn run(goal: Goal<'_>, items: Vec<(u64, Option<Snapshot>)>) -> (u8, u64, Vec<String>) {
        run_within(None, goal, items).await
    }

    async fn run_within(
        limit: Option<Duration>,
        goal: Goal<'_>,
        items: Vec<(u64, Option<Snapshot>)>,
    ) -> (u8, u64, Vec<String>) {
        let (notes, start) = (Notes::default(), Instant::now());
        let end = holding(goal, limit, coming(items), notes.clone()).await;
        let code = end.map_or_else(|failure| failure.code(), Outcome::code);
        let told = notes.0.borrow().clone();
        (code, start.elapsed().as_secs(), told)
    }

    #[tokio::test]
    async fn who_finds_no_bus_says_where_it_was_looked_for() {
        let bus = crate::Bus::Address("unix:path=/nonexistent/bus".to_owned());
        let failure = nobody(&Client::on(Some(bus))).await;
        assert!(matches!(&failure, Failure::NoDaemon(_)), "{failure:?}");
        assert_eq!(failure.code(), Failure::NoDaemonInTime.code());
    }

    #[tokio::test(start_paused = true)]
    async fn ready_is_told_only_when_it_is_and_the_end_is_status_3() {
        use TargetState::{Down, Ready, Unknown};
        let items = vec![
            (0, None),
            (9, builder(Unknown)),
            (60, builder(Down)),
            (60, builder(Ready)),
            (60, builder(Down)),
        ];
        let (code, after, told) = run(Goal::AnyBuilder, items).await;
        assert_eq!((code, after), (3, 189));
        assert_eq!(
            told,
            [
                "waiting: offloadd is not running",
                "waiting: builder/desktop is unknown",
                "waiting: builder/desktop is down, connection refused",
                "READY builder/desktop is ready",
                "over builder/desktop is down, connection refused",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_limit_waits_for_a_daemon_too_and_not_for_longer() {
        use TargetState::{Down, Ready};
        let never = vec![(0, None)];
        let (code, after, _) = run(Goal::AnyBuilder, never.clone()).await;
        assert_eq!((code, after), (4, 10));
        let limit = Some(Duration::from_secs(60));
        let (code, after, _) = run_within(limit, Goal::AnyBuilder, never).await;
        assert_eq!((code, after), (3, 60));
        let late = vec![
            (0, builder(Down)),
            (59, builder(Ready)),
            (600, builder(Down)),
        ];
        let (code, after, _) = run_within(limit, Goal::AnyBuilder, late).await;
        assert_eq!((code, after), (3, 659));
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_is_back_in_time_ends_nothing() {
        use TargetState::{Down, Ready, Unknown};
        let items = vec![
            (0, builder(Ready)),
            (30, None),
            (5, builder(Unknown)),
            (4, builder(Ready)),
            // The grace begins anew.
            (30, builder(Unknown)),
            (9, builder(Ready)),
            (30, builder(Down)),
        ];
        let (code, after, told) = run(Goal::AnyBuilder, items).await;
        assert_eq!((code, after), (3, 108));
        assert_eq!(told.iter().filter(|t| t.starts_with("READY")).count(), 1);
        assert_eq!(told.iter().filter(|t| t.starts_with("again")).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_daemon_it_is_over_after_the_grace_whatever_comes_meanwhile() {
        use TargetState::{Ready, Unknown};
        let items = vec![
            (0, builder(Ready)),
            (30, None),
            (5, builder(Unknown)),
            (4, None),
        ];
        let (code, after, told) = run(Goal::AnyBuilder, items).await;
        assert_eq!((code, after), (3, 40));
        assert_eq!(told.last().unwrap(), "over offloadd is not running");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_has_is_a_mistake_and_one_that_went_is_the_end() {
        use TargetState::Ready;
        let (code, ..) = run(Goal::Targets("laptop"), vec![(0, builder(Ready))]).await;
        assert_eq!(code, 64);
        let items = vec![(0, builder(Ready)), (1, Some(Snapshot::default()))];
        let (code, after, told) = run(Goal::Targets("desktop"), items).await;
        assert_eq!((code, after), (3, 1));
        assert_eq!(told.last().unwrap(), "over desktop is no longer watched");
    }
}
