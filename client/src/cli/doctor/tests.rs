//! The search of a whole tree.

use std::{fs, os::unix::fs::PermissionsExt, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use super::{correction::Correction, tree};
use crate::page::doctor::TreeSearch;

const LINE: &str = "  url = \"http://127.0.15.7:5000\";\n";

fn corrections() -> Vec<Correction> {
    vec![Correction {
        wrong: "127.0.15.7".into(),
        right: "127.0.15.6".into(),
    }]
}

fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(root.path(), name, text.as_bytes());
    }
    root
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn search(root: &Path) -> TreeSearch {
    tree::search(root, &corrections()).unwrap()
}

/// `file:line:column` of each finding.
fn places(search: &TreeSearch) -> Vec<String> {
    (search.findings.iter())
        .map(|found| format!("{}:{}:{}", found.file, found.line, found.column))
        .collect()
}

#[test]
fn a_finding_names_file_line_and_column() {
    let root = tree(&[
        (
            "b/host.nix",
            "{\n  # ä\n  é = \"127.0.15.7\"; x = \"127.0.15.7\";\n}\n",
        ),
        ("a.toml", "[x]\nurl = \"http://127.0.15.7:5000\"\n"),
        ("flake.lock", "127.0.15.7"),
        ("c.json", "{\"ip\": \"127.0.15.71\"}"),
    ]);
    let found = search(root.path());
    assert_eq!(
        places(&found),
        ["a.toml:2:15", "b/host.nix:3:8", "b/host.nix:3:26"]
    );
    let [_, second, _] = &found.findings[..] else {
        panic!("{found:?}");
    };
    assert_eq!(second.text, "  é = \"127.0.15.7\"; x = \"127.0.15.7\";");
    assert_eq!(
        (&*second.wrong, &*second.right),
        ("127.0.15.7", "127.0.15.6")
    );
    assert_eq!(found.notes, [""; 0]);
    assert!(
        found.patch.contains("+++ b/b/host.nix\n"),
        "{}",
        found.patch
    );
}

#[test]
fn a_comment_is_told_and_left_alone() {
    let root = tree(&[
        (
            "a.nix",
            "# 127.0.15.7 since March\n/* 127.0.15.7\n*/ x = \"#127.0.15.7\";\n",
        ),
        ("b.nix", "# 127.0.15.7\n"),
    ]);
    let found = search(root.path());
    let comments: Vec<bool> = found.findings.iter().map(|found| found.comment).collect();
    assert_eq!(comments, [true, true, false, true]);
    assert!(
        found.patch.contains("\n # 127.0.15.7 since March\n"),
        "{}",
        found.patch
    );
    assert!(
        found.patch.contains("\n+*/ x = \"#127.0.15.6\";\n"),
        "{}",
        found.patch
    );
    assert!(!found.patch.contains("b.nix"), "{}", found.patch);
}

#[test]
fn nothing_is_proposed_where_the_right_address_is_not_clear() {
    let root = tree(&[("a.nix", LINE)]);
    let unclear = [Correction {
        wrong: "127.0.15.7".into(),
        right: String::new(),
    }];
    let found = tree::search(root.path(), &unclear).unwrap();
    assert_eq!((found.findings.len(), &*found.patch), (1, ""));
}

#[test]
fn links_are_not_followed_but_told_where_they_leave_the_tree() {
    let outside = tree(&[("secret.nix", LINE)]);
    let root = tree(&[("in/a.nix", LINE), (".git/b.nix", LINE)]);
    let link = |target: &Path, name: &str| symlink(target, root.path().join(name)).unwrap();
    link(outside.path(), "out");
    link(&outside.path().join("secret.nix"), "file.nix");
    link(&root.path().join("in"), "again");
    link(root.path(), "loop");
    link(Path::new("/nonexistent/x.nix"), "dead.nix");
    let found = search(root.path());
    assert_eq!(places(&found), ["in/a.nix:1:17"]);
    let [file, out] = &found.notes[..] else {
        panic!("{found:?}");
    };
    assert!(
        file.starts_with("file.nix: leads out of the tree, to "),
        "{file}"
    );
    assert!(out.starts_with("out: leads out of the tree, to "), "{out}");
}

#[test]
fn the_tree_itself_may_be_a_link() {
    let root = tree(&[("a.nix", LINE)]);
    let place = tempfile::tempdir().unwrap();
    let link = place.path().join("nixos");
    symlink(root.path(), &link).unwrap();
    let found = search(&link);
    assert_eq!(places(&found), ["a.nix:1:17"]);
    assert_eq!(found.directory, link.display().to_string());
    assert!(tree::search(&place.path().join("none"), &corrections()).is_err());
}

#[test]
fn binary_files_pipes_and_large_files_are_left_out() {
    let root = tree(&[("a.nix", LINE)]);
    write(root.path(), "nul.nix", b"127.0.15.7\0");
    write(root.path(), "latin.nix", b"127.0.15.7 \xe9");
    write(root.path(), "large.nix", &LINE.repeat(40_000).into_bytes());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.path().join("pipe.nix"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let found = search(root.path());
    assert_eq!(places(&found), ["a.nix:1:17"]);
    assert_eq!(found.notes, ["large.nix: larger than 1 MB"]);
}

#[test]
fn the_search_is_bounded() {
    let deep = "d/".repeat(40) + "a.nix";
    let many = LINE.repeat(1_500);
    let root = tree(&[(&deep, LINE), ("many.nix", &many)]);
    let found = search(root.path());
    assert_eq!(found.findings.len(), 1_000);
    let [depth, rest] = &found.notes[..] else {
        panic!("{found:?}");
    };
    assert!(depth.ends_with(": deeper than 32 directories"), "{depth}");
    assert!(rest.starts_with("the rest of it"), "{rest}");
}

#[test]
fn what_can_not_be_read_is_told_and_the_search_goes_on() {
    let root = tree(&[("a/a.nix", LINE), ("b.nix", LINE), ("c.nix", LINE)]);
    let lock = |name: &str, mode| {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    lock("a", 0o000);
    lock("b.nix", 0o000);
    let found = search(root.path());
    lock("a", 0o700);
    if rustix::process::geteuid().is_root() {
        // Nothing is kept from root.
        assert_eq!(found.findings.len(), 3);
        return;
    }
    assert_eq!(places(&found), ["c.nix:1:17"]);
    let told = ": permission denied: run it as root";
    assert_eq!(found.notes, [format!("a{told}"), format!("b.nix{told}")]);
}
