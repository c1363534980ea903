//! `offloadctl test-build`, against a daemon that builds what the test says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{os::unix::process::CommandExt, process::Stdio};

use common::{
    Bus,
    fake::{Fake, ready},
    job::{Job, START},
    program::{Run, command, finish, offloadctl},
};
use offload_client::{Bus as Place, Client, JobState, Kind, Reason, errors::BusError, job, names};
use serde_json::{Value, json};

fn on_tower() -> Job {
    Job {
        details: vec![
            ("test_build", "succeeded".into()),
            ("test_build_timestamp", (START + 1).into()),
            ("test_build_usec", 3_100_000.into()),
            ("test_build_place", "tower".into()),
        ],
        ..Job::default()
    }
}

fn fails(reason: Reason) -> Job {
    Job {
        end: Some((JobState::Failed, reason)),
        details: vec![
            ("test_build", "failed".into()),
            ("test_build_reason", reason.as_str().into()),
            ("test_build_timestamp", START.into()),
            ("test_build_usec", 1_500_000.into()),
            ("test_build_error", "error: cannot connect".into()),
        ],
        ..Job::default()
    }
}

#[tokio::test]
async fn the_log_streams_and_the_end_says_where_it_was_built() {
    let bus = Bus::start().await;
    let fake = Fake::building(&bus, ready(), on_tower()).await;
    let run = offloadctl(&bus, &["test-build", "desktop", "--timeout", "90s"]).await;
    assert_eq!(
        run,
        Run {
            code: 0,
            stdout: "\
building '/nix/store/x.drv' on 'ssh-ng://desktop'
one
two
✔ builder/desktop: built on tower in 3.1 s
"
            .into(),
            stderr: String::new(),
        }
    );
    fake.asked("/builder/desktop TestBuild(timeout=90000000)")
        .await;
    let run = offloadctl(&bus, &["test-build"]).await;
    assert_eq!(run.code, 0);
    fake.asked("/builder/desktop TestBuild()").await;
}

#[tokio::test]
async fn a_result_that_is_older_than_the_job_is_not_its() {
    let bus = Bus::start().await;
    let mut job = on_tower();
    job.details[1] = ("test_build_timestamp", (START - 1).into());
    let _fake = Fake::building(&bus, ready(), job).await;
    let run = offloadctl(&bus, &["test-build"]).await;
    assert!(
        run.stdout.ends_with("✔ builder/desktop: built in 3.2 s\n"),
        "{}",
        run.stdout
    );
}

#[tokio::test]
async fn lines_are_shown_once_however_early_or_late_they_are_announced() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    for unannounced in 0..=3 {
        let job = Job {
            early: vec!["same", "same"],
            late: vec!["same", "same", "other"],
            unannounced,
            ..on_tower()
        };
        fake.script.send_modify(|script| script.job = job);
        let run = offloadctl(&bus, &["test-build"]).await;
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(
            lines,
            [
                "same",
                "same",
                "same",
                "same",
                "other",
                "✔ builder/desktop: built on tower in 3.1 s"
            ],
            "{unannounced} unannounced"
        );
    }
}

#[tokio::test]
async fn many_lines_come_in_order() {
    let bus = Bus::start().await;
    let names: Vec<String> = (0..900).map(|n| format!("line {n}")).collect();
    let leaked: Vec<&'static str> = names.iter().map(|n| &*n.clone().leak()).collect();
    let job = Job {
        early: leaked[..300].to_vec(),
        late: leaked[300..].to_vec(),
        ..on_tower()
    };
    let _fake = Fake::building(&bus, ready(), job).await;
    let run = offloadctl(&bus, &["test-build"]).await;
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[..900], names);
    assert_eq!(lines.len(), 901);
}

#[tokio::test]
async fn a_log_commands_no_terminal() {
    let bus = Bus::start().await;
    let job = Job {
        early: vec!["\x1b]0;owned\x07"],
        late: vec!["a\tb\r"],
        ..on_tower()
    };
    let _fake = Fake::building(&bus, ready(), job).await;
    let run = offloadctl(&bus, &["test-build"]).await;
    assert!(
        run.stdout.starts_with("\\x1b]0;owned\\x07\na b\\r\n✔"),
        "{:?}",
        run.stdout
    );
}

#[tokio::test]
async fn a_failure_is_explained_as_on_the_status_page() {
    let bus = Bus::start().await;
    let _fake = Fake::building(&bus, ready(), fails(Reason::BuildFailed)).await;
    let run = offloadctl(&bus, &["test-build"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (3, ""));
    let (_, end) = run.stdout.split_once("two\n").unwrap();
    assert!(
        end.starts_with(
            "✗ builder/desktop: test build failed after 1.5 s · error: cannot connect\n"
        ),
        "{end}"
    );
    assert!(end.contains("    → "), "{end}");
}

#[tokio::test]
async fn json_is_one_object_at_the_end() {
    let bus = Bus::start().await;
    let mut job = fails(Reason::BuiltElsewhere);
    job.details.push(("test_build_place", "laptop".into()));
    let _fake = Fake::building(&bus, ready(), job).await;
    let run = offloadctl(&bus, &["test-build", "builder/desktop", "--json"]).await;
    assert_eq!((run.code, run.stdout.lines().count()), (3, 1));
    let mut written: Value = serde_json::from_str(&run.stdout).unwrap();
    let object = written.as_object_mut().unwrap();
    let target = object.remove("target").unwrap();
    assert_eq!(
        (&target["kind"], &target["state"]),
        (&"builder".into(), &"ready".into())
    );
    let words = object.remove("words").unwrap();
    assert_eq!(words["title"], "built on another builder");
    assert_eq!(
        written,
        json!({
            "test_build_version": 1,
            "builder": "desktop",
            "state": "failed",
            "reason": "built-elsewhere",
            "place": "laptop",
            "error": "error: cannot connect",
            "start_timestamp": START,
            "finish_timestamp": START + 3_200_000,
            "duration_usec": 1_500_000,
            "output": ["building '/nix/store/x.drv' on 'ssh-ng://desktop'", "one", "two"],
        })
    );
}

#[tokio::test]
async fn without_a_name_every_builder_builds_in_turn() {
    let bus = Bus::start().await;
    let mut snapshot = ready();
    let mut second = snapshot.targets.iter().last().unwrap().clone();
    second.name = "attic".into();
    let both = snapshot.targets.into_iter().chain([second]);
    snapshot.targets = both.collect();
    let fake = Fake::building(&bus, snapshot, on_tower()).await;
    let run = offloadctl(&bus, &["test-build", "--json"]).await;
    assert_eq!(run.code, 0);
    let builders: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["builder"].clone())
        .collect();
    assert_eq!(builders, ["desktop", "attic"]);

    // One that fails does not keep the next from its turn, and is not forgotten.
    fake.script
        .send_modify(|script| script.job = fails(Reason::BuilderFull));
    let run = offloadctl(&bus, &["test-build"]).await;
    assert_eq!(run.code, 3);
    assert_eq!(run.stdout.matches("no free slot").count(), 2);
}

#[tokio::test]
async fn who_is_no_builder_is_told_from_those_that_are() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    for name in ["laptop", "cache/desktop"] {
        let run = offloadctl(&bus, &["test-build", name]).await;
        assert_eq!(
            (run.code, run.stderr),
            (
                64,
                format!("offloadctl: there is no target called {name}; there is builder/desktop\n")
            )
        );
    }
    let mut caches = ready();
    caches.targets.retain(|target| target.kind == Kind::Cache);
    fake.change(caches, 0).await;
    let run = offloadctl(&bus, &["test-build"]).await;
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("nix.buildMachines"), "{}", run.stderr);
    let wrong = finish(command(&["test-build", "--timeout", "0s"])).await;
    assert_eq!(wrong.code, 64);
}

#[tokio::test]
async fn a_refusal_is_a_sentence_with_an_exit_code() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    for (error, code, words) in [
        ("Busy", 75, &["running on that builder already"][..]),
        (
            "NotAuthorized",
            77,
            &[
                "`sudo`",
                "polkit",
                "org.offloadd.Offload1.test-build",
                "(particulars)",
            ],
        ),
        ("Failed", 70, &["particulars"]),
    ] {
        fake.script.send_modify(|script| script.error = Some(error));
        let run = offloadctl(&bus, &["test-build"]).await;
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{error}");
        assert_eq!(run.stderr.lines().count(), 1, "{error}");
        for word in words {
            assert!(run.stderr.contains(word), "{error}: {}", run.stderr);
        }
    }
    fake.stop().await;
    assert_eq!(offloadctl(&bus, &["test-build"]).await.code, 4);
}

#[tokio::test]
async fn the_program_goes_by_its_other_names_too() {
    let bus = Bus::start().await;
    let _fake = Fake::building(&bus, ready(), on_tower()).await;
    for (name, args, start) in [
        ("offload-test-build", &["desktop"][..], "building "),
        ("offload-status", &[], "✔ ready: "),
        ("offload-status", &["--version"], "offload-status "),
    ] {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_offloadctl"));
        program
            .arg0(format!("/usr/bin/{name}"))
            .args(args)
            .arg(format!("--bus={}", bus.address))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let run = finish(program.into()).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}");
        assert!(run.stdout.starts_with(start), "{name}: {}", run.stdout);
    }
}

/// What a widget does.
#[tokio::test]
async fn a_program_follows_a_job_to_its_end() {
    let bus = Bus::start().await;
    let _fake = Fake::building(&bus, ready(), fails(Reason::BuiltLocally)).await;
    let mut job = start(&bus).await;
    assert_eq!(job.path(), names::job_path(1));
    assert_eq!(job.end(), None);
    let mut lines = Vec::new();
    while let Some(line) = job.line().await.unwrap() {
        lines.push(line);
    }
    assert_eq!(lines[1..], ["one", "two"]);
    let end = job.end().unwrap();
    assert_eq!(
        (end.state, end.reason),
        (JobState::Failed, Reason::BuiltLocally)
    );
    assert_eq!(job.line().await.unwrap(), None, "it stays ended");
}

#[tokio::test]
async fn a_program_learns_that_the_connection_ended() {
    let bus = Bus::start().await;
    let _fake = Fake::building(&bus, ready(), Job::endless(true)).await;
    let mut job = start(&bus).await;
    for _ in 0..3 {
        job.line().await.unwrap().unwrap();
    }
    drop(bus);
    let error = job.line().await.unwrap_err();
    assert!(matches!(error, BusError::ZBus(_)), "{error:?}");
    assert!(!error.is_no_daemon());
}

async fn start(bus: &Bus) -> job::Job {
    let client = Client::on(Some(Place::Address(bus.address.clone())));
    let snapshot = client.snapshot().await.unwrap();
    let builder = snapshot.find("builder/desktop").next().unwrap();
    client.test_build(builder, None).await.unwrap()
}
