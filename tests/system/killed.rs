//! What is left of a daemon that is killed in the middle of everything: nothing.

use offload_client::Snapshot;
use offload_tests::{dice::Dice, eventually};

use crate::desk::{DAEMON, Desk, PATIENCE};

const KILLS: usize = 20;
const SEED: u64 = 11;
/// How long after its start each is killed at the latest, in milliseconds: a check that waits for a program takes
/// two seconds.
const LATEST: u64 = 2500;
const TARGET: &str = "offload-ready.target";
/// Two more builders: on the way to one of them a program of ssh_config waits, and for the other ssh itself.
const BUILDERS: &str = "\
[[builder]]
name = \"matched\"
uri = \"ssh-ng://nix-builder@matched\"
[[builder]]
name = \"proxied\"
uri = \"ssh-ng://nix-builder@proxied\"
";
const SSH_CONFIG: &str = "\
Match originalhost matched exec \"sleep 31571\"
    User nobody
Match originalhost proxied
    ProxyCommand sleep 31572
";
/// Before each start: what it finds of the one before, a line each time.
const LOOK: &str = "\
[Service]
ExecStartPre=+/bin/sh -c 'left=\"\"; \
while read pid; do [ $$pid = $$$$ ] || { read name < /proc/$$pid/comm; left=\"$$left $$name\"; }; \
done < /sys/fs/cgroup/system.slice/offloadd.service/cgroup.procs; \
[ ! -e /run/offloadd/ready ] || left=\"$$left ready\"; echo \"left:$$left\" >> /run/looked'
";

#[tokio::test]
async fn of_one_that_is_killed_nothing_is_left() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    let container = desk.laptop.container();
    let write = |path: &str, text: &str| container.write(path, text).unwrap();
    write("/etc/offloadd/config.d/60-programs.toml", BUILDERS);
    write("/etc/ssh/ssh_config.d/programs.conf", SSH_CONFIG);
    write("/etc/systemd/system/offloadd.service.d/look.conf", LOOK);
    desk.run(&["systemctl", "daemon-reload"]);
    desk.run(&["systemctl", "restart", DAEMON]);
    ready(&desk).await;

    let mut dice = Dice::new(SEED);
    let (mut programs, mut flags) = (0, 0);
    for kill in 1..=KILLS {
        tokio::time::sleep(dice.between(0, LATEST)).await;
        let killed = desk.unit(DAEMON, "MainPID");
        // At once with what is under way then.
        let look_and_kill = "pgrep --cgroup /system.slice/offloadd.service --count sleep; \
             [ -e /run/offloadd/ready ] && echo ready; kill -KILL $0";
        let run = desk.run(&["sh", "-c", look_and_kill, &killed]);
        programs += usize::from(!run.starts_with('0'));
        flags += usize::from(run.contains("ready"));
        let another = eventually(PATIENCE, "another runs", async || {
            let now = desk.unit(DAEMON, "MainPID");
            let active = desk.unit(DAEMON, "ActiveState") == "active";
            (active && now != killed && now != "0").then_some(())
        });
        if let Err(late) = another.await {
            panic!("{kill}: {late}\n{}", desk.journal());
        }
    }
    let looked = desk.run(&["cat", "/run/looked"]);
    // One for the restart.
    assert_eq!(looked, "left:\n".repeat(KILLS + 1), "{}", desk.journal());
    eprintln!(
        "{KILLS} kills, {programs} with programs under way, {flags} while a builder was ready"
    );
    assert!(programs > KILLS / 4, "{programs} of {KILLS}");
    assert!(flags > 0, "{flags} of {KILLS}");

    ready(&desk).await;
    desk.until_unit(TARGET, "active").await;
    desk.run(&["systemctl", "stop", DAEMON]);
    desk.run(&["sh", "-c", "! pgrep --full 'sleep 3157[12]'"]);
    desk.run(&["test", "!", "-e", "/run/offloadd/ready"]);
    desk.until_unit(TARGET, "inactive").await;
}

/// Waits until the desktop is ready as a builder, whatever the others are.
async fn ready(desk: &Desk) {
    let is_ready = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        targets.any(|target| {
            target.kind == offload_client::Kind::Builder
                && target.name == "desktop"
                && target.state.is_ready()
        })
    };
    desk.until("the desktop is ready", is_ready).await;
}
