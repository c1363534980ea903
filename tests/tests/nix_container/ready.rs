//! Ready, and what is known then: with Nix 2.26 on the desktop, and with 2.8 on both ends.

use offload_client::{Reason, Stage, TargetState, snapshot::Target};
use offload_tests::{Namespace, NixDaemon, Sshd, container::Desktop, supported};

use crate::desk::{ASKED, Desk, PROMISE, Watcher, detail, facts, sshd_before};

#[tokio::test]
async fn ready_names_the_desktops_nix_and_a_test_build_its_place() {
    for protocol in ["ssh-ng", "ssh"] {
        let Some(desk) = Desk::start(protocol, PROMISE, ASKED).await else {
            return;
        };
        let watcher = &desk.watcher;
        let target = watcher.checked(Reason::None).await;
        is_ready(&target, protocol, "2.26.3");
        let boot_id = desk.desktop.boot_id().unwrap();
        assert_eq!(detail(&target, "boot_id"), boot_id);
        assert_eq!(detail(&target, "hostname"), "desktop");

        let before = store(&desk.desktop);
        watcher.test_build().await.expect("succeeded", "");
        let target = watcher.builder().await;
        assert_eq!(detail(&target, "test_build"), "succeeded");
        assert_eq!(detail(&target, "test_build_place"), "desktop");
        assert_eq!(target.state, TargetState::Ready);
        // What was built there is here too.
        let after = store(&desk.desktop);
        let built = after
            .iter()
            .find(|path| !before.contains(path) && !path.ends_with(".drv"));
        let built = built.expect("nothing was built on the desktop");
        let inside = desk.desktop.container();
        inside
            .run(&["nix-store", "--check-validity", built])
            .unwrap();
        assert!(watcher.nix.has(built).unwrap(), "{built}");
    }
}

#[tokio::test]
async fn an_old_nix_on_both_ends_is_ready_and_builds() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    for protocol in ["ssh-ng", "ssh"] {
        let started = NixDaemon::start_inside(Some(network.desktop())).await;
        let Some(desktop) = supported(started) else {
            return;
        };
        let (sshd, line) = old_desktop(&network, protocol, &desktop).await;
        let watcher = Watcher::start(&network, &line, ASKED).await;
        let target = watcher.checked(Reason::None).await;
        is_ready(&target, protocol, "2.8.0");

        let built = watcher.test_build().await;
        built.expect("succeeded", "");
        let path = built.output.iter().rev();
        let path = path
            .into_iter()
            .find(|line| line.starts_with("/nix/store/") && !line.ends_with(".drv"));
        let path = path.expect("nix-build printed no path");
        for nix in [&desktop, &watcher.nix] {
            assert!(nix.has(path).unwrap(), "{path}");
        }
        assert_eq!(detail(&watcher.builder().await, "test_build"), "succeeded");
        assert!(sshd.logins() >= 2);
    }
}

#[tokio::test]
async fn a_store_that_the_uri_names_is_checked_as_far_as_its_trust() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let Some(desktop) = supported(NixDaemon::start_inside(Some(network.desktop())).await) else {
        return;
    };
    let (_sshd, line) = old_desktop(&network, "ssh-ng", &desktop).await;
    let (uri, rest) = line.split_once(' ').unwrap();
    let line = format!("{uri}?{} {rest}", desktop.remote_store());
    let watcher = Watcher::start(&network, &line, ASKED).await;
    let target = watcher.checked(Reason::None).await;
    // Whose configuration the login shows is not known to be that store's.
    assert_eq!(
        (target.state, target.stage),
        (TargetState::Ready, Stage::Trust),
        "{target:#?}"
    );
    assert!(detail(&target, "system_unknown").contains("unix://"));
    assert_eq!(facts(&target).trusted, "yes");
    watcher.test_build().await.expect("succeeded", "");
}

#[tokio::test]
async fn an_old_nix_that_does_not_trust_the_user_says_so() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let Some(mut desktop) = supported(NixDaemon::start_inside(Some(network.desktop())).await)
    else {
        return;
    };
    desktop.set("trusted-users", "nobody");
    desktop.restart().await.unwrap();
    let (_sshd, line) = old_desktop(&network, "ssh-ng", &desktop).await;
    let watcher = Watcher::start(&network, &line, ASKED).await;
    let target = watcher.checked(Reason::NotTrusted).await;
    assert_eq!(target.stage, Stage::Trust);
    assert_eq!(facts(&target).trusted, "no");
    watcher.status_has_the_remedy().await;

    desktop.set("trusted-users", "root");
    desktop.restart().await.unwrap();
    watcher.checked(Reason::None).await;
}

async fn old_desktop(network: &Namespace, protocol: &str, nix: &NixDaemon) -> (Sshd, String) {
    sshd_before(nix, network.desktop(), Namespace::DESKTOP, protocol).await
}

fn is_ready(target: &Target, protocol: &str, version: &str) {
    assert_eq!(
        (target.state, target.stage),
        (TargetState::Ready, Stage::System),
        "{target:#?}"
    );
    let facts = facts(target);
    assert_eq!(
        (&*facts.protocol, &*facts.nix_version, &*facts.trusted),
        (protocol, version, "yes"),
        "{target:#?}"
    );
}

/// The valid paths of the desktop's store.
fn store(desktop: &Desktop) -> Vec<String> {
    let inside = desktop.container();
    let listed = inside.run(&["nix", "path-info", "--all"]).unwrap();
    listed.lines().map(str::to_owned).collect()
}
