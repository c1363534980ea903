//! A real binary cache: nginx over what `nix copy --to file://…` wrote.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error, Result,
    error::Context,
    eventually,
    process::{Process, run_command, system_program},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// The name of the key that signs the cache.
const KEY_NAME: &str = "test-desktop-1";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Option<Process>,
    directory: TempDir,
    address: SocketAddr,
    netns: Option<String>,
    keepalive: Duration,
    public_key: String,
    store_path: String,
}

impl Nginx {
    /// Makes a signed cache with one path in it and serves it on `address`.
    ///
    /// # Errors
    /// When nginx or nix is missing or the port is taken; what they said is in the error.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        Self::start_inside(address, None).await
    }

    /// The same inside a network namespace.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_inside(address: SocketAddr, netns: Option<&str>) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the cache")?;
        let (public_key, store_path) = make_cache(directory.path())?;
        let mut nginx = Self {
            process: None,
            directory,
            address,
            netns: netns.map(str::to_owned),
            keepalive: Duration::from_secs(75),
            public_key,
            store_path,
        };
        nginx.restart().await?;
        Ok(nginx)
    }

    /// Where it listens, or listened last.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`, as Nix would be given it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key that signs what it serves: `name:base64`.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The path that it serves: `/nix/store/…`.
    pub fn store_path(&self) -> &str {
        &self.store_path
    }

    /// How long it leaves an idle connection open, from the next (re)start on; nginx's own default
    /// is 75 s.
    pub fn set_keepalive(&mut self, keepalive: Duration) {
        self.keepalive = keepalive;
    }

    /// Ends it with all its connections.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Moves it to another address.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub async fn move_to(&mut self, address: SocketAddr) -> Result<()> {
        self.address = address;
        self.restart().await
    }

    /// (Re)starts it, and returns when it listens.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        fs::write(self.file("nginx.conf"), self.configuration()).context("nginx.conf")?;
        let program = system_program("nginx", "nginx-light")?;
        let (configuration, log) = (self.file("nginx.conf"), self.file("error.log"));
        let mut process = Process::start(&program, self.netns.as_deref(), &log, |command| {
            command.arg("-p").arg(self.directory.path());
            command.arg("-e").arg(&log).arg("-c").arg(configuration);
        })?;
        let pid = self.file("nginx.pid");
        let up = eventually(PATIENCE, "nginx listens", async || {
            if let Ok(Some(status)) = process.exit_status() {
                return Some(Err(status));
            }
            // nginx writes its pid file after it has bound its sockets; from inside a namespace
            // nothing else can be seen of it here.
            let written = fs::read_to_string(&pid).ok()?.trim().parse() == Ok(process.id());
            let reached = self.netns.is_some() || TcpStream::connect(self.address).is_ok();
            (written && reached).then_some(Ok(()))
        });
        up.await?.map_err(|status| Error::Program {
            program: "nginx".into(),
            output: format!("{status}: {}", self.log()),
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Requests that it answered since the first start.
    pub fn requests(&self) -> usize {
        let log = fs::read_to_string(self.file("access.log"));
        log.map_or(0, |log| log.lines().count())
    }

    /// Different connections among those requests.
    pub fn connections(&self) -> usize {
        let log = fs::read_to_string(self.file("access.log")).unwrap_or_default();
        let mut connections: Vec<_> = log.lines().filter_map(|l| l.split(' ').next()).collect();
        connections.sort_unstable();
        connections.dedup();
        connections.len()
    }

    /// Its error log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("error.log")).unwrap_or_default()
    }

    /// One process, so that the one that is killed is the one that serves; every path is inside of
    /// the fixture's directory, so that no right of root's is needed.
    fn configuration(&self) -> String {
        format!(
            "daemon off;\n\
             master_process off;\n\
             pid nginx.pid;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n\
               log_format seen '$pid.$connection $request_uri $status';\n\
               access_log access.log seen;\n\
               client_body_temp_path temp;\n\
               proxy_temp_path temp;\n\
               fastcgi_temp_path temp;\n\
               uwsgi_temp_path temp;\n\
               scgi_temp_path temp;\n\
               types {{ text/x-nix-narinfo narinfo; application/x-nix-nar nar; }}\n\
               keepalive_timeout {keepalive}ms;\n\
               server {{ listen {address}; root cache; }}\n\
             }}\n",
            keepalive = self.keepalive.as_millis(),
            address = self.address,
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Writes a signed cache with one path to `directory/cache`, from a store of its own; returns the
/// public key and the path.
fn make_cache(directory: &Path) -> Result<(String, String)> {
    let cache = directory.join("cache");
    let (secret, public) = (directory.join("secret-key"), directory.join("public-key"));
    run_command(
        nix(directory, "nix-store")?
            .args(["--generate-binary-cache-key", KEY_NAME])
            .args([&secret, &public]),
    )?;

    let hello = directory.join("hello");
    fs::write(&hello, "hello from the desktop\n").context(hello.display())?;
    let store = format!("local?root={}", directory.join("root").display());
    let added = run_command(
        nix(directory, "nix")?
            .args(["--store", &store, "store", "add-path"])
            .arg(&hello),
    )?;
    let path = added.trim().to_owned();
    let target = format!("file://{}?secret-key={}", cache.display(), secret.display());
    run_command(
        nix(directory, "nix")?
            .args(["--store", &store, "copy", "--to", &target])
            .arg(&path),
    )?;

    let public = fs::read_to_string(&public).context(public.display())?;
    Ok((public.trim().to_owned(), path))
}

/// Nix with nothing of this machine's: no daemon, no configuration, no network.
fn nix(directory: &Path, name: &str) -> Result<Command> {
    let mut command = Command::new(system_program(name, "nix-bin")?);
    command
        .env("NIX_CONF_DIR", directory.join("no-conf"))
        .env("NIX_USER_CONF_FILES", "")
        .env("HOME", directory)
        .env("XDG_CACHE_HOME", directory.join("nix-cache"))
        .env(
            "NIX_CONFIG",
            "experimental-features = nix-command\nbuild-users-group =\nsubstituters =\n",
        );
    for inherited in [
        "NIX_REMOTE",
        "NIX_STORE_DIR",
        "NIX_STATE_DIR",
        "NIX_LOCALSTATE_DIR",
    ] {
        command.env_remove(inherited);
    }
    Ok(command)
}
