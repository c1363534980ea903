//! The daemon agrees with what real Nix and OpenSSH made of the same input, but where it is known not to.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use offload_tests::{Error, Result, daemon::program, parity::Kind, supported};

fn agrees(kind: Kind) {
    agrees_in_part(kind, "1/1");
}

fn agrees_in_part(kind: Kind, part: &str) {
    let Some(said) = supported(held(kind, part)) else {
        return;
    };
    println!("{said}");
}

fn held(kind: Kind, part: &str) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        let why = "its namespaces, sshd and users need root: run as root";
        return Err(Error::Unsupported(why.to_owned()));
    }
    let mut command = Command::new(program("parity")?);
    command.args(["--quiet", "--kind", &kind.to_string(), "--part", part]);
    let output = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    Ok(said)
}

#[test]
fn a_builder_is_reached_where_ssh_reaches_it_and_by_the_same_keys_first_part() {
    agrees_in_part(Kind::Ssh, "1/4");
}

#[test]
fn a_builder_is_reached_where_ssh_reaches_it_and_by_the_same_keys_second_part() {
    agrees_in_part(Kind::Ssh, "2/4");
}

#[test]
fn a_builder_is_reached_where_ssh_reaches_it_and_by_the_same_keys_third_part() {
    agrees_in_part(Kind::Ssh, "3/4");
}

#[test]
fn a_builder_is_reached_where_ssh_reaches_it_and_by_the_same_keys_fourth_part() {
    agrees_in_part(Kind::Ssh, "4/4");
}

#[test]
fn as_an_ordinary_user_it_is_reached_where_root_s_ssh_reaches_it() {
    agrees(Kind::User);
}

#[test]
fn a_machines_file_has_the_builders_that_nix_reads_in_it() {
    agrees(Kind::Machines);
}

#[test]
fn a_nix_conf_has_the_caches_and_builders_that_nix_reads_in_it() {
    agrees(Kind::Conf);
}

#[test]
fn a_cache_is_ready_where_nix_takes_a_path_from_it() {
    agrees(Kind::Cache);
}
