//! What changes together is told together, once, with its values; and the configuration may change
//! while the daemon runs.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use offload_client::{
    Kind,
    names::{BUILDER, CACHE, MANAGER, ROOT_PATH, TARGET, target_path},
};
use offload_tests::{
    Desktop, Laptop,
    fake::Cache,
    ground::MOVED,
    nix_conf::Machine,
    signals::{Content, Signal},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Only what is asked for, or what is new, is checked.
const POLL: &str = "[poll]\ninterval = \"60s\"\nfast_interval = \"60s\"\n";

/// The desktop, and a laptop that has said all that it has to say of it.
async fn at_rest() -> (Desktop, Laptop) {
    let desktop = Desktop::start().await.unwrap();
    let mut laptop = desktop.watched(POLL).await.unwrap();
    laptop.signals.rest().await.unwrap();
    (desktop, laptop)
}

/// A signal as a table has it: where, which interface, and the names of what changed.
fn row(signal: &Signal) -> (String, String, BTreeSet<&str>) {
    let (about, names) = match &signal.content {
        Content::Changed {
            interface,
            values,
            invalidated,
        } => {
            assert!(invalidated.is_empty(), "without values: {signal:?}");
            (
                interface.clone(),
                values.keys().map(AsRef::as_ref).collect(),
            )
        }
        Content::Verdict(old, new, reason) => (format!("{old} {new} {reason}"), BTreeSet::new()),
        other => (format!("{other:?}"), BTreeSet::new()),
    };
    (signal.path.clone(), about, names)
}

fn changed<'a>(
    path: &str,
    interface: &str,
    names: &[&'a str],
) -> (String, String, BTreeSet<&'a str>) {
    (
        path.into(),
        interface.into(),
        names.iter().copied().collect(),
    )
}

#[tokio::test]
async fn each_change_is_one_signal_of_each_object_it_concerns() {
    let (mut desktop, mut laptop) = at_rest().await;
    let cache = laptop.the(Kind::Cache).await.unwrap();
    let object = laptop.target(&cache).await.unwrap();
    let path = cache.path();

    desktop.nginx.stop();
    assert_eq!(object.check().await.unwrap(), "down");
    let mut signals = laptop
        .signals
        .until_verdict(PATIENCE, "degraded")
        .await
        .unwrap();
    let down = laptop.the(Kind::Cache).await.unwrap();
    desktop.nginx.restart().await.unwrap();
    assert_eq!(object.check().await.unwrap(), "down");
    assert_eq!(object.check().await.unwrap(), "ready");
    signals.extend(
        laptop
            .signals
            .until_verdict(PATIENCE, "ready")
            .await
            .unwrap(),
    );
    signals.extend(laptop.signals.rest().await.unwrap());

    let since = ["StateChangeTimestamp", "StateChangeTimestampMonotonic"];
    let with_since = |names: &[&'static str]| [names, &since].concat();
    let expected = [
        changed(&path, TARGET, &with_since(&["State", "Reason", "Stage"])),
        changed(
            ROOT_PATH,
            MANAGER,
            &with_since(&["State", "Reason", "CacheState", "RootCause"]),
        ),
        changed(ROOT_PATH, "ready degraded refused", &[]),
        // The first good answer changes no verdict, and so it is told to nobody.
        changed(&path, TARGET, &with_since(&["State", "Reason", "Stage"])),
        changed(
            ROOT_PATH,
            MANAGER,
            &with_since(&["State", "Reason", "CacheState", "RootCause"]),
        ),
        changed(ROOT_PATH, "degraded ready ", &[]),
    ];
    let told: Vec<_> = signals.iter().map(row).collect();
    assert_eq!(told, expected, "{signals:#?}");

    // The values are the ones that are read.
    let first = &signals[0];
    assert!(first.sets(&path, "State", "down") && first.sets(&path, "Reason", "refused"));
    assert!(first.sets(&path, "Stage", "connect"));
    let since = down.state_change_timestamp.to_string();
    assert!(first.sets(&path, "StateChangeTimestamp", &since));
}

#[tokio::test]
async fn a_target_that_is_configured_while_it_runs_appears_and_goes_again() {
    let (desktop, mut laptop) = at_rest().await;
    let second = Cache::start(SocketAddr::new(MOVED, 0)).await.unwrap();
    let path = target_path(Kind::Cache, "127.0.15.7");
    let key = desktop.nginx.public_key();
    let before = laptop.snapshot().await.unwrap();
    let [first, builder] = [before.targets[0].path(), before.targets[1].path()];
    let connections = (desktop.nginx.connections(), desktop.sshd.connections());

    desktop
        .nix
        .set_caches(&[(&desktop.nginx.url(), key), (&second.url(), "")])
        .unwrap();
    let listed = |signal: &Signal| {
        let list = format!("{first}, {path}, {builder}");
        signal.sets(ROOT_PATH, "Targets", &list)
    };
    let came = laptop
        .signals
        .until(PATIENCE, "the new target is listed", listed);
    let came = came.await.unwrap();
    let added: BTreeSet<&str> = came
        .iter()
        .filter_map(|signal| match &signal.content {
            Content::Added(added, interfaces) if *added == path => Some(interfaces),
            _ => None,
        })
        .inspect(|interfaces| assert!(interfaces.values().all(|values| !values.is_empty())))
        .flat_map(|interfaces| interfaces.keys().map(String::as_str))
        .collect();
    assert_eq!(added, [TARGET, CACHE].into());
    laptop.until_ready().await.unwrap();
    assert_eq!(second.requests(), 1);

    desktop
        .nix
        .set_caches(&[(&desktop.nginx.url(), key)])
        .unwrap();
    let listed = |signal: &Signal| {
        let list = format!("{first}, {builder}");
        signal.sets(ROOT_PATH, "Targets", &list)
    };
    let went = laptop
        .signals
        .until(PATIENCE, "it is listed no more", listed);
    let went = went.await.unwrap();
    let removed: BTreeSet<&str> = went
        .iter()
        .filter_map(|signal| match &signal.content {
            Content::Removed(removed, interfaces) if *removed == path => Some(interfaces),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    assert_eq!(removed, [TARGET, CACHE].into());
    let show = ["introspect", "org.offloadd.Offload1", &path];
    let object = laptop.busctl(&show).await.unwrap();
    assert!(
        !object.stdout.contains(TARGET),
        "it is still there: {object:?}"
    );

    // What was not touched was not disturbed.
    let after = laptop.snapshot().await.unwrap();
    assert_eq!(after.targets, before.targets);
    assert_eq!(
        (desktop.nginx.connections(), desktop.sshd.connections()),
        connections
    );
}

#[tokio::test]
async fn a_builder_whose_line_changes_is_told_and_checked_anew() {
    let (mut desktop, mut laptop) = at_rest().await;
    let builder = laptop.the(Kind::Builder).await.unwrap();
    let logins = desktop.sshd.logins();
    let offered = ("x86_64-linux aarch64-linux", "kvm big-parallel");
    desktop.sshd.set_system(offered.0, offered.1).unwrap();
    let wider = Machine {
        systems: "x86_64-linux,aarch64-linux".into(),
        max_jobs: 9,
        ..Machine::of(&desktop.sshd).unwrap()
    };
    desktop.nix.set_machines(&[wider]).unwrap();
    let wide = |signal: &Signal| signal.sets(&builder.path(), "MaxJobs", "9");
    let signals = laptop
        .signals
        .until(PATIENCE, "nine jobs", wide)
        .await
        .unwrap();
    let told = signals.last().unwrap();
    assert!(
        told.sets(&builder.path(), "Systems", "aarch64-linux, x86_64-linux"),
        "{told:?}"
    );
    assert!(matches!(&told.content, Content::Changed { interface, .. } if interface == BUILDER));
    laptop.until_ready().await.unwrap();
    assert_eq!(desktop.sshd.logins(), logins + 1);
    // It is the same object: nothing came or went.
    let came =
        |signal: &Signal| matches!(signal.content, Content::Added(..) | Content::Removed(..));
    assert!(!signals.iter().any(came), "{signals:#?}");
}

#[tokio::test]
async fn a_broken_machines_file_is_a_warning_until_it_is_mended() {
    let (desktop, mut laptop) = at_rest().await;
    let good = Machine::of(&desktop.sshd).unwrap().line();
    // Nix reads a number there, and drops the whole list where it can't.
    desktop
        .nix
        .write("machines", "ssh-ng://desktop x86_64-linux - many\n")
        .unwrap();
    let warned = |signal: &Signal| signal.value(ROOT_PATH, "Warnings").is_some();
    laptop
        .signals
        .until(PATIENCE, "a warning", warned)
        .await
        .unwrap();
    let snapshot = laptop.snapshot().await.unwrap();
    let codes: Vec<&str> = snapshot.warnings.iter().map(|w| w.code.as_str()).collect();
    assert_eq!(codes, ["machines-file-broken"]);
    assert_eq!(snapshot.targets.len(), 1, "Nix would use no builder");

    desktop.nix.write("machines", &format!("{good}\n")).unwrap();
    let mended = laptop.until("it is mended", |now| now.warnings.is_empty());
    assert_eq!(mended.await.unwrap().targets.len(), 2);
    laptop.until_ready().await.unwrap();
}
