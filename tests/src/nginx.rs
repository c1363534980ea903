//! A real binary cache: nginx over what `nix copy --to file://…` wrote.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
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
/// The name of a key that nobody trusts.
const FOREIGN_NAME: &str = "somebody-else-1";
/// The only path: a hash in Nix's alphabet, of nothing.
const SAMPLE: &str = "4x8ysq1i0v2kz7c3m5p6r9wbd0fghjln-hello";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Option<Process>,
    directory: TempDir,
    address: SocketAddr,
    netns: Option<String>,
    keepalive: Duration,
    server: String,
    upstream: String,
    public_key: String,
    store_path: String,
}

/// Who signs what a cache serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// The key that [`Nginx::public_key`] is of.
    Own,
    /// A key that nobody knows.
    Foreign,
    /// Nobody.
    None,
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
        let store_path = make_path(directory.path())?;
        let public_key = make_key(directory.path(), KEY_NAME)?;
        write_cache(directory.path(), &store_path, Some(KEY_NAME))?;
        let mut nginx = Self {
            process: None,
            directory,
            address,
            netns: netns.map(str::to_owned),
            keepalive: Duration::from_secs(75),
            server: String::new(),
            upstream: String::new(),
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

    /// Where its files are: what it serves is in `cache`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its `[[cache]]` in offloadd's configuration, so that what it serves is looked at and trusted;
    /// keys may be added to the end.
    pub fn entry(&self, name: &str) -> String {
        format!(
            "[[cache]]\nname = \"{name}\"\nurl = \"{}\"\npublic_keys = [\"{}\"]\nsample = \"{}\"\n",
            self.url(),
            self.public_key,
            self.store_path
        )
    }

    /// Writes the cache anew, with another signature. nginx goes on meanwhile.
    ///
    /// # Errors
    /// When Nix can't write it.
    pub fn sign(&self, signature: Signature) -> Result<()> {
        let directory = self.directory.path();
        let name = match signature {
            Signature::Own => Some(KEY_NAME),
            Signature::None => None,
            Signature::Foreign => {
                make_key(directory, FOREIGN_NAME)?;
                Some(FOREIGN_NAME)
            }
        };
        write_cache(directory, &self.store_path, name)
    }

    /// How long it leaves an idle connection open, from the next (re)start on; nginx's own default
    /// is 75 s.
    pub fn set_keepalive(&mut self, keepalive: Duration) {
        self.keepalive = keepalive;
    }

    /// What else its `server` block says, from the next (re)start on; paths are of [`Self::directory`].
    pub fn set_server(&mut self, directives: &str) {
        self.server = directives.to_owned();
    }

    /// The servers that its `server` block knows as `caches`, from the next (re)start on.
    pub fn set_upstream(&mut self, caches: &[SocketAddr]) {
        let servers: String = caches.iter().map(|it| format!("server {it};")).collect();
        self.upstream = format!("upstream caches {{ {servers} keepalive 25; }}");
    }

    /// Ends it with all its connections.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops it in its tracks: the kernel accepts connections, and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it run again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().ok_or(Error::Gone("nginx"))?;
        process.signal_tree(signal)
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

    /// Those of them that were of `path`.
    pub fn requests_of(&self, path: &str) -> usize {
        let log = fs::read_to_string(self.file("access.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(path)).count()
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
             worker_rlimit_nofile 4096;\n\
             events {{ worker_connections 2048; }}\n\
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
               {upstream}\n\
               server {{ listen {address}; root cache; {server} }}\n\
             }}\n",
            keepalive = self.keepalive.as_millis(),
            address = self.address,
            upstream = self.upstream,
            server = self.server,
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Puts a path into a store of the cache's own, under `directory`; returns the path.
///
/// It is addressed by nothing but its name, as what was built is: a path that proves its own content
/// needs no signature.
fn make_path(directory: &Path) -> Result<String> {
    let path = format!("/nix/store/{SAMPLE}");
    let real = directory.join("root/nix/store").join(SAMPLE);
    let parent = directory.join("root/nix/store");
    fs::create_dir_all(&parent).context(parent.display())?;
    fs::write(&real, "hello from the desktop\n").context(real.display())?;

    let mut hash = nix(directory, "nix-hash")?;
    let hash = run_command(hash.args(["--type", "sha256"]).arg(&real))?;
    let dump = run_command(nix(directory, "nix-store")?.arg("--dump").arg(&real))?;
    // nix-store --load-db reads: path, hash and size of its NAR, deriver, how many references.
    let known = format!("{path}\n{}\n{}\n\n0\n", hash.trim(), dump.len());
    let registration = directory.join("registration");
    fs::write(&registration, known).context(registration.display())?;
    let registration = File::open(&registration).context(registration.display())?;
    let mut load = nix(directory, "nix-store")?;
    load.args(["--store", &store(directory), "--load-db"]);
    let loaded = load.stdin(registration).output().context("nix-store")?;
    if !loaded.status.success() {
        return Err(Error::Program {
            program: "nix-store --load-db".into(),
            output: String::from_utf8_lossy(&loaded.stderr).into_owned(),
        });
    }
    Ok(path)
}

/// Makes a key pair called `name`, in files under `directory`; returns the public half.
fn make_key(directory: &Path, name: &str) -> Result<String> {
    let [secret, public] = [secret_key(directory, name), directory.join(name)];
    run_command(
        nix(directory, "nix-store")?
            // It needs none, and opens this machine's where none is named.
            .args(["--store", &store(directory)])
            .args(["--generate-binary-cache-key", name])
            .args([&secret, &public]),
    )?;
    let public = fs::read_to_string(&public).context(public.display())?;
    Ok(public.trim().to_owned())
}

/// Writes `path` to `directory/cache`, in place of what is there, signed with the key called `name`
/// where there is one.
fn write_cache(directory: &Path, path: &str, name: Option<&str>) -> Result<()> {
    let cache = directory.join("cache");
    if cache.exists() {
        fs::remove_dir_all(&cache).context(cache.display())?;
    }
    let mut target = format!("file://{}", cache.display());
    if let Some(name) = name {
        target += &format!("?secret-key={}", secret_key(directory, name).display());
    }
    let mut copy = nix(directory, "nix")?;
    copy.args(["--store", &store(directory), "copy", "--no-check-sigs"]);
    run_command(copy.args(["--to", &target, path])).map(drop)
}

fn store(directory: &Path) -> String {
    format!("local?root={}", directory.join("root").display())
}

fn secret_key(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.secret"))
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
