//! The host key is judged as the real ssh judges it, given what Nix gives it.

mod cases;

use std::{fs, process::Stdio};

use self::cases::CASES;
use super::{sshd::Sshd, *};
use crate::nix::ssh_config::ask_with;

/// What is configured. `{host}` stands for the server's address as known_hosts has it with its port, and
/// `{right}`, `{wrong}`, `{ecdsa}`, `{rsa}`, `{authority}` for the `type key` of its Ed25519 host key, of
/// another server's, of its other two, and of the authority that signed the first; `{dir}` for a
/// directory in which `listed` lies.
#[derive(Clone, Copy)]
struct Case {
    /// The host of the URI.
    host: &'static str,
    /// What ssh_config says of it.
    config: &'static [(&'static str, &'static str)],
    /// `NIX_SSHOPTS`.
    options: &'static str,
    /// Field 8, decoded.
    field: Option<&'static str>,
    /// The user's known_hosts, which field 8 takes the place of.
    user: &'static str,
    /// The machine's known_hosts.
    machine: &'static str,
    /// Another file.
    listed: &'static str,
    /// Why it is refused, if it is.
    refused: Option<Reason>,
}

const ACCEPT_NEW: (&str, &str) = ("StrictHostKeyChecking", "accept-new");
const NO: (&str, &str) = ("StrictHostKeyChecking", "no");

/// Nothing is known.
const PLAIN: Case = Case {
    host: HOST,
    config: &[],
    options: "",
    field: None,
    user: "",
    machine: "",
    listed: "",
    refused: Some(Reason::HostKeyUnknown),
};

/// A server with three host keys and a certificate for the first.
async fn certified() -> Sshd {
    let mut sshd = Sshd::with(&["ed25519", "ecdsa", "rsa"], "").await;
    for (name, kind) in [
        ("wrong", "ed25519"),
        ("other-ecdsa", "ecdsa"),
        ("authority", "ed25519"),
    ] {
        sshd.stranger(name, kind);
    }
    sshd.certify("ed25519", "authority", "desk,desk.lan").await;
    sshd
}

#[tokio::test]
async fn a_host_key_is_accepted_exactly_where_ssh_accepts_it() {
    let sshd = certified().await;
    for (number, case) in CASES.iter().enumerate() {
        let (builder, options) = configured(&sshd, case).await;
        assert_eq!(
            ssh(&sshd, case, &builder).await,
            case.refused.is_none(),
            "case {number}: what ssh does"
        );
        let report = Probe::keeping(builder, options).check().await;
        let judged = match &report.outcome {
            Ok(_) => None,
            Err(failure) => Some((failure.stage, failure.reason)),
        };
        let expected = case.refused.map(|reason| (Stage::HostKey, reason));
        assert_eq!(judged, expected, "case {number}: {report:?}");
    }
}

#[tokio::test]
async fn a_field_that_ssh_does_not_find_is_explained() {
    let sshd = certified().await;
    let elsewhere = Case {
        host: "desk",
        field: Some("{right}"),
        ..PLAIN
    };
    let broken = Case {
        field: Some("no-key"),
        ..PLAIN
    };
    let outdone = Case {
        options: "-oUserKnownHostsFile=/dev/null",
        field: Some("{right}"),
        ..PLAIN
    };
    for (case, words) in [
        (elsewhere, format!("for desk, and ssh looks for {HOST}")),
        (broken, "no 'type key' line".to_owned()),
        (outdone, "NIX_SSHOPTS names a UserKnownHostsFile".to_owned()),
    ] {
        let (builder, options) = configured(&sshd, &case).await;
        let report = Probe::keeping(builder, options).check().await;
        let failure = failed(&report, Stage::HostKey, Reason::HostKeyUnknown);
        assert!(failure.detail.contains(&words), "{}", failure.detail);
    }
}

/// The case as the probe gets it, its files written.
async fn configured(sshd: &Sshd, case: &Case) -> (BuilderSpec, SshOptions) {
    for (name, text) in [
        ("known_hosts", case.user),
        ("ssh_known_hosts", case.machine),
        ("listed", case.listed),
    ] {
        fs::write(sshd.path(name), fill(sshd, text)).unwrap();
    }
    let mut config = format!("Host {}\n HostName {HOST}\n", case.host);
    let at = |name: &str| sshd.path(name).display().to_string();
    let (user, machine) = (at("known_hosts"), at("ssh_known_hosts"));
    for (name, value) in case.config.iter().copied().chain([
        ("UserKnownHostsFile", user.as_str()),
        ("GlobalKnownHostsFile", machine.as_str()),
    ]) {
        config.push_str(&format!(" {name} {}\n", fill(sshd, value)));
    }
    fs::write(sshd.path("ssh_config"), config).unwrap();
    let builder = BuilderSpec {
        host: case.host.into(),
        ssh_key: Some(sshd.key()),
        host_keys: match case.field {
            Some(field) => HostKeyRule::Written(format!("{} {}\n", case.host, fill(sshd, field))),
            None => HostKeyRule::KnownHosts,
        },
        ..spec(sshd.port)
    };
    let (key, user) = (builder.ssh_key.as_deref(), builder.user.as_deref());
    let options = nix_sshopts(sshd, case);
    let options = ask_with(
        &options,
        case.host,
        user,
        builder.port,
        key,
        case.field.is_some(),
    );
    (builder.clone(), options.await.unwrap())
}

fn fill(sshd: &Sshd, text: &str) -> String {
    let line = |name: &str| public_key(&sshd.path(name)).to_openssh().unwrap();
    let mut text = text
        .replace("{dir}", &sshd.path("").display().to_string())
        .replace("{host}", &format!("[{HOST}]:{}", sshd.port))
        .replace("{right}", &line("ed25519"));
    for name in ["wrong", "ecdsa", "rsa", "other-ecdsa", "authority"] {
        text = text.replace(&format!("{{{name}}}"), &line(name));
    }
    text
}

fn nix_sshopts(sshd: &Sshd, case: &Case) -> String {
    let options = fill(sshd, case.options);
    format!("-F '{}' {options}", sshd.path("ssh_config").display())
}

/// Whether the real ssh logs in, given what Nix gives it.
async fn ssh(sshd: &Sshd, case: &Case, builder: &BuilderSpec) -> bool {
    let at = |name: &str| sshd.path(name).display().to_string();
    let mut command = format!(
        "exec ssh root@{} {} -i {}",
        case.host,
        nix_sshopts(sshd, case),
        at("user")
    );
    if let HostKeyRule::Written(text) = &builder.host_keys {
        fs::write(at("host-key"), text).unwrap();
        command.push_str(&format!(" -oUserKnownHostsFile={}", at("host-key")));
    }
    let ran = tokio::process::Command::new("sh")
        .args(["-c", &format!("{command} -p{} true", sshd.port)])
        .env_remove("DISPLAY")
        .env_remove("SSH_ASKPASS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ran.await.unwrap().success()
}
