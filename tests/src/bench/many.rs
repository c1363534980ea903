//! What it costs to watch many: caches of one server, healthy and then all gone at once.

use std::{collections::BTreeMap, path::Path, time::Duration};

use offload_client::OverallState;
use offloadd::clock::Stopwatch;

use super::{
    contestant::reach,
    figures::{Sample, megabytes, milliseconds},
    offloadd::{calls, run_status},
    proc,
};
use crate::{
    Bus, Daemon, Nginx, Result,
    daemon::{Launch, program},
    ground::free_address,
    signals::{Content, Signals},
};

/// How many are watched.
pub const TARGETS: [usize; 3] = [10, 100, 1000];
/// Each is checked so often, all together up to a hundred times a second.
const INTERVALS: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(3),
    Duration::from_secs(10),
];
/// So many checks of each are counted, or so many checks in all.
const ROUNDS: usize = 2;
const LEAST: usize = 100;
/// How often `GetManagedObjects` is called.
const CALLS: usize = 20;
/// Between two of them, and before `offloadctl`, in milliseconds.
const PAUSE: usize = 400;
/// How often `offloadctl status` is run.
const STATUSES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// What many targets cost.
#[derive(Clone, Debug)]
pub struct Many {
    /// From the start of the process until all of them are ready.
    ready: Duration,
    /// Processor time of one check.
    check: Duration,
    /// Resident memory after that, in KiB.
    memory: u64,
    /// `GetManagedObjects`.
    objects: Sample,
    /// Processor time of one of them.
    objects_cpu: Duration,
    /// `offloadctl status`, from start to exit.
    status: Sample,
    /// When the server went: until all of them were told to be down.
    down: Duration,
    /// The processor time of that.
    down_cpu: Duration,
    /// `PropertiesChanged` of the target that had most of them, and of the Manager.
    signals: [usize; 2],
}

impl Many {
    /// The table's cells, in the order of [`Self::ROWS`].
    pub fn cells(&self) -> [String; 10] {
        let [target, manager] = self.signals;
        [
            milliseconds(self.ready),
            milliseconds(self.check),
            megabytes(self.memory),
            milliseconds(self.objects.median()),
            milliseconds(self.objects_cpu),
            milliseconds(self.status.median()),
            milliseconds(self.down),
            milliseconds(self.down_cpu),
            target.to_string(),
            manager.to_string(),
        ]
    }

    /// What the cells are.
    pub const ROWS: [&'static str; 10] = [
        "start to all ready",
        "processor time of a check",
        "memory, VmRSS",
        "GetManagedObjects, median",
        "processor time of that",
        "offloadctl status, median",
        "server gone to all told",
        "processor time of that",
        "PropertiesChanged of one target, most",
        "PropertiesChanged of the Manager",
    ];
}

/// Measures `program` with as many targets as each of [`TARGETS`].
///
/// # Errors
/// When a program was not built, or the daemon does not follow.
pub async fn many(offloadd: &Path) -> Result<Vec<Many>> {
    let mut all = Vec::new();
    for (targets, interval) in TARGETS.into_iter().zip(INTERVALS) {
        all.push(measure(offloadd, targets, interval).await?);
    }
    Ok(all)
}

async fn measure(offloadd: &Path, targets: usize, interval: Duration) -> Result<Many> {
    let mut nginx = Nginx::start(free_address()?).await?;
    nginx.set_server("rewrite ^/[0-9]+/(.*)$ /$1 last;");
    nginx.restart().await?;
    let bus = Bus::start().await?;
    let mut signals = Signals::listen(&bus.address()).await?;

    let watch = Stopwatch::start();
    let daemon = Daemon::start(Launch {
        config: config(&nginx, targets, interval),
        bus: bus.address(),
        program: Some(offloadd.to_owned()),
        ..Launch::default()
    })
    .await?;
    daemon.wait_ready().await?;
    let ready = OverallState::Ready.as_str();
    signals.until_verdict(PATIENCE, ready).await?;
    let ready = watch.elapsed();

    let made = || nginx.requests();
    let (from, before) = reach(made() + targets, daemon.id(), &made).await?;
    let rounds = (targets * ROUNDS).max(LEAST);
    let (to, after) = reach(from + rounds, daemon.id(), &made).await?;
    let spent = Duration::from_nanos(after.since(before).cpu_nanos);
    let check = spent / u32::try_from(to - from).unwrap_or(u32::MAX).max(1);
    let memory = proc::memory(daemon.id())?.resident;

    let connection = bus.connect().await?;
    let manager = "org.freedesktop.DBus.ObjectManager";
    let (before, from) = (proc::account(daemon.id())?, made());
    let objects = calls(
        &connection,
        manager,
        "GetManagedObjects",
        &(),
        [CALLS, PAUSE],
    )
    .await?;
    let spent = Duration::from_nanos(proc::account(daemon.id())?.since(before).cpu_nanos);
    // Checks went on meanwhile.
    let checks = check * u32::try_from(made() - from).unwrap_or(u32::MAX);
    let objects_cpu = spent.saturating_sub(checks) / u32::try_from(CALLS).unwrap_or(1);
    let offloadctl = program("offloadctl")?;
    let mut status = Vec::new();
    for _ in 0..STATUSES {
        tokio::time::sleep(Duration::from_millis(PAUSE as u64)).await;
        status.push(run_status(&offloadctl, &bus.address()).await?);
    }

    signals.rest().await?;
    let before = proc::account(daemon.id())?;
    let watch = Stopwatch::start();
    nginx.stop();
    let offline = OverallState::Offline.as_str();
    let mut told = signals.until_verdict(PATIENCE, offline).await?;
    let down = watch.elapsed();
    told.extend(signals.rest().await?);
    let down_cpu = Duration::from_nanos(proc::account(daemon.id())?.since(before).cpu_nanos);
    let mut changed = BTreeMap::<(&str, &str), usize>::new();
    for signal in &told {
        if let Content::Changed { interface, .. } = &signal.content {
            *changed.entry((&signal.path, interface)).or_default() += 1;
        }
    }
    let most = |is_manager: bool| {
        let of_it = changed
            .iter()
            .filter(|((_, interface), _)| interface.ends_with(".Manager") == is_manager);
        of_it.map(|(_, count)| *count).max().unwrap_or_default()
    };
    Ok(Many {
        ready,
        check,
        memory,
        objects,
        objects_cpu,
        status: Sample::new(status),
        down,
        down_cpu,
        signals: [most(false), most(true)],
    })
}

fn config(nginx: &Nginx, targets: usize, interval: Duration) -> String {
    let mut config = format!(
        "[poll]\ninterval = \"{}s\"\n[nix]\nimport = false\n",
        interval.as_secs()
    );
    for number in 0..targets {
        config += &format!(
            "[[cache]]\nname = \"desktop{number}\"\nurl = \"{}/{number}\"\n\
             public_keys = [\"{}\"]\nsample = \"{}\"\n",
            nginx.url(),
            nginx.public_key(),
            nginx.store_path()
        );
    }
    config
}
