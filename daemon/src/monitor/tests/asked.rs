//! Who asks for a check so often that it is put off.

use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::stage::{Stage, Ways, builder};
use crate::{
    config::Discover,
    monitor::{CheckError, Input, handle::Command},
    net::Reach::Near,
    target::TargetId,
};

type Answer = Receiver<Result<(), CheckError>>;

const ADDRESS: &str = "192.0.2.6";

fn id() -> TargetId {
    TargetId::builder("desktop")
}

fn ask(stage: &mut Stage) -> Answer {
    let (reply, answer) = oneshot::channel();
    let target = Some(id());
    stage.turn(Input::Command(Command::Check { target, reply }));
    answer
}

/// Somebody waits for a check that does not begin yet.
fn put_off() -> (Stage, Answer) {
    let mut stage = Stage::new(vec![builder(&[ADDRESS])], Discover::default());
    stage.networks(Ways::to([(ADDRESS, Near, 2)]));
    stage.check(&id(), Ok("192.0.2.6:22"));
    for _ in 0..5 {
        let mut answer = ask(&mut stage);
        stage.check(&id(), Ok("192.0.2.6:22"));
        assert_eq!(answer.try_recv(), Ok(Ok(())));
    }
    let mut answer = ask(&mut stage);
    assert!(!stage.is_checked(&id()));
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    (stage, answer)
}

#[tokio::test]
async fn all_who_ask_meanwhile_are_answered_by_one_check() {
    let (mut stage, first) = put_off();
    let mut answers: Vec<_> = (0..99).map(|_| ask(&mut stage)).collect();
    answers.push(first);
    stage.next(&id(), Ok("192.0.2.6:22"));
    for mut answer in answers {
        assert_eq!(answer.try_recv(), Ok(Ok(())));
    }
    assert!(!stage.is_checked(&id()), "one was enough");
}

#[tokio::test]
async fn nobody_waits_for_a_check_that_a_pause_or_a_lost_way_prevents() {
    let (mut stage, mut answer) = put_off();
    let (done, _) = oneshot::channel();
    let duration = None;
    stage.turn(Input::Command(Command::Pause { duration, done }));
    assert_eq!(answer.try_recv(), Ok(Ok(())));

    let (mut stage, mut answer) = put_off();
    stage.networks(Ways::default());
    assert_eq!(answer.try_recv(), Ok(Ok(())));
}
