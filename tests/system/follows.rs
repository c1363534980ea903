//! Units follow the desktop as it comes and goes, and no boot waits for it.

use std::time::Duration;

use offload_client::{OverallState, TargetState};
use offload_tests::eventually;

use crate::desk::{DAEMON, Desk, builder};

const TARGET: &str = "offload-ready.target";
const HOLD: &str = "offload-hold.service";
const WAIT: &str = "offload-wait-ready.service";
const FLAG: &str = "/run/offloadd/ready";

/// What runs exactly while a builder is ready.
const BOUND: &str = "bound.service";
const BOUND_TEXT: &str = "\
[Unit]
BindsTo=offload-ready.target
After=offload-ready.target
[Service]
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=offload-ready.target
";
/// What is not worth starting without one.
const CONDITIONAL: &str = "conditional.service";
const CONDITIONAL_TEXT: &str = "\
[Unit]
ConditionPathExists=/run/offloadd/ready
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
";
/// What starts when one is ready, however long that takes.
const ORDERED: &str = "ordered.service";
const ORDERED_TEXT: &str = "\
[Unit]
Requires=offload-wait-ready.service
After=offload-wait-ready.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
";

#[tokio::test]
async fn units_follow_the_desktop_and_no_boot_waits_for_it() {
    let Some(mut desk) = Desk::start().await else {
        return;
    };
    for (unit, text) in [
        (BOUND, BOUND_TEXT),
        (CONDITIONAL, CONDITIONAL_TEXT),
        (ORDERED, ORDERED_TEXT),
    ] {
        let file = format!("/etc/systemd/system/{unit}");
        desk.laptop.container().write(&file, text).unwrap();
    }
    desk.run(&["systemctl", "enable", "--quiet", BOUND]);

    a_ready_builder_brings_the_target_up(&desk).await;
    the_status_has_the_state_in_one_line(&desk);
    what_is_bound_survives_a_restart_of_offloadd(&desk).await;
    the_desktop_takes_all_of_it_down_with_it(&mut desk).await;
    a_boot_without_the_desktop_ends(&mut desk).await;
    who_asks_for_the_target_by_hand_is_not_kept_for_ever(&desk).await;
    who_waits_is_let_go_when_the_desktop_is_back(&mut desk).await;
}

async fn a_ready_builder_brings_the_target_up(desk: &Desk) {
    desk.until_unit(TARGET, "active").await;
    // The target was up before the unit was there: whoever comes later is started by hand.
    desk.run(&["systemctl", "start", BOUND]);
    assert_eq!(desk.unit(BOUND, "ActiveState"), "active");
    desk.run(&["test", "-e", FLAG]);
    assert!(runs_on_condition(desk));
}

fn the_status_has_the_state_in_one_line(desk: &Desk) {
    let status = ["systemctl", "status", "--no-pager", "--lines=0", DAEMON];
    let status = desk.laptop.user(&status).unwrap();
    let line = "Status: \"ready: cache/desktop ready, builder/desktop ready\"";
    assert!(status.stdout.contains(line), "{status:?}");
}

async fn what_is_bound_survives_a_restart_of_offloadd(desk: &Desk) {
    let run = || {
        [HOLD, BOUND].map(|unit| {
            let id = desk.unit(unit, "InvocationID");
            assert_eq!(desk.unit(unit, "ActiveState"), "active", "{unit}");
            id
        })
    };
    let (before, daemon) = (run(), desk.unit(DAEMON, "InvocationID"));
    desk.run(&["systemctl", "restart", DAEMON]);
    assert_ne!(desk.unit(DAEMON, "InvocationID"), daemon);
    desk.until_ready().await;
    assert_eq!(run(), before, "{}", desk.journal());
}

async fn the_desktop_takes_all_of_it_down_with_it(desk: &mut Desk) {
    desk.desktop_off();
    for unit in [TARGET, HOLD, BOUND] {
        desk.until_unit(unit, "inactive").await;
        // A target has none; what ended because of it has not failed.
        assert!(
            ["", "success"].contains(&&*desk.unit(unit, "Result")),
            "{unit}"
        );
    }
    assert_eq!(desk.laptop.root(&["test", "-e", FLAG]).unwrap().code, 1);
    assert!(!runs_on_condition(desk));
    let down = |state| matches!(state, TargetState::Down | TargetState::Away);
    // A build that it was in the middle of may have failed first.
    desk.until("the builder is down", |said| down(builder(said).state))
        .await;
}

async fn a_boot_without_the_desktop_ends(desk: &mut Desk) {
    // It returns when systemd says `running`: every unit has started, and none has failed.
    desk.laptop.boot().await.unwrap();
    assert_eq!(
        desk.run(&["systemctl", "is-system-running"]).trim(),
        "running"
    );
    assert_eq!(desk.unit(DAEMON, "ActiveState"), "active");
    let jobs = desk.run(&["systemctl", "list-jobs", "--no-legend", "--no-pager"]);
    assert_eq!(jobs, "");
    for unit in [TARGET, HOLD, BOUND] {
        assert_eq!(desk.unit(unit, "ActiveState"), "inactive", "{unit}");
    }
    // By hand, and it is active when the command returns.
    desk.run(&["systemctl", "stop", DAEMON]);
    desk.run(&["systemctl", "start", DAEMON]);
    assert_eq!(desk.unit(DAEMON, "ActiveState"), "active");
    let missed = |said: &offload_client::Snapshot| said.builder_state == OverallState::Offline;
    let snapshot = desk.until("the builder is missed", missed).await;
    assert_eq!(builder(&snapshot).state, TargetState::Down);
    let status = ["systemctl", "status", "--no-pager", "--lines=0", DAEMON];
    let status = desk.laptop.user(&status).unwrap();
    assert!(status.stdout.contains("Status: \"offline: "), "{status:?}");
}

async fn who_asks_for_the_target_by_hand_is_not_kept_for_ever(desk: &Desk) {
    let limit = ["systemctl", "show", "--value", "--property=ExecStart", HOLD];
    assert!(desk.run(&limit).contains("--timeout 1min"));
    // Sooner, for this test.
    let place = format!("/etc/systemd/system/{HOLD}.d/limit.conf");
    let sooner = "[Service]\nExecStart=\nExecStart=/usr/bin/offloadctl hold --timeout 2s\n";
    desk.laptop.container().write(&place, sooner).unwrap();
    desk.run(&["systemctl", "daemon-reload"]);
    let start = desk.laptop.root(&["systemctl", "start", TARGET]).unwrap();
    assert_eq!(start.code, 1, "{start:?}");
    for unit in [TARGET, HOLD, BOUND] {
        assert_ne!(desk.unit(unit, "ActiveState"), "active", "{unit}");
    }
    let jobs = desk.run(&["systemctl", "list-jobs", "--no-legend", "--no-pager"]);
    assert_eq!(jobs, "", "it is not started again by itself");
    desk.run(&["rm", &place]);
    desk.run(&["systemctl", "daemon-reload"]);
}

async fn who_waits_is_let_go_when_the_desktop_is_back(desk: &mut Desk) {
    // Whoever asks for the target by hand waits too; so does what is ordered after the wait.
    let start = ["systemctl", "start", "--no-block", ORDERED, TARGET];
    desk.run(&start);
    for unit in [WAIT, HOLD] {
        desk.until_unit(unit, "activating").await;
    }
    for unit in [ORDERED, TARGET, BOUND] {
        assert_eq!(desk.unit(unit, "ActiveState"), "inactive", "{unit}");
    }
    desk.desktop_on().await;
    for unit in [TARGET, HOLD, BOUND, ORDERED] {
        desk.until_unit(unit, "active").await;
    }
    // It was there to wait, and has ended.
    desk.until_unit(WAIT, "inactive").await;
    assert_eq!(desk.unit(WAIT, "Result"), "success");
    assert!(runs_on_condition(desk));

    let clear = eventually(Duration::from_secs(30), "no job is left", async || {
        let jobs = desk.run(&["systemctl", "list-jobs", "--no-legend", "--no-pager"]);
        jobs.is_empty().then_some(())
    });
    clear.await.unwrap();
}

/// Starts what has the condition; whether it ran.
fn runs_on_condition(desk: &Desk) -> bool {
    // Where the condition does not hold, nothing has failed.
    desk.run(&["systemctl", "start", CONDITIONAL]);
    let ran = desk.unit(CONDITIONAL, "ActiveState") == "active";
    desk.run(&["systemctl", "stop", CONDITIONAL]);
    ran
}
