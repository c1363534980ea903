//! A real Nix, asked there and then: its word on a case is its own, and no older than the question.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::ground::{Ground, SYSTEM_PATH};
use crate::{
    Error, Result,
    error::Context,
    eventually,
    process::{Process, run_command, system_program},
};

/// What has no answer in so many seconds goes nowhere.
const PATIENCE: &str = "12";
/// What it needs to build as root, on a machine of which nothing is known; beside the case's own nix.conf.
const OWN: &str = "build-users-group =\nsandbox = false\nexperimental-features = nix-command\n";
/// A nix-daemon listens sooner.
const LATE: Duration = Duration::from_secs(10);
const PROGRAMS: [&str; 4] = ["nix", "nix-build", "nix-daemon", "nix-store"];

/// A Nix of this machine, or of a tree that another system stands in.
#[derive(Debug)]
pub(super) struct Nix<'a> {
    ground: &'a Ground,
    /// What comes first on the PATH.
    bin: PathBuf,
    asked: AtomicU32,
}

/// What Nix did.
pub(super) struct Did {
    /// Whether it came to a good end.
    pub well: bool,
    /// What it said last.
    pub said: String,
}

impl<'a> Nix<'a> {
    /// Where nothing is built yet: `/nix` is empty from here on.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is none, or this machine's programs are in `/nix`.
    pub(super) fn new(ground: &'a Ground, tree: Option<&Path>) -> Result<Self> {
        empty_store()?;
        let bin = ground.path("nix");
        for name in PROGRAMS {
            let script = match tree {
                Some(tree) => of_tree(tree, &bin.join("of-tree"), name)?,
                None => {
                    let program = system_program(name, "nix-bin")?;
                    format!("#!/bin/sh\nexec {} \"$@\"\n", program.display())
                }
            };
            ground.write(bin.join(name), script, 0o755)?;
        }
        let nix = Self {
            ground,
            bin,
            asked: AtomicU32::new(0),
        };
        let told = nix.run(
            nix.command("nix", Path::new("/nonexistent"))
                .arg("--version"),
        )?;
        if told.well {
            Ok(nix)
        } else {
            let why = format!("no Nix that runs here: {}", told.said);
            Err(Error::Unsupported(why))
        }
    }

    /// An environment in which it stands in the `PATH`.
    pub(super) fn environment(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("PATH", format!("{}:{SYSTEM_PATH}", self.bin.display()))])
    }

    /// Builds something new on another machine, by the nix.conf in `conf`.
    pub(super) fn builds(
        &self,
        conf: &Path,
        environment: &BTreeMap<&str, String>,
        wants: &Wants,
    ) -> Result<Did> {
        let mut command = self.command("nix-build", conf);
        command.args(["--no-out-link", "--max-jobs", "0"]);
        command.args(["--option", "substituters", "", "-E"]);
        command.arg(self.derivation(wants)).envs(environment);
        self.run(&mut command)
    }

    /// Its daemon, which does what its clients ask for by the nix.conf in `conf`.
    pub(super) async fn daemon(
        &self,
        conf: &Path,
        environment: &BTreeMap<&str, String>,
    ) -> Result<Process> {
        let log = self.ground.path("nix-daemon.log");
        let daemon = Process::start(&self.bin.join("nix-daemon"), None, &log, |daemon| {
            daemon
                .env_clear()
                .envs(self.settings(conf))
                .envs(environment);
        })?;
        let socket = Path::new("/nix/var/nix/daemon-socket/socket");
        let listens = async || UnixStream::connect(socket).ok();
        eventually(LATE, "nix-daemon listens", listens).await?;
        Ok(daemon)
    }

    /// The environment by which it reads the nix.conf in `conf`, and nothing of this machine's configuration.
    pub(super) fn settings(&self, conf: &Path) -> BTreeMap<&'static str, String> {
        let mut settings = self.environment();
        settings.extend([
            ("HOME", "/root".to_owned()),
            ("USER", "root".to_owned()),
            ("NIX_BIN_DIR", self.bin.display().to_string()),
            ("NIX_CONF_DIR", conf.display().to_string()),
            ("NIX_CONFIG", OWN.to_owned()),
            ("XDG_CACHE_HOME", self.cache().display().to_string()),
        ]);
        settings
    }

    fn cache(&self) -> PathBuf {
        self.ground.path("nix-cache")
    }

    /// Whether it reads nix.conf.
    pub(super) fn reads_conf(&self, conf: &Path) -> Result<Did> {
        self.run(self.command("nix", conf).arg("show-config"))
    }

    /// Takes this path from a cache.
    pub(super) fn fetches(
        &self,
        conf: &Path,
        environment: &BTreeMap<&str, String>,
        path: &str,
    ) -> Result<Did> {
        let mut command = self.command("nix-store", conf);
        command.args(["--realise", path]).envs(environment);
        let fetched = self.run(&mut command)?;
        if fetched.well {
            self.run(
                self.command("nix-store", Path::new("/nonexistent"))
                    .args(["--delete", path]),
            )?;
        }
        Ok(fetched)
    }

    fn derivation(&self, wants: &Wants) -> String {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let features: String = wants
            .features
            .iter()
            .map(|it| format!(" \"{it}\""))
            .collect();
        let system = wants.system.as_deref().unwrap_or("x86_64-linux");
        format!(
            "derivation {{ name = \"asked-{number}\"; system = \"{system}\"; builder = \"/bin/sh\"; \
             args = [ \"-c\" \"echo > $out\" ]; requiredSystemFeatures = [{features} ]; }}"
        )
    }

    /// With nothing of this machine's configuration, and nobody at a terminal.
    fn command(&self, program: &str, conf: &Path) -> Command {
        let mut command = Command::new("setsid");
        command
            .args(["--wait", "timeout", PATIENCE])
            .arg(self.bin.join(program));
        // Nothing is remembered of another case.
        let _ = fs::remove_dir_all(self.cache());
        command.env_clear().envs(self.settings(conf));
        command
    }

    fn run(&self, command: &mut Command) -> Result<Did> {
        let output = command.stdin(Stdio::null()).output().context("Nix")?;
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        let lines: Vec<_> = words.lines().map(str::trim).collect();
        let complaint = lines
            .iter()
            .find(|line| line.contains("error:") || line.contains("cannot build"));
        let last = lines.iter().rfind(|line| !line.is_empty());
        Ok(Did {
            well: output.status.success(),
            said: complaint
                .or(last)
                .map_or_else(String::new, |line| (*line).to_owned()),
        })
    }
}

/// What a derivation asks for.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wants {
    /// Its `system`; this machine's where it says none.
    pub system: Option<String>,
    /// Its `requiredSystemFeatures`.
    pub features: Vec<String>,
}

/// A program of the tree, with the tree's own loader and libraries; whatever it starts is this machine's. Its process has
/// its own name, by which a nix-daemon is known: the loader is started by a link of that name in `links`.
fn of_tree(tree: &Path, links: &Path, name: &str) -> Result<String> {
    let libraries = tree.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let entries = fs::read_dir(&libraries).context(libraries.display())?;
    let mut loaders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_loader = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ld-linux-") && name.contains(".so.")
    };
    let Some(loader) = loaders.find(is_loader) else {
        let why = format!("{}: no loader", libraries.display());
        return Err(Error::Unsupported(why));
    };
    fs::create_dir_all(links).context(links.display())?;
    let link = links.join(name);
    symlink(loader, &link).context(link.display())?;
    Ok(format!(
        "#!/bin/sh\nexec {} --argv0 {name} --library-path {} {}/usr/bin/nix \"$@\"\n",
        link.display(),
        libraries.display(),
        tree.display()
    ))
}

fn empty_store() -> Result<()> {
    for program in ["bash", "ssh"] {
        let program = fs::canonicalize(system_program(program, program)?).context(program)?;
        if program.starts_with("/nix") {
            let why = "this machine's programs are in /nix, which would be hidden".to_owned();
            return Err(Error::Unsupported(why));
        }
    }
    let store = Path::new("/nix");
    if !store.exists() {
        fs::create_dir(store).context("/nix")?;
    }
    run_command(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "nix", "/nix"]))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(store, mode).context("/nix")
}

/// A program's command line by which it sees an empty `/nix` of its own: another machine's.
pub(super) fn with_a_store_of_its_own(program: &Path) -> Vec<OsString> {
    let script = "mount -t tmpfs -o mode=755 nix /nix && exec \"$@\"";
    let words = ["--mount", "--", "sh", "-c", script, "sh"];
    let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
    words.push(program.into());
    words
}
