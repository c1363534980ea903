//! The sandbox of the unit leaves what offloadd needs of the system: a test build, the slots that
//! builds take, and what the running nix-daemon has read.

use offload_client::{
    JobState, Snapshot, WarningCode,
    snapshot::{Facts, Target},
};
use offload_tests::{container::Suite, eventually};

use crate::desk::{DAEMON, Desk, PATIENCE, builder};

#[tokio::test]
async fn a_test_build_goes_from_the_sandbox_to_the_desktop() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    all_that_can_be_known_is_known(&desk);
    the_builder_proves_itself_unasked_and_once(&desk).await;
    root_builds_on_the_desktop(&desk);
    each_of_two_builders_gets_its_own(&desk).await;
    the_cache_has_what_nix_can_use(&desk);
    slots_in_use_are_counted(&desk).await;
    what_nix_daemon_has_not_read_is_told(&desk).await;
}

fn all_that_can_be_known_is_known(desk: &Desk) {
    let snapshot = desk.laptop.snapshot().unwrap();
    let builder = builder(&snapshot);
    let Facts::Builder(facts) = &builder.facts else {
        panic!("{builder:#?}");
    };
    assert_eq!(facts.trusted, "yes");
    let version = match desk.desktop.container().suite() {
        Suite::Trixie => "2.26",
        Suite::Sid => "2.34",
    };
    assert!(facts.nix_version.starts_with(version), "{facts:?}");
    assert_eq!(detail(builder, "hostname"), "desktop");
    let boot_id = desk.desktop.boot_id().unwrap();
    assert_eq!(detail(builder, "boot_id"), boot_id);
    assert_eq!(detail(builder, "slots"), "2");
    assert_eq!(detail(builder, "slots_in_use"), "0");
    // The key is root's, and only root can read it: the helper signs with it.
    let key = "/etc/nix/builder_ed25519";
    let read = [
        "setpriv",
        "--reuid",
        "offloadd",
        "--clear-groups",
        "test",
        "-r",
        key,
    ];
    assert_eq!(desk.laptop.root(&read).unwrap().code, 1);
    assert!(detail(builder, "identity").ends_with("builder_ed25519"));
    assert!(snapshot.warnings.is_empty(), "{:#?}", snapshot.warnings);
}

/// The page says so, and the next daemon knows it.
async fn the_builder_proves_itself_unasked_and_once(desk: &Desk) {
    let proved = |said: &Snapshot| {
        let last = offload_client::test_build::of(builder(said));
        last.is_some_and(|last| last.state == JobState::Succeeded)
    };
    desk.until("the builder has proved itself", proved).await;
    let page = || desk.run(&["offloadctl", "--color", "never", "status"]);
    println!("{}", page());
    assert!(page().contains("proved "), "{}", page());
    let kept = desk.run(&["cat", "/var/lib/offloadd/state.json"]);
    println!("{kept}");
    let builds = || {
        desk.journal()
            .matches(": a test build of builder/desktop")
            .count()
    };
    let before = builds();
    desk.run(&["systemctl", "restart", DAEMON]);
    desk.until_ready().await;
    desk.until("the next daemon knows it", proved).await;
    assert_eq!(builds(), before, "{}", desk.journal());
}

fn root_builds_on_the_desktop(desk: &Desk) {
    let built = desk.laptop.root(&["offloadctl", "test-build", "desktop"]);
    let built = built.unwrap();
    assert_eq!(built.code, 0, "{built:#?}\n{}", desk.journal());
    let boot_id = desk.desktop.boot_id().unwrap();
    for part in [
        "a test build of offloadd runs here",
        &boot_id,
        "built on desktop",
    ] {
        assert!(built.stdout.contains(part), "{part}: {built:#?}");
    }
}

/// A user whom the nix-daemon does not trust can't say on which of several builders it is to build. Root can.
async fn each_of_two_builders_gets_its_own(desk: &Desk) {
    let conf = "/etc/nix/nix.conf";
    let before = desk.run(&["cat", conf]);
    // The same desktop by another name: whom Nix gives a build to is by its name.
    desk.run(&[
        "sh",
        "-c",
        "sed -i 's/ desktop$/ desktop tower/' /etc/hosts",
    ]);
    let line = before.lines().find(|line| line.starts_with("builders = "));
    let line = line.unwrap();
    let other = line
        .replace("builders = ", "")
        .replace("@desktop", "@tower");
    let both = before.replace(line, &format!("{line} ; {other}"));
    let laptop = desk.laptop.container();
    laptop.write(conf, &both).unwrap();
    desk.run(&["systemctl", "restart", "nix-daemon.service"]);
    let both_ready = |said: &Snapshot| said.state.is_ready() && said.targets.len() == 3;
    desk.until("both builders are ready", both_ready).await;
    for name in ["desktop", "tower"] {
        let built = desk.laptop.root(&["offloadctl", "test-build", name]);
        let built = built.unwrap();
        println!("{}", built.stdout);
        let place = format!("on 'ssh-ng://nix-builder@{name}'");
        assert!(
            built.code == 0 && built.stdout.contains(&place),
            "{built:#?}"
        );
    }
    laptop.write(conf, &before).unwrap();
    desk.run(&["systemctl", "restart", "nix-daemon.service"]);
    desk.until_ready().await;
}

/// What offloadd calls ready, Nix takes its path from.
fn the_cache_has_what_nix_can_use(desk: &Desk) {
    let path = desk.cache.store_path();
    desk.run(&["nix-store", "--realise", path]);
    assert_eq!(desk.run(&["cat", path]), "hello from the desktop\n");
}

async fn slots_in_use_are_counted(desk: &Desk) {
    let slow = "derivation { name = \"slow\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; \
                args = [ \"-c\" \"exec /bin/sleep 1000\" ]; }";
    let unit = [
        "systemd-run",
        "--quiet",
        "--unit=slow",
        "--property=Type=exec",
        "--",
    ];
    let build = [
        "nix-build",
        "--no-out-link",
        "--max-jobs",
        "0",
        "--expr",
        slow,
    ];
    desk.run(&[&unit[..], &build].concat());
    until_in_use(desk, "1").await;
    desk.run(&["systemctl", "stop", "slow.service"]);
    until_in_use(desk, "0").await;
}

async fn until_in_use(desk: &Desk, slots: &str) {
    let what = format!("{slots} slots are in use");
    let fact = async || {
        let _ = desk.laptop.root(&["offloadctl", "check"]).unwrap();
        let snapshot = desk.laptop.snapshot().unwrap();
        (detail(builder(&snapshot), "slots_in_use") == slots).then_some(())
    };
    if let Err(late) = eventually(PATIENCE, &what, fact).await {
        panic!("{late}: {:#?}", desk.laptop.snapshot());
    }
}

/// When the nix-daemon was started is read in /proc.
async fn what_nix_daemon_has_not_read_is_told(desk: &Desk) {
    let warned = |said: &Snapshot, wanted| said.warnings.iter().any(|it| it.code == wanted);
    let stale = |said: &Snapshot| warned(said, WarningCode::DaemonConfigStale);
    let unknown = |said: &Snapshot| warned(said, WarningCode::DaemonConfigUnknown);
    let conf = "/etc/nix/nix.conf";
    let append = ["sh", "-c", "echo max-silent-time = 600 >> $0", conf];
    desk.run(&append);
    desk.until("what nix-daemon has not read is told", stale)
        .await;
    // By the time alone too: nobody saw the change.
    desk.run(&["systemctl", "restart", DAEMON]);
    desk.until("an offloadd that did not see it tells it", unknown)
        .await;
    desk.run(&["systemctl", "restart", "nix-daemon.service"]);
    desk.until("nix-daemon has read it", |said| {
        !stale(said) && !unknown(said)
    })
    .await;
}

fn detail(target: &Target, key: &str) -> String {
    let found = target.details.get(key).map(ToString::to_string);
    found.unwrap_or_else(|| panic!("no {key}: {target:#?}"))
}
