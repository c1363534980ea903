//! A real nix-daemon that shares nothing with this machine's Nix but the program.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error, Result, Sshd,
    error::Context,
    eventually,
    process::{Process, run_command, system_program},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// What this machine's Nix is told through its environment must not reach this one.
const INHERITED: &[&str] = &[
    "NIX_CONFIG",
    "NIX_DAEMON_SOCKET_PATH",
    "NIX_LOCALSTATE_DIR",
    "NIX_LOG_DIR",
    "NIX_PATH",
    "NIX_REMOTE",
    "NIX_SSHOPTS",
    "NIX_STATE_DIR",
    "NIX_STORE_DIR",
];

/// A running `nix-daemon` with a store, database, log, socket and configuration of its own.
///
/// Its store is a `local?root=`: its paths begin with `/nix/store` like everybody's, so that they
/// can be copied to any other Nix, and lie in the fixture's directory. It needs root: Nix builds
/// such a store's derivations in a sandbox, which is made of mounts.
///
/// A laptop is one of them, a desktop's builder another behind an `Sshd`, reached with
/// [`Self::remote_store`]: `nix-daemon --stdio` then hands each byte to this daemon, which sees
/// root as its client, and trusts it or not as its own `trusted-users` says.
#[derive(Debug)]
pub struct NixDaemon {
    process: Option<Process>,
    directory: TempDir,
    netns: Option<String>,
    settings: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    ssh_options: String,
}

impl NixDaemon {
    /// Starts one that has nothing remote configured.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without root or without Nix; its log where it does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_inside(None).await
    }

    /// The same inside a network namespace: builds that it hands out start there.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_inside(netns: Option<&str>) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Unsupported(
                "a nix-daemon with a store of its own needs root: run as root".into(),
            ));
        }
        let directory = tempfile::tempdir().context("a directory for nix-daemon")?;
        for part in ["conf", "home", "root", "tmp"] {
            let part = directory.path().join(part);
            fs::create_dir(&part).context(part.display())?;
        }
        let mut daemon = Self {
            process: None,
            directory,
            netns: netns.map(str::to_owned),
            settings: settings(),
            variables: BTreeMap::new(),
            ssh_options: "-F none -oBatchMode=yes -oStrictHostKeyChecking=yes".into(),
        };
        daemon.restart().await?;
        Ok(daemon)
    }

    /// `unix://…`: the store as a client of the daemon sees it.
    pub fn uri(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// `remote-store=unix://…`, for the URI of a builder whose daemon this is. It says where the
    /// store's files are too: `nix-store --serve` asks the daemon what there is, and reads it itself.
    pub fn remote_store(&self) -> String {
        // The value is a URI with a query of its own; `decodeQuery` in src/libutil/url.cc.
        let root = self.file("root");
        format!("remote-store={}%3Froot%3D{}", self.uri(), root.display())
    }

    /// Makes it the Nix that a login of `sshd` finds, which has one of its own otherwise. A URI needs
    /// no [`Self::remote_store`] then, and the configuration found is this daemon's.
    ///
    /// # Errors
    /// When the profile can't be written.
    pub fn serve(&self, sshd: &Sshd) -> Result<()> {
        let forgotten = INHERITED.join(" ");
        let mut profile = format!("unset {forgotten}\n");
        for (name, value) in self.environment() {
            // The login's own; its programs and what they remember lie there.
            if !["HOME", "XDG_CACHE_HOME", "NIX_REMOTE"].contains(&&*name) {
                profile += &format!("export {name}='{value}'\n");
            }
        }
        // `nix-store --serve` asks the daemon what there is, and reads it itself.
        let root = self.file("root");
        profile += &format!(
            "export NIX_REMOTE='{}?root={}'\n",
            self.uri(),
            root.display()
        );
        sshd.set_profile(&profile)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.file("socket")
    }

    /// Where its `nix.conf` is; what else belongs to `/etc/nix` may be written there.
    pub fn conf_dir(&self) -> PathBuf {
        self.file("conf")
    }

    /// Nix's state directory: the database, and `current-load` with a lock for each busy slot.
    pub fn state_dir(&self) -> PathBuf {
        self.file("root/nix/var/nix")
    }

    /// Where a path of its store really lies, whether it is there or not.
    pub fn real_path(&self, store_path: &str) -> PathBuf {
        self.file("root").join(store_path.trim_start_matches('/'))
    }

    /// A line of its `nix.conf`, from the next [`Self::restart`] on: `trusted-users`,
    /// `allowed-users`, `system`, `system-features`, `builders`, … Its clients read it too.
    pub fn set(&mut self, setting: &str, value: &str) {
        self.settings.insert(setting.to_owned(), value.to_owned());
    }

    /// Takes a line away, so that Nix's own default is in force from the next [`Self::restart`] on.
    pub fn unset(&mut self, setting: &str) {
        self.settings.remove(setting);
    }

    /// A variable of its environment alone, as its unit may have one, from the next [`Self::restart`] on: its clients do
    /// not have it.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// What its build hook reaches `host` of a builder's URI at, from the next [`Self::restart`]
    /// on, where that is not port 22 of the same address. Nix 2.8 hands ssh the host with the port
    /// as one name, and writes field 8 of the machines file under the bare host, while ssh looks
    /// for `[host]:port`: so the URI has no port, and ssh is told the name to look for.
    pub fn reach(&mut self, host: &str, address: SocketAddr) {
        let (ip, port) = (address.ip(), address.port());
        self.ssh_options += &format!(" -oHostName={ip} -oPort={port} -oHostKeyAlias={host}");
    }

    /// (Re)starts it with its settings of now, and returns when it answers. What it builds ends;
    /// its store stays.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        let lines = self.settings.iter();
        let lines: String = lines
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        let conf = self.conf_dir().join("nix.conf");
        fs::write(&conf, lines).context(conf.display())?;
        let socket = self.socket();
        if socket.exists() {
            fs::remove_file(&socket).context(socket.display())?;
        }

        let program = system_program("nix-daemon", "nix-bin")?;
        let root = format!("local?root={}", self.file("root").display());
        let environment = self.environment();
        let mut process = Process::start(
            &program,
            self.netns.as_deref(),
            &self.file("log"),
            |command| {
                clean(command);
                command
                    .envs(environment)
                    .env("NIX_REMOTE", root)
                    .env("NIX_SSHOPTS", &self.ssh_options)
                    .env("TMPDIR", self.file("tmp"))
                    .envs(&self.variables)
                    .arg("--daemon");
            },
        )?;
        let up = eventually(PATIENCE, "nix-daemon listens", async || {
            if let Ok(Some(status)) = process.exit_status() {
                return Some(Err(status));
            }
            let reached = std::os::unix::net::UnixStream::connect(&socket);
            reached.is_ok().then_some(Ok(()))
        });
        up.await?.map_err(|status| Error::Program {
            program: "nix-daemon".into(),
            output: format!("{status}: {}", self.log()),
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it with all it does. Its socket stays and refuses, as a crashed daemon's does.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The process, for those who want to freeze it or count its children.
    ///
    /// # Errors
    /// [`Error::Gone`] when it is stopped.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().ok_or(Error::Gone("nix-daemon"))
    }

    /// A Nix program as its client, with its configuration and nobody else's.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(system_program(program, "nix-bin")?);
        clean(&mut command);
        command.envs(self.environment());
        Ok(command)
    }

    /// What makes any program of Nix's, and what starts one, a client of this daemon.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        [
            ("HOME", path(self.file("home"))),
            ("XDG_CACHE_HOME", path(self.file("home/.cache"))),
            ("NIX_CONF_DIR", path(self.conf_dir())),
            ("NIX_USER_CONF_FILES", String::new()),
            ("NIX_REMOTE", self.uri()),
            ("NIX_DAEMON_SOCKET_PATH", path(self.socket())),
            ("NIX_STATE_DIR", path(self.state_dir())),
            ("NIX_LOG_DIR", path(self.file("root/nix/var/log/nix"))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Whether `store_path` is in its store, by its own word.
    ///
    /// # Errors
    /// When Nix is missing.
    pub fn has(&self, store_path: &str) -> Result<bool> {
        let mut command = self.command("nix-store")?;
        let checked = run_command(command.args(["--check-validity", store_path]));
        Ok(checked.is_ok())
    }

    /// Builds `expression` through the daemon, with `arguments` for nix-build beside it
    /// (`--max-jobs 0`, `--builders …`), and returns the path of what came out.
    ///
    /// # Errors
    /// When it fails or takes more than a minute; Nix's own words are in the error.
    pub async fn build(&self, expression: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("nix-build")?;
        command
            .args(["--no-out-link", "--expr", expression])
            .args(arguments);
        let mut command = tokio::process::Command::from(command);
        command
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(3 * PATIENCE, command.output()).await;
        let output = output.map_err(|_| Error::Late {
            what: format!("the build ends; the daemon said: {}", self.log()),
            within: 3 * PATIENCE,
        })?;
        let output = output.context("nix-build")?;
        if !output.status.success() {
            return Err(Error::Program {
                program: "nix-build".into(),
                output: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Puts its store where the store's paths say that it is, for the process `id` and what that
    /// starts: for who reads a path that Nix built. The process has mounts of its own, as all have
    /// that were started inside a network namespace.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where its mounts are this machine's; otherwise what mount(8) said.
    pub fn show_store_to(&self, id: u32) -> Result<()> {
        let mounts = |process: &str| {
            let link = format!("/proc/{process}/ns/mnt");
            fs::read_link(&link).context(link)
        };
        if mounts(&id.to_string())? == mounts("self")? {
            return Err(Error::Unsupported(format!(
                "process {id} has no mounts of its own: start it inside a namespace"
            )));
        }
        // An empty place to mount on, which Nix makes at its first use, and one that is there.
        let (store, place) = (self.file("root/nix/store"), Path::new("/nix/store"));
        for directory in [&*store, place] {
            fs::create_dir_all(directory).context(directory.display())?;
        }
        let mut command = Command::new(system_program("nsenter", "util-linux")?);
        command
            .args(["--target", &id.to_string(), "--mount", "--"])
            .args(["mount", "--bind"])
            .args([&*store, place]);
        run_command(&mut command).map(drop)
    }

    /// All that it logged since the first start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// What it starts with. Debian's Nix has no shell of its own for the sandbox (NixOS's has).
fn settings() -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([
        ("build-users-group", String::new()),
        ("experimental-features", "nix-command".into()),
        ("substituters", String::new()),
        ("trusted-users", "root".into()),
    ]);
    if !Path::new("/etc/NIXOS").exists() {
        // Later versions copy a link as a link, so what it leads to is named.
        let bind = |part: &str| {
            let real = Path::new(part).canonicalize().ok()?;
            Some(format!("{part}={}", real.display()))
        };
        let parts: Vec<_> = ["/bin/sh", "/lib", "/lib64"]
            .into_iter()
            .filter_map(bind)
            .collect();
        settings.insert("sandbox-paths", parts.join(" "));
    }
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    settings.into_iter().map(owned).collect()
}

fn clean(command: &mut Command) {
    for inherited in INHERITED {
        command.env_remove(inherited);
    }
}
