//! The daemon's life: from a valid configuration to its last reply.
//!
//! The file `ready` is set before the bus is told: whoever wakes by a signal finds it as it should be.

use std::{collections::BTreeMap, io, net::IpAddr};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use zbus::{Address, fdo};

use crate::{
    build::{Jobs, Nix, Prover},
    bus,
    cli::BusChoice,
    config::{self, Settings, Sources, Steer},
    exit,
    gateway::Gateway,
    http::Sockets,
    log::Log,
    metrics::{Metrics, Page, Textfile},
    monitor::{Handle, Monitor},
    net::{self, News, Station},
    notify::{Teller, Watchdog},
    page,
    proof::Proofs,
    reload::Reloader,
    service::{Flag, follow_sleep, follow_wall_clock, report_status, status_line},
    state::{Learnt, State},
    target::TargetId,
};

/// What the daemon needs to know to start.
#[derive(Debug)]
pub struct Options {
    /// The configuration to start with.
    pub settings: Settings,
    /// Where to read it again on SIGHUP; without, SIGHUP reads only Nix's again.
    pub sources: Option<Sources>,
    /// The bus to publish on.
    pub bus: BusChoice,
    /// What tells other units whether a builder is ready.
    pub flag: Flag,
    /// Whether the page is shown, once, to who started it by hand.
    pub page: bool,
    /// Its log, which is changed on the bus; none where a program around it has its own.
    pub log: Option<Log>,
}

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no bus, or its name belongs to another.
    #[error("{0}")]
    NoBus(String),
    /// The bus went away.
    #[error("the bus is gone{0}")]
    BusGone(String),
    /// The snapshot could not be written as JSON.
    #[error("the snapshot can't be written: {0}")]
    Describe(#[from] serde_json::Error),
    /// A round was interrupted by this signal.
    #[error("interrupted")]
    Interrupted(u8),
    /// The kernel refused something a daemon can't do without.
    #[error("the kernel refused a timer or a signal: {0}")]
    Kernel(#[from] io::Error),
}

impl RunError {
    /// The exit status, by sysexits(3).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoBus(_) | Self::BusGone(_) => exit::BUS_GONE,
            Self::Kernel(_) | Self::Describe(_) => exit::OS_ERROR,
            Self::Interrupted(signal) => exit::INTERRUPTED.saturating_add(*signal),
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT, or until its bus is gone.
pub async fn run(options: Options) -> Result<(), RunError> {
    let mut stop = std::pin::pin!(stop_signal()?);
    ignore_other_signals()?;
    let (mut teller, notifier) = Teller::from_environment();
    let poll = options.settings.poll.clone();
    let steer = options.settings.steer;
    let wants_metrics = options.settings.metrics.clone();
    let mut reloader = Reloader::new(options.sources, options.settings)?;
    let watchdog = Watchdog::from_environment(notifier.clone());
    let (monitor, handle) = Monitor::new(reloader.plan().await, poll, watchdog)?;
    // Before the monitor, so that its first command is which networks there are.
    let network = tokio::spawn(follow_network(handle.clone()));
    let (jobs, jobs_handle) = Jobs::new(Nix::from_environment(), handle.clone());
    let jobs = tokio::spawn(jobs.run());

    let bus = tokio::select! {
        bus = Bus::open(options.bus) => bus?,
        () = teller.run() => return Ok(()),
        _ = &mut stop => return Ok(()),
    };
    let mut service = tokio::select! {
        service = bus::Service::start(bus.link, handle.clone(), jobs_handle.clone(), options.log) => service.map_err(no_bus)?,
        () = teller.run() => return Ok(()),
        _ = &mut stop => return Ok(()),
    };
    let state = State::from_environment();
    let Learnt {
        found,
        stations,
        proofs,
    } = state.learnt().clone();
    handle.remember(found, stations).await;
    let bus_of_prover = Some(service.connection().clone());
    let (prover, proofs) = Prover::new(handle.clone(), jobs_handle.clone(), proofs, bus_of_prover);
    let prover = tokio::spawn(prover.run());
    let mut sockets = Sockets::from_environment();
    let gateway = gateway(steer, &mut sockets, &handle);
    let metrics = Metrics::new(handle.clone(), gateway.as_ref().map(Gateway::counts));
    let (page, textfile) = metrics_told(wants_metrics, &mut sockets, metrics);
    drop(sockets);
    notifier.ready(status_line(&handle.snapshot()));
    teller.tell();
    // After that, so that readiness waits for no check, however many there are.
    let mut monitor = tokio::spawn(monitor.run());
    tracing::info!("ready on {}", bus.name);

    let connection = service.connection().clone();
    let result = tokio::select! {
        // The file first: whoever hears of a change on the bus finds it already.
        biased;
        () = options.flag.follow(handle.subscribe()) => Ok(()),
        () = teller.run() => Ok(()),
        ended = service.run() => {
            Err(RunError::BusGone(ended.err().map_or_else(String::new, |e| format!(": {e}"))))
        }
        ended = &mut monitor => match ended {
            Ok(ended) => ended.map_err(RunError::from),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
        () = reloader.run(handle.clone(), notifier.clone()) => Ok(()),
        () = report_status(notifier.clone(), handle.subscribe()) => Ok(()),
        () = follow_sleep(&connection, handle.clone()) => Ok(()),
        () = follow_wall_clock(handle.clone()) => Ok(()),
        () = served(gateway.map(Gateway::run)) => Ok(()),
        () = served(page.map(Page::run)) => Ok(()),
        () = served(textfile.map(|file| file.follow(handle.subscribe()))) => Ok(()),
        () = page::first(handle.subscribe()), if options.page => Ok(()),
        () = keep(state, handle.found(), handle.stations(), proofs) => Ok(()),
        _ = &mut stop => Ok(()),
    };
    notifier.stopping();
    teller.tell();
    // What they run ends with them.
    jobs.abort();
    prover.abort();
    network.abort();
    monitor.abort();
    drop((handle, jobs_handle, connection));
    if result.is_ok() {
        service.stop().await;
        tracing::info!("stopped");
    }
    result
}

/// Tells the monitor what changes around this machine.
async fn follow_network(monitor: Handle) {
    let (news, mut heard) = mpsc::channel(1);
    let telling = async {
        while let Some(news) = heard.recv().await {
            match news {
                News::Networks(network) => monitor.network(network).await,
                News::Appeared(address) => monitor.refresh_address(address).await,
            }
        }
    };
    tokio::join!(net::run(news, monitor.subscribe()), telling);
}

/// Keeps what is learnt. Never ends while the daemon works.
async fn keep(
    mut state: State,
    mut found: watch::Receiver<BTreeMap<TargetId, IpAddr>>,
    mut stations: watch::Receiver<BTreeMap<TargetId, Station>>,
    mut proofs: watch::Receiver<Proofs>,
) {
    loop {
        let changed = tokio::select! {
            changed = found.changed() => changed,
            changed = stations.changed() => changed,
            changed = proofs.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
        let learnt = Learnt {
            found: found.borrow_and_update().clone(),
            stations: stations.borrow_and_update().clone(),
            proofs: proofs.borrow_and_update().clone(),
        };
        // A disk takes its time: nothing waits for it here.
        let kept = tokio::task::spawn_blocking(move || {
            state.keep(learnt);
            state
        });
        match kept.await {
            Ok(kept) => state = kept,
            Err(error) => {
                tracing::error!("what is learnt is kept no more: {error}");
                return std::future::pending().await;
            }
        }
    }
}

/// The gateway; nothing where there is none, or where it can't be had: what Nix loses by that is no more than the caches.
fn gateway(steer: Steer, sockets: &mut Sockets, handle: &Handle) -> Option<Gateway> {
    let address = steer.gateway?;
    let opened = Gateway::open(address, sockets, handle.clone());
    let told = opened.inspect_err(|error| tracing::error!("no gateway at {address}: {error}"));
    told.ok()
}

/// What tells metrics; a page that can't be had takes nothing else down.
fn metrics_told(
    wanted: config::Metrics,
    sockets: &mut Sockets,
    metrics: Metrics,
) -> (Option<Page>, Option<Textfile>) {
    let page = wanted.listen.and_then(|address| {
        let opened = Page::open(address, sockets, metrics.clone());
        let told = opened.inspect_err(|error| tracing::error!("no metrics at {address}: {error}"));
        told.ok()
    });
    let textfile = wanted.textfile.map(|path| Textfile::new(path, metrics));
    (page, textfile)
}

/// Ends with `service`; never, where there is none.
async fn served(service: Option<impl Future<Output = ()>>) {
    match service {
        Some(service) => service.await,
        None => std::future::pending().await,
    }
}

/// Comes back with the number of SIGTERM or SIGINT; the signals are caught from the call on.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = u8>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let caught = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        };
        caught.as_raw_value() as u8
    })
}

/// Nothing but SIGTERM and SIGINT ends the daemon in good order: what the kernel would end it with by default is
/// caught, and left at that. Children get the default back with exec.
fn ignore_other_signals() -> io::Result<()> {
    for kind in [
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::alarm(),
        SignalKind::io(),
    ] {
        let _caught = signal(kind)?;
    }
    Ok(())
}

/// The bus that was chosen, and what keeps it alive.
struct Bus {
    link: bus::Link,
    name: String,
    #[cfg(feature = "embedded-bus")]
    _embedded: Option<bus::embedded::EmbeddedBus>,
}

impl Bus {
    async fn open(choice: BusChoice) -> Result<Self, RunError> {
        let plain = async |address: zbus::Result<Address>, name: &str| {
            Ok(Self {
                link: link(address.map_err(no_bus)?).await?,
                name: name.to_owned(),
                #[cfg(feature = "embedded-bus")]
                _embedded: None,
            })
        };
        match choice {
            BusChoice::System => plain(Address::system(), "the system bus").await,
            BusChoice::Session => plain(Address::session(), "the session bus").await,
            BusChoice::Address(address) => plain(address.parse(), &address).await,
            #[cfg(feature = "embedded-bus")]
            BusChoice::Embedded => {
                let socket = offload_client::embedded::socket_for_server();
                let embedded = bus::embedded::EmbeddedBus::start(&socket)
                    .map_err(|error| RunError::NoBus(error.to_string()))?;
                let name = format!("the embedded bus at {}", socket.display());
                Ok(Self {
                    link: link(embedded.address()).await?,
                    name,
                    _embedded: Some(embedded),
                })
            }
            #[cfg(not(feature = "embedded-bus"))]
            BusChoice::Embedded => {
                let text = "this offloadd was built without the embedded bus";
                Err(RunError::NoBus(text.to_owned()))
            }
        }
    }
}

async fn link(address: Address) -> Result<bus::Link, RunError> {
    bus::Link::to(address).await.map_err(no_bus)
}

fn no_bus(error: zbus::Error) -> RunError {
    RunError::NoBus(match error {
        zbus::Error::NameTaken => format!(
            "another offloadd owns {}: stop it first, or use --bus embedded",
            offload_client::names::BUS_NAME
        ),
        zbus::Error::FDO(error) if matches!(*error, fdo::Error::AccessDenied(_)) => format!(
            "the bus does not let this user have {}: {error}. Who may stands in org.offloadd.Offload1.conf, in \
             dbus-1/system.d of /etc or /usr/share; a bus that runs reads it with `systemctl reload dbus`",
            offload_client::names::BUS_NAME
        ),
        error => format!("the bus can't be used: {error}"),
    })
}
