//! `offloadctl doctor` with the real daemon, and with the real `offloadd --once` where none runs.

use std::{fs, io::Write, path::Path, process::Stdio};

use offload_client::{Kind, Snapshot};
use offload_tests::{
    Desktop,
    daemon::path_with_new_nix,
    outcome::{command, run_to_end},
};
use serde_json::Value;
use tempfile::TempDir;

/// offloadd's configuration with `desktop` at 127.0.15.7.
fn declared_wrongly(desktop: &Desktop) -> String {
    let wrong = |text: String| text.replace("127.0.15.6", "127.0.15.7");
    format!(
        "{}[[builder]]\nname = \"desktop\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n",
        wrong(desktop.nginx.entry("desktop")),
        wrong(desktop.sshd.uri()),
        desktop.sshd.user_key().display(),
        desktop.sshd.host_key().unwrap(),
    )
}

/// A system's configuration that says 127.0.15.7.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "configuration.nix",
        "{ imports = [ ./hosts/laptop.nix ]; }\n",
    );
    write(
        "hosts/laptop.nix",
        "{\n  nix.settings.substituters = [ \"http://127.0.15.7:5000\" ];\n  \
         nix.buildMachines = [ { hostName = \"127.0.15.7\"; } ];\n  \
         networking.hosts.\"127.0.15.70\" = [ \"printer\" ];\n}\n",
    );
    tree
}

/// What the real `patch -p1` does in `tree`.
fn apply(patch: &str, tree: &Path) {
    let mut child = std::process::Command::new("patch")
        .args(["-p1", "-d"])
        .arg(tree)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("this test needs patch (Debian: patch, nixpkgs: gnupatch)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(patch.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{patch}");
}

#[tokio::test]
async fn without_a_daemon_the_real_offloadd_checks_once() {
    let mut desktop = Desktop::start().await.unwrap();
    let nowhere = tempfile::tempdir().unwrap();
    let path = path_with_new_nix(&nowhere.path().join("bin")).unwrap();
    let doctor = async |arguments: &[&str]| {
        let mut doctor = command("offloadctl").unwrap();
        doctor
            .env("OFFLOADD_RUNTIME_DIR", nowhere.path())
            .env("OFFLOADD_NIX__CONF", desktop.nix.path())
            .env("HOME", nowhere.path())
            .env("PATH", &path)
            .arg("doctor")
            .args(arguments);
        run_to_end(doctor).await.unwrap()
    };
    let run = doctor(&["--json"]).await;
    let json: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    assert_eq!(json["source"], "once");
    let snapshot: Snapshot = serde_json::from_value(json["snapshot"].clone()).unwrap();
    assert!(snapshot.state.is_ready(), "{snapshot:#?}");
    assert_eq!(snapshot.targets.len(), 2);
    let well = snapshot.warnings.is_empty();
    assert_eq!(run.code, Some(if well { 0 } else { 3 }), "{run:?}");

    desktop.sshd.stop();
    let run = doctor(&[]).await;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(
        run.stdout.contains("\nNo daemon runs: checked once by"),
        "{run:?}"
    );
    let root = "\nRoot cause: connection refused · builder/127.0.15.6";
    assert!(run.stdout.contains(root), "{run:?}");
    assert!(run.stdout.contains("resolve ✔  connect ✗"), "{run:?}");
}

#[tokio::test]
async fn the_daemons_page_has_the_root_cause_and_how_far_each_check_came() {
    let desktop = Desktop::start().await.unwrap();
    let declared = desktop.nginx.entry("127.0.15.6");
    let laptop = desktop.laptop(&declared).await.unwrap();
    laptop.until_ready().await.unwrap();
    let run = laptop.offloadctl(&["doctor"]).await.unwrap();
    assert!(
        run.stdout.contains("cache-info ✔  signature ✔\n"),
        "{run:?}"
    );
    assert!(!run.stdout.contains("No daemon runs"), "{run:?}");

    desktop.sshd.deauthorise().unwrap();
    desktop.sshd.end_sessions().unwrap();
    let rejected = laptop.until("the key is rejected", |snapshot| {
        (snapshot.targets.iter()).any(|t| t.kind == Kind::Builder && !t.state.is_ready())
    });
    rejected.await.unwrap();
    let run = laptop.offloadctl(&["doctor"]).await.unwrap();
    assert_eq!(run.code, 3, "{run:?}");
    let root = "\nRoot cause: key not accepted · builder/127.0.15.6";
    assert!(run.stdout.contains(root), "{run:?}");
    assert!(run.stdout.contains("host-key ✔  auth ✗"), "{run:?}");
    let told = run.stdout.matches("Put the public half of the key").count();
    assert_eq!(told, 1, "the remedy stands once: {run:?}");
}

/// The afternoon that all this is for: the configuration says .7, nix.conf says .6, the desktop is
/// at .6.
#[tokio::test]
async fn the_afternoon_is_one_command() {
    let desktop = Desktop::start().await.unwrap();
    let declared = declared_wrongly(&desktop);
    let laptop = desktop.laptop(&declared).await.unwrap();
    laptop.until_ready().await.unwrap();
    let tree = tree();
    let directory = tree.path().to_str().unwrap();
    let doctor = async |more: &[&str]| {
        let mut arguments = vec!["doctor", "--config-dir", directory];
        arguments.extend(more);
        laptop.offloadctl(&arguments).await.unwrap()
    };

    let page = doctor(&[]).await;
    assert_eq!(page.code, 3, "{page:?}");
    for told in [
        "\nRoot cause: ",
        "\n    hosts/laptop.nix:2:41\n",
        "\n    hosts/laptop.nix:3:39\n",
        "\n+  nix.settings.substituters = [ \"http://127.0.15.6:5000\" ];\n",
        "\n    declared ≠ 127.0.15.7:",
        "\n    deployed   127.0.15.6:",
        "\n    observed   127.0.15.6:",
        "\n    sudo nixos-rebuild switch\n",
    ] {
        assert!(page.stdout.contains(told), "{told}: {}", page.stdout);
    }

    let json: Value = serde_json::from_str(&doctor(&["--json"]).await.stdout).unwrap();
    assert_eq!(json["source"], "daemon");
    assert_eq!(json["root_cause"]["code"], "address-mismatch");
    assert_eq!(json["findings"][0]["file"], "hosts/laptop.nix");
    assert_eq!(json["findings"][0]["line"], 2);

    let file = tree.path().join("hosts/laptop.nix");
    let before = fs::read_to_string(&file).unwrap();
    assert!(
        before.contains("http://127.0.15.7:5000"),
        "it changes nothing"
    );
    apply(&doctor(&["--patch"]).await.stdout, tree.path());
    let after = fs::read_to_string(&file).unwrap();
    let right = before
        .replace("127.0.15.7:", "127.0.15.6:")
        .replace("127.0.15.7\"; }", "127.0.15.6\"; }");
    assert_eq!(after, right);
    // What was mended is not found again.
    let page = doctor(&[]).await;
    assert!(
        page.stdout.contains("127.0.15.7 stands nowhere in "),
        "{page:?}"
    );
}
