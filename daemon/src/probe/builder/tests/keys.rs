//! Which keys are offered, and what is said where none is good.

use std::path::{Path, PathBuf};

use super::{sshd::Sshd, *};

fn probe(sshd: &Sshd, entry: Option<PathBuf>, configured: &[PathBuf]) -> Probe {
    let builder = BuilderSpec {
        ssh_key: entry,
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    };
    let options = SshOptions {
        identity_files: configured.to_vec(),
        ..options(sshd.port)
    };
    Probe::keeping(builder, options)
}

#[tokio::test]
async fn a_removed_key_is_rejected_and_named() {
    let sshd = Sshd::start().await;
    sshd.deauthorise();
    let report = probe(&sshd, Some(sshd.key()), &[]).check().await;
    let failure = failed(&report, Stage::Auth, Reason::AuthRejected);
    let offered = fingerprint(&sshd.key());
    assert!(failure.detail.contains(&offered), "{}", failure.detail);
    assert_eq!(list(&report, "tried_keys"), [offered]);
    assert_eq!(text(&report, "user"), "root");
    assert!(report.facts.is_some(), "the host key was proved");
    assert!(sshd.auth_attempts() > 0);
}

#[tokio::test]
async fn an_rsa_key_signs_with_sha2() {
    let sshd = Sshd::start().await;
    let rsa = sshd.stranger("rsa-user", "rsa");
    sshd.authorise(&rsa);
    assert_ready(&probe(&sshd, Some(rsa), &[]).check().await);
}

/// Makes the server take keys that have a certificate and no others; `key` gets one.
fn certify(sshd: &Sshd, key: &Path, options: &[&str]) -> PathBuf {
    if !sshd.path("authority").exists() {
        let authority = sshd.stranger("authority", "ed25519");
        let authority = std::fs::read_to_string(authority.with_extension("pub")).unwrap();
        let line = format!("cert-authority {authority}");
        std::fs::write(sshd.path("authorized_keys"), line).unwrap();
    }
    let signed = std::process::Command::new("ssh-keygen")
        .args(["-q", "-I", "us", "-n", "root"])
        .args(options)
        .arg("-s")
        .arg(sshd.path("authority"))
        .arg(key.with_extension("pub"))
        .status();
    assert!(signed.unwrap().success());
    PathBuf::from(format!("{}-cert.pub", key.display()))
}

#[tokio::test]
async fn a_certificate_beside_a_key_is_offered_after_it() {
    let sshd = Sshd::start().await;
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = sshd.stranger(&format!("{kind}-of-user"), kind);
        certify(&sshd, &key, &[]);
        let report = probe(&sshd, Some(key.clone()), &[]).check().await;
        assert_ready(&report);
        let plain = fingerprint(&key);
        let offered = [plain.clone(), format!("{plain} (certificate)")];
        assert_eq!(list(&report, "tried_keys"), offered);
        assert_eq!(text(&report, "identity"), key.display().to_string());
    }
}

#[tokio::test]
async fn a_certificate_that_is_named_comes_first_and_none_beside_a_key_counts() {
    let sshd = Sshd::start().await;
    let key = sshd.stranger("key", "ed25519");
    let beside = certify(&sshd, &key, &[]);
    let named = sshd.path("named");
    std::fs::rename(&beside, &named).unwrap();
    let naming = |certificates: &[&Path]| {
        let mut probe = probe(&sshd, Some(key.clone()), &[]);
        probe.reconfigure(|options| {
            options.certificate_files = certificates.iter().map(|path| (*path).into()).collect();
        });
        probe
    };
    let report = naming(&[&named]).check().await;
    assert_ready(&report);
    assert_eq!(list(&report, "tried_keys").len(), 1);
    assert_eq!(text(&report, "identity"), named.display().to_string());

    std::fs::copy(&named, &beside).unwrap();
    let missing = sshd.path("missing");
    let report = naming(&[&missing]).check().await;
    failed(&report, Stage::Auth, Reason::AuthRejected);
    let other = certify(&sshd, &sshd.stranger("other", "ed25519"), &[]);
    let report = naming(&[&other]).check().await;
    failed(&report, Stage::Auth, Reason::AuthRejected);
}

#[tokio::test]
async fn a_certificate_that_has_expired_or_is_of_a_host_lets_nobody_in() {
    let sshd = Sshd::start().await;
    for (name, options) in [("old", &["-V", "20200101:20200102"][..]), ("host", &["-h"])] {
        let key = sshd.stranger(name, "ed25519");
        certify(&sshd, &key, options);
        let report = probe(&sshd, Some(key), &[]).check().await;
        failed(&report, Stage::Auth, Reason::AuthRejected);
    }
}

#[tokio::test]
async fn only_what_ssh_config_lets_ssh_sign_with_is_offered() {
    let sshd = Sshd::start().await;
    let rsa = sshd.stranger("rsa-user", "rsa");
    let keys = [sshd.key(), rsa.clone()]
        .map(|key| std::fs::read_to_string(key.with_extension("pub")).unwrap());
    std::fs::write(sshd.path("authorized_keys"), keys.concat()).unwrap();
    for (key, accepted, is_let_in) in [
        (&rsa, &["rsa-sha2-256"][..], true),
        (&rsa, &["ssh-ed25519", "rsa-sha2-512"], true),
        (&rsa, &["ssh-ed25519"], false),
        (&rsa, &["ssh-rsa"], false),
        (&sshd.key(), &["ssh-ed25519"], true),
        (&sshd.key(), &["ssh-ed25519-cert-v01@openssh.com"], false),
    ] {
        let mut probe = probe(&sshd, Some(key.clone()), &[]);
        probe.reconfigure(|options| {
            options.key_algorithms = accepted.iter().map(|name| (*name).to_owned()).collect();
        });
        let report = probe.check().await;
        if is_let_in {
            assert_ready(&report);
        } else {
            failed(&report, Stage::Auth, Reason::SshConfigPrevents);
            let keyword = text(&report, "ssh_config_keyword");
            assert_eq!(keyword, "pubkeyacceptedalgorithms");
        }
    }
    let mut probe = probe(&sshd, Some(rsa), &[]);
    probe.reconfigure(|options| options.offers_keys = false);
    failed(&probe.check().await, Stage::Auth, Reason::SshConfigPrevents);
}

#[tokio::test]
async fn without_a_key_of_its_own_the_configured_ones_are_tried_in_order() {
    let sshd = Sshd::start().await;
    let first = sshd.stranger("first", "ecdsa");
    let configured = [sshd.path("missing"), first.clone(), sshd.key()];
    let report = probe(&sshd, None, &configured).check().await;
    assert_ready(&report);
    assert_eq!(
        list(&report, "tried_keys"),
        [fingerprint(&first), fingerprint(&sshd.key())]
    );
    assert!(!report.details.contains_key("unreadable_keys"));
}

#[tokio::test]
async fn an_unreadable_key_counts_only_where_no_other_is_good() {
    let sshd = Sshd::start().await;
    let missing = sshd.path("missing");
    let report = probe(&sshd, Some(missing.clone()), &[sshd.key()])
        .check()
        .await;
    assert_ready(&report);
    let unreadable = &list(&report, "unreadable_keys")[0];
    assert!(unreadable.starts_with(&missing.display().to_string()));

    sshd.deauthorise();
    let report = probe(&sshd, Some(missing.clone()), &[sshd.key()])
        .check()
        .await;
    let failure = failed(&report, Stage::Auth, Reason::KeyUnreadable);
    assert!(
        failure.detail.contains("No such file"),
        "{}",
        failure.detail
    );
    assert!(failure.detail.contains(&missing.display().to_string()));
}

#[tokio::test]
async fn no_key_at_all_is_told_from_a_rejected_one() {
    let sshd = Sshd::start().await;
    let missing = [sshd.path("id_a"), sshd.path("id_b")];
    let report = probe(&sshd, None, &missing).check().await;
    let failure = failed(&report, Stage::Auth, Reason::KeyUnreadable);
    assert!(failure.detail.contains("id_a") && failure.detail.contains("id_b"));
}

#[tokio::test]
async fn a_second_factor_is_named() {
    let methods = "PasswordAuthentication yes\nAuthenticationMethods publickey,password";
    let sshd = Sshd::with(&["ed25519"], methods).await;
    let report = probe(&sshd, Some(sshd.key()), &[]).check().await;
    let failure = failed(&report, Stage::Auth, Reason::AuthRejected);
    assert!(
        failure.detail.contains("demands password"),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn a_server_that_takes_no_keys_is_told_from_one_that_does_not_take_ours() {
    let sshd = Sshd::with(
        &["ed25519"],
        "PubkeyAuthentication no\nPasswordAuthentication yes",
    )
    .await;
    let report = probe(&sshd, Some(sshd.key()), &[]).check().await;
    let failure = failed(&report, Stage::Auth, Reason::AuthRejected);
    assert!(
        failure.detail.contains("only password"),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_after_too_many_keys_rejects() {
    let sshd = Sshd::with(&["ed25519"], "MaxAuthTries 1").await;
    let strangers = ["a", "b", "c"].map(|name| sshd.stranger(name, "ed25519"));
    let report = probe(&sshd, None, &strangers).check().await;
    let failure = failed(&report, Stage::Auth, Reason::AuthRejected);
    assert!(failure.detail.contains("Too many"), "{}", failure.detail);
}

#[tokio::test]
async fn no_more_keys_are_offered_than_a_server_lets_pass() {
    let sshd = Sshd::with(&["ed25519"], "MaxAuthTries 20").await;
    let strangers: Vec<_> = (0..8)
        .map(|n| sshd.stranger(&format!("stranger{n}"), "ed25519"))
        .collect();
    let report = probe(&sshd, None, &strangers).check().await;
    failed(&report, Stage::Auth, Reason::AuthRejected);
    assert_eq!(list(&report, "tried_keys").len(), 6);
}

#[tokio::test]
async fn what_a_server_shows_while_it_waits_for_somebody_is_told() {
    let banner = tempfile::NamedTempFile::new().unwrap();
    let words = "To authenticate, visit: https://login.example.org/a/1234";
    std::fs::write(banner.path(), words).unwrap();
    let extra = format!(
        "Banner {}\nAuthorizedKeysCommand /usr/bin/sleep 1000\nAuthorizedKeysCommandUser root",
        banner.path().display()
    );
    let sshd = Sshd::with(&["ed25519"], &extra).await;
    sshd.deauthorise();
    let spec = BuilderSpec {
        ssh_key: Some(sshd.key()),
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    };
    let (options, bound) = (options(sshd.port), Duration::from_secs(3));
    let mut probe = Probe::within(spec, options, Connection::Keep, bound, bound);
    let report = probe.check().await;
    failed(&report, Stage::Auth, Reason::TimedOut);
    assert_eq!(text(&report, "auth_banner"), words);
}

#[tokio::test]
async fn what_the_server_shows_before_authentication_is_kept_where_it_rejects() {
    let banner = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        banner.path(),
        format!("\x1b[31mKeep out!{}", "!".repeat(2000)),
    )
    .unwrap();
    let extra = format!("Banner {}", banner.path().display());
    let sshd = Sshd::with(&["ed25519"], &extra).await;
    let report = probe(&sshd, Some(sshd.key()), &[]).check().await;
    assert_ready(&report);
    assert!(!report.details.contains_key("auth_banner"));
    sshd.deauthorise();
    let report = probe(&sshd, Some(sshd.key()), &[]).check().await;
    failed(&report, Stage::Auth, Reason::AuthRejected);
    let shown = text(&report, "auth_banner");
    assert!(shown.starts_with("\\x1b[31mKeep out!"), "{shown}");
    assert!(shown.chars().count() <= 257, "{}", shown.len());
}
