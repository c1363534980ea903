//! A builder that lets us in, and one that does not prove who it is.

use offload_client::{Reason, Stage};

use super::{sshd::Sshd, *};
use crate::health::Depth;
use crate::report::{Learned, SSH_SETUP};

/// As Nix has it with a key and a host key in the machines file.
fn builder(sshd: &Sshd) -> BuilderSpec {
    BuilderSpec {
        ssh_key: Some(sshd.key()),
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    }
}

fn known_hosts(sshd: &Sshd, host: &str, key: &str) -> SshOptions {
    let key = public_key(&sshd.path(key)).to_openssh().unwrap();
    std::fs::write(sshd.path("known_hosts"), format!("{host} {key}\n")).unwrap();
    SshOptions {
        user_known_hosts_files: vec![sshd.path("missing"), sshd.path("known_hosts")],
        ..options(sshd.port)
    }
}

#[tokio::test]
async fn a_builder_that_lets_us_in_is_ready() {
    let sshd = Sshd::start().await;
    let report = Probe::keeping(builder(&sshd), options(sshd.port))
        .check()
        .await;
    assert_ready(&report);
    assert_eq!(report.address, Some(format!("{HOST}:{}", sshd.port)));
    let Some(Learned::Builder(facts)) = &report.facts else {
        panic!("{report:?}");
    };
    assert_eq!(
        facts.host_key_fingerprint,
        fingerprint(&sshd.path("ed25519"))
    );
    assert_eq!((facts.protocol.as_str(), facts.max_jobs), ("ssh-ng", 4));
    assert_eq!(facts.trusted, "unknown");
    assert_eq!(text(&report, "user"), "root");
    assert_eq!(text(&report, "host_key_algorithm"), "ssh-ed25519");
    assert_eq!(text(&report, "identity"), sshd.key().display().to_string());
    assert!(text(&report, "server_identification").starts_with("SSH-2.0-OpenSSH"));
}

#[tokio::test]
async fn a_key_that_is_replaced_and_another_answer_of_ssh_are_another_setup() {
    let sshd = Sshd::start().await;
    let setup = async |options| {
        let mut probe = Probe::keeping(builder(&sshd), options);
        // Four of them would be too much for the stack of a test.
        let report = Box::pin(probe.check()).await;
        assert_ready(&report);
        text(&report, SSH_SETUP).to_owned()
    };
    let first = setup(options(sshd.port)).await;
    assert_eq!(setup(options(sshd.port)).await, first);
    let other = SshOptions {
        identities_only: true,
        ..options(sshd.port)
    };
    assert_ne!(setup(other).await, first);
    let key = std::fs::read(sshd.key()).unwrap();
    std::fs::write(sshd.key(), key).unwrap();
    assert_ne!(setup(options(sshd.port)).await, first);
}

#[test]
fn a_check_can_run_in_a_task_of_its_own() {
    fn assert_send(_: impl Send) {}
    let mut probe = Probe::keeping(spec(1), options(1));
    assert_send(probe.session.check(Depth::Cheap));
    assert_send(probe.session);
}

#[tokio::test]
async fn the_address_comes_from_ssh_config_as_a_whole() {
    let sshd = Sshd::start().await;
    // What is asked is the real `ssh -G`, which knows nothing of this address.
    let mut probe = Probe::keeping(builder(&sshd), options(1));
    probe.session.asked = None;
    assert_ready(&probe.session.check(Depth::Cheap).await);
}

#[tokio::test]
async fn a_changed_host_key_stops_everything() {
    let mut sshd = Sshd::start().await;
    let old = fingerprint(&sshd.path("ed25519"));
    let mut probe = Probe::keeping(builder(&sshd), options(sshd.port));
    sshd.swap_host_key().await;
    let report = probe.check().await;
    let failure = failed(&report, Stage::HostKey, Reason::HostKeyMismatch);
    let new = fingerprint(&sshd.path("ed25519"));
    assert!(failure.detail.contains(&old) && failure.detail.contains(&new));
    assert!(text(&report, "host_key_presented").ends_with(&new));
    assert!(list(&report, "host_key_expected")[0].ends_with(&old));
    assert_eq!(report.facts, None);

    eventually("the end is logged", async || sshd.logged("[preauth]") > 0).await;
    assert_eq!(sshd.auth_attempts(), 0);
}

#[tokio::test]
async fn without_a_known_host_key_nobody_tries_to_log_in() {
    let sshd = Sshd::start().await;
    let builder = BuilderSpec {
        host_keys: HostKeyRule::KnownHosts,
        ..builder(&sshd)
    };
    let report = Probe::keeping(builder.clone(), options(sshd.port))
        .check()
        .await;
    let failure = failed(&report, Stage::HostKey, Reason::HostKeyUnknown);
    let presented = fingerprint(&sshd.path("ed25519"));
    assert!(failure.detail.contains(&presented), "{}", failure.detail);
    eventually("the end is logged", async || sshd.logged("[preauth]") > 0).await;
    assert_eq!(sshd.auth_attempts(), 0);

    let taking_all = SshOptions {
        strict_host_key_checking: StrictHostKeyChecking::AcceptNew,
        ..options(sshd.port)
    };
    assert_ready(&Probe::keeping(builder, taking_all).check().await);
    assert!(sshd.auth_attempts() > 0);
}

#[tokio::test]
async fn a_key_that_ssh_accepts_proves_the_builder_only_where_it_is_known() {
    let sshd = Sshd::start().await;
    let written = HostKeyRule::KnownHosts;
    let (strict, lax) = (StrictHostKeyChecking::Yes, StrictHostKeyChecking::AcceptNew);
    for (rule, name, strictness, expected) in [
        (written.clone(), HOST, strict, true),
        (written.clone(), HOST, lax, true),
        (written, "another-host", lax, false),
        (pinned(&sshd.path("ed25519")), "another-host", lax, true),
    ] {
        let builder = BuilderSpec {
            host_keys: rule,
            ..builder(&sshd)
        };
        let options = SshOptions {
            strict_host_key_checking: strictness,
            ..known_hosts(&sshd, name, "ed25519")
        };
        let mut probe = Probe::keeping(builder, options);
        for _ in ["anew", "on the kept connection"] {
            let report = probe.check().await;
            assert_ready(&report);
            let proved = &report.details["host_key_proved"];
            assert_eq!(proved, &Detail::Bool(expected), "{name} {strictness:?}");
            assert_eq!(report.signs.proved, expected, "{name} {strictness:?}");
        }
    }
}

#[tokio::test]
async fn known_hosts_is_read_under_the_names_that_ssh_looks_for() {
    let sshd = Sshd::start().await;
    let builder = BuilderSpec {
        host_keys: HostKeyRule::KnownHosts,
        ..builder(&sshd)
    };
    let with_port = format!("[{HOST}]:{}", sshd.port);
    for name in [with_port.as_str(), HOST] {
        let options = known_hosts(&sshd, name, "ed25519");
        assert_ready(&Probe::keeping(builder.clone(), options).check().await);
    }
    let mut options = known_hosts(&sshd, "the-desktop", "ed25519");
    options.host_key_alias = Some("the-desktop".into());
    assert_ready(&Probe::keeping(builder.clone(), options).check().await);

    let options = known_hosts(&sshd, "another-host", "ed25519");
    let report = Probe::keeping(builder, options).check().await;
    failed(&report, Stage::HostKey, Reason::HostKeyUnknown);
}

#[tokio::test]
async fn of_several_host_keys_the_known_one_is_proved() {
    let sshd = Sshd::with(&["ed25519", "ecdsa", "rsa"], "").await;
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let builder = BuilderSpec {
            host_keys: pinned(&sshd.path(kind)),
            ..builder(&sshd)
        };
        let report = Probe::keeping(builder, options(sshd.port)).check().await;
        assert_ready(&report);
        let Some(Learned::Builder(facts)) = &report.facts else {
            panic!("{report:?}");
        };
        assert_eq!(facts.host_key_fingerprint, fingerprint(&sshd.path(kind)));
    }
}

#[tokio::test]
async fn a_server_without_a_common_cipher_breaks_the_protocol() {
    let sshd = Sshd::with(&["ed25519"], "Ciphers 3des-cbc").await;
    let report = Probe::keeping(builder(&sshd), options(sshd.port))
        .check()
        .await;
    let failure = failed(&report, Stage::HostKey, Reason::SshProtocol);
    assert!(failure.detail.contains("3des-cbc"), "{}", failure.detail);
}

#[tokio::test]
async fn a_jump_host_is_as_good_as_a_wire() {
    let sshd = Sshd::start().await;
    let command = format!(
        "ssh -F none -i {} -o BatchMode=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -p {} -W {HOST}:{} root@{HOST}",
        sshd.key().display(),
        sshd.port,
        sshd.port,
    );
    let options = SshOptions {
        proxy_command: Some(command.clone()),
        ..options(sshd.port)
    };
    let mut probe = Probe::keeping(builder(&sshd), options);
    let report = probe.check().await;
    assert_ready(&report);
    assert_eq!(text(&report, "proxy"), command);
    assert!(report.signs.proxied);
    assert_ready(&probe.check().await);
    assert_eq!(sshd.logged("Accepted publickey"), 2);

    drop(probe);
    eventually("both connections end", async || sshd.sessions().is_empty()).await;
}

#[tokio::test]
async fn a_proxy_that_ends_early_says_why() {
    let sshd = Sshd::start().await;
    let options = SshOptions {
        proxy_command: Some("sh -c 'echo no way through >&2; exit 4'".into()),
        ..options(sshd.port)
    };
    let report = Probe::keeping(builder(&sshd), options).check().await;
    let failure = failed(&report, Stage::Connect, Reason::ProxyFailed);
    assert!(failure.detail.ends_with("(exit status: 4): no way through"));
}
