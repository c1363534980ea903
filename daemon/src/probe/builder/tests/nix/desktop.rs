//! A desktop with a Nix of its own.

use super::*;

/// A Nix with a store of its own, and what stands in its way.
pub(super) struct Desktop {
    dir: TempDir,
    daemon: Option<Child>,
}

impl Desktop {
    pub(super) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        // The untrusted user has to get in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["bin", "conf", "store", "state", "home"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(
            dir.path().join("conf/nix.conf"),
            "build-users-group =\nsubstituters =\nsandbox = false\n",
        )
        .unwrap();
        Self { dir, daemon: None }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let at = |name| self.at(name).display().to_string();
        vec![
            ("PATH", format!("{}:/usr/bin:/bin", at("bin"))),
            ("HOME", at("home")),
            ("NIX_STORE_DIR", at("store")),
            ("NIX_STATE_DIR", at("state")),
            ("NIX_LOG_DIR", at("log")),
            ("NIX_CONF_DIR", at("conf")),
            ("NIX_USER_CONF_FILES", at("none")),
            ("NIX_DAEMON_SOCKET_PATH", at("socket")),
        ]
    }

    /// Starts its daemon, run by root: `nix-daemon` and `nix-store` of this desktop ask it.
    pub(super) async fn with_daemon(mut self) -> Self {
        let child = Command::new("nix-daemon")
            .env_clear()
            .envs(self.environment())
            // Else it may take its own socket for its daemon's, and call itself without an end.
            .env("NIX_REMOTE", "local")
            .stderr(fs::File::create(self.at("daemon.log")).unwrap())
            .spawn();
        self.daemon = Some(child.unwrap());
        let socket = self.at("socket");
        eventually("nix-daemon listens", async || socket.exists()).await;
        self
    }

    /// Whoever logs in becomes a user whom nobody trusts.
    pub(super) fn untrusted(self) -> Self {
        for program in ["nix-daemon", "nix-store"] {
            self.program(
                program,
                &format!(
                    "exec setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/{program} \"$@\""
                ),
            );
        }
        self
    }

    /// Puts a program first on the path.
    pub(super) fn program(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// sshd in front of it, with `more` of the environment and of sshd's configuration.
    pub(super) async fn sshd(&self, more: &[(&'static str, &str)], config: &str) -> Sshd {
        let mut environment = self.environment();
        for (name, value) in more {
            environment.retain(|(other, _)| other != name);
            environment.push((name, (*value).to_owned()));
        }
        let words = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let words: Vec<String> = words.collect();
        Sshd::with(
            &["ed25519"],
            &format!("SetEnv {}\n{config}", words.join(" ")),
        )
        .await
    }

    pub(super) fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().unwrap();
        kill_process(Pid::from_raw(daemon.id() as i32).unwrap(), signal).unwrap();
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
