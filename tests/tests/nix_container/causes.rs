//! Each cause has its own word and its own remedy, and is forgotten when it is undone.

use offload_client::{Reason, Stage};
use offload_tests::Error;

use crate::desk::{ASKED, Desk, PROMISE, Promise, detail, facts};

/// Something that is done to the desktop.
type Step<'a> = &'a dyn Fn() -> Result<(), Error>;

#[tokio::test]
async fn each_cause_has_its_reason_and_its_remedy() {
    let Some(desk) = Desk::start("ssh-ng", PROMISE, ASKED).await else {
        return;
    };
    let desktop = &desk.desktop;
    let inside = desktop.container();
    let shell = |script: &str| inside.run(&["sh", "-c", script]).map(drop);
    desk.watcher.checked(Reason::None).await;

    let causes: [(Reason, Stage, Step, Step); 6] = [
        (
            Reason::NixMissing,
            Stage::Handshake,
            &|| shell("mv /usr/bin/nix-daemon /usr/bin/hidden"),
            &|| shell("mv /usr/bin/hidden /usr/bin/nix-daemon"),
        ),
        (
            Reason::NixDaemonDown,
            Stage::Handshake,
            &|| desktop.stop_nix(),
            &|| desktop.restart_nix(),
        ),
        (
            Reason::NotTrusted,
            Stage::Trust,
            &|| desktop.set_nix("trusted-users", "root"),
            &|| desktop.set_nix("trusted-users", "root nix-builder"),
        ),
        (
            // bash reads it for each command that sshd runs.
            Reason::ProfileOutput,
            Stage::Handshake,
            &|| inside.write("/home/nix-builder/.bashrc", "echo welcome home\n"),
            &|| inside.write("/home/nix-builder/.bashrc", ""),
        ),
        (
            Reason::NotNix,
            Stage::Handshake,
            &|| desktop.authorise_with("command=\"/bin/cat /etc/motd\""),
            &|| desktop.authorise(),
        ),
        (
            Reason::FeatureMissing,
            Stage::System,
            &|| desktop.set_nix("system-features", "benchmark"),
            &|| desktop.set_nix("system-features", "benchmark kvm"),
        ),
    ];
    for (reason, stage, cause, undo) in causes {
        cause().unwrap();
        let target = desk.watcher.checked(reason).await;
        assert_eq!(target.stage, stage, "{target:#?}");
        desk.watcher.status_has_the_remedy().await;
        undo().unwrap();
        let target = desk.watcher.checked(Reason::None).await;
        assert_eq!(facts(&target).nix_version, "2.26.3", "after {reason}");
    }
}

#[tokio::test]
async fn the_old_protocol_tells_the_same_causes_apart() {
    let Some(desk) = Desk::start("ssh", PROMISE, ASKED).await else {
        return;
    };
    let desktop = &desk.desktop;
    let inside = desktop.container();
    let shell = |script: &str| inside.run(&["sh", "-c", script]).map(drop);
    let causes: [(Reason, Step, Step); 3] = [
        (
            Reason::NixMissing,
            &|| shell("mv /usr/bin/nix-store /usr/bin/hidden"),
            &|| shell("mv /usr/bin/hidden /usr/bin/nix-store"),
        ),
        (Reason::NixDaemonDown, &|| desktop.stop_nix(), &|| {
            desktop.restart_nix()
        }),
        (
            Reason::NotTrusted,
            &|| desktop.set_nix("trusted-users", "root"),
            &|| desktop.set_nix("trusted-users", "root nix-builder"),
        ),
    ];
    for (reason, cause, undo) in causes {
        cause().unwrap();
        desk.watcher.checked(reason).await;
        desk.watcher.status_has_the_remedy().await;
        undo().unwrap();
        desk.watcher.checked(Reason::None).await;
    }
}

#[tokio::test]
async fn a_system_that_is_promised_and_not_built_for_is_missing() {
    let promise = Promise {
        systems: "x86_64-linux,riscv64-linux",
        ..PROMISE
    };
    let Some(desk) = Desk::start("ssh-ng", promise, ASKED).await else {
        return;
    };
    let target = desk.watcher.checked(Reason::SystemMissing).await;
    assert_eq!(target.stage, Stage::System);
    assert!(
        detail(&target, "missing").contains("riscv64-linux"),
        "{target:#?}"
    );
    desk.watcher.status_has_the_remedy().await;
}
