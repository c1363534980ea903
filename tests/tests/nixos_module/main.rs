//! The NixOS modules, evaluated with the real library of Nixpkgs (`$NIXPKGS_LIB`: a copy of its
//! `lib`, or of all of Nixpkgs), and what comes out of them given to the real programs.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod config;
mod evaluated;
mod systemd;
mod toml;
mod units;

use std::{path::Path, process::Command};

use evaluated::{evaluated, root};

#[test]
fn every_nix_file_parses() {
    let tracked = output(Command::new("git").args(["ls-files", "-z", "--", "*.nix"]));
    let files: Vec<&str> = tracked.split_terminator('\0').collect();
    assert!(files.contains(&"flake.nix"), "{files:?}");
    output(Command::new("nix-instantiate").arg("--parse").args(&files));
}

#[test]
fn the_flake_has_what_its_users_look_for() {
    let Some(evaluated) = evaluated() else { return };
    let flake = &evaluated["flake"];
    let names = |key: &str| -> Vec<String> {
        serde_json::from_value(flake[key].clone()).expect("a list of names")
    };
    assert_eq!(names("nixosModules"), ["default", "desktop", "laptop"]);
    assert_eq!(names("overlays"), ["default"]);
    assert_eq!(names("apps"), ["default", "offloadctl", "practice"]);
    assert_eq!(
        names("checks"),
        [
            "clippy",
            "fmt",
            "nextest",
            "package",
            "vm-broker",
            "vm-dbus"
        ]
    );
    for key in ["packages", "devShells", "formatter"] {
        assert_eq!(names(key), ["aarch64-linux", "x86_64-linux"], "{key}");
    }
}

#[test]
fn the_package_is_this_version_and_installs_by_make() {
    let Some(evaluated) = evaluated() else { return };
    let package = &evaluated["package"];
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(package["mainProgram"], "offloadctl");
    assert_eq!(package["doInstallCheck"], true);
    let install = package["installPhase"].as_str().unwrap();
    assert!(install.contains("make install PREFIX="), "{install}");
}

#[test]
fn the_practice_program_is_a_package_of_its_own() {
    let Some(evaluated) = evaluated() else { return };
    let practice = &evaluated["practice"];
    assert_eq!(practice["pname"], "offloadd-practice");
    assert_eq!(practice["mainProgram"], "practice");
    assert_eq!(practice["doInstallCheck"], false);
    assert_eq!(practice["license"], "of both");
    assert_eq!(
        practice["cargoBuildFlags"],
        serde_json::json!(["--package=offload-tests", "--bin=practice"])
    );
    let install = practice["installPhase"].as_str().unwrap();
    assert!(install.contains("release/practice"), "{install}");
}

/// What a command wrote, which must have succeeded in the repository's root.
fn output(command: &mut Command) -> String {
    output_in(command, root())
}

fn output_in(command: &mut Command, directory: &Path) -> String {
    let output = command.current_dir(directory).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
