use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{
    Kind, TargetState,
    snapshot::{Comparison, Facts},
};

/// As somebody writes it, with the desktop at this address.
fn configuration(address: &str) -> String {
    format!(
        "{{ pkgs, ... }}:\n{{\n  networking.nameservers = [ \"192.0.2.1\" ];\n  \
         nix.settings.substituters = [ \"http://{address}:5000\" ];\n  \
         nix.buildMachines = [\n    {{ hostName = \"{address}\"; sshUser = \"nix-builder\"; }}\n  ];\n}}\n"
    )
}

fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(at(EDITED)).unwrap();
    }
    root
}

/// When the tree was edited.
const EDITED: u64 = 5_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn switched(seconds: u64) -> Option<Switched> {
    Some(Switched {
        at: at(seconds),
        is_newest: true,
    })
}

fn target(kind: Kind, uri: &str, address: &str) -> Target {
    let placed = Placed {
        value: address.into(),
        source: "/etc/nix".into(),
    };
    Target {
        name: "desktop".into(),
        kind,
        uri: uri.into(),
        address: address.into(),
        state: TargetState::Ready,
        facts: Facts::default(),
        layers: vec![Comparison {
            subject: "address".into(),
            deployed: Some(placed),
            ..Comparison::default()
        }],
        ..Target::default()
    }
}

/// Nix goes to a desktop at this address, and it is there.
fn desktop(address: &str) -> Snapshot {
    let cache = target(
        Kind::Cache,
        &format!("http://{address}:5000"),
        &format!("{address}:5000"),
    );
    let builder = target(
        Kind::Builder,
        &format!("ssh-ng://nix-builder@{address}"),
        &format!("{address}:22"),
    );
    Snapshot {
        targets: vec![cache, builder].into(),
        ..Snapshot::default()
    }
}

fn search(snapshot: &Snapshot, tree: &TempDir, switched: Option<Switched>) -> Option<TreeSearch> {
    let known = Known::of(snapshot)?;
    known.search(tree.path(), switched, false).unwrap()
}

/// What is told, of a tree that was edited after the last switch.
fn told(snapshot: &Snapshot, files: &[(&str, &str)]) -> Vec<String> {
    let found = search(snapshot, &tree(files), switched(EDITED - 1)).unwrap_or_default();
    let unlike = found.unlike.into_iter();
    unlike
        .map(|it| format!("{} {} {}", it.target, it.tree, it.nix))
        .collect()
}

const BOTH: [&str; 2] = [
    "cache/desktop 192.0.2.7 192.0.2.6",
    "builder/desktop 192.0.2.7 192.0.2.6",
];

#[test]
fn an_edited_tree_that_has_another_address_is_told_with_a_patch() {
    let root = tree(&[("hosts/laptop.nix", &configuration("192.0.2.7"))]);
    let found = search(&desktop("192.0.2.6"), &root, switched(EDITED - 1)).unwrap();
    assert_eq!(found.unlike.len(), 2);
    assert!(found.edited);
    assert_eq!(found.wrong, ["192.0.2.7"]);
    assert_eq!(found.findings.len(), 2);
    let right = found
        .findings
        .iter()
        .all(|found| found.right == "192.0.2.6");
    assert!(right, "{found:?}");
    assert!(
        found.patch.contains("+++ b/hosts/laptop.nix\n"),
        "{found:?}"
    );
    assert_eq!(search(&desktop("192.0.2.7"), &root, switched(1)), None);
}

#[test]
fn where_the_desktop_is_not_there_nothing_is_called_right() {
    let root = tree(&[("a.nix", &configuration("192.0.2.7"))]);
    let mut snapshot = desktop("192.0.2.6");
    for target in snapshot.targets.iter_mut() {
        target.state = TargetState::Down;
    }
    let found = search(&snapshot, &root, switched(EDITED - 1)).unwrap();
    assert_eq!((found.unlike.len(), found.findings.len()), (2, 2));
    assert_eq!(found.patch, "");
}

#[test]
fn a_tree_older_than_what_runs_is_not_what_that_is_made_of() {
    let root = tree(&[("configuration.nix", &configuration("192.0.2.7"))]);
    let snapshot = desktop("192.0.2.6");
    assert_eq!(search(&snapshot, &root, switched(EDITED + 1)), None);
    assert_eq!(search(&snapshot, &root, None), None);
    let rolled_back = Switched {
        at: at(EDITED + 1),
        is_newest: false,
    };
    let found = search(&snapshot, &root, Some(rolled_back)).unwrap();
    assert!(!found.edited);
    let known = Known::of(&snapshot).unwrap();
    let named = known.search(root.path(), switched(EDITED + 1), true);
    assert_eq!(named.unwrap().unwrap().unlike.len(), 2);
}

#[test]
fn any_layout_of_literals_will_do() {
    let text = configuration("192.0.2.7");
    let of_conf = "nix.extraOptions = ''\n  substituters = http://192.0.2.7:5000\n  \
                   builders = ssh://nix-builder@192.0.2.7 x86_64-linux\n'';";
    let toml = "[cache]\nurl = \"http://192.0.2.7:5000\"\n[builder]\nhostName = \"192.0.2.7\"\n";
    for files in [
        &[("configuration.nix", text.as_str())][..],
        &[("a.nix", of_conf)],
        &[("desktop.toml", toml)],
        &[
            ("a.nix", "let cache = \"http://192.0.2.7:5000\"; in { }"),
            ("b.json", "{\"x\": {\"hostName\": \"192.0.2.7\"}}"),
        ],
    ] {
        assert_eq!(told(&desktop("192.0.2.6"), files), BOTH, "{files:?}");
    }
    let six = target(
        Kind::Builder,
        "ssh://nix-builder@[2001:db8::6]",
        "[2001:db8::6]:22",
    );
    let snapshot = Snapshot {
        targets: vec![six].into(),
        ..Snapshot::default()
    };
    let files = [("a.nix", "\"ssh-ng://nix-builder@[2001:db8::7]\"")];
    let expected = ["builder/desktop 2001:db8::7 2001:db8::6"];
    assert_eq!(told(&snapshot, &files), expected);
}

#[test]
fn a_half_edited_tree_is_told_of_the_half_that_differs() {
    let text =
        configuration("192.0.2.6").replace("hostName = \"192.0.2.6\"", "hostName = \"192.0.2.7\"");
    let files = [("a.nix", text.as_str())];
    assert_eq!(told(&desktop("192.0.2.6"), &files), BOTH[1..]);
}

#[test]
fn other_addresses_of_a_tree_are_no_difference() {
    for text in [
        // Nix's own stands there, if by another name.
        "{ desktop = \"192.0.2.6\"; old = \"http://192.0.2.7:5000\"; }",
        // Something else's scheme, port, network, user, or nobody says what.
        "{ url = \"https://192.0.2.7:5000\"; }",
        "{ url = \"http://192.0.2.7:8080\"; }",
        "{ registry = \"http://198.51.100.7:5000\"; }",
        "{ git = \"ssh://git@192.0.2.7/x\"; }",
        "{ ip = \"192.0.2.7\"; printer = \"192.0.2.20\"; }",
        "{ url = \"http://desktop.lan:5000\"; hostName = \"desktop.lan\"; }",
        "{ url = \"http://${ip}:5000\"; }",
        // In a comment.
        "{ # hostName = \"192.0.2.7\"; http://192.0.2.7:5000\n}",
        // Which of them?
        "{ a = \"http://192.0.2.7:5000\"; b = \"http://192.0.2.8:5000\"; }",
        "",
    ] {
        assert_eq!(
            told(&desktop("192.0.2.6"), &[("a.nix", text)]),
            [""; 0],
            "{text}"
        );
    }
}

#[test]
fn what_any_target_is_known_by_is_none_either() {
    let files = [("a.nix", configuration("192.0.2.7"))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let mut snapshot = desktop("192.0.2.6");
    for target in snapshot.targets.iter_mut() {
        target.elsewhere = vec!["192.0.2.7:22".into()];
    }
    assert_eq!(told(&snapshot, &files), [""; 0]);
    // Nix does not go there by its files, or goes by a name.
    let mut snapshot = desktop("192.0.2.6");
    for target in snapshot.targets.iter_mut() {
        target.layers.clear();
    }
    assert_eq!(told(&snapshot, &files), [""; 0]);
    assert_eq!(told(&desktop("desktop.lan"), &files), [""; 0]);
    // One address in the place of two.
    let mut two = desktop("192.0.2.6");
    let more = desktop("192.0.2.8").targets;
    two.targets = two
        .targets
        .iter()
        .chain(more.iter())
        .cloned()
        .collect::<Vec<_>>()
        .into();
    assert_eq!(told(&two, &files), [""; 0]);
}

#[test]
fn what_could_not_be_read_may_have_it() {
    let text = configuration("192.0.2.7");
    let root = tree(&[("a.nix", &text)]);
    fs::write(root.path().join("large.nix"), "#\n".repeat(1 << 20)).unwrap();
    assert_eq!(search(&desktop("192.0.2.6"), &root, switched(1)), None);
    let known = Known::of(&desktop("192.0.2.6")).unwrap();
    assert!(
        known
            .search(&root.path().join("none"), None, false)
            .is_err()
    );
}
