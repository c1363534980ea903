//! `offloadctl test-build` that does not come to its end: Ctrl-C, and a daemon that leaves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    Bus,
    fake::{Fake, ready},
    job::Job,
    program::{LIMIT, collect, on, spawn},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout},
    time::timeout,
};

/// A job that goes on until the test ends it, with its first lines read.
async fn running(bus: &Bus, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = spawn(on(bus, args));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for expected in [
        "building '/nix/store/x.drv' on 'ssh-ng://desktop'",
        "one",
        "two",
    ] {
        assert_eq!(line(&mut stdout).await, expected);
    }
    (child, stdout)
}

async fn line(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let read = timeout(LIMIT, stdout.read_line(&mut line)).await;
    read.unwrap_or_else(|_| panic!("no line comes")).unwrap();
    line.trim_end_matches('\n').to_owned()
}

fn send(signal: Signal, child: &Child) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn ctrl_c_cancels_the_job_and_waits_for_its_end() {
    let bus = Bus::start().await;
    let fake = Fake::building(&bus, ready(), Job::endless(true)).await;
    for signal in [Signal::INT, Signal::TERM] {
        let (child, mut stdout) = running(&bus, &["test-build"]).await;
        fake.print("three").await;
        assert_eq!(line(&mut stdout).await, "three");
        send(signal, &child);
        assert_eq!(
            line(&mut stdout).await,
            "‖ builder/desktop: cancelled after 3.2 s"
        );
        let run = collect(child).await;
        assert_eq!(run.code, 3);
        assert_eq!(
            run.stderr,
            "ending the test build on builder/desktop; once more leaves it to itself\n"
        );
    }
    fake.asked("/job/2 Cancel()").await;
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_a_job_that_does_not_end() {
    let bus = Bus::start().await;
    let fake = Fake::building(&bus, ready(), Job::endless(false)).await;
    let (child, _stdout) = running(&bus, &["test-build"]).await;
    send(Signal::INT, &child);
    fake.asked("/job/1 Cancel()").await;
    send(Signal::INT, &child);
    let run = collect(child).await;
    assert_eq!(run.code, 130);
    assert!(
        run.stderr
            .ends_with("offloadctl: the test build may be running still\n"),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn who_may_not_cancel_is_told_so() {
    let bus = Bus::start().await;
    let fake = Fake::building(&bus, ready(), Job::endless(true)).await;
    let (child, _stdout) = running(&bus, &["test-build"]).await;
    fake.script
        .send_modify(|script| script.error = Some("NotAuthorized"));
    send(Signal::INT, &child);
    assert_eq!(collect(child).await.code, 77);
}

#[tokio::test]
async fn a_daemon_that_leaves_midway_is_told() {
    let bus = Bus::start().await;
    let fake = Fake::building(&bus, ready(), Job::endless(true)).await;
    let (child, mut stdout) = running(&bus, &["test-build"]).await;
    // What it says last is shown still.
    fake.print("last words").await;
    fake.stop().await;
    assert_eq!(line(&mut stdout).await, "last words");
    let run = collect(child).await;
    assert_eq!(run.code, 4);
    assert!(
        run.stderr.contains("in the middle of the test build"),
        "{}",
        run.stderr
    );
}
