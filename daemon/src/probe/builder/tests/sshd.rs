//! A real OpenSSH server with keys and a log of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{HOST, eventually};

/// A running server. Dropping it ends it and its sessions.
pub(super) struct Sshd {
    dir: TempDir,
    child: Option<Child>,
    /// Where it listens.
    pub port: u16,
}

impl Sshd {
    /// A server with one Ed25519 host key that lets [`Sshd::key`] in.
    pub(super) async fn start() -> Self {
        Self::with(&["ed25519"], "").await
    }

    /// A server with host keys of these types, and lines of configuration that come first and so prevail.
    pub(super) async fn with(host_keys: &[&str], extra: &str) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let port = TcpListener::bind((HOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut config = format!(
            "{extra}\nListenAddress {HOST}:{port}\nPidFile none\nUsePAM no\nStrictModes no\n\
             LogLevel VERBOSE\nPermitRootLogin yes\nAuthorizedKeysFile {}\n",
            at("authorized_keys"),
        );
        for kind in host_keys {
            keygen(&dir.path().join(kind), kind);
            config.push_str(&format!("HostKey {}\n", at(kind)));
        }
        keygen(&dir.path().join("user"), "ed25519");
        fs::write(at("config"), config).unwrap();
        let mut sshd = Self {
            dir,
            child: None,
            port,
        };
        sshd.authorise(&sshd.key());
        sshd.restart().await;
        sshd
    }

    /// Ends it, sessions included, and starts it anew on the same port.
    pub(super) async fn restart(&mut self) {
        self.stop();
        let child = Command::new("/usr/sbin/sshd")
            .arg("-D")
            .arg("-f")
            .arg(self.path("config"))
            .arg("-E")
            .arg(self.path("log"))
            .spawn()
            .unwrap();
        self.child = Some(child);
        let port = self.port;
        eventually("sshd listens", async || {
            TcpStream::connect((HOST, port)).await.is_ok()
        })
        .await;
    }

    /// The user's key, which the server lets in.
    pub(super) fn key(&self) -> PathBuf {
        self.path("user")
    }

    /// A file in its directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new user key that the server does not know.
    pub(super) fn stranger(&self, name: &str, kind: &str) -> PathBuf {
        let path = self.path(name);
        keygen(&path, kind);
        path
    }

    /// Gives its host key a certificate, by which `authority` vouches for it under these names.
    pub(super) async fn certify(&mut self, host_key: &str, authority: &str, names: &str) {
        let at = |name: &str| self.path(name).display().to_string();
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-h", "-I", "desk", "-n", names, "-s", &at(authority)])
            .arg(at(host_key) + ".pub")
            .status();
        assert!(signed.unwrap().success());
        let mut config = fs::read_to_string(at("config")).unwrap();
        config.push_str(&format!("HostCertificate {}-cert.pub\n", at(host_key)));
        fs::write(at("config"), config).unwrap();
        self.restart().await;
    }

    /// Lets this key in and no other.
    pub(super) fn authorise(&self, key: &Path) {
        fs::copy(key.with_extension("pub"), self.path("authorized_keys")).unwrap();
    }

    /// Lets nobody in.
    pub(super) fn deauthorise(&self) {
        fs::write(self.path("authorized_keys"), "").unwrap();
    }

    /// Gives it another host key of the same type.
    pub(super) async fn swap_host_key(&mut self) {
        fs::remove_file(self.path("ed25519")).unwrap();
        keygen(&self.path("ed25519"), "ed25519");
        self.restart().await;
    }

    /// How many lines of its log hold `words`.
    pub(super) fn logged(&self, words: &str) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(words)).count()
    }

    /// Lines that only somebody who tried to log in leaves.
    pub(super) fn auth_attempts(&self) -> usize {
        ["Accepted", "Failed", "Postponed", "authenticating user"]
            .map(|words| self.logged(words))
            .iter()
            .sum()
    }

    /// The processes that serve its connections.
    pub(super) fn sessions(&self) -> Vec<Pid> {
        let listener = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(child.id() as i32));
        let mut found: Vec<Pid> = listener.into_iter().collect();
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            let raw = pid.as_raw_nonzero();
            let children = fs::read_to_string(format!("/proc/{raw}/task/{raw}/children"));
            let children = children.unwrap_or_default();
            let children = children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok());
            found.extend(children.filter_map(Pid::from_raw));
            next += 1;
        }
        found.split_off(1.min(found.len()))
    }

    /// Sends `signal` to all sessions.
    pub(super) fn signal(&self, signal: Signal) {
        for pid in self.sessions() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends `signal` to the one that accepts connections.
    pub(super) fn signal_listener(&self, signal: Signal) {
        let child = self.child.as_ref();
        if let Some(pid) = child.and_then(|child| Pid::from_raw(child.id() as i32)) {
            let _ = kill_process(pid, signal);
        }
    }

    fn stop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keygen(path: &Path, kind: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-t", kind, "-f"]).arg(path);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    assert!(command.status().unwrap().success());
}
