//! `make install` lays the tree that is written down beside this file, and `make uninstall` takes it away.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use offload_tests::{
    daemon::program,
    package::root,
    process::{run_command, system_program},
};

const TREE: &str = include_str!("install_tree.txt");

/// `make` with these arguments; the programs are those of this build.
fn make(destination: &Path, arguments: &[&str]) {
    let programs: PathBuf = program("offloadd").unwrap().parent().unwrap().into();
    assert!(program("offloadctl").unwrap().starts_with(&programs));
    let mut make = Command::new(system_program("make", "make").unwrap());
    make.current_dir(root())
        .args(arguments)
        .arg(format!("DESTDIR={}", destination.display()))
        .arg(format!("builddir={}", programs.display()));
    run_command(&mut make).unwrap();
}

/// A line for each file: mode, path, and where a link leads. Directories are told by what is in them.
fn tree(directory: &Path) -> String {
    let mut lines = Vec::new();
    collect(directory, directory, &mut lines);
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn collect(top: &Path, directory: &Path, lines: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            assert_eq!(
                metadata.permissions().mode() & 0o777,
                0o755,
                "{}",
                path.display()
            );
            collect(top, &path, lines);
            continue;
        }
        let name = path.strip_prefix(top).unwrap().to_owned();
        let mut line = format!(
            "{:04o} {}",
            metadata.permissions().mode() & 0o7777,
            name.display()
        );
        if metadata.is_symlink() {
            line = format!(
                "link {} -> {}",
                name.display(),
                fs::read_link(&path).unwrap().display()
            );
        }
        writeln!(line).unwrap();
        lines.push((name, line));
    }
}

#[test]
fn what_is_installed_is_what_is_written_down_however_often() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["install", "PREFIX=/usr", "NOTIFY_RELOAD=yes"];
    make(directory.path(), &options);
    let once = tree(directory.path());
    assert_eq!(
        once, TREE,
        "if that is meant, it is tests/tests/install_tree.txt that must change"
    );
    make(directory.path(), &options);
    assert_eq!(tree(directory.path()), once);
    make(directory.path(), &["uninstall", "PREFIX=/usr"]);
    assert_eq!(tree(directory.path()), "");
}

#[test]
fn beside_the_distribution_the_units_name_the_local_programs_and_the_bus_finds_its_policy() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    make(directory.path(), &["install", "NOTIFY_RELOAD=no"]);
    let unit = at("usr/local/lib/systemd/system/offloadd.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/offloadd\n"),
        "{unit}"
    );
    assert!(!unit.contains("/usr/bin/"), "{unit}");
    assert!(at("etc/dbus-1/system.d/org.offloadd.Offload1.conf").is_file());
    assert!(at("usr/share/polkit-1/actions/org.offloadd.Offload1.policy").is_file());
    assert!(!at("usr/local/lib/systemd/system/offloadd.service.d").exists());
    // An older systemd would refuse the type.
    make(directory.path(), &["install", "NOTIFY_RELOAD=yes"]);
    let reload = at("usr/local/lib/systemd/system/offloadd.service.d/notify-reload.conf");
    assert!(reload.is_file());
    make(directory.path(), &["install", "NOTIFY_RELOAD=no"]);
    assert!(!reload.exists());
    make(directory.path(), &["uninstall"]);
    assert_eq!(tree(directory.path()), "");
}

#[test]
fn without_programs_it_says_what_to_do_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut make = Command::new(system_program("make", "make").unwrap());
    make.current_dir(root())
        .args(["install", "builddir=/nonexistent"])
        .arg(format!("DESTDIR={}", directory.path().display()));
    let refused = run_command(&mut make).unwrap_err().to_string();
    assert!(refused.contains("run make first"), "{refused}");
    assert_eq!(tree(directory.path()), "");
}
