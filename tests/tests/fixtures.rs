//! The real parts come up, answer, and obey their switches.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use offload_tests::{
    Bus, Error, Ground, Namespace, Nginx, NixConf, Sshd, eventually, ground::MOVED,
    process::run_command,
};
use zbus::connection::Builder;

const PATIENCE: Duration = Duration::from_secs(10);
const NAME: &str = "org.offloadd.Offload1";

/// `ssh` as Nix runs it, with `host_key` as the only one known; what it printed.
fn ssh(sshd: &Sshd, host_key: &str, command: &str) -> Result<String, Error> {
    let directory = tempfile::tempdir().unwrap();
    let known = directory.path().join("known_hosts");
    let address = sshd.address();
    let host = format!("[{}]:{}", address.ip(), address.port());
    fs::write(&known, format!("{host} {host_key}\n")).unwrap();
    run_command(
        Command::new("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(sshd.user_key())
            .args(["-p", &address.port().to_string(), "-l", sshd.user()])
            .args([&address.ip().to_string(), command]),
    )
}

#[tokio::test]
async fn a_builder_lets_the_authorised_key_in_and_no_other() {
    let ground = Ground::take().await.unwrap();
    let sshd = Sshd::start(ground.ssh()).await.unwrap();
    let host_key = sshd.host_key().unwrap();
    assert_eq!(ssh(&sshd, &host_key, "echo there").unwrap().trim(), "there");
    assert_eq!((sshd.connections(), sshd.logins()), (1, 1));
    assert_eq!(
        ssh(&sshd, &sshd.host_key_rsa().unwrap(), "echo there")
            .unwrap()
            .trim(),
        "there"
    );

    sshd.deauthorise().unwrap();
    let refused = ssh(&sshd, &host_key, "true").unwrap_err().to_string();
    assert!(refused.contains("Permission denied"), "{refused}");
    assert_eq!(sshd.logins(), 2);

    sshd.authorise().unwrap();
    ssh(&sshd, &host_key, "true").unwrap();
}

#[tokio::test]
async fn a_swapped_host_key_stops_ssh_before_it_authenticates() {
    let ground = Ground::take().await.unwrap();
    let mut sshd = Sshd::start(ground.ssh()).await.unwrap();
    let old = sshd.host_key().unwrap();
    sshd.swap_host_keys().await.unwrap();
    assert_ne!(sshd.host_key().unwrap(), old);

    let refused = ssh(&sshd, &old, "true").unwrap_err().to_string();
    assert!(
        refused.contains("Host key verification failed"),
        "{refused}"
    );
    eventually(PATIENCE, "sshd logs the connection", async || {
        (sshd.connections() == 1).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(sshd.auth_attempts(), 0);

    ssh(&sshd, &sshd.host_key().unwrap(), "true").unwrap();
    assert!(sshd.auth_attempts() > 0);
}

#[tokio::test]
async fn stopping_a_builder_ends_its_sessions_and_frees_its_port() {
    let ground = Ground::take().await.unwrap();
    let mut sshd = Sshd::start(ground.ssh()).await.unwrap();
    let host_key = sshd.host_key().unwrap();
    let session = ssh_in_background(&sshd, &host_key).await;
    sshd.stop();
    // ssh's own word for a connection that was lost.
    assert_eq!(finish(session).await, Some(255));
    assert!(TcpStream::connect(ground.ssh()).is_err());

    sshd.move_to(SocketAddr::new(MOVED, ground.ssh().port()))
        .await
        .unwrap();
    ssh(&sshd, &host_key, "true").unwrap();
}

#[tokio::test]
async fn a_frozen_builder_says_nothing_until_it_is_thawed() {
    let ground = Ground::take().await.unwrap();
    let sshd = Sshd::start(ground.ssh()).await.unwrap();
    let host_key = sshd.host_key().unwrap();
    sshd.freeze().unwrap();
    // The kernel still takes the connection; nobody says who they are.
    let silent = TcpStream::connect(ground.ssh()).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    let mut byte = [0];
    let read = std::io::Read::read(&mut &silent, &mut byte);
    assert!(read.is_err(), "{read:?}");

    sshd.thaw().unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Read::read_exact(&mut &silent, &mut byte).unwrap();
    assert_eq!(byte, *b"S");
    ssh(&sshd, &host_key, "true").unwrap();
}

#[tokio::test]
async fn sessions_can_end_while_the_builder_goes_on() {
    let ground = Ground::take().await.unwrap();
    let sshd = Sshd::start(ground.ssh()).await.unwrap();
    let host_key = sshd.host_key().unwrap();
    let session = ssh_in_background(&sshd, &host_key).await;
    sshd.end_sessions().unwrap();
    assert_eq!(finish(session).await, Some(255));
    ssh(&sshd, &host_key, "true").unwrap();
}

/// A session that stays; returns when sshd has let it in.
async fn ssh_in_background(sshd: &Sshd, host_key: &str) -> tokio::process::Child {
    let directory = tempfile::tempdir().unwrap();
    let known = directory.path().join("known_hosts");
    let address = sshd.address();
    let host = format!("[{}]:{}", address.ip(), address.port());
    fs::write(&known, format!("{host} {host_key}\n")).unwrap();
    let session = tokio::process::Command::new("ssh")
        .args([
            "-F",
            "none",
            "-N",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .arg("-i")
        .arg(sshd.user_key())
        .args([
            "-p",
            &address.port().to_string(),
            "-l",
            sshd.user(),
            &address.ip().to_string(),
        ])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually(PATIENCE, "the session is let in", async || {
        (sshd.logins() == 1).then_some(())
    })
    .await
    .unwrap();
    session
}

async fn finish(mut session: tokio::process::Child) -> Option<i32> {
    let ended = tokio::time::timeout(PATIENCE, session.wait()).await;
    ended.expect("the session must end").unwrap().code()
}

#[tokio::test]
async fn the_cache_serves_a_signed_path_that_nix_accepts() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let root = format!("local?root={}", directory.path().join("root").display());
    let copied = Command::new("nix")
        .env("NIX_CONF_DIR", directory.path())
        .env("HOME", directory.path())
        .env("XDG_CACHE_HOME", directory.path())
        .env(
            "NIX_CONFIG",
            format!(
                "experimental-features = nix-command\nbuild-users-group =\nsubstituters =\n\
                 trusted-public-keys = {}\n",
                nginx.public_key()
            ),
        )
        .args([
            "copy",
            "--from",
            &nginx.url(),
            "--to",
            &root,
            nginx.store_path(),
        ])
        .output()
        .unwrap();
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    let inside = format!("root{}", nginx.store_path());
    let text = fs::read_to_string(directory.path().join(inside)).unwrap();
    assert_eq!(text, "hello from the desktop\n");
    assert!(nginx.requests() >= 3 && nginx.connections() >= 1);
}

#[tokio::test]
async fn the_cache_can_be_stopped_started_and_moved() {
    let ground = Ground::take().await.unwrap();
    let mut nginx = Nginx::start(ground.cache()).await.unwrap();
    nginx.stop();
    assert!(TcpStream::connect(ground.cache()).is_err());
    nginx.restart().await.unwrap();
    TcpStream::connect(ground.cache()).unwrap();
    let moved = SocketAddr::new(MOVED, ground.cache().port());
    nginx.move_to(moved).await.unwrap();
    assert!(TcpStream::connect(ground.cache()).is_err());
    TcpStream::connect(moved).unwrap();
}

#[tokio::test]
async fn nix_reads_the_configuration_as_it_was_meant() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(ground.cache()).await.unwrap();
    let sshd = Sshd::start(ground.ssh()).await.unwrap();
    let conf = NixConf::for_desktop(&nginx, &sshd).unwrap();
    let shown = run_command(
        Command::new("nix")
            .env("NIX_CONF_DIR", conf.directory())
            .env("NIX_USER_CONF_FILES", "")
            .env("HOME", conf.directory())
            .env_remove("NIX_CONFIG")
            .args([
                "--extra-experimental-features",
                "nix-command",
                "show-config",
            ]),
    )
    .unwrap();
    for expected in [
        &nginx.url(),
        nginx.public_key(),
        &format!("@{}", conf.machines_path().display()),
    ] {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    let machines = fs::read_to_string(conf.machines_path()).unwrap();
    assert!(machines.starts_with(&sshd.uri()), "{machines}");
}

#[tokio::test]
async fn the_bus_lets_the_daemon_own_its_name_and_nobody_another() {
    let bus = Bus::start().await.unwrap();
    let connection = Builder::address(bus.address().as_str())
        .build()
        .await
        .unwrap();
    connection.request_name(NAME).await.unwrap();
    let other = connection.request_name("org.example.Other").await;
    assert!(other.is_err(), "{other:?}");
}

#[tokio::test]
async fn a_stranger_may_read_but_not_set_nor_own() {
    if !rustix_is_root() {
        eprintln!("skipped: becoming another user needs root");
        return;
    }
    let bus = Bus::start().await.unwrap();
    let connection = Builder::address(bus.address().as_str())
        .build()
        .await
        .unwrap();
    // With it, calls are answered.
    let _server = connection.object_server();
    connection.request_name(NAME).await.unwrap();

    let own = ["string:org.offloadd.Offload1", "uint32:4"];
    let own = bus.ask_as_stranger(
        "org.freedesktop.DBus",
        "org.freedesktop.DBus.RequestName",
        &own,
    );
    assert!(own.await.unwrap_err().to_string().contains("AccessDenied"));

    let state = ["string:org.offloadd.Offload1.Manager", "string:State"];
    let set = [&state[..], &["variant:string:ready"]].concat();
    for (member, arguments, allowed) in [
        ("org.freedesktop.DBus.Properties.Set", &set[..], false),
        ("org.freedesktop.DBus.Properties.Get", &state, true),
        ("org.freedesktop.DBus.Peer.Ping", &[], true),
        ("org.offloadd.Offload1.Manager.Check", &[], true),
        ("org.example.Other.Method", &[], false),
    ] {
        let answer = bus.ask_as_stranger(NAME, member, arguments).await;
        // Nothing is served here: what is let through is answered, but with another error.
        let denied = answer.is_err_and(|error| error.to_string().contains("AccessDenied"));
        assert_eq!(denied, !allowed, "{member}");
    }
}

#[tokio::test]
async fn a_restarted_bus_has_the_same_address_and_forgets_its_clients() {
    let mut bus = Bus::start().await.unwrap();
    let address = bus.address();
    let connection = Builder::address(address.as_str()).build().await.unwrap();
    bus.stop();
    tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .expect("the connection must end");
    assert!(Builder::address(address.as_str()).build().await.is_err());

    bus.restart().await.unwrap();
    assert_eq!(bus.address(), address);
    let connection = Builder::address(address.as_str()).build().await.unwrap();
    connection.request_name(NAME).await.unwrap();
}

#[tokio::test]
async fn a_black_hole_answers_neither_yes_nor_no() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(Error::Unsupported(why)) => {
            eprintln!("skipped: {why}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let address = SocketAddr::new(Namespace::DESKTOP.into(), 5000);
    let _nginx = Nginx::start_inside(address, Some(namespace.desktop()))
        .await
        .unwrap();
    let connect = format!("echo >/dev/tcp/{}/{}", address.ip(), address.port());
    let attempt = |seconds: &str| {
        let mut command = namespace.command("timeout".as_ref());
        command
            .args([seconds, "bash", "-c", &connect])
            .output()
            .unwrap()
            .status
            .code()
    };
    // timeout(1) says 124 when the time was up; a refusal would be bash's 1.
    assert_eq!(attempt("5"), Some(0));
    namespace.black_hole(Namespace::DESKTOP).unwrap();
    assert_eq!(attempt("1"), Some(124));
    namespace.restore(Namespace::DESKTOP).unwrap();
    assert_eq!(attempt("5"), Some(0));
    namespace.set_link(false).unwrap();
    assert_eq!(attempt("5"), Some(1));
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}
