//! A real OpenSSH server: the desktop's builder, with a Nix of its own behind it.

mod remote_nix;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Error, Result,
    error::Context,
    eventually,
    keys::KeyFile,
    process::{Process, run, system_program},
};

use remote_nix::Installation;
pub use remote_nix::RemoteNix;

const PATIENCE: Duration = Duration::from_secs(10);

/// A running `sshd` with its own host keys, its own `authorized_keys` and a user key that is in it.
///
/// `nix-daemon --stdio` and `nix-store --serve --write` answer over it, with a store that is nobody
/// else's. What is switched of that holds from the next login on; sshd goes on meanwhile.
#[derive(Debug)]
pub struct Sshd {
    process: Option<Process>,
    directory: TempDir,
    address: SocketAddr,
    netns: Option<String>,
    user: String,
    user_key: KeyFile,
    host_keys: [KeyFile; 2],
    nix: Installation,
    forced: Option<String>,
}

impl Sshd {
    /// Starts one on `address`.
    ///
    /// # Errors
    /// When openssh-server or Nix is missing or the port is taken; sshd's log is in the error.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        Self::start_inside(address, None).await
    }

    /// The same inside a network namespace.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_inside(address: SocketAddr, netns: Option<&str>) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for sshd")?;
        let file = |name: &str| directory.path().join(name);
        let mut sshd = Self {
            process: None,
            address,
            netns: netns.map(str::to_owned),
            user: run("id", ["-un"])?.trim().to_owned(),
            user_key: KeyFile::generate(file("user_key"), "ed25519")?,
            host_keys: [
                KeyFile::generate(file("host_ed25519"), "ed25519")?,
                KeyFile::generate(file("host_rsa"), "rsa")?,
            ],
            nix: Installation::new()?,
            forced: None,
            directory,
        };
        sshd.authorise()?;
        sshd.restart().await?;
        Ok(sshd)
    }

    /// Where it listens, or listened last.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who may log in: the user who runs the tests.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `ssh-ng://user@host:port`, as Nix would be given it.
    pub fn uri(&self) -> String {
        format!("ssh-ng://{}@{}", self.user, self.address)
    }

    /// `ssh://user@host:port`: the same builder by the older protocol.
    pub fn ssh_uri(&self) -> String {
        format!("ssh://{}@{}", self.user, self.address)
    }

    /// The store directory of its Nix, which is not `/nix/store`.
    pub fn store(&self) -> PathBuf {
        self.nix.store()
    }

    /// The private key that is authorised.
    pub fn user_key(&self) -> &Path {
        self.user_key.path()
    }

    /// Its `[[builder]]` in offloadd's configuration, with key and host key; keys may be added to the end.
    ///
    /// # Errors
    /// When its host key can't be read.
    pub fn entry(&self, name: &str) -> Result<String> {
        Ok(format!(
            "[[builder]]\nname = \"{name}\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n",
            self.uri(),
            self.user_key().display(),
            self.host_key()?
        ))
    }

    /// The public line of its ed25519 host key.
    ///
    /// # Errors
    /// When the key file is gone.
    pub fn host_key(&self) -> Result<String> {
        self.host_keys[0].public_line()
    }

    /// The public line of its RSA host key.
    ///
    /// # Errors
    /// When the key file is gone.
    pub fn host_key_rsa(&self) -> Result<String> {
        self.host_keys[1].public_line()
    }

    /// Changes how a login gets at Nix.
    ///
    /// # Errors
    /// When nix-daemon does not come up; its log is in the error.
    pub async fn set_nix(&mut self, how: RemoteNix) -> Result<()> {
        self.nix.reach(how).await?;
        self.change_options()
    }

    /// Changes what its Nix builds for and has: `system` and `system-features` of its nix.conf, and
    /// `extra-platforms` where more than one system is named.
    ///
    /// # Errors
    /// When that can't be written.
    pub fn set_system(&mut self, system: &str, features: &str) -> Result<()> {
        self.nix.offer(system, features)
    }

    /// Changes what the user's shell runs before anything else: `echo Welcome`, or nothing (`""`).
    ///
    /// # Errors
    /// When the profile can't be written.
    pub fn set_profile(&self, script: &str) -> Result<()> {
        self.nix.set_profile(script)
    }

    /// Runs `command` whatever is asked for (`command=` of `authorized_keys`), or no longer.
    ///
    /// # Errors
    /// When `authorized_keys` can't be written.
    pub fn force_command(&mut self, command: Option<&str>) -> Result<()> {
        self.forced = command.map(str::to_owned);
        self.change_options()
    }

    /// Lets the user key in.
    ///
    /// # Errors
    /// When `authorized_keys` can't be written.
    pub fn authorise(&self) -> Result<()> {
        let mut options: Vec<String> = self
            .nix
            .environment()
            .iter()
            .map(|(name, value)| format!("environment=\"{name}={value}\""))
            .collect();
        if let Some(command) = &self.forced {
            options.push(format!("command=\"{}\"", command.replace('"', "\\\"")));
        }
        let line = format!("{} {}\n", options.join(","), self.user_key.public_line()?);
        self.write("authorized_keys", &line)
    }

    /// Lets nobody in. Sessions that are open stay open, as with any sshd.
    ///
    /// # Errors
    /// When `authorized_keys` can't be written.
    pub fn deauthorise(&self) -> Result<()> {
        self.write("authorized_keys", "")
    }

    /// Gives it new host keys, as a reinstalled desktop has, and restarts it.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub async fn swap_host_keys(&mut self) -> Result<()> {
        let [ed25519, rsa] = &self.host_keys;
        self.host_keys = [
            KeyFile::generate(ed25519.path().to_owned(), "ed25519")?,
            KeyFile::generate(rsa.path().to_owned(), "rsa")?,
        ];
        self.restart().await
    }

    /// Moves it to another address, sessions ended.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub async fn move_to(&mut self, address: SocketAddr) -> Result<()> {
        self.address = address;
        self.restart().await
    }

    /// Ends the listener and every session.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Ends every session and goes on listening.
    ///
    /// # Errors
    /// When it is stopped.
    pub fn end_sessions(&self) -> Result<()> {
        self.running()?.kill_children();
        Ok(())
    }

    /// Stops the listener and every session in their tracks: connections stay open, and nothing
    /// answers.
    ///
    /// # Errors
    /// When it is stopped.
    pub fn freeze(&self) -> Result<()> {
        self.running()?.signal_tree(Signal::STOP)
    }

    /// Lets all of them run again.
    ///
    /// # Errors
    /// When it is stopped.
    pub fn thaw(&self) -> Result<()> {
        self.running()?.signal_tree(Signal::CONT)
    }

    /// (Re)starts it, and returns when it listens.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        self.write("sshd_config", &self.configuration())?;
        make_privilege_separation_directory()?;

        let listening = format!("Server listening on {}", self.address.ip());
        let before = self.log().matches(&listening).count();
        let (configuration, log) = (self.file("sshd_config"), self.file("log"));
        let program = system_program("sshd", "openssh-server")?;
        let mut process = Process::start(&program, self.netns.as_deref(), &log, |command| {
            // -e: the log goes to stderr, which is the log file.
            command.args(["-D", "-e", "-f"]).arg(configuration);
        })?;
        let up = eventually(PATIENCE, "sshd listens", async || {
            if let Ok(Some(status)) = process.exit_status() {
                return Some(Err(status));
            }
            (self.log().matches(&listening).count() > before).then_some(Ok(()))
        });
        up.await?.map_err(|status| Error::Program {
            program: "sshd".into(),
            output: format!("{status}: {}", self.log()),
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// All that it logged since the first start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Connections that it took since the first start.
    pub fn connections(&self) -> usize {
        self.log().matches("Connection from ").count()
    }

    /// Requests for authentication that reached it, of whatever method, accepted or not: 0 proves
    /// that a client that did not like the host key sent nothing more.
    pub fn auth_attempts(&self) -> usize {
        self.log().matches("userauth-request for user").count()
    }

    /// Logins that it accepted.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey for").count()
    }

    /// The user key's line says what holds for a login; it stays out where it was taken out.
    fn change_options(&self) -> Result<()> {
        let keys = self.file("authorized_keys");
        let deauthorised = fs::read(&keys).context(keys.display())?.is_empty();
        if deauthorised {
            Ok(())
        } else {
            self.authorise()
        }
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().ok_or(Error::Gone("sshd"))
    }

    /// `DEBUG1` because `VERBOSE` hides the first request of a client (method `none`), and
    /// [`Self::auth_attempts`] must see that too. `StrictModes` would refuse what is under /tmp.
    /// The environment is in `authorized_keys` rather than in `SetEnv`: sshd reads that at each login.
    fn configuration(&self) -> String {
        format!(
            "ListenAddress {ip}\n\
             Port {port}\n\
             HostKey {ed25519}\n\
             HostKey {rsa}\n\
             AuthorizedKeysFile {authorized}\n\
             PidFile none\n\
             UsePAM no\n\
             StrictModes no\n\
             PermitUserEnvironment yes\n\
             UseDNS no\n\
             PermitRootLogin prohibit-password\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             PrintMotd no\n\
             LogLevel DEBUG1\n",
            ip = self.address.ip(),
            port = self.address.port(),
            ed25519 = self.host_keys[0].path().display(),
            rsa = self.host_keys[1].path().display(),
            authorized = self.file("authorized_keys").display(),
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.file(name), text).context(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Where sshd runs as root it insists on an empty directory, which systemd makes for the real one.
fn make_privilege_separation_directory() -> Result<()> {
    if rustix::process::geteuid().is_root() && !Path::new("/run/sshd").exists() {
        fs::create_dir("/run/sshd").context("/run/sshd")?;
    }
    Ok(())
}
