//! A key that is good for nothing but Nix: the forced command that the NixOS module gives it.

use std::{path::Path, process::Command};

use offload_client::{Reason, Stage, TargetState};

use crate::desk::{ASKED, Desk, PROMISE, detail};

#[tokio::test]
async fn a_key_that_runs_nothing_but_nix_is_ready_and_builds() {
    let script = script();
    for protocol in ["ssh-ng", "ssh"] {
        let Some(desk) = Desk::start(protocol, PROMISE, ASKED).await else {
            return;
        };
        let path = "/usr/local/bin/nix-builder-shell";
        let inside = desk.desktop.container();
        inside.write(path, &script).unwrap();
        let forced = format!("restrict,command=\"/bin/bash {path}\"");
        desk.desktop.authorise_with(&forced).unwrap();

        let target = desk.watcher.checked(Reason::None).await;
        assert_eq!(target.state, TargetState::Ready);
        assert_eq!(target.stage, Stage::System, "{target:#?}");
        assert_eq!(detail(&target, "hostname"), "desktop");
        desk.watcher.test_build().await.expect("succeeded", "");
    }
}

/// The module's script, for a desktop whose programs are Debian's.
fn script() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let expression = "import ./nixos-module/desktop/commands.nix \
                      { bin = \"/usr/bin\"; path = \"/usr/bin:/bin\"; }";
    let output = Command::new("nix-instantiate")
        .args(["--eval", "--strict", "--json", "-E", expression])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}
