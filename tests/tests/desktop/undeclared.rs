//! `offloadctl doctor` where nothing is declared: the configuration tree against what Nix's files have.

use std::{fs, path::Path, process::Stdio};

use offload_tests::Desktop;

/// A system's configuration that says 127.0.15.7.
const CONFIGURATION: &str = "{\n  nix.settings.substituters = [ \"http://127.0.15.7:5000\" ];\n  \
     nix.buildMachines = [ { hostName = \"127.0.15.7\"; } ];\n}\n";

/// What the real `patch -p1` does in `tree`.
fn apply(patch: &str, tree: &Path) {
    let file = tree.join("x.patch");
    fs::write(&file, patch).unwrap();
    let mut command = std::process::Command::new("patch");
    command.args(["-p1", "-d"]).arg(tree).arg("-i").arg(&file);
    let status = command.stdout(Stdio::null()).status();
    let status = status.expect("this test needs patch (Debian: patch, nixpkgs: gnupatch)");
    assert!(status.success(), "{patch}");
}

/// The afternoon before anybody has heard of offloadd: .7 in the configuration, .6 in nix.conf, and all is ready.
#[tokio::test]
async fn a_configuration_that_says_otherwise_than_nix_is_found_without_a_declaration() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop.watched("").await.unwrap();
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("laptop.nix"), CONFIGURATION).unwrap();
    let directory = tree.path().to_str().unwrap();
    let page = laptop
        .offloadctl(&["doctor", "--config-dir", directory])
        .await;
    let page = page.unwrap();
    assert_eq!(page.code, 3, "{page:?}");
    let words: Vec<_> = page.stdout.split_whitespace().collect();
    let words = words.join(" ");
    for told in [
        "at 127.0.15.7; Nix goes to 127.0.15.6. ",
        "127.0.15.7 stands in ",
        ", where 127.0.15.6 should: laptop.nix:2:41 ",
        " laptop.nix:3:39 ",
        "+ nix.settings.substituters = [ \"http://127.0.15.6:5000\" ];",
    ] {
        assert!(words.contains(told), "{told}: {}", page.stdout);
    }
    assert!(!words.contains("Nothing to mend"), "{}", page.stdout);

    let patch = ["doctor", "--patch", "--config-dir", directory];
    apply(
        &laptop.offloadctl(&patch).await.unwrap().stdout,
        tree.path(),
    );
    let page = laptop
        .offloadctl(&["doctor", "--config-dir", directory])
        .await;
    let page = page.unwrap();
    assert!(!page.stdout.contains("127.0.15.7"), "{page:?}");
}
