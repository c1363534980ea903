//! `offloadctl discover`, against a daemon that finds what the test wants.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::offloadctl,
};
use offload_client::{Snapshot, names};
use serde_json::Value;

/// All is ready, the builder at another address.
fn moved() -> Snapshot {
    let mut snapshot = ready();
    snapshot.targets[1].address = "192.0.2.7:22".into();
    snapshot
}

fn builder_path() -> String {
    names::target_path(offload_client::Kind::Builder, "desktop")
}

#[tokio::test]
async fn what_was_found_is_shown_with_its_address() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    let after = Some((moved(), vec![builder_path()]));
    fake.script.send_modify(|s| s.after_discover = after);
    let run = offloadctl(&bus, &["discover"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout, "✔ builder/desktop was found at 192.0.2.7:22\n");
    fake.asked("Discover()").await;
}

#[tokio::test]
async fn what_was_not_found_is_exit_code_3_and_a_way_on() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let run = offloadctl(&bus, &["discover"]).await;
    assert_eq!(run.code, 3);
    let first = "✗ builder/desktop was not found\n→ Is the desktop on";
    assert!(run.stdout.starts_with(first), "{}", run.stdout);
    assert!(run.stdout.contains("sweep = [\"192.0.2.0/24\"]"));
    assert!(!run.stdout.contains("cache/desktop"), "that one is ready");
}

#[tokio::test]
async fn what_was_found_but_is_not_ready_is_told_too() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    let mut broken = builder_down();
    broken.targets[1].address = "192.0.2.7:22".into();
    broken.targets[1].state = offload_client::TargetState::Degraded;
    let after = Some((broken, vec![builder_path()]));
    fake.script.send_modify(|s| s.after_discover = after);
    let run = offloadctl(&bus, &["discover"]).await;
    assert_eq!(run.code, 3);
    assert_eq!(
        run.stdout,
        "▲ builder/desktop was found at 192.0.2.7:22, and it is degraded: see `offloadctl`\n"
    );
}

#[tokio::test]
async fn where_everything_is_ready_nothing_is_missing() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    let run = offloadctl(&bus, &["discover"]).await;
    assert_eq!(run.code, 0);
    assert!(run.stdout.starts_with("Nothing is missing"), "{run:?}");
}

#[tokio::test]
async fn programs_get_the_snapshot_and_what_was_found() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    let after = Some((moved(), vec![builder_path()]));
    fake.script.send_modify(|s| s.after_discover = after);
    let run = offloadctl(&bus, &["discover", "--json"]).await;
    assert_eq!(run.code, 0);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    // What was found has the shape that it has among all.
    let targets = json["targets"].as_array().unwrap();
    let builder = targets.iter().find(|target| target["kind"] == "builder");
    assert_eq!(json["found"].as_array().unwrap().first(), builder);
    assert_eq!(builder.unwrap()["address"], "192.0.2.7:22");
    assert_eq!(json["state"], "ready");
    // A reader of the snapshot reads this as well.
    let snapshot: Snapshot = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(snapshot, moved());
}

#[tokio::test]
async fn each_refusal_has_its_sentence() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    for (error, code, said) in [
        ("RateLimited", 75, "it was looked for only just now"),
        ("Busy", 75, "the checks are paused, and so are searches"),
        (
            "NotAuthorized",
            77,
            "allow you the action org.offloadd.Offload1.discover",
        ),
        ("NotConfigured", 3, "configured"),
    ] {
        fake.script.send_modify(|s| s.error = Some(error));
        let run = offloadctl(&bus, &["discover"]).await;
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{error}");
        assert!(run.stderr.contains(said), "{error}: {}", run.stderr);
    }
}
