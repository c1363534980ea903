//! The program `offloadctl` itself, against a daemon that says what the test wants.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
#[path = "offloadctl/json.rs"]
mod json;
#[path = "offloadctl/language.rs"]
mod language;
#[path = "offloadctl/person.rs"]
mod person;

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{command, finish, offloadctl, on},
};
use offload_client::{OverallState, Reason, Snapshot, TargetState, snapshot::HistoryEntry};
use serde_json::Value;

#[tokio::test]
async fn ready_is_a_page_and_exit_code_0() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    let run = offloadctl(&bus, &[]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(
        run.stdout
            .starts_with("✔ ready: Nix can use the cache and the builder (for ")
    );
    assert!(
        run.stdout
            .contains("\n✔ ready   cache/desktop     192.0.2.6:5000   1.2 ms   for ")
    );
    assert!(!run.stdout.contains('\x1b'), "colours on a pipe");
    assert_eq!(offloadctl(&bus, &["status"]).await, run);
}

#[tokio::test]
async fn not_ready_is_exit_code_3_and_a_remedy() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let run = offloadctl(&bus, &["status"]).await;
    assert_eq!(run.code, 3);
    assert!(
        run.stdout.contains("connect: connection refused"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("→ Start the service on the desktop"));
}

#[tokio::test]
async fn colours_can_be_asked_for_and_refused() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    let always = offloadctl(&bus, &["--color", "always"]).await;
    assert!(always.stdout.contains("\x1b[32m"));
    let never = offloadctl(&bus, &["--color=never"]).await;
    assert!(!never.stdout.contains('\x1b'));
}

#[tokio::test]
async fn without_a_daemon_it_says_where_it_looked_and_what_to_do() {
    let bus = Bus::start().await;
    let empty = tempfile::tempdir().unwrap();
    let mut command = command(&["status"]);
    command
        .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
        .env("OFFLOADD_RUNTIME_DIR", empty.path());
    let run = finish(command).await;
    assert_eq!((run.code, run.stdout.as_str()), (4, ""));
    assert!(
        run.stderr.contains("offloadd is not running"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("systemctl start offloadd"));
    assert!(run.stderr.contains("system bus: nobody owns"));
    assert!(run.stderr.contains("/bus: No such file or directory"));
}

#[tokio::test]
async fn a_daemon_that_the_bus_can_not_start_is_no_daemon() {
    let bus = Bus::with_activation("/nonexistent/offloadd").await;
    for args in [
        &["status"][..],
        &["check"],
        &["wait"],
        &["wait", "--timeout", "50ms"],
    ] {
        let run = offloadctl(&bus, args).await;
        assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{args:?}");
        assert!(
            run.stderr.contains("systemctl start offloadd"),
            "{}",
            run.stderr
        );
        // Nobody comes back who never was there.
        assert!(!run.stderr.contains("come back"), "{}", run.stderr);
    }
}

#[tokio::test]
async fn the_embedded_bus_is_found_where_the_system_bus_has_no_daemon() {
    let (system, embedded) = (Bus::start().await, Bus::start().await);
    let _fake = Fake::start(&embedded, builder_down()).await;
    let mut look = command(&["status"]);
    look.env("DBUS_SYSTEM_BUS_ADDRESS", &system.address)
        .env("OFFLOADD_RUNTIME_DIR", embedded.runtime_dir());
    assert_eq!(finish(look).await.code, 3);

    // The system bus comes first where it has one.
    let _fake = Fake::start(&system, ready()).await;
    let mut look = command(&["status"]);
    look.env("DBUS_SYSTEM_BUS_ADDRESS", &system.address)
        .env("OFFLOADD_RUNTIME_DIR", embedded.runtime_dir());
    assert_eq!(finish(look).await.code, 0);

    // And a bus that was named is the only one.
    let mut look = command(&["status", "--bus", "embedded"]);
    look.env("DBUS_SYSTEM_BUS_ADDRESS", &system.address)
        .env("OFFLOADD_RUNTIME_DIR", embedded.runtime_dir());
    assert_eq!(finish(look).await.code, 3);
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_code_64() {
    for args in [
        &["frobnicate"][..],
        &["--bus", "sytem"],
        &["pause", "0s"],
        &["pause", "soon"],
        &["wait", "--timeout", "5"],
        &["history", "--max", "0"],
        &["test-build", "--timeout", "11m"],
        &["hold", "--json"],
    ] {
        let run = finish(command(args)).await;
        // Who asks for JSON has the error as a line of it.
        let lines = usize::from(args.contains(&"--json"));
        assert_eq!(
            (run.code, run.stdout.lines().count()),
            (64, lines),
            "{args:?}"
        );
        assert!(!run.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(finish(command(&["--help"])).await.code, 0);
    assert_eq!(finish(command(&["--version"])).await.code, 0);
}

#[tokio::test]
async fn an_unknown_target_is_exit_code_64_and_the_known_ones() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    for command in ["status", "check", "is-ready", "wait", "history"] {
        let run = offloadctl(&bus, &[command, "laptop"]).await;
        assert_eq!(run.code, 64, "{command}");
        assert_eq!(
            run.stderr,
            "offloadctl: there is no target called laptop; there is cache/desktop, builder/desktop\n"
        );
    }
}

#[tokio::test]
async fn is_ready_answers_by_exit_code_alone() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    for (args, code) in [
        (&["is-ready"][..], 3),
        (&["is-ready", "desktop"], 3),
        (&["is-ready", "cache/desktop"], 0),
        (&["is-ready", "builder/desktop"], 3),
    ] {
        let run = offloadctl(&bus, args).await;
        assert_eq!((run.code, run.stdout + &run.stderr), (code, String::new()));
    }
}

#[tokio::test]
async fn one_target_is_shown_and_written_alone() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    for (target, code) in [("cache/desktop", 0), ("builder/desktop", 3)] {
        let run = offloadctl(&bus, &["status", target]).await;
        assert_eq!(run.code, code, "{run:?}");
        let shown = ["cache/desktop", "builder/desktop"].map(|it| run.stdout.contains(it));
        assert_eq!(shown, [code == 0, code == 3], "{}", run.stdout);
        for command in ["status", "is-ready"] {
            let run = offloadctl(&bus, &[command, target, "--json"]).await;
            let document: Value = serde_json::from_str(&run.stdout).unwrap();
            assert_eq!(
                (run.code, document["targets"].as_array().unwrap().len()),
                (code, 1)
            );
            let found = &document["targets"][0];
            let found = format!("{}/{}", found["kind"], found["name"]).replace('"', "");
            assert_eq!(found, target);
        }
    }
    let run = offloadctl(&bus, &["is-ready", "--json"]).await;
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (run.code, &document["state"]),
        (3, &Value::from("degraded"))
    );
}

#[tokio::test]
async fn json_is_the_daemons_own_document() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut document: Value = serde_json::to_value(builder_down()).unwrap();
    document["from_the_future"] = 1.into();
    fake.script
        .send_modify(|script| script.describe = Some(document.to_string()));
    let run = offloadctl(&bus, &["--json"]).await;
    assert_eq!(run.code, 3);
    let mut written: Value = serde_json::from_str(&run.stdout).unwrap();
    // And the words beside it, which the daemon has not.
    for place in ["/targets/0", "/targets/1", "/root_cause"] {
        let place = written.pointer_mut(place).unwrap().as_object_mut().unwrap();
        assert!(place.remove("words").is_some());
    }
    assert_eq!(written, document);
}

#[tokio::test]
async fn check_shows_what_came_of_it() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    fake.script
        .send_modify(|script| script.after_check = Some(builder_down()));
    let run = offloadctl(&bus, &["check"]).await;
    assert_eq!(run.code, 3);
    assert!(run.stdout.contains("connection refused"));
    fake.asked("/org/offloadd/Offload1 Check()").await;

    // Only what was asked for is checked, shown and judged.
    let run = offloadctl(&bus, &["check", "cache/desktop"]).await;
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.starts_with("✔ ready   cache/desktop"),
        "{}",
        run.stdout
    );
    assert_eq!(run.stdout.lines().count(), 1);
    fake.asked("/org/offloadd/Offload1/cache/desktop Check()")
        .await;
    let calls = fake.script.borrow().calls.clone();
    assert!(
        !calls
            .iter()
            .any(|call| call.contains("builder/desktop Check"))
    );

    let run = offloadctl(&bus, &["check", "builder/desktop", "--json"]).await;
    assert_eq!(run.code, 3);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["targets"].as_array().unwrap().len(), 1);
    assert_eq!(document["targets"][0]["kind"], "builder");
}

#[tokio::test]
async fn errors_of_the_daemon_are_sentences_with_exit_codes() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    for (error, code, words) in [
        ("RateLimited", 75, "try again in a few seconds"),
        ("Busy", 75, "try again in a moment"),
        ("TimedOut", 75, "could not finish in time"),
        ("NotAuthorized", 77, "not allowed"),
        ("NoSuchTarget", 64, "no longer watched"),
        ("NotConfigured", 3, "nothing to watch"),
        ("Failed", 70, "particulars"),
        ("FromTheFuture", 69, "FromTheFuture"),
    ] {
        fake.script.send_modify(|script| script.error = Some(error));
        let run = offloadctl(&bus, &["check"]).await;
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{error}");
        assert!(run.stderr.contains(words), "{error}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_pause_is_in_microseconds_and_0_is_until_resumed() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let run = offloadctl(&bus, &["pause", "30m"]).await;
    assert_eq!(run.code, 0);
    assert_eq!(
        run.stdout,
        "The checks are paused for 30m; `offloadctl resume` ends that sooner.\n"
    );
    fake.asked("Pause(1800000000)").await;
    assert_eq!(offloadctl(&bus, &["pause"]).await.code, 0);
    fake.asked("Pause(0)").await;
    assert_eq!(offloadctl(&bus, &["resume"]).await.code, 0);
    fake.asked("Resume()").await;
}

#[tokio::test]
async fn history_is_a_table_or_a_list() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let entry = HistoryEntry {
        timestamp: 1_700_000_000_000_000,
        state: TargetState::Down,
        reason: Reason::Refused,
        latency_usec: 0,
    };
    fake.script
        .send_modify(|script| script.history = vec![entry]);
    let run = offloadctl(&bus, &["history", "builder/desktop", "-n", "7"]).await;
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.starts_with("builder/desktop\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.ends_with("✗ down      connection refused\n"));
    fake.asked("/builder/desktop GetHistory(7)").await;

    let run = offloadctl(&bus, &["history", "--json"]).await;
    let history: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(history["targets"].as_array().unwrap().len(), 2);
    let builder = &history["targets"][1];
    assert_eq!(builder["target"]["kind"], "builder");
    assert_eq!(builder["entries"][0]["reason"], "refused");
    assert_eq!(
        builder["entries"][0]["timestamp"],
        1_700_000_000_000_000_u64
    );
}

#[tokio::test]
async fn a_closed_pipe_is_no_reason_to_complain() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    for args in [
        &["status"][..],
        &["--json"],
        &["history"],
        &["check"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = on(&bus, args);
        command.stdout(writer);
        let run = finish(command).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
    }
}

#[tokio::test]
async fn nothing_configured_is_said_with_what_to_do() {
    let bus = Bus::start().await;
    let nothing = Snapshot {
        state: OverallState::Unknown,
        reason: Reason::NotConfigured,
        ..Snapshot::default()
    };
    let _fake = Fake::start(&bus, nothing).await;
    let run = offloadctl(&bus, &[]).await;
    assert_eq!(run.code, 3);
    assert!(run.stdout.starts_with("? unknown: nothing to watch\n"));
    assert!(run.stdout.contains("offloadd --cache"));
    let run = offloadctl(&bus, &["check", "desktop"]).await;
    assert_eq!(
        run.stderr,
        "offloadctl: there is no target called desktop: nothing is watched\n"
    );
}
