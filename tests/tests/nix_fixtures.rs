//! Nix on both ends, by Nix's own hands: what the end-to-end tests stand on.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, net::SocketAddr};

use data_encoding::BASE64;
use offload_tests::{Error, Namespace, NixDaemon, Sshd, process::run_command};

/// A derivation that says what it is given, with a name that no other has.
fn derivation(name: &str) -> String {
    format!(
        "derivation {{ name = \"{name}\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"echo {name} > $out\" ]; }}"
    )
}

/// The fixture, or `None` with the reason said where this machine can't run it.
fn supported<T>(made: Result<T, Error>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(Error::Unsupported(why)) => {
            eprintln!("skipped: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A line of the machines file for what `sshd` lets in to.
fn machine(uri: &str, sshd: &Sshd) -> String {
    let key = BASE64.encode(sshd.host_key().unwrap().as_bytes());
    format!(
        "{uri} x86_64-linux {} 2 1 - - {key}",
        sshd.user_key().display()
    )
}

#[tokio::test]
async fn a_daemon_builds_in_a_store_of_its_own() {
    let Some(mut daemon) = supported(NixDaemon::start().await) else {
        return;
    };
    let built = daemon
        .build(&derivation("alone"), &["--builders", ""])
        .await
        .unwrap();
    assert!(built.starts_with("/nix/store/"), "{built}");
    assert_eq!(
        fs::read_to_string(daemon.real_path(&built)).unwrap(),
        "alone\n"
    );
    assert!(daemon.has(&built).unwrap());
    assert!(
        !fs::exists(&built).unwrap(),
        "it went to this machine's store"
    );

    daemon.stop();
    let refused = daemon.build(&derivation("nobody-there"), &[]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("cannot connect to socket"), "{refused}");
    daemon.restart().await.unwrap();
    assert!(daemon.has(&built).unwrap(), "a restart emptied the store");
}

#[tokio::test]
async fn a_build_goes_to_the_other_store_over_either_protocol() {
    let Some(namespace) = supported(Namespace::new()) else {
        return;
    };
    let address = SocketAddr::new(Namespace::DESKTOP.into(), 22);
    let sshd = Sshd::start_inside(address, Some(namespace.desktop()))
        .await
        .unwrap();
    let desktop = NixDaemon::start_inside(Some(namespace.desktop()))
        .await
        .unwrap();
    let laptop = NixDaemon::start_inside(Some(namespace.laptop()))
        .await
        .unwrap();
    desktop.serve(&sshd).unwrap();
    let host = format!("{}@{}", sshd.user(), address.ip());
    let named = format!("{host}?{}", desktop.remote_store());
    for (protocol, name, place) in [
        ("ssh-ng", "ng-found", &host),
        ("ssh-ng", "ng-named", &named),
        ("ssh", "found", &host),
        ("ssh", "named", &named),
    ] {
        let uri = format!("{protocol}://{place}");
        let arguments = ["--max-jobs", "0", "--builders", &machine(&uri, &sshd)];
        let built = laptop.build(&derivation(name), &arguments).await.unwrap();
        for store in [&laptop, &desktop] {
            assert!(store.has(&built).unwrap(), "{built}");
            let text = fs::read_to_string(store.real_path(&built)).unwrap();
            assert_eq!(text, format!("{name}\n"));
        }
        assert!(laptop.state_dir().join("current-load").is_dir());
    }
    assert!(sshd.logins() >= 4);
}

#[tokio::test]
async fn a_port_of_its_own_is_reached_under_the_bare_host() {
    let Some(mut laptop) = supported(NixDaemon::start().await) else {
        return;
    };
    let address = offload_tests::ground::free_address().unwrap();
    let sshd = Sshd::start(address).await.unwrap();
    let desktop = NixDaemon::start().await.unwrap();
    laptop.reach("desktop", address);
    laptop.restart().await.unwrap();
    let uri = format!(
        "ssh-ng://{}@desktop?{}",
        sshd.user(),
        desktop.remote_store()
    );
    let arguments = ["--max-jobs", "0", "--builders", &machine(&uri, &sshd)];
    let built = laptop
        .build(&derivation("aliased"), &arguments)
        .await
        .unwrap();
    assert!(desktop.has(&built).unwrap());
}

#[tokio::test]
async fn a_client_that_is_not_trusted_or_not_allowed_is_told_so() {
    let Some(mut daemon) = supported(NixDaemon::start().await) else {
        return;
    };
    daemon.build(&derivation("trusted"), &[]).await.unwrap();
    let trust = |daemon: &NixDaemon| {
        let log = daemon.log();
        let last = log
            .lines()
            .rfind(|line| line.contains("accepted connection"))
            .unwrap();
        last.contains("(trusted)")
    };
    assert!(trust(&daemon));

    // Root is trusted by default, and only by default.
    daemon.set("trusted-users", "nobody");
    daemon.restart().await.unwrap();
    daemon.build(&derivation("untrusted"), &[]).await.unwrap();
    assert!(!trust(&daemon));

    daemon.set("allowed-users", "nobody");
    daemon.restart().await.unwrap();
    let refused = daemon.build(&derivation("refused"), &[]).await.unwrap_err();
    assert!(!daemon.log().is_empty());
    assert!(
        daemon.log().contains("not allowed to connect"),
        "{refused}: {}",
        daemon.log()
    );
}

#[tokio::test]
async fn what_a_daemon_is_set_to_is_what_nix_shows() {
    let Some(mut daemon) = supported(NixDaemon::start().await) else {
        return;
    };
    daemon.set("system-features", "kvm benchmark");
    daemon.set("system", "aarch64-linux");
    daemon.restart().await.unwrap();
    let shown = run_command(daemon.command("nix").unwrap().arg("show-config")).unwrap();
    assert!(shown.contains("system-features = benchmark kvm"), "{shown}");
    assert!(shown.contains("system = aarch64-linux"), "{shown}");
    let refused = daemon
        .build(&derivation("foreign"), &["--builders", ""])
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("aarch64-linux"), "{refused}");
    daemon.unset("system");
    daemon.restart().await.unwrap();
    daemon
        .build(&derivation("native"), &["--builders", ""])
        .await
        .unwrap();
}
