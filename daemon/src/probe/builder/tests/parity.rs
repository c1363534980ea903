//! The host key is judged as the real ssh judges it, given what Nix gives it.

use std::{fs, path::PathBuf, process::Stdio};

use super::{sshd::Sshd, *};

/// What is configured. `{host}`, `{right}` and `{wrong}` stand for the server's address and for the
/// `type key` of its host key and of another's.
struct Case {
    /// The host of the URI.
    host: &'static str,
    /// What ssh_config says of it.
    config: &'static [(&'static str, &'static str)],
    /// Field 8, decoded.
    field: Option<&'static str>,
    /// The user's known_hosts, which field 8 takes the place of.
    user: &'static str,
    /// The machine's known_hosts.
    machine: &'static str,
    /// Why it is refused, if it is.
    refused: Option<Reason>,
}

const CASES: [Case; 12] = [
    Case {
        field: Some("{right}"),
        refused: None,
        ..PLAIN
    },
    Case {
        field: Some("{wrong}"),
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    // The line is for `desk`, and ssh looks for the address.
    Case {
        host: "desk",
        field: Some("{right}"),
        ..PLAIN
    },
    Case {
        host: "desk",
        config: &[("HostKeyAlias", "desk")],
        field: Some("{right}"),
        refused: None,
        ..PLAIN
    },
    Case {
        config: &[("HostKeyAlias", "other")],
        field: Some("{right}"),
        ..PLAIN
    },
    // Nix writes no port, so that to ssh a key that differs is a new one.
    Case {
        config: &[("StrictHostKeyChecking", "accept-new")],
        field: Some("{wrong}"),
        refused: None,
        ..PLAIN
    },
    // An old field 8 does no harm where the machine's file knows better.
    Case {
        field: Some("{wrong}"),
        machine: "{host} {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        field: Some("{right}"),
        machine: "@revoked * {right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        field: Some("{wrong}"),
        user: "{host} {right}",
        refused: Some(Reason::HostKeyMismatch),
        ..PLAIN
    },
    Case {
        user: "{host} {right}",
        refused: None,
        ..PLAIN
    },
    Case {
        field: Some("no-key"),
        user: "{host} {right}",
        ..PLAIN
    },
    Case {
        config: &[("StrictHostKeyChecking", "accept-new")],
        field: Some("no-key"),
        refused: None,
        ..PLAIN
    },
];

/// Nothing is known.
const PLAIN: Case = Case {
    host: HOST,
    config: &[],
    field: None,
    user: "",
    machine: "",
    refused: Some(Reason::HostKeyUnknown),
};

#[tokio::test]
async fn a_host_key_is_accepted_exactly_where_ssh_accepts_it() {
    let sshd = Sshd::start().await;
    sshd.stranger("other", "ed25519");
    for (number, case) in CASES.iter().enumerate() {
        let (builder, options) = configured(&sshd, case);
        assert_eq!(
            ssh(&sshd, case, &builder, &options).await,
            case.refused.is_none(),
            "case {number}: what ssh does"
        );
        let report = Probe::keeping(builder, options).check().await;
        match case.refused {
            None => assert_ready(&report),
            Some(reason) => drop(failed(&report, Stage::HostKey, reason)),
        }
    }
}

#[tokio::test]
async fn a_field_that_ssh_does_not_find_is_explained() {
    let sshd = Sshd::start().await;
    sshd.stranger("other", "ed25519");
    let [elsewhere, broken] = [&CASES[2], &CASES[10]].map(|case| configured(&sshd, case));
    for ((builder, options), words) in [
        (elsewhere, format!("for desk, and ssh looks for {HOST}")),
        (broken, "no 'type key' line".to_owned()),
    ] {
        let report = Probe::keeping(builder, options).check().await;
        let failure = failed(&report, Stage::HostKey, Reason::HostKeyUnknown);
        assert!(failure.detail.contains(&words), "{}", failure.detail);
    }
}

/// The case as the probe gets it, its files written.
fn configured(sshd: &Sshd, case: &Case) -> (BuilderSpec, SshOptions) {
    let line = |name: &str| public_key(&sshd.path(name)).to_openssh().unwrap();
    let fill = |text: &str| {
        text.replace("{host}", &format!("[{HOST}]:{}", sshd.port))
            .replace("{right}", &line("ed25519"))
            .replace("{wrong}", &line("other"))
    };
    let file = |name: &str, text: &str| -> PathBuf {
        fs::write(sshd.path(name), fill(text)).unwrap();
        sshd.path(name)
    };
    let option = |name: &str| {
        let mut options = case.config.iter();
        options
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    };
    let options = SshOptions {
        user_known_hosts_files: vec![file("known_hosts", case.user)],
        global_known_hosts_files: vec![file("ssh_known_hosts", case.machine)],
        host_key_alias: option("HostKeyAlias").map(str::to_owned),
        strict_host_key_checking: match option("StrictHostKeyChecking") {
            Some("accept-new") => StrictHostKeyChecking::AcceptNew,
            _ => StrictHostKeyChecking::Ask,
        },
        ..options(sshd.port)
    };
    let builder = BuilderSpec {
        host: case.host.into(),
        ssh_key: Some(sshd.key()),
        host_keys: match case.field {
            Some(field) => HostKeyRule::Written(format!("{} {}\n", case.host, fill(field))),
            None => HostKeyRule::KnownHosts,
        },
        ..spec(sshd.port)
    };
    (builder, options)
}

/// Whether the real ssh logs in, given what Nix gives it.
async fn ssh(sshd: &Sshd, case: &Case, builder: &BuilderSpec, options: &SshOptions) -> bool {
    let mut config = format!("Host {}\n HostName {HOST}\n", case.host);
    for (name, value) in case.config {
        config.push_str(&format!(" {name} {value}\n"));
    }
    let at = |name: &str| sshd.path(name).display().to_string();
    fs::write(at("ssh_config"), config).unwrap();
    let user = match &builder.host_keys {
        HostKeyRule::Written(text) => {
            fs::write(at("host-key"), text).unwrap();
            at("host-key")
        }
        _ => options.user_known_hosts_files[0].display().to_string(),
    };
    let ran = tokio::process::Command::new("ssh")
        .args(["-F", &at("ssh_config"), "-i", &at("user")])
        .arg(format!("-oUserKnownHostsFile={user}"))
        .arg(format!("-oGlobalKnownHostsFile={}", at("ssh_known_hosts")))
        .arg(format!("-p{}", sshd.port))
        .arg(format!("root@{}", case.host))
        .arg("true")
        .env_remove("DISPLAY")
        .env_remove("SSH_ASKPASS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ran.await.unwrap().success()
}
