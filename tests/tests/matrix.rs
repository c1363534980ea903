//! The daemon says of each way what a real Nix makes of it at that moment, on the very same files. Never is a target
//! ready that Nix does not go to, but where it stands with the case why a check can't know. The tables are printed.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{env, path::PathBuf, process::Command};

use offload_tests::{
    Error, Result,
    container::{self, Suite},
    daemon::program,
    parity::Kind,
    supported,
};

/// Other Nixes: trees with one in `usr/bin`, parted by colons.
const TREES: &str = "OFFLOAD_NIX_TREES";

fn agrees(kind: Kind, part: &str) {
    agrees_with(None, kind, part);
}

fn agrees_with(tree: Option<&PathBuf>, kind: Kind, part: &str) {
    let Some(said) = supported(held(tree, kind, part)) else {
        return;
    };
    println!("{said}");
}

fn held(tree: Option<&PathBuf>, kind: Kind, part: &str) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        let why = "its namespaces, sshd and stores need root: run as root";
        return Err(Error::Unsupported(why.to_owned()));
    }
    let mut command = Command::new(program("parity")?);
    command.args([
        "--live",
        "--quiet",
        "--kind",
        &kind.to_string(),
        "--part",
        part,
    ]);
    if let Some(tree) = tree {
        command.arg("--nix").arg(tree);
    }
    let output = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // sysexits(3): it can't run here.
    if output.status.code() == Some(64) {
        return Err(Error::Unsupported(errors.trim().to_owned()));
    }
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains(" 0 false green"), "{said}");
    Ok(said)
}

#[test]
fn a_build_goes_where_it_says_first_part() {
    agrees(Kind::Builds, "1/4");
}

#[test]
fn a_build_goes_where_it_says_second_part() {
    agrees(Kind::Builds, "2/4");
}

#[test]
fn a_build_goes_where_it_says_third_part() {
    agrees(Kind::Builds, "3/4");
}

#[test]
fn a_build_goes_where_it_says_fourth_part() {
    agrees(Kind::Builds, "4/4");
}

#[test]
fn a_path_comes_from_the_cache_that_it_says() {
    agrees(Kind::Cache, "1/1");
}

#[test]
fn nix_daemon_gets_to_the_caches_that_it_says() {
    agrees(Kind::Witness, "1/1");
}

#[test]
fn nix_reads_the_nix_conf_that_it_says() {
    agrees(Kind::Conf, "1/1");
}

#[test]
fn ssh_gets_to_the_builder_that_it_says() {
    // Each of them is held against what ssh made of it elsewhere.
    agrees(Kind::Ssh, "1/8");
}

#[tokio::test]
async fn another_version_of_nix_goes_where_it_says() {
    let mut trees: Vec<PathBuf> = env::var_os(TREES)
        .map(|trees| env::split_paths(&trees).collect())
        .unwrap_or_default();
    if trees.is_empty() {
        trees.extend(supported(container::base(Suite::from_environment()).await));
    }
    for tree in &trees {
        println!("{}", tree.display());
        agrees_with(Some(tree), Kind::Builds, "1/1");
        agrees_with(Some(tree), Kind::Witness, "1/1");
    }
}
