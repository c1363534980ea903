//! What happens to a service in its life: it hangs, dies, loses its bus, is told something new.

use std::time::Duration;

use offload_client::{Snapshot, WarningCode};
use offload_tests::eventually;
use offloadd::clock::Stopwatch;

use crate::desk::{DAEMON, Desk, PATIENCE};

const TARGET: &str = "offload-ready.target";
const GATE: &str = "offload-hold.service";
const MORE: &str = "/etc/offloadd/config.d/60-more.toml";
const NAME: &str = "org.offloadd.Offload1";

#[tokio::test]
async fn offloadd_comes_back_from_all_that_befalls_a_service() {
    let Some(mut desk) = Desk::start().await else {
        return;
    };
    the_watchdog_ends_one_that_hangs(&desk).await;
    a_killed_one_is_ready_again(&desk).await;
    a_killed_gate_is_replaced(&desk).await;
    a_gate_that_can_not_work_takes_its_time(&desk).await;
    a_new_configuration_is_taken_and_a_broken_one_is_not(&desk).await;
    assert_eq!(desk.unit("dbus.service", "Id"), "dbus.service");
    a_new_bus_is_joined(&desk).await;
    who_asks_for_the_name_starts_it(&desk).await;

    desk.run(&["systemctl", "enable", "--quiet", "dbus-broker.service"]);
    desk.laptop.boot().await.unwrap();
    assert_eq!(desk.unit("dbus.service", "Id"), "dbus-broker.service");
    desk.until_ready().await;
    a_new_bus_is_joined(&desk).await;
    who_asks_for_the_name_starts_it(&desk).await;
}

async fn the_watchdog_ends_one_that_hangs(desk: &Desk) {
    // A test has less time than the unit gives.
    let drop_in = "/run/systemd/system/offloadd.service.d/watchdog.conf";
    let text = "[Service]\\nWatchdogSec=3s\\nTimeoutAbortSec=1s\\n";
    let write = format!("mkdir -p ${{0%/*}} && printf '{text}' > $0");
    desk.run(&["sh", "-c", &write, drop_in]);
    desk.run(&["systemctl", "daemon-reload"]);
    desk.run(&["systemctl", "restart", DAEMON]);
    desk.until_ready().await;
    let hung = desk.unit(DAEMON, "MainPID");
    desk.run(&["kill", "-STOP", &hung]);
    another_is_ready(desk, &hung).await;
    let journal = ["journalctl", "--no-pager", "--unit", DAEMON];
    let journal = desk.run(&journal);
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    desk.run(&["rm", drop_in]);
    desk.run(&["systemctl", "daemon-reload"]);
    desk.run(&["systemctl", "restart", DAEMON]);
    desk.until_ready().await;
}

async fn a_killed_one_is_ready_again(desk: &Desk) {
    let killed = desk.unit(DAEMON, "MainPID");
    let watch = Stopwatch::start();
    desk.run(&["kill", "-KILL", &killed]);
    another_is_ready(desk, &killed).await;
    eprintln!("killed, and ready again after {:?}", watch.elapsed());
}

/// What is bound to the target does not hear of it.
async fn a_killed_gate_is_replaced(desk: &Desk) {
    desk.until_unit(TARGET, "active").await;
    let target = desk.unit(TARGET, "InvocationID");
    let killed = desk.unit(GATE, "MainPID");
    desk.run(&["kill", "-KILL", &killed]);
    another_runs(desk, GATE, &killed).await;
    assert_eq!(desk.unit(TARGET, "InvocationID"), target);
}

/// Though the flag is there, at which the path unit starts what is not up.
async fn a_gate_that_can_not_work_takes_its_time(desk: &Desk) {
    let drop_in = "/run/systemd/system/offload-hold.service.d/broken.conf";
    let text = "[Service]\\nExecStart=\\nExecStart=/usr/bin/false\\n";
    let write = format!("mkdir -p ${{0%/*}} && printf '{text}' > $0");
    desk.run(&["sh", "-c", &write, drop_in]);
    desk.run(&["systemctl", "daemon-reload"]);
    let watch = Stopwatch::start();
    desk.run(&["systemctl", "restart", "--no-block", GATE]);
    let again = eventually(PATIENCE, "it has been started thrice more", async || {
        let starts: u32 = desk.unit(GATE, "NRestarts").parse().unwrap();
        (starts >= 3).then_some(watch.elapsed())
    });
    let elapsed = again.await.unwrap();
    // One of them may have been under way already.
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
    desk.run(&["rm", drop_in]);
    desk.run(&["systemctl", "daemon-reload"]);
    desk.until_unit(TARGET, "active").await;
}

async fn a_new_configuration_is_taken_and_a_broken_one_is_not(desk: &Desk) {
    let has = |said: &Snapshot, name: &str| said.targets.iter().any(|target| target.name == name);
    let broken = |said: &Snapshot| {
        let mut codes = said.warnings.iter().map(|warning| warning.code);
        codes.any(|code| code == WarningCode::ConfigRejected)
    };
    // systemctl returns when offloadd says that it is done.
    assert_eq!(desk.unit(DAEMON, "Type"), "notify-reload");
    let daemon = desk.unit(DAEMON, "MainPID");
    let configure = |text: &str| {
        desk.laptop.container().write(MORE, text).unwrap();
        desk.run(&["systemctl", "reload", DAEMON]);
    };
    let second = "[[cache]]\nname = \"second\"\nurl = \"http://desktop:5001\"\n";
    configure(second);
    desk.until("the second cache is watched", |said| has(said, "second"))
        .await;

    configure("[poll]\ninterval = \"now and then\"\n");
    let told = desk.until("the broken file is told", broken).await;
    assert!(has(&told, "second"), "what was in force holds: {told:#?}");
    let said = format!("{:?}", told.warnings);
    assert!(said.contains("60-more.toml"), "{said}");
    assert_eq!(desk.unit(DAEMON, "ActiveState"), "active");

    configure("");
    let mended = |said: &Snapshot| !broken(said) && !has(said, "second");
    desk.until("the mended file is in force", mended).await;
    assert_eq!(
        desk.unit(DAEMON, "MainPID"),
        daemon,
        "it was never restarted"
    );
    desk.until_ready().await;
}

/// systemd, logind and polkit lose theirs too, and find the new one.
async fn a_new_bus_is_joined(desk: &Desk) {
    desk.until_unit(TARGET, "active").await;
    let [target, before] = [
        desk.unit(TARGET, "InvocationID"),
        desk.unit("dbus.service", "MainPID"),
    ];
    desk.run(&["systemctl", "restart", "dbus.service"]);
    assert_ne!(desk.unit("dbus.service", "MainPID"), before);
    desk.until_ready().await;
    desk.until_unit(DAEMON, "active").await;
    let owner = ["busctl", "--no-pager", "status", NAME];
    let known = eventually(PATIENCE, "the name is owned on the new bus", async || {
        let said = desk.laptop.user(&owner).unwrap();
        said.stdout.contains("Unit=offloadd.service").then_some(())
    });
    known.await.unwrap();
    // What is bound to the target does not hear of it.
    assert_eq!(desk.unit(TARGET, "ActiveState"), "active");
    assert_eq!(
        desk.unit(TARGET, "InvocationID"),
        target,
        "{}",
        desk.journal()
    );
}

async fn who_asks_for_the_name_starts_it(desk: &Desk) {
    desk.run(&["systemctl", "stop", DAEMON]);
    assert_eq!(desk.unit(DAEMON, "ActiveState"), "inactive");
    let path = "/org/offloadd/Offload1";
    let manager = "org.offloadd.Offload1.Manager";
    let ask = ["busctl", "get-property", NAME, path, manager, "Version"];
    let said = desk.laptop.user(&ask).unwrap();
    assert!(said.stdout.starts_with("s \""), "{said:?}");
    assert_eq!(desk.unit(DAEMON, "ActiveState"), "active");
    desk.until_ready().await;
}

/// Another process than `gone` is offloadd, and has everything ready.
async fn another_is_ready(desk: &Desk, gone: &str) {
    another_runs(desk, DAEMON, gone).await;
    desk.until_ready().await;
}

/// Another process than `gone` is the service.
async fn another_runs(desk: &Desk, service: &str, gone: &str) {
    let other = eventually(PATIENCE, "another process is the service", async || {
        let now = desk.unit(service, "MainPID");
        let active = desk.unit(service, "ActiveState") == "active";
        (active && now != gone && now != "0").then_some(())
    });
    if let Err(late) = other.await {
        panic!("{service}: {late}\n{}", desk.journal());
    }
}
