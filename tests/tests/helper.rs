//! `offload-helper`: what root's Nix reads is judged by a daemon that is not root, and nobody else gets at it.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    ffi::OsString,
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use data_encoding::BASE64;
use offload_client::{Reason, Snapshot, TargetState, WarningCode};
use offload_tests::{
    Ground, Nginx, Sshd,
    daemon::{path_with_new_nix, program},
    skip, supported,
};
use tempfile::TempDir;

/// Whom offloadd runs as, and somebody else.
const OFFLOADD: u32 = 65534;
const SOMEBODY: u32 = 65533;

/// A laptop whose root lets nobody else look into `etc`.
struct Laptop {
    directory: TempDir,
    path: OsString,
    helper: Child,
}

impl Laptop {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with_ssh_options(files, "")
    }

    /// `ETC` in `options`, which are those of Nix's ssh, stands for the folder.
    fn with_ssh_options(files: &[(&str, &str)], options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        mode(directory.path(), 0o755);
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("etc")).unwrap();
        for (name, text) in files {
            fs::write(at("etc").join(name), text).unwrap();
        }
        mode(&at("etc"), 0o700);
        let config = format!("[nix]\nconf = \"{}\"\n", at("etc/nix.conf").display());
        fs::write(at("offloadd.toml"), config).unwrap();
        // As systemd starts it: the socket is its third descriptor.
        let listener = UnixListener::bind(at("socket")).unwrap();
        chown(at("socket"), Some(OFFLOADD), None).unwrap();
        let helper = Command::new("sh")
            .args(["-c", "LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null"])
            .arg(program("offload-helper").unwrap())
            .env("LISTEN_FDS", "1")
            .env("NIX_CONF_DIR", at("etc"))
            .env(
                "NIX_SSHOPTS",
                options.replace("ETC", &at("etc").to_string_lossy()),
            )
            .stdin(OwnedFd::from(listener))
            .stderr(File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let path = path_with_new_nix(&at("bin")).unwrap();
        Self {
            directory,
            path,
            helper,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What offloadd finds as `user`, with the helper at that socket.
    fn found(&self, user: u32, socket: &str) -> Snapshot {
        let output = Command::new("setpriv")
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .arg("--clear-groups")
            .arg(program("offloadd").unwrap())
            .args(["--once", "--json", "--config"])
            .arg(self.path("offloadd.toml"))
            .env("PATH", &self.path)
            .env("OFFLOADD_HELPER", self.path(socket))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn warnings(snapshot: &Snapshot) -> Vec<WarningCode> {
    snapshot
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect()
}

/// Both on ports where nobody listens.
const NIX_CONF: &str = "substituters = http://127.0.15.6:9\nfallback = true\n";
const MACHINES: &str = "ssh-ng://nix@127.0.15.6:9 x86_64-linux - 1 1 - - -\n";

#[test]
fn what_only_root_may_read_is_judged_with_the_helper_and_never_blamed_without() {
    if !skip::is_root("a daemon of another user") {
        return;
    }
    let laptop = Laptop::new(&[("nix.conf", NIX_CONF), ("machines", MACHINES)]);
    let without = laptop.found(OFFLOADD, "none");
    assert_eq!(without.state.as_str(), "unknown", "{without:#?}");
    assert_eq!(warnings(&without), [WarningCode::NotVisible; 2]);
    let with = laptop.found(OFFLOADD, "socket");
    assert_eq!(warnings(&with), [], "{with:#?}");
    let of = |kind: &str| {
        let mut targets = with.targets.iter();
        targets.find(|target| target.kind.as_str() == kind).unwrap()
    };
    assert_eq!(of("cache").state, TargetState::Down);
    assert_eq!(of("builder").reason, Reason::Refused);
}

/// A machines line for it with its key and host key, and the one for its own key alone.
fn line(sshd: &Sshd, key: &Path) -> String {
    let host_key = BASE64.encode(sshd.host_key().unwrap().as_bytes());
    let (uri, key) = (sshd.uri(), key.display());
    format!("{uri} x86_64-linux {key} 1 1 - - {host_key}\n")
}

#[tokio::test]
async fn a_key_that_only_root_may_read_logs_in_with_the_helper_and_is_not_visible_without() {
    if !skip::is_root("a daemon of another user") {
        return;
    }
    let ground = Ground::take().await.unwrap();
    let started = Sshd::start(ground.ssh()).await;
    let Some(sshd) = supported(started) else {
        return;
    };
    let laptop = Laptop::new(&[
        ("nix.conf", "substituters =\n"),
        ("machines", &line(&sshd, sshd.user_key())),
    ]);
    let only = |snapshot: Snapshot| {
        assert_eq!(snapshot.targets.len(), 1, "{:#?}", snapshot.targets);
        snapshot.targets[0].clone()
    };
    let with = only(laptop.found(OFFLOADD, "socket"));
    assert_eq!(
        with.state,
        TargetState::Ready,
        "{with:#?}\n{}",
        laptop.log()
    );
    assert!(
        laptop.log().contains(": sign for ssh-ng://"),
        "{}",
        laptop.log()
    );
    // What ssh refuses of a key is told as ssh tells it.
    let key = fs::read_to_string(sshd.user_key()).unwrap();
    for (broken, mode_of, why) in [
        (key.clone(), 0o644, "its mode 0644 lets others read it"),
        (
            key.trim_end().to_owned(),
            0o600,
            "the newline after its last line is missing",
        ),
        (key.replace('\n', "\r\n"), 0o600, "its lines end in CRLF"),
    ] {
        let file = laptop.path("etc/key");
        fs::write(&file, broken).unwrap();
        mode(&file, mode_of);
        fs::write(laptop.path("etc/machines"), line(&sshd, &file)).unwrap();
        let target = only(laptop.found(OFFLOADD, "socket"));
        assert_eq!(target.reason, Reason::KeyUnreadable, "{target:#?}");
        assert!(format!("{:?}", target.details).contains(why), "{target:#?}");
    }
    // The list of builders can be read without, and the key can't.
    mode(&laptop.path("etc"), 0o755);
    fs::write(laptop.path("etc/machines"), line(&sshd, sshd.user_key())).unwrap();
    let without = only(laptop.found(OFFLOADD, "none"));
    assert_eq!(without.state, TargetState::Unknown, "{without:#?}");
    assert_eq!(without.reason, Reason::NotVisible, "{without:#?}");
}

/// The desktop is its own jump host: it is reached through it at an address of its own.
#[tokio::test]
async fn a_jump_takes_root_s_key_and_known_hosts() {
    if !skip::is_root("a daemon of another user") {
        return;
    }
    let ground = Ground::take().await.unwrap();
    let started = Sshd::start(ground.ssh()).await;
    let Some(sshd) = supported(started) else {
        return;
    };
    let (address, host_key) = (sshd.address(), sshd.host_key().unwrap());
    let known = format!("[{}]:{} {host_key}\n", address.ip(), address.port());
    let laptop = Laptop::with_ssh_options(
        &[
            ("nix.conf", "substituters =\n"),
            ("machines", "ssh-ng://tower x86_64-linux - 1 1 - - -\n"),
            ("known_hosts", &known),
        ],
        "-F ETC/ssh_config",
    );
    let (etc, key) = (laptop.path("etc"), laptop.path("etc/key"));
    let write = |gate: &str| {
        let config = format!(
            "Host tower\n ProxyJump gate\n{gate}\
             Host *\n HostName {ip}\n Port {port}\n User {user}\n IdentityFile {key}\n \
             UserKnownHostsFile {etc}/known_hosts\n",
            ip = address.ip(),
            port = address.port(),
            user = sshd.user(),
            key = key.display(),
            etc = etc.display(),
        );
        fs::write(etc.join("ssh_config"), config).unwrap();
    };
    fs::copy(sshd.user_key(), &key).unwrap();
    mode(&key, 0o600);
    write("");
    let only = |snapshot: Snapshot| {
        assert_eq!(snapshot.targets.len(), 1, "{:#?}", snapshot.targets);
        snapshot.targets[0].clone()
    };
    let found = only(laptop.found(OFFLOADD, "socket"));
    let log = laptop.log();
    assert_eq!(found.state, TargetState::Ready, "{found:#?}\n{log}");
    assert!(log.contains(": dial ssh-ng://tower"), "{log}");
    // What the jump's ssh has to say is told.
    write("Host gate\n Port 9\n");
    let found = only(laptop.found(OFFLOADD, "socket"));
    assert_eq!(found.reason, Reason::ProxyFailed, "{found:#?}");
    let told = format!("{:?}", found.details);
    assert!(told.contains("Connection refused"), "{found:#?}");
}

#[tokio::test]
async fn a_login_of_root_s_opens_a_cache_with_the_helper_and_is_not_visible_without() {
    if !skip::is_root("a daemon of another user") {
        return;
    }
    let ground = Ground::take().await.unwrap();
    let started = Nginx::start(ground.cache()).await;
    let Some(mut nginx) = supported(started) else {
        return;
    };
    let users = nginx.directory().join("users");
    fs::write(users, "us3r:{PLAIN}s3cret\n").unwrap();
    nginx.set_server("auth_basic \"Nix\"; auth_basic_user_file users;");
    nginx.restart().await.unwrap();
    let (url, key) = (nginx.url(), nginx.public_key());
    let conf = format!("substituters = {url}\ntrusted-public-keys = {key}\nfallback = true\n");
    let laptop = Laptop::new(&[
        ("nix.conf", &conf),
        ("netrc", "machine 127.0.15.6 login us3r password s3cret\n"),
    ]);
    mode(&laptop.path("etc"), 0o755);
    mode(&laptop.path("etc/netrc"), 0o600);
    let config = laptop.path("offloadd.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text + &nginx.entry("127.0.15.6")).unwrap();
    let standing = |snapshot: Snapshot| {
        let cache = snapshot.targets.first().unwrap();
        (cache.state, cache.reason)
    };
    let without = standing(laptop.found(OFFLOADD, "none"));
    assert_eq!(without, (TargetState::Unknown, Reason::NotVisible));
    let with = standing(laptop.found(OFFLOADD, "socket"));
    assert_eq!(with, (TargetState::Ready, Reason::None), "{}", laptop.log());
}

#[test]
fn who_is_not_offloadd_gets_nothing_though_the_socket_lets_everybody_in() {
    if !skip::is_root("a daemon of another user") {
        return;
    }
    let laptop = Laptop::new(&[("nix.conf", NIX_CONF), ("machines", MACHINES)]);
    mode(&laptop.path("socket"), 0o666);
    let found = laptop.found(SOMEBODY, "socket");
    assert_eq!(warnings(&found), [WarningCode::NotVisible; 2], "{found:#?}");
    let log = laptop.log();
    let mut lines = log.lines();
    let refused = |line: &str| line.starts_with("<4>") && line.contains("user 65533: refused");
    assert!(log.lines().count() > 0 && lines.all(refused), "{log}");
}
