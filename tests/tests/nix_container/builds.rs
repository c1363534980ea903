//! Test builds that do not end well: each says why, in bounded time.

use std::{fs, process::Stdio, time::Duration};

use offload_client::{Reason, Stage, TargetState, proxy::JobProxy, reasons::text};
use offload_tests::{Namespace, NixDaemon, container::Desktop, eventually, supported};

use crate::desk::{ASKED, Desk, PATIENCE, PROMISE, Promise, Watcher, detail, sshd_before, words};

/// What a derivation's `/bin/sh` is on the desktop.
const SHELL: &str = "/usr/bin/dash";
const KEPT_SHELL: &str = "/usr/bin/dash.kept";
/// What a build says that goes on running.
const WAITS: &str = "the-build-waits";

#[tokio::test]
async fn a_build_that_the_desktop_refuses_has_failed_there() {
    let Some(desk) = Desk::start("ssh-ng", PROMISE, ASKED).await else {
        return;
    };
    let watcher = &desk.watcher;
    watcher.checked(Reason::None).await;
    // Nix itself is well; what its builds need is not.
    let inside = desk.desktop.container();
    let shell = |script: &str| inside.run(&["bash", "-c", script]).map(drop);
    shell(&format!("chmod 000 {SHELL}")).unwrap();
    watcher.test_build().await.expect("failed", "build-failed");
    let target = watcher.builder().await;
    assert_eq!(
        (target.state, target.reason),
        (TargetState::Degraded, Reason::BuildFailed),
        "{target:#?}"
    );
    assert_eq!(target.stage, Stage::Build);
    watcher.status_has_the_remedy().await;

    // That the rest is well does not mend it; a build does.
    watcher.checked(Reason::BuildFailed).await;
    shell(&format!("chmod 755 {SHELL}")).unwrap();
    watcher.test_build().await.expect("succeeded", "");
    assert_eq!(watcher.builder().await.state, TargetState::Ready);
}

#[tokio::test]
async fn a_desktop_without_a_free_slot_is_full_and_not_broken() {
    let promise = Promise {
        max_jobs: 1,
        ..PROMISE
    };
    let Some(desk) = Desk::start("ssh-ng", promise, ASKED).await else {
        return;
    };
    let watcher = &desk.watcher;
    watcher.checked(Reason::None).await;
    // The only slot is taken by a build of the laptop's own Nix that takes its time.
    let slow = "derivation { name = \"slow\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; \
                args = [ \"-c\" \"exec /bin/sleep 1000\" ]; }";
    let mut build = watcher.nix.command("nix-build").unwrap();
    build.args(["--no-out-link", "--max-jobs", "0", "--expr", slow]);
    let mut build = tokio::process::Command::from(build);
    build
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut build = build.spawn().unwrap();
    let taken = eventually(PATIENCE, "the slot is in use", async || {
        let target = watcher.checked(Reason::None).await;
        (detail(&target, "slots_in_use") == "1").then_some(target)
    });
    let target = taken.await.unwrap();
    assert_eq!(detail(&target, "slots"), "1");

    watcher.test_build().await.expect("failed", "builder-full");
    let target = watcher.builder().await;
    assert_eq!(target.state, TargetState::Ready, "{target:#?}");
    let command = ["test-build", &*target.name];
    let run = watcher.laptop.offloadctl(&command).await.unwrap();
    assert_ne!(run.code, 0, "{run:?}");
    let said = words(&run.stdout) + &words(&run.stderr);
    assert!(said.contains(text(Reason::BuilderFull).title), "{run:?}");
    assert!(
        said.contains("Try again when one of them is done"),
        "{run:?}"
    );

    build.kill().await.unwrap();
    let freed = eventually(PATIENCE, "the slot is free", async || {
        let target = watcher.checked(Reason::None).await;
        (detail(&target, "slots_in_use") == "0").then_some(())
    });
    freed.await.unwrap();
    watcher.test_build().await.expect("succeeded", "");
}

#[tokio::test]
async fn a_desktop_that_dies_in_mid_build_fails_the_build_and_is_down() {
    let Some(mut desk) = Desk::start("ssh-ng", PROMISE, ASKED).await else {
        return;
    };
    desk.watcher.checked(Reason::None).await;
    let job = in_mid_build(&desk).await;
    desk.desktop.stop();
    desk.watcher
        .end(&job)
        .await
        .expect("failed", "build-failed");
    let is_down = desk.watcher.laptop.until("it is down", |snapshot| {
        let target = &snapshot.targets[0];
        (target.state, target.stage) == (TargetState::Down, Stage::Connect)
    });
    is_down.await.unwrap();
    desk.watcher.status_has_the_remedy().await;
    // Not by the time that it was given.
    let said = detail(&desk.watcher.builder().await, "test_build_error");
    assert!(!said.contains("had not ended after"), "{said}");

    // It comes back as another boot of the same machine, and what failed on the old one is past.
    mend(&desk);
    desk.desktop.boot().await.unwrap();
    desk.watcher.checked(Reason::None).await;
    desk.watcher.test_build().await.expect("succeeded", "");
    let target = desk.watcher.builder().await;
    assert_eq!(
        detail(&target, "boot_id"),
        desk.desktop.boot_id().unwrap(),
        "{target:#?}"
    );
}

#[tokio::test]
async fn a_desktop_that_falls_silent_in_mid_build_takes_no_longer_than_is_allowed() {
    let Some(desk) = Desk::start("ssh-ng", PROMISE, ASKED).await else {
        return;
    };
    desk.watcher.checked(Reason::None).await;
    let job = in_mid_build(&desk).await;
    desk.desktop.container().freeze().unwrap();
    let built = desk.watcher.end(&job).await;
    built.expect("failed", "build-failed");
    let target = desk.watcher.builder().await;
    let said = detail(&target, "test_build_error");
    assert!(said.contains("had not ended after"), "{said}");
}

#[tokio::test]
async fn a_builder_that_leads_back_to_this_store_builds_locally() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let Some(nix) = supported(NixDaemon::start_inside(Some(network.laptop())).await) else {
        return;
    };
    let (_sshd, line) = sshd_before(&nix, network.laptop(), Namespace::LAPTOP, "ssh-ng").await;
    let watcher = Watcher::beside(nix, &network, &line, ASKED).await;
    watcher.checked(Reason::None).await;
    let job = watcher.begin(Duration::from_secs(5)).await;
    // Nix holds the output's lock while it waits for its builder, which is itself.
    watcher.end(&job).await.expect("failed", "built-locally");
    let said = detail(&watcher.builder().await, "test_build_error");
    assert!(said.contains("waiting for lock on"), "{said}");
    watcher.status_has_the_remedy().await;
}

#[tokio::test]
async fn a_nix_that_does_not_let_offloadd_choose_builds_elsewhere() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let Some(desktop) = supported(Desktop::start(&network).await) else {
        return;
    };
    let inside = || NixDaemon::start_inside(Some(network.laptop()));
    let (near, mut nix) = (inside().await.unwrap(), inside().await.unwrap());
    let (_sshd, line) = sshd_before(&near, network.laptop(), Namespace::LAPTOP, "ssh-ng").await;
    let host_key = desktop.host_key().unwrap();
    let other = PROMISE.line(&desktop.uri("ssh-ng"), desktop.user_key(), &host_key);
    // The faster of two is Nix's choice, and whom it does not trust has none.
    let other = other.replacen(" 2 1 ", " 2 9 ", 1);
    nix.set("trusted-users", "nobody");
    let watcher = Watcher::beside(nix, &network, &(line + &other), ASKED).await;
    assert_eq!(
        watcher.checked(Reason::None).await.name,
        Namespace::LAPTOP.to_string()
    );
    watcher
        .test_build()
        .await
        .expect("failed", "built-elsewhere");
    let target = watcher.builder().await;
    assert_eq!(
        (target.state, target.reason),
        (TargetState::Ready, Reason::None),
        "whom it was meant for is not to blame"
    );
    let said = detail(&target, "test_build_error");
    assert!(said.contains("gave it to"), "{said}");
}

/// A test build that runs on the desktop, and goes on running.
async fn in_mid_build(desk: &Desk) -> JobProxy<'static> {
    let inside = desk.desktop.container();
    inside.run(&["mv", SHELL, KEPT_SHELL]).unwrap();
    // Everybody else's shell is as it was; what has a nonce is the build.
    let script = format!(
        "#!/bin/bash\n[ -z \"$nonce\" ] || {{ echo {WAITS}; exec /usr/bin/sleep 1000; }}\n\
         exec {KEPT_SHELL} \"$@\"\n"
    );
    inside.write_mode(SHELL, &script, 0o755).unwrap();
    let job = desk.watcher.begin(Duration::from_secs(8)).await;
    let waits = eventually(PATIENCE, "the desktop builds", async || {
        let output = job.get_output().await.unwrap();
        output.iter().any(|line| line.contains(WAITS)).then_some(())
    });
    if let Err(late) = waits.await {
        panic!("{late}: {:#?}", job.get_output().await);
    }
    assert_eq!(job.state().await.unwrap(), "running");
    job
}

/// Gives the desktop its shell back, whether it runs or not.
fn mend(desk: &Desk) {
    let [kept, shell] = [KEPT_SHELL, SHELL].map(|path| desk.desktop.container().path(path));
    fs::rename(kept, shell).unwrap();
}
