//! `offloadctl doctor` against a daemon that says what the test wants, and without one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{Run, finish, offloadctl, program_at},
};
use offload_client::{
    Kind, Snapshot, WarningCode,
    snapshot::{CauseKind, RootCause, Warning},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// The configuration says .7, and the desktop is at .6.
fn afternoon() -> Snapshot {
    let details = [
        ("expected", "192.0.2.7:22"),
        ("actual", "192.0.2.6:22"),
        ("observed", "192.0.2.6:22"),
        ("wrong", "declared"),
    ];
    let warning = Warning {
        code: WarningCode::AddressMismatch,
        target: Some((Kind::Builder, "desktop".into())),
        details: details
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
    };
    let root_cause = RootCause {
        kind: CauseKind::Warning,
        code: warning.code.as_str().into(),
        target: warning.target.clone(),
        explains: Vec::new(),
    };
    Snapshot {
        warnings: vec![warning],
        root_cause: Some(root_cause),
        ..ready()
    }
}

fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::write(
        tree.path().join("laptop.nix"),
        "{\n  ip = \"192.0.2.7\";\n}\n",
    )
    .unwrap();
    tree
}

const PATCH: &str = "\
--- a/laptop.nix
+++ b/laptop.nix
@@ -1,3 +1,3 @@
 {
-  ip = \"192.0.2.7\";
+  ip = \"192.0.2.6\";
 }
";

/// `offloadctl` where no daemon and no `offloadd` is, but for a script of that name beside it.
fn alone(offloadd: Option<&str>, args: &[&str]) -> (TempDir, Command) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("offloadctl");
    let built = PathBuf::from(env!("CARGO_BIN_EXE_offloadctl"));
    // Another file system may be in between.
    if fs::hard_link(&built, &program).is_err() {
        fs::copy(&built, &program).unwrap();
    }
    if let Some(text) = offloadd {
        let script = directory.path().join("offloadd");
        fs::write(&script, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut command = program_at(&program, args);
    command
        .env("PATH", "/nonexistent:relative:")
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .env("OFFLOADD_RUNTIME_DIR", directory.path());
    (directory, command)
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

async fn doctor(bus: &Bus, tree: &Path, more: &[&str]) -> Run {
    let directory = tree.to_str().unwrap();
    let mut args = vec!["doctor", "--config-dir", directory];
    args.extend(more);
    offloadctl(bus, &args).await
}

#[tokio::test]
async fn nothing_to_mend_is_exit_code_0_after_a_fresh_check() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    fake.script
        .send_modify(|script| script.after_check = Some(ready()));
    let run = offloadctl(&bus, &["doctor"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.contains("Nothing to mend"), "{run:?}");
    assert!(!run.stdout.contains('\x1b'), "colours on a pipe");
}

#[tokio::test]
async fn what_is_not_ready_is_exit_code_3_and_the_root_cause() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, builder_down()).await;
    // Checked too often: then what is known has to do.
    fake.script
        .send_modify(|script| script.error = Some("RateLimited"));
    let run = offloadctl(&bus, &["doctor"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (3, ""), "{run:?}");
    let root = "\nRoot cause: connection refused · builder/desktop · for ";
    assert!(run.stdout.contains(root), "{run:?}");
    assert!(run.stdout.contains("resolve ✔  connect ✗"), "{run:?}");
}

#[tokio::test]
async fn a_wrong_address_in_the_configuration_is_found_and_nothing_is_changed() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, afternoon()).await;
    let tree = tree();
    let before = fs::read(tree.path().join("laptop.nix")).unwrap();
    let run = doctor(&bus, tree.path(), &[]).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(
        run.stdout
            .contains("\n    laptop.nix:2:9\n      ip = \"192.0.2.7\";\n"),
        "{run:?}"
    );
    assert!(
        run.stdout.contains(&format!("\nProposed patch\n{PATCH}")),
        "{run:?}"
    );
    let patch = doctor(&bus, tree.path(), &["--patch"]).await;
    assert_eq!((patch.code, &*patch.stdout), (3, PATCH), "{patch:?}");
    assert_eq!(fs::read(tree.path().join("laptop.nix")).unwrap(), before);
}

#[tokio::test]
async fn the_json_has_everything() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, afternoon()).await;
    let tree = tree();
    let run = doctor(&bus, tree.path(), &["--json"]).await;
    assert_eq!(run.code, 3, "{run:?}");
    let json = json(&run);
    assert_eq!(json["doctor_version"], 1);
    assert_eq!(json["source"], "daemon");
    assert_eq!(json["root_cause"]["kind"], "warning");
    assert_eq!(json["root_cause"]["code"], "address-mismatch");
    assert_eq!(json["root_cause"]["target"], "builder/desktop");
    assert_eq!(json["findings"].as_array().unwrap().len(), 1);
    for (key, value) in [
        ("file", Value::from("laptop.nix")),
        ("line", 2.into()),
        ("column", 9.into()),
        ("text", "  ip = \"192.0.2.7\";".into()),
        ("wrong", "192.0.2.7".into()),
        ("right", "192.0.2.6".into()),
        ("comment", false.into()),
    ] {
        assert_eq!(json["findings"][0][key], value, "{key}");
    }
    assert_eq!(json["patch"], PATCH);
    let snapshot: Snapshot = serde_json::from_value(json["snapshot"].clone()).unwrap();
    assert_eq!(snapshot, afternoon());
}

#[tokio::test]
async fn words_of_a_newer_daemon_stay_in_the_json() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut described = serde_json::to_value(ready()).unwrap();
    described["tomorrow"] = 1.into();
    fake.script
        .send_modify(|script| script.describe = Some(described.to_string()));
    let run = offloadctl(&bus, &["doctor", "--json"]).await;
    let mut json = json(&run);
    for target in json["snapshot"]["targets"].as_array_mut().unwrap() {
        assert!(target.as_object_mut().unwrap().remove("words").is_some());
    }
    assert_eq!((run.code, &json["snapshot"]), (0, &described));
    assert_eq!(
        (&json["root_cause"], &json["patch"]),
        (&Value::Null, &"".into())
    );
}

#[tokio::test]
async fn without_a_daemon_offloadd_checks_once() {
    let known = tempfile::tempdir().unwrap();
    let file = known.path().join("snapshot.json");
    fs::write(&file, serde_json::to_string(&afternoon()).unwrap()).unwrap();
    let script = format!(
        "[ \"$*\" = '--once --json' ] && /bin/cat {}",
        file.display()
    );
    let tree = tree();
    let directory = tree.path().to_str().unwrap();
    let (place, command) = alone(Some(&script), &["doctor", "--config-dir", directory]);
    let run = finish(command).await;
    assert_eq!((run.code, run.stderr.as_str()), (3, ""), "{run:?}");
    let program = place.path().join("offloadd");
    // It may be wrapped.
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    let told = format!(
        "No daemon runs: checked once by `{} --once`.",
        program.display()
    );
    assert!(words.join(" ").contains(&told), "{run:?}");
    assert!(run.stdout.contains("laptop.nix:2:9"), "{run:?}");

    let (_place, command) = alone(
        Some(&script),
        &["doctor", "--json", "--config-dir", directory],
    );
    assert_eq!(json(&finish(command).await)["source"], "once");
}

#[tokio::test]
async fn without_daemon_and_offloadd_it_says_so() {
    let (_place, command) = alone(None, &["doctor"]);
    let run = finish(command).await;
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{run:?}");
    assert!(
        run.stderr
            .contains("offloadd is not running, and there is no offloadd"),
        "{run:?}"
    );
}

#[tokio::test]
async fn an_offloadd_that_fails_is_told_with_its_words() {
    for (script, code, told) in [
        (
            "echo 'config.toml: poll.fal: unknown key' >&2; exit 78",
            69,
            "poll.fal: unknown key",
        ),
        ("echo no", 70, "makes no sense"),
        ("exec /bin/cat /dev/zero", 70, "says more than 4 MB"),
    ] {
        let (_place, command) = alone(Some(script), &["doctor"]);
        let run = finish(command).await;
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{run:?}");
        assert!(run.stderr.contains(told), "{run:?}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (_place, command) = alone(None, &["doctor", "--config-dir", "/nonexistent/tree"]);
    let run = finish(command).await;
    assert_eq!(run.code, 64, "{run:?}");
    assert!(run.stderr.contains("/nonexistent/tree: "), "{run:?}");
    let (_place, command) = alone(None, &["doctor", "--patch", "--json"]);
    assert_eq!(finish(command).await.code, 64);
}
