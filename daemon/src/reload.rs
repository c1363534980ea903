//! Takes up a changed configuration: Nix's own as soon as it changes, ours on SIGHUP.

mod debounce;

use std::{io, path::PathBuf};

use offload_client::{
    Printable, WarningCode,
    snapshot::{Detail, Warning},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::debounce::Debounce;
use crate::{
    config::{self, Settings, Sources},
    files::Reachable,
    monitor::Handle,
    nix::{
        self, NixVersion,
        loaded::{self, Observer},
        version,
        watch::Watcher,
    },
    notify::Notifier,
    plan::{Plan, plan},
    service::status_line,
};

/// Takes up a changed configuration.
pub(crate) struct Reloader {
    sources: Option<Sources>,
    settings: Settings,
    /// What was wrong with the newest configuration, if the one in force is an older one.
    rejected: Option<String>,
    /// The warnings that the log has already.
    told: Vec<Warning>,
    hangup: Signal,
    watcher: Option<Watcher>,
    nix_daemon: Observer,
    /// What Nix's files are read as.
    version: NixVersion,
}

impl Reloader {
    /// Listens for SIGHUP from now on. Fails where that can't be had.
    pub(crate) fn new(sources: Option<Sources>, settings: Settings) -> io::Result<Self> {
        let watcher = Watcher::new()
            .inspect_err(|error| {
                tracing::warn!(
                    "changes of nix.conf will not be noticed (inotify: {error}); \
                     reload offloadd after one"
                );
            })
            .ok();
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self {
            sources,
            settings,
            rejected: None,
            told: Vec::new(),
            hangup,
            watcher,
            nix_daemon: Observer::default(),
            version: NixVersion::default(),
        })
    }

    /// The plan of the present settings and of Nix's configuration as it is now.
    pub(crate) async fn plan(&mut self) -> Plan {
        self.ask_version(None).await;
        let (mut plan, mut watched) = self.read();
        if plan.loaded.started.is_some() && self.ask_version(watched.last()).await {
            (plan, watched) = self.read();
        }
        // What changed between the reading and the watching is read again.
        while let Some(watcher) = &mut self.watcher
            && watcher.set(&watched)
        {
            (plan, watched) = self.read();
        }
        if let Some(errors) = &self.rejected {
            plan.warnings.push(Warning {
                code: WarningCode::ConfigRejected,
                target: None,
                details: [("error".into(), Detail::from(errors.clone()))].into(),
            });
        }
        for warning in &plan.warnings {
            if !self.told.contains(warning) {
                tracing::warn!("{}: {}", warning.code, particulars(warning));
            }
        }
        self.told.clone_from(&plan.warnings);
        plan
    }

    /// Asks Nix for its version: the daemon at `socket`, or else the program. Whether it is another than
    /// the one that is known.
    async fn ask_version(&mut self, socket: Option<&PathBuf>) -> bool {
        if !self.settings.nix.import {
            return false;
        }
        let version = version::ask(socket.map(PathBuf::as_path)).await;
        let version = version.unwrap_or_default();
        std::mem::replace(&mut self.version, version) != version
    }

    /// The plan but for our own warnings, and the files whose change needs another.
    fn read(&mut self) -> (Plan, Vec<PathBuf>) {
        let import = &self.settings.nix;
        let imported = if import.import {
            nix::read(&import.conf, self.version, &Reachable::by_this_process())
        } else {
            nix::Imported::default()
        };
        let mut plan = plan(&self.settings, &imported);
        let mut watched = plan.files.clone();
        if import.import {
            plan.loaded = self.nix_daemon.look(&import.conf, &imported.conf_files);
            // Made anew by a nix-daemon that starts.
            watched.push(loaded::socket(&imported.conf));
            if plan.loaded.started.is_some() {
                plan.proving.builds = self.settings.proof;
            }
        }
        (plan, watched)
    }

    /// Hands every new plan to the monitor. Signals and changes of files share one debounce: a storm
    /// of them is no more than a reading each second.
    pub(crate) async fn run(mut self, monitor: Handle, notifier: Notifier) {
        let mut debounce = Debounce::default();
        // Whether a signal is among what is gathered.
        let mut signalled = false;
        loop {
            tokio::select! {
                hangup = self.hangup.recv() => match hangup {
                    Some(()) => {
                        signalled = true;
                        debounce.ask();
                    }
                    None => return,
                },
                changed = changed(&mut self.watcher) => match changed {
                    Ok(()) => {
                        tracing::info!("Nix's configuration changed");
                        debounce.ask();
                    }
                    Err(error) => {
                        tracing::error!("changes of nix.conf are no longer noticed: {error}");
                        self.watcher = None;
                    }
                },
                () = debounce.is_due() => {
                    debounce.begin();
                    if std::mem::take(&mut signalled) {
                        self.reload(&monitor, &notifier).await;
                    } else {
                        self.read_again(&monitor).await;
                    }
                }
                () = self.nix_daemon.is_due() => self.read_again(&monitor).await,
            }
        }
    }

    /// Takes up Nix's configuration as it is now.
    async fn read_again(&mut self, monitor: &Handle) {
        let plan = self.plan().await;
        monitor.watch(plan, self.settings.poll.clone()).await;
    }

    /// A broken configuration keeps the old one in force, and says so. `RELOADING=1` is told now, when
    /// the files are about to be read, and so after every signal that this is the answer to: systemd
    /// takes the next `READY=1` for the end of the reload that it has asked for.
    async fn reload(&mut self, monitor: &Handle, notifier: &Notifier) {
        notifier.reloading();
        let loaded = self.sources.as_ref().map(config::load);
        match loaded.unwrap_or_else(|| Ok(self.settings.clone())) {
            Ok(settings) => {
                if settings.steer != self.settings.steer {
                    tracing::warn!("[steer] has changed, which takes a restart of offloadd");
                }
                self.settings = settings;
                self.rejected = None;
                tracing::info!("configuration reloaded");
            }
            Err(errors) => {
                tracing::error!("configuration rejected, the old one stays in force: {errors}");
                self.rejected = Some(errors.to_string());
            }
        }
        self.read_again(monitor).await;
        notifier.ready(status_line(&monitor.snapshot()));
    }
}

/// Never, where nothing is watched.
async fn changed(watcher: &mut Option<Watcher>) -> io::Result<()> {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

/// `file /etc/nix/machines, line 3, text …`.
fn particulars(warning: &Warning) -> String {
    let one = |(key, detail): (&Printable, &Detail)| format!("{key} {detail}");
    warning
        .details
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(", ")
}
