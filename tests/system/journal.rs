//! What systemd's own tools say of the package: its units, its sandboxes, its journal.

use offload_client::{
    Kind, Snapshot, TargetState,
    reasons::{explanation_for, remedy_for},
    snapshot::Target,
};
use offload_tests::eventually;

use crate::desk::{DAEMON, Desk, PATIENCE};

const UNITS: &[&str] = &[
    DAEMON,
    "offload-ready.target",
    "offload-ready.path",
    "offload-hold.service",
    "offload-wait-ready.service",
];

#[tokio::test]
async fn the_tools_of_systemd_find_units_in_order_and_a_journal_that_explains() {
    let Some(mut desk) = Desk::start().await else {
        return;
    };
    the_units_are_in_order(&desk);
    the_sandboxes_are_closed(&desk);
    each_transition_is_found_and_explained(&mut desk).await;
}

fn the_units_are_in_order(desk: &Desk) {
    // There is no man(1) in the container to look pages up with.
    let verify = ["systemd-analyze", "verify", "--man=no"];
    let found = desk.laptop.root(&[&verify[..], UNITS].concat()).unwrap();
    assert_eq!(found.code, 0, "{found:?}");
    assert_eq!(found.stdout.clone() + &found.stderr, "", "{found:?}");
}

fn the_sandboxes_are_closed(desk: &Desk) {
    for unit in UNITS.iter().filter(|unit| unit.ends_with(".service")) {
        // In tenths: more than 1.5 is an error.
        let ask = [
            "systemd-analyze",
            "security",
            "--no-pager",
            "--threshold=15",
            unit,
        ];
        let found = desk.laptop.root(&ask).unwrap();
        let last = found.stdout.trim().lines().last().unwrap_or_default();
        eprintln!("{last}");
        assert!(last.contains("Overall exposure level"), "{found:?}");
        assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    }
}

async fn each_transition_is_found_and_explained(desk: &mut Desk) {
    // A test build under way would be the first to tell of another host key.
    let has_built = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        targets.any(|target| offload_client::test_build::of(target).is_some())
    };
    desk.until("the builder has proved itself", has_built).await;

    let stop = ["systemctl", "stop", "nginx.service"];
    desk.desktop.container().run(&stop).unwrap();
    let cache = until(desk, Kind::Cache, TargetState::Down).await;
    is_explained(desk, &cache).await;

    // What only a person can mend.
    desk.desktop.swap_host_key().unwrap();
    // The connection that is kept knows nothing of it; a check from scratch does.
    assert_eq!(desk.laptop.root(&["offloadctl", "check"]).unwrap().code, 3);
    let builder = until(desk, Kind::Builder, TargetState::Degraded).await;
    is_explained(desk, &builder).await;

    let start = ["systemctl", "start", "nginx.service"];
    desk.desktop.container().run(&start).unwrap();
    until(desk, Kind::Cache, TargetState::Ready).await;
    // The journal has them in their order, each kind with its own.
    for (kind, expected) in [
        ("cache", &["ready", "down", "ready"][..]),
        ("builder", &["ready", "degraded"]),
    ] {
        let found = eventually(PATIENCE, "the journal has every transition", async || {
            let states = states(desk, kind);
            (states.len() >= expected.len()).then_some(states)
        });
        let found = found.await.unwrap();
        let said = || desk.run(&["journalctl", "--no-pager", "OFFLOAD_TARGET=desktop"]);
        assert_eq!(found, expected, "{kind}: {}", said());
    }
}

/// `journalctl -x` has, beside the transition, what it means and what mends it: the same words as
/// the page.
async fn is_explained(desk: &Desk, target: &Target) {
    let explained = eventually(PATIENCE, "the journal explains it", async || {
        let ask = [
            "journalctl",
            "--no-pager",
            "--catalog",
            "OFFLOAD_TARGET=desktop",
        ];
        let said = words(&desk.run(&ask).replace('░', " "));
        let parts = [explanation_for(target), remedy_for(target)];
        let all = parts
            .iter()
            .all(|part| !part.is_empty() && said.contains(&words(part)));
        all.then_some(())
    });
    if let Err(late) = explained.await {
        let ask = [
            "journalctl",
            "--no-pager",
            "--catalog",
            "OFFLOAD_TARGET=desktop",
        ];
        let remedy = remedy_for(target);
        panic!("{late}: {remedy} in {}", desk.run(&ask));
    }
}

/// The states that the journal has seen of the target of `kind`, the oldest first.
fn states(desk: &Desk, kind: &str) -> Vec<String> {
    let kind = format!("OFFLOAD_KIND={kind}");
    let ask = [
        "journalctl",
        "--no-pager",
        "--output=json",
        "OFFLOAD_TARGET=desktop",
        &kind,
    ];
    let entries = desk.run(&ask);
    let entry = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let state = |line| entry(line)["OFFLOAD_STATE"].as_str().unwrap().to_owned();
    entries.lines().map(state).collect()
}

async fn until(desk: &Desk, kind: Kind, state: TargetState) -> Target {
    let the = |said: &Snapshot| {
        let found = said.targets.iter().find(|target| target.kind == kind);
        found.filter(|target| target.state == state).cloned()
    };
    let what = format!("the {kind} is {state}");
    let snapshot = desk.until(&what, |said| the(said).is_some()).await;
    the(&snapshot).unwrap()
}

/// However the journal breaks its lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
