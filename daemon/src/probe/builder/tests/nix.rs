//! Deep checks of a real Nix behind a real OpenSSH server.

mod desktop;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use self::desktop::Desktop;
use super::{sshd::Sshd, *};

fn builder(sshd: &Sshd, protocol: Protocol) -> BuilderSpec {
    BuilderSpec {
        protocol,
        ssh_key: Some(sshd.key()),
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    }
}

fn probe(sshd: &Sshd, protocol: Protocol) -> Probe {
    Probe::keeping(builder(sshd, protocol), options(sshd.port))
}

async fn deep(sshd: &Sshd, protocol: Protocol) -> Report {
    probe(sshd, protocol).session.check(Depth::Deep).await
}

const BOTH: [Protocol; 2] = [Protocol::SshNg, Protocol::Ssh];
const DAEMON: (&str, &str) = ("NIX_REMOTE", "daemon");

#[tokio::test]
async fn a_nix_that_trusts_us_passes_over_both_protocols() {
    let desktop = Desktop::new().with_daemon().await;
    for remote in ["daemon", "local"] {
        let sshd = desktop.sshd(&[("NIX_REMOTE", remote)], "").await;
        for (protocol, version, command) in [
            (Protocol::SshNg, "1.34", "nix-daemon --stdio"),
            (Protocol::Ssh, "2.7", "nix-store --serve --write"),
        ] {
            let report = deep(&sshd, protocol).await;
            assert_passed(&report, Stage::System);
            assert_eq!(facts(&report).nix_version, "2.8.0", "{protocol:?} {remote}");
            assert_eq!(facts(&report).trusted, "yes", "{protocol:?} {remote}");
            assert_eq!(text(&report, "protocol_version"), version);
            assert_eq!(text(&report, "command"), command);
        }
    }
}

#[tokio::test]
async fn a_user_whom_nix_does_not_trust_is_told_so_over_both_protocols() {
    let desktop = Desktop::new().with_daemon().await.untrusted();
    let sshd = desktop.sshd(&[DAEMON], "").await;
    for protocol in BOTH {
        let report = deep(&sshd, protocol).await;
        let failure = failed(&report, Stage::Trust, Reason::NotTrusted);
        assert!(failure.detail.contains("2.8.0"), "{}", failure.detail);
        assert_eq!(facts(&report).trusted, "no");
        assert_eq!(facts(&report).nix_version, "2.8.0");
    }
    // Both programs, and both by root's own daemon.
    let log = fs::read_to_string(desktop.at("daemon.log")).unwrap();
    assert!(log.contains("user nobody"), "{log}");
}

#[tokio::test]
async fn cheap_checks_say_again_what_the_last_deep_one_found() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[], "").await;
    for how in [Connection::Keep, Connection::PerCheck] {
        let builder = builder(&sshd, Protocol::SshNg);
        let mut probe = Probe::new(builder, options(sshd.port), how, PATIENCE);
        let first = probe.session.check(Depth::Deep).await;
        assert_passed(&first, Stage::System);
        for _ in 0..2 {
            let kept = probe.check().await;
            assert_passed(&kept, Stage::System);
            assert_eq!(kept.details, first.details);
            assert_eq!(kept.facts.is_none(), how == Connection::Keep);
        }
        sshd.signal(Signal::KILL);
        let anew = probe.check().await;
        assert_passed(&anew, Stage::System);
        // How much room there is, others on this machine decide too.
        let lasting = |report: &Report| {
            let mut details = report.details.clone();
            details.retain(|key, _| !key.starts_with("store_free"));
            (report.facts.clone(), details)
        };
        assert_eq!(lasting(&anew), lasting(&first));
    }
}

#[tokio::test]
async fn what_was_found_outlasts_a_deep_check_that_does_not_come_so_far() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[], "").await;
    let mut probe = probe(&sshd, Protocol::SshNg);
    assert_passed(&probe.session.check(Depth::Deep).await, Stage::System);
    sshd.deauthorise();
    let report = probe.session.check(Depth::Deep).await;
    failed(&report, Stage::Auth, Reason::AuthRejected);
    assert_eq!(facts(&report).nix_version, "2.8.0");
    sshd.authorise(&sshd.key());
    // Nobody knows whether a build would go: that is for the next deep check.
    assert_ready(&probe.check().await);
}

#[tokio::test]
async fn nothing_is_left_running_on_the_builder() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[], "").await;
    for protocol in BOTH {
        let mut probe = probe(&sshd, protocol);
        assert_passed(&probe.session.check(Depth::Deep).await, Stage::System);
        eventually("Nix ends", async || sshd.sessions().len() == 1).await;
        assert_passed(&probe.check().await, Stage::System);
        drop(probe);
        eventually("sshd ends", async || sshd.sessions().is_empty()).await;
    }
}

#[tokio::test]
async fn each_deep_check_begins_anew_and_ends_politely() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[], "").await;
    let builder = builder(&sshd, Protocol::Ssh);
    let mut probe = Probe::new(builder, options(sshd.port), Connection::PerCheck, PATIENCE);
    for _ in 0..2 {
        assert_passed(&probe.session.check(Depth::Deep).await, Stage::System);
    }
    assert_eq!(sshd.logged("Accepted publickey"), 2);
    eventually("both end", async || sshd.logged("Received disconnect") == 2).await;
    assert!(probe.closed.try_recv().is_err());
}

#[tokio::test]
async fn another_store_of_the_uri_is_the_one_that_is_opened() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[], "").await;
    let root = desktop.at("it's another");
    let store = format!("local?root={}", root.display());
    for protocol in BOTH {
        let mut builder = builder(&sshd, protocol);
        builder.params.insert("remote-store".into(), store.clone());
        let mut probe = Probe::keeping(builder, options(sshd.port));
        assert_passed(&probe.session.check(Depth::Deep).await, Stage::System);
        assert!(root.exists());
        fs::remove_dir_all(&root).unwrap();
    }
}

#[tokio::test]
async fn a_nix_off_the_path_is_missing() {
    let desktop = Desktop::new();
    let empty = desktop.at("home").display().to_string();
    let sshd = desktop.sshd(&[("PATH", &empty)], "").await;
    for (protocol, program) in [
        (Protocol::SshNg, "nix-daemon"),
        (Protocol::Ssh, "nix-store"),
    ] {
        let report = deep(&sshd, protocol).await;
        let failure = failed(&report, Stage::Handshake, Reason::NixMissing);
        assert!(failure.detail.contains("127"), "{}", failure.detail);
        assert_eq!(text(&report, "program"), program);
        // It is there all the same, for whom the URI tells where.
        let mut builder = builder(&sshd, protocol);
        let path = format!("/usr/bin/{program}");
        builder.params.insert("remote-program".into(), path);
        let mut probe = Probe::keeping(builder, options(sshd.port));
        assert_passed(&probe.session.check(Depth::Deep).await, Stage::System);
    }
    eventually("good-byes", async || {
        sshd.logged("Received disconnect") >= 2
    })
    .await;
}

#[tokio::test]
async fn a_daemon_that_is_down_is_told_from_a_missing_nix() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[DAEMON], "").await;
    for protocol in BOTH {
        let report = deep(&sshd, protocol).await;
        let failure = failed(&report, Stage::Handshake, Reason::NixDaemonDown);
        assert!(
            failure.detail.contains("cannot connect"),
            "{}",
            failure.detail
        );
    }
    // A socket that nobody listens to, as systemd leaves it.
    drop(std::os::unix::net::UnixListener::bind(desktop.at("socket")).unwrap());
    for protocol in BOTH {
        let report = deep(&sshd, protocol).await;
        failed(&report, Stage::Handshake, Reason::NixDaemonDown);
    }
}

#[tokio::test]
async fn a_user_without_a_daemon_is_not_taken_for_the_stores_owner() {
    // Root has used this store, and no socket is there: Nix tries to do all by itself.
    let desktop = Desktop::new();
    let mut nix = Command::new("nix-store");
    nix.env_clear()
        .envs(desktop.environment())
        .args(["--verify"]);
    assert!(nix.output().unwrap().status.success());
    let desktop = desktop.untrusted();
    let sshd = desktop.sshd(&[], "").await;
    for protocol in BOTH {
        let report = deep(&sshd, protocol).await;
        failed(&report, Stage::Handshake, Reason::NixDaemonDown);
    }
}

#[tokio::test]
async fn a_user_whom_the_daemon_turns_away_has_no_daemon() {
    let desktop = Desktop::new();
    let conf = fs::read_to_string(desktop.at("conf/nix.conf")).unwrap();
    fs::write(
        desktop.at("conf/nix.conf"),
        format!("{conf}allowed-users = root\n"),
    )
    .unwrap();
    let desktop = desktop.with_daemon().await.untrusted();
    let sshd = desktop.sshd(&[DAEMON], "").await;
    for protocol in BOTH {
        let report = deep(&sshd, protocol).await;
        failed(&report, Stage::Handshake, Reason::NixDaemonDown);
    }
}

#[tokio::test]
async fn a_frozen_daemon_times_out_at_the_handshake() {
    let desktop = Desktop::new().with_daemon().await;
    let sshd = desktop.sshd(&[DAEMON], "").await;
    desktop.signal(Signal::STOP);
    let bound = Duration::from_secs(3);
    for protocol in BOTH {
        let (builder, options) = (builder(&sshd, protocol), options(sshd.port));
        let mut probe = Probe::within(builder, options, Connection::Keep, PATIENCE, bound);
        let report = probe.session.check(Depth::Deep).await;
        failed(&report, Stage::Handshake, Reason::TimedOut);
        assert!(report.facts.is_some(), "the host key was proved");
    }
    eventually("the connections end", async || sshd.sessions().is_empty()).await;
    desktop.signal(Signal::CONT);
}

#[tokio::test]
async fn a_profile_that_prints_is_quoted() {
    let desktop = Desktop::new();
    fs::write(desktop.at("home/.bashrc"), "echo Welcome to the desktop\n").unwrap();
    let bash = desktop.at("home/.bashrc").display().to_string();
    let sshd = desktop.sshd(&[("BASH_ENV", &bash)], "").await;
    for protocol in BOTH {
        let report = deep(&sshd, protocol).await;
        failed(&report, Stage::Handshake, Reason::ProfileOutput);
        assert!(text(&report, "noise").starts_with("Welcome to the desktop"));
    }
}

#[tokio::test]
async fn a_profile_that_takes_its_time_is_slow_and_no_fault() {
    let desktop = Desktop::new().with_daemon().await;
    for seconds in [1, 3] {
        let profile = format!("sleep {seconds}\n");
        fs::write(desktop.at("home/.bashrc"), profile).unwrap();
        let bash = desktop.at("home/.bashrc").display().to_string();
        let sshd = desktop.sshd(&[DAEMON, ("BASH_ENV", &bash)], "").await;
        for protocol in BOTH {
            let (builder, options) = (builder(&sshd, protocol), options(sshd.port));
            // As they are unless configured otherwise.
            let (quick, deep) = (Duration::from_secs(2), Duration::from_secs(10));
            let mut probe = Probe::within(builder, options, Connection::Keep, quick, deep);
            let report = probe.session.check(Depth::Deep).await;
            assert!(report.outcome.is_ok(), "{seconds} s: {report:?}");
        }
    }
}

#[tokio::test]
async fn another_program_is_not_nix() {
    let desktop = Desktop::new();
    for (command, noise) in [
        ("echo hello", Some("hello")),
        (
            "/usr/sbin/nologin",
            Some("This account is currently not available."),
        ),
        ("true", None),
        // Waits for its input, and says what it hears.
        ("cat", Some("")),
        ("yes", Some("y")),
    ] {
        let sshd = desktop.sshd(&[], &format!("ForceCommand {command}")).await;
        for protocol in BOTH {
            let report = deep(&sshd, protocol).await;
            failed(&report, Stage::Handshake, Reason::NotNix);
            match noise {
                Some(noise) => assert!(text(&report, "noise").starts_with(noise), "{report:?}"),
                None => assert!(!report.details.contains_key("noise")),
            }
        }
    }
}

#[tokio::test]
async fn a_forced_command_that_is_nixs_own_is_fine() {
    let desktop = Desktop::new();
    let sshd = desktop.sshd(&[], "ForceCommand nix-daemon --stdio").await;
    let report = deep(&sshd, Protocol::SshNg).await;
    assert_passed(&report, Stage::Trust);
    assert_eq!(facts(&report).nix_version, "2.8.0");

    let sshd = desktop
        .sshd(&[], "ForceCommand nix-store --serve --write")
        .await;
    let report = deep(&sshd, Protocol::Ssh).await;
    assert_passed(&report, Stage::Trust);
    assert_eq!(
        facts(&report).trusted,
        "unknown",
        "nobody is there to be asked"
    );
    assert_eq!(facts(&report).nix_version, "");
}

#[tokio::test]
async fn the_other_protocols_program_is_a_mismatch() {
    let desktop = Desktop::new().with_daemon().await;
    for remote in ["daemon", "local"] {
        for (protocol, forced) in [
            (Protocol::SshNg, "nix-store --serve --write"),
            (Protocol::Ssh, "nix-daemon --stdio"),
        ] {
            let config = format!("ForceCommand {forced}");
            let sshd = desktop.sshd(&[("NIX_REMOTE", remote)], &config).await;
            let report = deep(&sshd, protocol).await;
            failed(&report, Stage::Handshake, Reason::ProtocolMismatch);
        }
    }
}
