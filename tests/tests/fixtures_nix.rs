//! Real Nix finds a builder behind the fixtures, and each of their faults has its real cause.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use offload_tests::{
    Nginx, Sshd,
    fake::{Cache, Desktop, Fault},
    ground::{HERE, free_address},
    nginx::Signature,
    sshd::RemoteNix,
};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A laptop whose Nix knows one builder.
struct Client {
    directory: TempDir,
    address: SocketAddr,
    user: String,
    key: String,
}

impl Client {
    fn of(sshd: &Sshd) -> Self {
        let host_key = sshd.host_key().unwrap();
        Self::new(sshd.address(), sshd.user(), &host_key, sshd.user_key())
    }

    fn of_fake(desktop: &Desktop) -> Self {
        let ssh = &desktop.ssh;
        Self::new(ssh.address(), "nix", ssh.host_key(), desktop.user_key())
    }

    fn new(address: SocketAddr, user: &str, host_key: &str, key: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let known = format!("[{}]:{} {host_key}\n", address.ip(), address.port());
        fs::write(directory.path().join("known_hosts"), known).unwrap();
        Self {
            directory,
            address,
            user: user.to_owned(),
            key: key.display().to_string(),
        }
    }

    /// `ssh` as Nix runs it.
    fn ssh_options(&self) -> Vec<String> {
        let known = self.directory.path().join("known_hosts");
        [
            "-F".into(),
            "none".into(),
            "-oBatchMode=yes".into(),
            "-oIdentitiesOnly=yes".into(),
            "-oStrictHostKeyChecking=yes".into(),
            format!("-oUserKnownHostsFile={}", known.display()),
            format!("-oPort={}", self.address.port()),
            format!("-i{}", self.key),
        ]
        .into()
    }

    /// Runs a command on the builder.
    async fn ssh(&self, command: &str) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.args(self.ssh_options())
            .arg(format!("{}@{}", self.user, self.address.ip()))
            .arg(command);
        finish(ssh).await
    }

    /// Runs a Nix of this machine's with nothing of this machine's, and the builder as its store.
    async fn nix(&self, protocol: &str, arguments: &[&str]) -> Output {
        let [program, arguments @ ..] = arguments else {
            panic!("no program");
        };
        let mut nix = nix(self.directory.path(), program);
        nix.env("NIX_SSHOPTS", self.ssh_options().join(" "))
            .args(arguments)
            // Nix of before 2.22 has no ports in these.
            .arg("--store")
            .arg(format!("{protocol}://{}@{}", self.user, self.address.ip()));
        finish(nix).await
    }

    async fn ping(&self, protocol: &str) -> Output {
        self.nix(protocol, &["nix", "store", "ping"]).await
    }

    /// Whether the builder would believe what this laptop says: only who is trusted may repair.
    async fn is_trusted(&self) -> bool {
        let repair = ["nix-store", "--verify", "--repair"];
        let repaired = self.nix("ssh-ng", &repair).await;
        let refused = said(&repaired).contains("you are not privileged to repair paths");
        assert_ne!(repaired.status.success(), refused, "{repaired:?}");
        repaired.status.success()
    }
}

/// A Nix of this machine's with nothing of this machine's.
fn nix(directory: &Path, program: &str) -> Command {
    let mut nix = Command::new(program);
    nix.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", directory)
        .env("NIX_CONF_DIR", directory.join("no-conf"))
        .env("NIX_USER_CONF_FILES", "")
        .env("NIX_STATE_DIR", directory.join("var"))
        .env("NIX_LOCALSTATE_DIR", directory.join("var"))
        .env("NIX_LOG_DIR", directory.join("log"))
        .env(
            "NIX_CONFIG",
            "experimental-features = nix-command\nbuild-users-group =\nsubstituters =\n",
        );
    nix
}

async fn finish(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn sshd() -> (Sshd, Client) {
    let sshd = Sshd::start(free_address().unwrap()).await.unwrap();
    let client = Client::of(&sshd);
    (sshd, client)
}

const PROTOCOLS: [&str; 2] = ["ssh-ng", "ssh"];

#[tokio::test]
async fn nix_reaches_the_builder_by_both_protocols_and_directly_or_through_its_daemon() {
    let (mut sshd, client) = sshd().await;
    for how in [RemoteNix::Direct, RemoteNix::Daemon] {
        sshd.set_nix(how).await.unwrap();
        for protocol in PROTOCOLS {
            let ping = client.ping(protocol).await;
            assert!(ping.status.success(), "{how:?} {protocol}: {ping:?}");
        }
        assert!(client.is_trusted().await, "{how:?}");
    }
    sshd.set_nix(RemoteNix::Untrusted).await.unwrap();
    let ping = client.ping("ssh-ng").await;
    assert!(ping.status.success(), "{ping:?}");
    assert!(!client.is_trusted().await);
}

#[tokio::test]
async fn the_builders_store_is_its_own() {
    let (sshd, client) = sshd().await;
    let shown = client.ssh("nix-store --version; echo $NIX_STORE_DIR").await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.ends_with(&format!("{}\n", sshd.store().display())),
        "{shown}"
    );
    let added = client
        .ssh("echo hello > $HOME/hello && nix-store --add $HOME/hello")
        .await;
    let path = String::from_utf8(added.stdout.clone()).unwrap();
    assert!(
        Path::new(path.trim()).starts_with(sshd.store()),
        "{added:?}"
    );
    assert!(Path::new(path.trim()).is_file());
}

#[tokio::test]
async fn a_builder_without_nix_still_has_a_shell() {
    let (mut sshd, client) = sshd().await;
    sshd.set_nix(RemoteNix::Missing).await.unwrap();
    let started = client.ssh("nix-daemon --stdio").await;
    assert_eq!(started.status.code(), Some(127), "{started:?}");
    assert!(said(&started).contains("nix-daemon: command not found"));
    let identity = client.ssh("cat /proc/sys/kernel/random/boot_id").await;
    assert_eq!(identity.stdout.len(), 37, "{identity:?}");
    for protocol in PROTOCOLS {
        assert!(!client.ping(protocol).await.status.success());
    }
    sshd.set_nix(RemoteNix::Direct).await.unwrap();
    assert!(client.ping("ssh-ng").await.status.success());
}

#[tokio::test]
async fn a_stopped_nix_daemon_is_what_nix_complains_of() {
    let (mut sshd, client) = sshd().await;
    sshd.set_nix(RemoteNix::Daemon).await.unwrap();
    sshd.set_nix(RemoteNix::DaemonDown).await.unwrap();
    let started = client.ssh("nix-daemon --stdio").await;
    assert_eq!(started.status.code(), Some(1), "{started:?}");
    assert!(said(&started).contains("cannot connect to"), "{started:?}");
    assert!(!client.ping("ssh-ng").await.status.success());
}

#[tokio::test]
async fn a_frozen_nix_daemon_takes_connections_and_says_nothing() {
    let (mut sshd, client) = sshd().await;
    sshd.set_nix(RemoteNix::DaemonFrozen).await.unwrap();
    let mut ssh = tokio::process::Command::new("ssh");
    ssh.args(client.ssh_options())
        .arg(format!("{}@{}", client.user, client.address.ip()))
        .arg("nix-daemon --stdio")
        .kill_on_drop(true)
        .stdin(std::process::Stdio::piped());
    // Its standard input stays open, or the end of that would be the end.
    let mut session = ssh.spawn().unwrap();
    let open = session.stdin.take();
    let silent = timeout(Duration::from_secs(1), session.wait()).await;
    assert!(silent.is_err(), "{silent:?}");
    drop(open);
    sshd.set_nix(RemoteNix::Direct).await.unwrap();
    assert!(client.ping("ssh-ng").await.status.success());
}

#[tokio::test]
async fn a_profile_that_prints_is_what_nix_reads_first() {
    let (sshd, client) = sshd().await;
    sshd.set_profile("echo Welcome to the desktop").unwrap();
    let printed = client.ssh("true").await;
    assert_eq!(printed.stdout, b"Welcome to the desktop\n");
    for protocol in PROTOCOLS {
        let ping = client.ping(protocol).await;
        assert!(said(&ping).contains("mismatch"), "{protocol}: {ping:?}");
    }
    sshd.set_profile("").unwrap();
    assert!(client.ping("ssh-ng").await.status.success());
}

#[tokio::test]
async fn a_forced_command_is_run_whatever_is_asked_for() {
    let (mut sshd, client) = sshd().await;
    sshd.force_command(Some("echo \"hello there\"")).unwrap();
    assert_eq!(client.ssh("true").await.stdout, b"hello there\n");
    sshd.force_command(Some("nix-daemon --stdio")).unwrap();
    assert!(client.ping("ssh-ng").await.status.success());
    assert!(!client.ping("ssh").await.status.success());
    // Who is out stays out.
    sshd.deauthorise().unwrap();
    sshd.force_command(None).unwrap();
    assert_eq!(client.ssh("true").await.status.code(), Some(255));
    sshd.authorise().unwrap();
    assert_eq!(client.ssh("echo again").await.stdout, b"again\n");
}

#[tokio::test]
async fn nix_on_the_builder_says_what_it_was_told_to_offer() {
    let (mut sshd, client) = sshd().await;
    let show = "nix --extra-experimental-features nix-command show-config --json";
    let mut offered = Vec::new();
    for (system, features) in [("", ""), ("aarch64-linux", "big-parallel")] {
        if !system.is_empty() {
            sshd.set_system(system, features).unwrap();
        }
        let shown = client.ssh(show).await;
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let value = |key: &str| shown[key]["value"].clone();
        offered.push((value("system"), value("system-features")));
    }
    let all = ["benchmark", "big-parallel", "kvm", "nixos-test"];
    assert_eq!(offered[0], ("x86_64-linux".into(), all.to_vec().into()));
    assert_eq!(
        offered[1],
        ("aarch64-linux".into(), vec!["big-parallel"].into())
    );
}

/// Copies what the cache serves to a store of the laptop's, which trusts `key` alone.
async fn fetch(url: &str, key: &str, path: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let mut copy = nix(directory.path(), "nix");
    copy.args(["--option", "trusted-public-keys", key])
        .args(["copy", "--from", url])
        .arg("--to")
        .arg(format!("local?root={}", root.display()))
        .arg(path);
    let copied = finish(copy).await;
    if copied.status.success() {
        let inside = root.join(path.trim_start_matches('/'));
        let text = fs::read_to_string(inside).unwrap();
        assert!(text.starts_with("hello from the "), "{text}");
    }
    copied
}

#[tokio::test]
async fn nix_takes_from_the_cache_what_its_own_key_signed_and_nothing_else() {
    let nginx = Nginx::start(free_address().unwrap()).await.unwrap();
    let get = async || fetch(&nginx.url(), nginx.public_key(), nginx.store_path()).await;
    for (signature, accepted) in [
        (Signature::Own, true),
        (Signature::None, false),
        (Signature::Foreign, false),
        (Signature::Own, true),
    ] {
        nginx.sign(signature).unwrap();
        let fetched = get().await;
        assert_eq!(
            fetched.status.success(),
            accepted,
            "{signature:?}: {fetched:?}"
        );
        let unsigned = said(&fetched).contains("lacks a");
        assert_eq!(unsigned, !accepted, "{signature:?}: {fetched:?}");
    }
}

#[tokio::test]
async fn nix_takes_the_fake_builder_for_a_real_one() {
    let any = SocketAddr::new(HERE, 0);
    let desktop = Desktop::start(any, any).await.unwrap();
    let client = Client::of_fake(&desktop);
    for protocol in PROTOCOLS {
        let ping = client.ping(protocol).await;
        assert!(ping.status.success(), "{protocol}: {ping:?}");
    }
    // Both protocols' questions for a path, which it does not have.
    let path = "/nix/store/4x8ysq1i0v2kz7c3m5p6r9wbd0fghjln-hello";
    for protocol in PROTOCOLS {
        let ask = ["nix-store", "--check-validity", path];
        let asked = client.nix(protocol, &ask).await;
        assert!(
            said(&asked).contains("is not valid"),
            "{protocol}: {asked:?}"
        );
    }
    for (fault, complaint) in [
        (Fault::NoNix, "nix-daemon: command not found"),
        (Fault::NixDaemonDown, "cannot connect to socket"),
        (Fault::ProfileOutput, "mismatch"),
        (
            Fault::NotNix,
            "failed to start SSH connection|unexpected end|mismatch",
        ),
        (Fault::OldNix, "too old"),
    ] {
        desktop.set(fault).await.unwrap();
        let ping = client.ping("ssh-ng").await;
        let heard = complaint
            .split('|')
            .any(|words| said(&ping).contains(words));
        assert!(!ping.status.success() && heard, "{fault:?}: {ping:?}");
    }
}

#[tokio::test]
async fn nix_takes_the_fake_cache_for_a_real_one() {
    let cache = Cache::start(SocketAddr::new(HERE, 0)).await.unwrap();
    for (fault, accepted) in [
        (Fault::Healthy, true),
        (Fault::Unsigned, false),
        (Fault::ForeignKey, false),
        (Fault::BadSignature, false),
    ] {
        cache.set(fault).await.unwrap();
        let fetched = fetch(&cache.url(), &cache.public_key(), &cache.store_path()).await;
        assert_eq!(fetched.status.success(), accepted, "{fault:?}: {fetched:?}");
        let unsigned = said(&fetched).contains("lacks a");
        assert_eq!(unsigned, !accepted, "{fault:?}: {fetched:?}");
    }
}
