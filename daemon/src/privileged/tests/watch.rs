//! What is told of changes where only root may look.

use tokio::time::timeout;

use super::*;
use crate::nix::watch::{Roots, Watcher};

/// Longer than any machine needs; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// What nobody tells of has time for.
const SILENCE: Duration = Duration::from_millis(300);

async fn changes(roots: &mut Roots, what: &str) {
    let changed = timeout(PATIENCE, roots.changed()).await;
    changed
        .unwrap_or_else(|_| panic!("not told: {what}"))
        .unwrap();
}

async fn stays(roots: &mut Roots, what: &str) {
    assert!(
        timeout(SILENCE, roots.changed()).await.is_err(),
        "told: {what}"
    );
}

async fn ask(machine: &Machine, own: &[&Watcher]) -> Roots {
    Roots::of(machine.helper(), own).await.unwrap()
}

fn machines(machine: &Machine) {
    let key = machine.path("etc/keys/builder");
    machine.write(
        "machines",
        &format!("ssh://nix@desktop - {}\n", key.display()),
    );
}

#[tokio::test]
async fn a_key_that_changes_is_told_when_the_helper_is_long_gone() {
    let mut machine = Machine::idle_for(Duration::from_millis(200), &[("nix.conf", "")]);
    fs::create_dir(machine.path("etc/keys")).unwrap();
    machines(&machine);
    let mut roots = ask(&machine, &[]).await;
    let service = machine.service.take().unwrap();
    tokio::task::spawn_blocking(|| service.join().unwrap().unwrap())
        .await
        .unwrap();

    machine.write("keys/builder", "a key\n");
    changes(&mut roots, "it comes").await;
    machine.write("keys/builder", "another\n");
    changes(&mut roots, "it is written anew").await;
    machine.write("keys/builder.new", "a third\n");
    stays(&mut roots, "what is no file of ssh's").await;
    fs::rename(
        machine.path("etc/keys/builder.new"),
        machine.path("etc/keys/builder"),
    )
    .unwrap();
    changes(&mut roots, "another takes its place").await;
    machine.write("keys/builder-cert.pub", "a certificate\n");
    changes(&mut roots, "a certificate beside it").await;
    machine.write("nix.conf", "fallback = true\n");
    changes(&mut roots, "nix.conf").await;
}

#[tokio::test]
async fn what_this_process_watches_itself_is_not_told_twice() {
    let machine = Machine::with(&[("nix.conf", ""), ("machines", "")]);
    let mut own = Watcher::new().unwrap();
    own.set(&["etc/nix.conf", "etc/machines", "etc/netrc"].map(|name| machine.path(name)));
    let mut roots = ask(&machine, &[&own]).await;
    machine.write("machines", "ssh://nix@desktop\n");
    stays(&mut roots, "what is watched here").await;
    timeout(PATIENCE, own.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn of_a_folder_that_is_not_root_s_alone_nothing_is_told() {
    let machine = Machine::with(&[("nix.conf", "")]);
    fs::create_dir_all(machine.path("home/keys")).unwrap();
    let key = machine.path("home/keys/builder");
    machine.write(
        "machines",
        &format!("ssh://nix@desktop - {}\n", key.display()),
    );
    let open = PermissionsExt::from_mode(0o777);
    fs::set_permissions(machine.path("home"), open).unwrap();
    let mut roots = ask(&machine, &[]).await;
    fs::write(&key, "a key").unwrap();
    stays(&mut roots, "a key in a folder that others could exchange").await;
}
