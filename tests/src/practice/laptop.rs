//! The practice laptop: nix.conf, the list of builders, ssh_config, known_hosts and offloadd's configuration, in a
//! directory of its own.
//!
//! Nothing of this machine's own configuration is in it, so that practice dials the practice desktop alone.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use offloadd::config::Poll;

use crate::{
    Result,
    error::Context,
    fake::Desktop,
    ground::{HERE, MOVED},
};

/// The desktop's name.
pub const NAME: &str = "desktop";
/// Who builds there.
const USER: &str = "nix-builder";
/// Where all caches are one substituter, once Nix follows the desktop.
const GATEWAY: &str = "127.0.15.5:5001";
/// What the daemon is given of this process' environment: a proxy or a Nix of this machine's is no part of practice.
const KEPT: [&str; 4] = ["PATH", "TMPDIR", "XDG_RUNTIME_DIR", "OFFLOADD_RUNTIME_DIR"];

/// By what the laptop goes to the desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nix's files, and ssh's.
    Nix,
    /// What offloadd's own configuration declares: where this machine has no ssh, its Nix would not come far.
    Declared,
}

impl Way {
    /// The way that this machine can go.
    pub fn of_this_machine() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut directories = env::split_paths(&path);
        if directories.any(|directory| directory.join("ssh").is_file()) {
            Self::Nix
        } else {
            Self::Declared
        }
    }
}

/// The laptop's files. Dropping it removes them.
#[derive(Debug)]
pub struct Laptop {
    directory: PathBuf,
    way: Way,
}

impl Laptop {
    /// Makes the directory; what a program that was killed left there goes.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn set_up(directory: PathBuf, way: Way) -> Result<Self> {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).context(directory.display())?;
        Ok(Self { directory, way })
    }

    /// By what it goes to the desktop.
    pub const fn way(&self) -> Way {
        self.way
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes them all: as they were when the desktop was set up, or `steered`, so that Nix follows it.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn write(&self, desktop: &Desktop, steered: bool) -> Result<()> {
        let key = desktop.cache.public_key();
        let substituter = if steered {
            format!("http://{GATEWAY}")
        } else {
            desktop_url(desktop)
        };
        self.file(
            "nix.conf",
            &format!(
                "substituters = {substituter}\ntrusted-public-keys = {key}\nfallback = true\n"
            ),
        )?;
        let (port, user_key) = (desktop.ssh.address().port(), desktop.user_key().display());
        self.file(
            "machines",
            &format!("{} x86_64-linux {user_key} 4 1 kvm,big-parallel\n", uri()),
        )?;
        self.file(
            "known_hosts",
            &format!("[{HERE}]:{port} {}\n", desktop.ssh.host_key()),
        )?;
        self.file("ssh_config", &self.ssh_config(port, steered))?;
        self.file("config.toml", &self.configuration(desktop, steered))
    }

    /// The environment of its offloadd.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let kept = KEPT.into_iter();
        let kept = kept.filter_map(|name| Some((name, env::var_os(name)?)));
        let ssh_config = self.directory.join("ssh_config");
        let nowhere = self.directory.join("none");
        let no_bus = format!("unix:path={}", nowhere.display());
        let own = [
            ("NIX_SSHOPTS", format!("-F {}", ssh_config.display()).into()),
            ("DBUS_SYSTEM_BUS_ADDRESS", no_bus.into()),
            ("NIX_DAEMON_SOCKET_PATH", nowhere.clone().into()),
        ];
        let folders = [
            "HOME",
            "XDG_CONFIG_DIRS",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "NIX_STATE_DIR",
        ];
        let folders = folders.map(|name| (name, nowhere.clone().into()));
        kept.chain(own).chain(folders).collect()
    }

    fn ssh_config(&self, port: u16, steered: bool) -> String {
        let mut text = format!(
            "Host {HERE}\n  Port {port}\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
            self.directory.join("known_hosts").display()
        );
        if steered {
            text += "  ProxyCommand offloadctl connect %h %p\n  ProxyUseFdpass yes\n";
        }
        text
    }

    fn configuration(&self, desktop: &Desktop, steered: bool) -> String {
        let poll = poll();
        let (imports, uri) = match self.way {
            Way::Nix => (true, uri()),
            Way::Declared => (false, format!("{}:{}", uri(), desktop.ssh.address().port())),
        };
        let steer = if steered {
            format!("[steer]\ngateway = \"{GATEWAY}\"\n")
        } else {
            String::new()
        };
        let duration = |duration: Duration| format!("\"{}ms\"", duration.as_millis());
        format!(
            r#"[poll]
interval = {interval}
fast_interval = {fast_interval}
down_max_interval = {down_max_interval}
timeout = {timeout}
deep_timeout = {deep_timeout}
deep_interval = {deep_interval}

[nix]
import = {imports}
conf = "{directory}/nix.conf"
exclude = []

{steer}
[[cache]]
name = "{NAME}"
url = "{url}"
addresses = ["{HERE}", "{MOVED}"]
public_keys = ["{public_key}"]
sample = "{sample}"
host = "{NAME}"

[[builder]]
name = "{NAME}"
uri = "{uri}"
addresses = ["{HERE}", "{MOVED}"]
ssh_key = "{user_key}"
host_key = "{host_key}"
systems = ["x86_64-linux"]
features = ["kvm", "big-parallel"]
"#,
            interval = duration(poll.interval),
            fast_interval = duration(poll.fast_interval),
            down_max_interval = duration(poll.down_max_interval),
            timeout = duration(poll.timeout),
            deep_timeout = duration(poll.deep_timeout),
            deep_interval = duration(poll.deep_interval),
            directory = self.directory.display(),
            url = desktop_url(desktop),
            public_key = desktop.cache.public_key(),
            sample = desktop.cache.store_path(),
            user_key = desktop.user_key().display(),
            host_key = desktop.ssh.host_key(),
        )
    }

    fn file(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        // At once: the daemon reads what has changed while it is being written.
        let new = path.with_extension("new");
        fs::write(&new, text).context(new.display())?;
        fs::rename(&new, &path).context(path.display())
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        // What is left is in the way of nobody.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// At intervals for people who look on: each verdict within some seconds.
pub fn poll() -> Poll {
    Poll {
        interval: Duration::from_secs(1),
        fast_interval: Duration::from_millis(300),
        down_max_interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        deep_timeout: Duration::from_secs(2),
        deep_interval: Duration::from_secs(2),
        ..Poll::default()
    }
}

/// The builder as Nix has it. Its port is ssh_config's: Nix before 2.31 takes none here.
fn uri() -> String {
    format!("ssh-ng://{USER}@{HERE}")
}

/// The cache where it was when the laptop was set up.
fn desktop_url(desktop: &Desktop) -> String {
    format!("http://{HERE}:{}", desktop.cache.address().port())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use offloadd::config::{Sources, load};

    use super::*;

    #[tokio::test]
    async fn only_the_practice_desktop_is_watched() {
        let any = SocketAddr::new(HERE, 0);
        let desktop = Desktop::start(any, any).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let laptop = Laptop::set_up(directory.path().join("laptop"), Way::Nix).unwrap();
        for steered in [false, true] {
            laptop.write(&desktop, steered).unwrap();
            let sources = Sources {
                file: Some(laptop.directory().join("config.toml")),
                ..Sources::default()
            };
            let settings = load(&sources).unwrap();
            assert_eq!(settings.poll, poll());
            assert!(settings.nix.conf.starts_with(laptop.directory()));
            let caches = settings.caches.iter().flat_map(|cache| &cache.addresses);
            let builders = settings.builders.iter().flat_map(|entry| &entry.addresses);
            for address in caches.chain(builders) {
                assert!(["127.0.15.6", "127.0.15.7"].contains(&address.host.as_str()));
            }
        }
        let path = laptop.directory().to_owned();
        drop(laptop);
        assert!(!path.exists());
    }
}
