//! Takes up a changed configuration: Nix's, ssh's and ours as they change, and on SIGHUP.

mod changes;
mod debounce;

use std::{collections::BTreeSet, io, path::PathBuf};

use offload_client::{
    Printable, WarningCode,
    snapshot::{Detail, Warning},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    changes::{Change, Changes},
    debounce::Debounce,
};
use crate::{
    config::{self, ConfigErrors, Settings, Sources},
    files::{Direct, Reachable},
    monitor::Handle,
    nix::{
        self, Environment, NixVersion, environment,
        loaded::{self, Observer, Read},
        ssh_config, version,
    },
    notify::Notifier,
    plan::{Plan, plan, plan_beside},
    service::status_line,
    target::{SpecKind, TargetSpec},
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
    changes: Changes,
    nix_daemon: Observer,
    /// What Nix's files are read as.
    version: NixVersion,
    /// What Nix is told beside them.
    environment: Environment,
}

impl Reloader {
    /// Listens for SIGHUP from now on. Fails where that can't be had.
    pub(crate) fn new(sources: Option<Sources>, settings: Settings) -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self {
            sources,
            settings,
            rejected: None,
            told: Vec::new(),
            hangup,
            changes: Changes::new(),
            nix_daemon: Observer::default(),
            version: NixVersion::default(),
            environment: Environment::of_this_process(),
        })
    }

    /// The plan of the present settings and of Nix's configuration as it is now.
    pub(crate) async fn plan(&mut self) -> Plan {
        self.ask_version(None).await;
        self.ask_environment().await;
        let (mut plan, mut watched) = self.read();
        if plan.loaded.started.is_some() && self.ask_version(watched.last()).await {
            (plan, watched) = self.read();
        }
        // What changed between the reading and the watching is read again.
        while self.changes.follow_nixs(&watched) {
            (plan, watched) = self.read();
        }
        self.changes.follow_sshs(&files_of_ssh(&plan.targets));
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

    /// Asks for the environment of nix-daemon; where systemd has none, Nix runs in that of who calls it.
    async fn ask_environment(&mut self) {
        if self.settings.nix.import {
            let of_nix_daemon = environment::of_nix_daemon(&Reachable::by_this_process()).await;
            self.environment = of_nix_daemon.unwrap_or_else(Environment::of_this_process);
        }
    }

    /// The plan but for our own warnings, and the files whose change needs another.
    fn read(&mut self) -> (Plan, Vec<PathBuf>) {
        let import = &self.settings.nix;
        if !import.import {
            let imported = nix::Imported {
                environment: self.environment.clone(),
                ..nix::Imported::default()
            };
            let plan = plan(&self.settings, &imported);
            let watched = plan.files.clone();
            return (plan, watched);
        }
        let files = Reachable::by_this_process();
        let mut imported = nix::read(&import.conf, self.version, &files);
        imported.environment.clone_from(&self.environment);
        let mut loaded = self.nix_daemon.look(&import.conf, &imported.conf_files);
        let before = match &loaded.read {
            Read::Before(before) => imported.as_read_before(&import.conf, before, &files),
            Read::Written | Read::Unknown => None,
        };
        if before.is_none() && loaded.read != Read::Written {
            loaded.read = Read::Unknown;
        }
        let mut plan = plan_beside(&self.settings, &imported, before.as_ref(), loaded);
        let mut watched = plan.files.clone();
        // Made anew by a nix-daemon that starts.
        watched.push(loaded::socket(&imported.conf));
        if plan.loaded.started.is_some() {
            plan.nix_socket = watched.last().cloned();
            plan.proving.builds = self.settings.proof;
        }
        (plan, watched)
    }

    /// Hands every new plan to the monitor. Signals and changes of files share one debounce: a storm
    /// of them is no more than a reading each second.
    pub(crate) async fn run(mut self, monitor: Handle, notifier: Notifier) {
        let mut debounce = Debounce::default();
        // Whether a signal is among what is gathered, and whose files.
        let (mut signalled, mut changed) = (false, BTreeSet::new());
        self.follow_ours();
        self.changes.follow_roots().await;
        loop {
            tokio::select! {
                hangup = self.hangup.recv() => match hangup {
                    Some(()) => {
                        signalled = true;
                        debounce.ask();
                    }
                    None => return,
                },
                whose = self.changes.next() => {
                    changed.insert(whose);
                    debounce.ask();
                }
                () = debounce.is_due() => {
                    debounce.begin();
                    if std::mem::take(&mut signalled) {
                        let loaded = self.load();
                        self.reload(loaded, &monitor, &notifier).await;
                        self.changes.follow_roots().await;
                    }
                    self.take_up(&std::mem::take(&mut changed), &monitor, &notifier).await;
                }
                () = self.nix_daemon.is_due() => self.read_again(&monitor).await,
            }
        }
    }

    /// Takes up what has changed.
    async fn take_up(&mut self, changed: &BTreeSet<Change>, monitor: &Handle, notifier: &Notifier) {
        let is_changed = |whose| changed.contains(&whose);
        if is_changed(Change::Ours) {
            let loaded = self.load();
            if self.is_news(&loaded) {
                self.reload(loaded, monitor, notifier).await;
            }
        }
        if is_changed(Change::Nixs) || is_changed(Change::Roots) {
            tracing::info!("Nix's configuration changed");
            // First, so that what changes from now on is told.
            self.changes.follow_roots().await;
            self.read_again(monitor).await;
        }
        if is_changed(Change::Sshs) || is_changed(Change::Roots) {
            tracing::info!("what ssh goes by changed");
            monitor.refresh_builders().await;
        }
    }

    fn follow_ours(&mut self) {
        if let Some(sources) = &self.sources {
            let read = self.settings.files.read.iter().cloned();
            let files: Vec<_> = sources.to_watch().into_iter().chain(read).collect();
            self.changes.follow_ours(&files);
        }
    }

    fn load(&self) -> Result<Settings, ConfigErrors> {
        let loaded = self.sources.as_ref().map(config::load);
        loaded.unwrap_or_else(|| Ok(self.settings.clone()))
    }

    /// Whether that is other than what is in force, or was refused.
    fn is_news(&self, loaded: &Result<Settings, ConfigErrors>) -> bool {
        match loaded {
            Ok(settings) => *settings != self.settings || self.rejected.is_some(),
            Err(errors) => self.rejected != Some(errors.to_string()),
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
    async fn reload(
        &mut self,
        loaded: Result<Settings, ConfigErrors>,
        monitor: &Handle,
        notifier: &Notifier,
    ) {
        notifier.reloading();
        match loaded {
            Ok(settings) => {
                if settings.steer != self.settings.steer {
                    tracing::warn!("[steer] has changed, which takes a restart of offloadd");
                }
                if settings.metrics != self.settings.metrics {
                    tracing::warn!("[metrics] has changed, which takes a restart of offloadd");
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
        self.follow_ours();
        self.read_again(monitor).await;
        notifier.ready(status_line(&monitor.snapshot()));
    }
}

/// The files that ssh goes by, as far as they are known without it: for what its configuration names elsewhere the helper
/// sees.
fn files_of_ssh(targets: &[TargetSpec]) -> Vec<PathBuf> {
    let mut files = ssh_config::files(&Direct);
    files.extend(ssh_config::SshOptions::defaults("", None, None, None).files());
    let keys = targets.iter().filter_map(|target| match &target.kind {
        SpecKind::Builder(builder) => builder.ssh_key.as_deref(),
        SpecKind::Cache(_) => None,
    });
    files.extend(keys.flat_map(ssh_config::beside));
    files
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
