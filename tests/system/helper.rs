//! A laptop on which all that Nix goes by is root's alone: nothing is configured for offloadd, and nothing of it is
//! to be had by anybody else.

use offload_client::{Reason, Snapshot, TargetState, WarningCode};
use offload_tests::{container::Suite, eventually};
use offloadd::clock::Stopwatch;

use crate::desk::{Desk, PATIENCE, builder};

const HELPER: &str = "offload-helper.service";

#[tokio::test]
async fn what_is_root_s_alone_is_judged_and_stays_root_s() {
    if let Some(desk) = Desk::start().await {
        what_is_root_s_alone(&desk).await;
    }
}

/// With its systemd, OpenSSH and Nix.
#[tokio::test]
async fn what_is_root_s_alone_is_judged_on_a_laptop_of_the_next_debian() {
    if let Some(desk) = Desk::start_on(Suite::Sid).await {
        what_is_root_s_alone(&desk).await;
    }
}

async fn what_is_root_s_alone(desk: &Desk) {
    an_alias_of_root_s_ssh_leads_there(desk).await;
    what_root_changes_is_taken_up(desk).await;
    without_the_helper_nothing_is_blamed(desk).await;
    nobody_reads_the_key_or_asks_the_helper(desk);
    asked_no_more_it_ends(desk).await;
}

/// The name, the user and the key are in root's ssh_config, the host key is in root's known_hosts.
async fn an_alias_of_root_s_ssh_leads_there(desk: &Desk) {
    let laptop = desk.laptop.container();
    let root_alone = |path: &str, text: &str| laptop.write_mode(path, text, 0o600).unwrap();
    let key = std::fs::read_to_string(desk.desktop.user_key()).unwrap();
    root_alone("/root/.ssh/builder", &key);
    root_alone(
        "/root/.ssh/config",
        "Host tower\n  HostName desktop\n  User nix-builder\n  IdentityFile ~/.ssh/builder\n",
    );
    let host_key = desk.desktop.host_key().unwrap();
    root_alone("/root/.ssh/known_hosts", &format!("desktop {host_key}\n"));
    root_alone(
        "/etc/nix/machines",
        "ssh-ng://tower x86_64-linux - 2 1 kvm - -\n",
    );
    desk.run(&["rm", "/etc/nix/builder_ed25519"]);
    let to_the_list = "s,^builders = .*,builders = @/etc/nix/machines,";
    desk.run(&["sed", "-i", to_the_list, "/etc/nix/nix.conf"]);
    let by_alias = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        let tower = targets.find(|target| target.uri.as_str() == "ssh-ng://tower");
        tower.is_some_and(|tower| tower.state == TargetState::Ready)
    };
    let said = desk.until("the alias is ready", by_alias).await;
    let seen = |code: WarningCode| said.warnings.iter().any(|warning| warning.code == code);
    assert!(!seen(WarningCode::NotVisible), "{said:#?}");
    assert!(!seen(WarningCode::MachinesFileBroken), "{said:#?}");
}

/// Nobody is told to look: the builder is ready, and its next thorough check is minutes away.
async fn what_root_changes_is_taken_up(desk: &Desk) {
    let tower = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        let tower = targets.find(|target| target.uri.as_str() == "ssh-ng://tower");
        tower.map(|tower| (tower.state, tower.reason))
    };
    for (file, reason) in [
        ("/root/.ssh/builder", Reason::KeyUnreadable),
        ("/root/.ssh/known_hosts", Reason::HostKeyUnknown),
    ] {
        let aside = format!("{file}.aside");
        let watch = Stopwatch::start();
        desk.run(&["mv", file, &aside]);
        let gone = |said: &Snapshot| tower(said).is_some_and(|(_, why)| why == reason);
        desk.until("what is gone is missed", gone).await;
        eprintln!("{file} is gone: {reason} after {:?}", watch.elapsed());
        let watch = Stopwatch::start();
        desk.run(&["mv", &aside, file]);
        let back = |said: &Snapshot| tower(said).is_some_and(|(state, _)| state.is_ready());
        desk.until("what is back is used", back).await;
        eprintln!("{file} is back: ready after {:?}", watch.elapsed());
    }
}

async fn without_the_helper_nothing_is_blamed(desk: &Desk) {
    desk.run(&["systemctl", "stop", "offload-helper.socket", HELPER]);
    desk.run(&["systemctl", "reload", "offloadd.service"]);
    let unseen = |said: &Snapshot| {
        let mut warnings = said.warnings.iter();
        warnings.any(|warning| warning.code == WarningCode::NotVisible)
    };
    let said = desk.until("the list is not visible", unseen).await;
    let blamed = |state| [TargetState::Degraded, TargetState::Down].contains(&state);
    assert!(
        !said.targets.iter().any(|target| blamed(target.state)),
        "{said:#?}"
    );
    desk.run(&["systemctl", "start", "offload-helper.socket"]);
    desk.run(&["systemctl", "reload", "offloadd.service"]);
    let back = |said: &Snapshot| said.state.is_ready() && !unseen(said);
    let said = desk.until("it is seen again", back).await;
    assert_eq!(builder(&said).state, TargetState::Ready);
}

fn nobody_reads_the_key_or_asks_the_helper(desk: &Desk) {
    let as_offloadd = [
        "setpriv",
        "--reuid",
        "offloadd",
        "--regid",
        "offloadd",
        "--init-groups",
    ];
    let read = [&as_offloadd[..], &["cat", "/root/.ssh/builder"]].concat();
    assert_ne!(desk.laptop.root(&read).unwrap().code, 0);
    let socket = "/run/offload-helper.socket";
    let mode = desk.run(&["stat", "--format", "%a %U", socket]);
    assert_eq!(mode.trim(), "600 offloadd");
    assert_ne!(desk.laptop.user(&["test", "-w", socket]).unwrap().code, 0);
}

async fn asked_no_more_it_ends(desk: &Desk) {
    desk.run(&["systemctl", "stop", "offloadd.service"]);
    let gone = async || (desk.unit(HELPER, "ActiveState") == "inactive").then_some(());
    eventually(PATIENCE, "the helper ends", gone).await.unwrap();
    assert_eq!(desk.unit(HELPER, "Result"), "success");
}
