//! What ssh_config, known_hosts and those who answer say, against what is configured.

use std::{fs, net::SocketAddr, process::Stdio, slice};

use offload_client::{Kind, Reason, Snapshot, TargetState, WarningCode, snapshot::Warning};
use offload_tests::{
    Desktop, Ground, Laptop, Nginx, NixConf, Relay, Sshd,
    daemon::Launch,
    ground::{CACHE_PORT, HERE, MOVED, SSH_PORT},
    nginx::Signature,
    nix_conf::Machine,
};
use russh::keys::{HashAlg, PublicKey};
use tempfile::TempDir;

use super::{POLL, check, codes, declared_at, shown, text, until_none, until_only};

/// The ssh_config that Nix's ssh is told to read, and the known_hosts beside it.
struct Ssh {
    directory: TempDir,
}

impl Ssh {
    /// `options` hold for 127.0.15.6.
    fn new(options: &str) -> Self {
        let ssh = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        ssh.learn("");
        ssh.set(options);
        ssh
    }

    fn set(&self, options: &str) {
        let text = format!(
            "Host 127.0.15.6\n{options}Host *\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
            self.file("known_hosts")
        );
        fs::write(self.file("config"), text).unwrap();
    }

    /// known_hosts has this, and nothing else.
    fn learn(&self, line: &str) {
        fs::write(self.file("known_hosts"), format!("{line}\n")).unwrap();
    }

    /// offloadd with `config`, in the environment that nix-daemon has.
    async fn laptop(&self, nix: &NixConf, config: &str) -> Laptop {
        let launch = Launch {
            config: format!("[nix]\nconf = \"{}\"\n{config}", nix.path().display()),
            environment: vec![("NIX_SSHOPTS".into(), self.options().join(" "))],
            ..Launch::default()
        };
        Laptop::start_with(launch).await.unwrap()
    }

    /// Whether the real ssh, started as Nix starts it, logs in to `sshd`.
    async fn logs_in(&self, sshd: &Sshd) -> bool {
        let mut command = tokio::process::Command::new("ssh");
        command
            .args(self.options())
            .arg("-i")
            .arg(sshd.user_key())
            .arg(format!("-p{}", sshd.address().port()))
            .arg(format!("{}@{}", sshd.user(), sshd.address().ip()))
            .arg("true")
            .env_remove("DISPLAY")
            .env_remove("SSH_ASKPASS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().await.unwrap().success()
    }

    fn options(&self) -> [String; 2] {
        ["-F".into(), self.file("config")]
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

fn fingerprint(sshd: &Sshd) -> String {
    let key = PublicKey::from_openssh(sshd.host_key().unwrap().trim()).unwrap();
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[tokio::test]
async fn an_ssh_config_that_leads_elsewhere_is_told_until_it_is_corrected() {
    let mut desktop = Desktop::start().await.unwrap();
    // The same machine at both addresses, so that nothing differs but what ssh_config says.
    let (here, there) = (desktop.sshd.address(), SocketAddr::new(MOVED, SSH_PORT));
    desktop.sshd.move_to(there).await.unwrap();
    let _here = Relay::start(here, there).await.unwrap();
    let ssh = Ssh::new("HostName 127.0.15.7\nHostKeyAlias 127.0.15.6\n");
    let config = format!(
        "{POLL}[[builder]]\nname = \"desktop\"\nuri = \"ssh-ng://{}@{here}\"\n",
        desktop.sshd.user()
    );
    let laptop = ssh.laptop(&desktop.nix, &config).await;
    let ready = laptop.until_ready().await.unwrap();
    assert_eq!(ready.targets[1].address, "127.0.15.7:2222");

    let warning = until_only(&laptop, WarningCode::SshConfigMismatch).await;
    assert_eq!(warning.target, Some((Kind::Builder, "desktop".into())));
    assert_eq!(text(&warning, "expected"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "actual"), "127.0.15.7:2222");
    let remedy = shown(&laptop, &warning).await;
    assert!(remedy.contains("`sudo ssh -G 127.0.15.6`"), "{remedy}");
    assert!(remedy.contains("`HostName`"), "{remedy}");

    ssh.set("");
    check(&laptop).await;
    until_none(&laptop).await;
    let builder = laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(builder.address, "127.0.15.6:2222");
}

#[tokio::test]
async fn a_host_key_that_nix_lacks_is_told_with_either_line_that_mends_it() {
    let desktop = Desktop::start().await.unwrap();
    let ssh = Ssh::new("");
    let machine = Machine {
        host_key: None,
        ..Machine::of(&desktop.sshd).unwrap()
    };
    desktop.nix.set_machines(slice::from_ref(&machine)).unwrap();
    let laptop = ssh
        .laptop(&desktop.nix, &declared_at(&desktop, "127.0.15.6"))
        .await;

    let warning = until_only(&laptop, WarningCode::HostKeyNotKnown).await;
    let builder = laptop.the(Kind::Builder).await.unwrap();
    let refused = (TargetState::Degraded, Reason::HostKeyNotKnown);
    assert_eq!((builder.state, builder.reason), refused);
    assert_eq!(warning.target, Some((Kind::Builder, "desktop".into())));
    assert_eq!(text(&warning, "expected"), fingerprint(&desktop.sshd));
    assert_eq!(text(&warning, "actual"), "");
    let remedy = shown(&laptop, &warning).await;
    let (line, field) = (
        text(&warning, "known_hosts"),
        text(&warning, "public_host_key"),
    );
    assert!(remedy.contains(&format!("`{line}`")), "{remedy}");
    let option = format!("`publicHostKey = \"{field}\";`");
    assert!(remedy.contains(&option), "{remedy}");

    // ssh takes the line as it is told.
    assert!(!ssh.logs_in(&desktop.sshd).await, "it is known already");
    ssh.learn(line);
    assert!(ssh.logs_in(&desktop.sshd).await, "{line}");
    check(&laptop).await;
    until_none(&laptop).await;
    laptop.until_ready().await.unwrap();

    // Nor does it have to know one that it takes without asking.
    ssh.learn("");
    ssh.set("StrictHostKeyChecking accept-new\n");
    check(&laptop).await;
    until_none(&laptop).await;
    laptop.until_ready().await.unwrap();
    ssh.set("");

    // And Nix the field.
    ssh.learn("");
    check(&laptop).await;
    until_only(&laptop, WarningCode::HostKeyNotKnown).await;
    let with_field = machine.line();
    let with_field = format!("{} {field}\n", with_field.strip_suffix(" -").unwrap());
    desktop.nix.write("machines", &with_field).unwrap();
    until_none(&laptop).await;
    laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn strangers_at_the_old_address_are_told_with_what_they_showed() {
    let _ground = Ground::take().await.unwrap();
    let at = |host| {
        (
            SocketAddr::new(host, CACHE_PORT),
            SocketAddr::new(host, SSH_PORT),
        )
    };
    let (old, new) = (at(HERE), at(MOVED));
    let mut impostor = Sshd::start(old.1).await.unwrap();
    let mut foreign = Nginx::start(old.0).await.unwrap();
    foreign.sign(Signature::Foreign).unwrap();
    let sshd = Sshd::start(new.1).await.unwrap();
    let nginx = Nginx::start(new.0).await.unwrap();
    // Nix has the old address.
    let nix = NixConf::new().unwrap();
    let url = format!("http://{}", old.0);
    nix.set_caches(&[(&url, nginx.public_key())]).unwrap();
    let machine = Machine {
        uri: format!("ssh-ng://{}@{}", sshd.user(), old.1),
        ..Machine::of(&sshd).unwrap()
    };
    nix.set_machines(&[machine]).unwrap();
    let both = "name = \"desktop\"\naddresses = [\"127.0.15.6\", \"127.0.15.7\"]\n";
    let sample = nginx.store_path();
    let config = format!("{POLL}[[cache]]\nsample = \"{sample}\"\n{both}[[builder]]\n{both}");
    let laptop = Laptop::start(&nix, &config).await.unwrap();
    let sorted = |now: &Snapshot| {
        let mut codes = codes(now);
        codes.sort_by_key(|code| code.as_str());
        codes
    };
    let (moved, key, other) = (
        WarningCode::AddressMoved,
        WarningCode::HostKeyMismatch,
        WarningCode::OtherCache,
    );
    let until = async |told: &[WarningCode]| {
        let fits = |now: &Snapshot| sorted(now) == told;
        laptop.until("they are told", fits).await.unwrap()
    };
    let told = until(&[moved, key, other]).await;
    let addresses: Vec<_> = told.targets.iter().map(|it| &*it.address).collect();
    assert_eq!(addresses, ["127.0.15.7:5000", "127.0.15.7:2222"]);
    let of = |code| told.warnings.iter().find(|it| it.code == code).unwrap();
    let builder = of(WarningCode::HostKeyMismatch);
    let is_told = |warning: &Warning, particulars: &[(&str, &str)]| {
        for (key, value) in particulars {
            assert_eq!(text(warning, key), *value, "{key}");
        }
    };
    assert_eq!(builder.target, Some((Kind::Builder, "desktop".into())));
    let [right, wrong] =
        [&sshd, &impostor].map(|sshd| format!("ssh-ed25519 {}", fingerprint(sshd)));
    is_told(
        builder,
        &[
            ("expected", &right),
            ("actual", &wrong),
            ("address", "127.0.15.6:2222"),
            ("reason", "host-key-mismatch"),
            ("observed", "127.0.15.7:2222"),
        ],
    );
    let remedy = shown(&laptop, builder).await;
    let take = "Take 127.0.15.6:2222 out of the builder's addresses";
    assert!(remedy.starts_with(take), "{remedy}");
    assert_eq!(impostor.auth_attempts(), 0, "{}", impostor.log());

    let cache = of(WarningCode::OtherCache);
    assert_eq!(cache.target, Some((Kind::Cache, "desktop".into())));
    is_told(
        cache,
        &[
            ("expected", "test-desktop-1"),
            ("actual", "somebody-else-1"),
            ("address", "127.0.15.6:5000"),
            ("reason", "untrusted-signature"),
            ("observed", "127.0.15.7:5000"),
        ],
    );
    let remedy = shown(&laptop, cache).await;
    let take = "Take 127.0.15.6:5000 out of the cache's addresses";
    assert!(remedy.starts_with(take), "{remedy}");

    impostor.stop();
    check(&laptop).await;
    until(&[moved, other]).await;
    foreign.stop();
    check(&laptop).await;
    until(&[moved]).await;
}
