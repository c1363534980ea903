//! Both machines, and what is asked of them in these tests.

use std::time::Duration;

use offload_client::{Snapshot, snapshot::Target};
use offload_tests::{
    Namespace,
    container::{Cache, Desktop, Laptop, Suite},
    eventually,
    package::package,
    supported,
};

/// Longer than anything takes that is not waited for on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const DAEMON: &str = "offloadd.service";

/// Both machines, and the cable between them. In the order in which they end.
pub(crate) struct Desk {
    pub(crate) laptop: Laptop,
    pub(crate) desktop: Desktop,
    pub(crate) cache: Cache,
    pub(crate) network: Namespace,
}

impl Desk {
    /// Both booted, the package installed, everything ready; `None`, with the reason said, where this
    /// machine can't.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_on(Suite::from_environment()).await
    }

    /// The same of a Debian.
    pub(crate) async fn start_on(suite: Suite) -> Option<Self> {
        let package = supported(package(1).await)?;
        let desk = Self::bare(suite).await?;
        desk.laptop.install(&package).unwrap();
        desk.until_ready().await;
        Some(desk)
    }

    /// The same with nothing installed.
    pub(crate) async fn bare(suite: Suite) -> Option<Self> {
        let network = supported(Namespace::new())?;
        let desktop = supported(Desktop::start_on(suite, &network).await)?;
        let cache = desktop.serve_cache().unwrap();
        let laptop = Laptop::start(&network, &desktop, &cache).await.unwrap();
        Some(Self {
            laptop,
            desktop,
            cache,
            network,
        })
    }

    /// Runs a command on the laptop as root, which must end well; what it printed.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let run = self.laptop.container().run(command);
        run.unwrap_or_else(|error| panic!("{error}\n{}", self.journal()))
    }

    /// One property of a unit of the laptop.
    pub(crate) fn unit(&self, unit: &str, property: &str) -> String {
        self.laptop.unit(unit, property).unwrap()
    }

    /// Waits until a unit of the laptop is `active`, `inactive`, `activating` or `failed`.
    pub(crate) async fn until_unit(&self, unit: &str, state: &str) {
        let fact = async || (self.unit(unit, "ActiveState") == state).then_some(());
        let what = format!("{unit} is {state}");
        if let Err(late) = eventually(PATIENCE, &what, fact).await {
            let status = ["systemctl", "status", "--no-pager", "--full", unit];
            let status = self.laptop.root(&status).unwrap();
            panic!("{late}:\n{}\n{}", status.stdout, self.journal());
        }
    }

    /// Waits until what offloadd says is as it should be.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let fact = async || self.laptop.snapshot().ok().filter(|said| fits(said));
        match eventually(PATIENCE, what, fact).await {
            Ok(snapshot) => snapshot,
            Err(late) => panic!(
                "{late}; it is {:#?}\n{}",
                self.laptop.snapshot(),
                self.journal()
            ),
        }
    }

    /// Waits until both targets are ready.
    pub(crate) async fn until_ready(&self) -> Snapshot {
        let both = |said: &Snapshot| said.state.is_ready() && said.targets.len() == 2;
        self.until("both targets are ready", both).await
    }

    /// The desktop is shut down, and nobody answers for its address any more.
    pub(crate) fn desktop_off(&mut self) {
        self.desktop.stop();
        self.network.desktop_ip(&address("del")).unwrap();
        // A card that waits for a magic packet keeps its link, whatever the system did on its way down.
        self.network.desktop_ip("link set lan up").unwrap();
    }

    /// It boots again.
    pub(crate) async fn desktop_on(&mut self) {
        self.network.desktop_ip(&address("add")).unwrap();
        self.desktop.boot().await.unwrap();
    }

    /// The laptop's latest journal, for whoever has to find out why.
    pub(crate) fn journal(&self) -> String {
        let journal = self.laptop.container().journal();
        journal.unwrap_or_else(|error| error.to_string())
    }
}

/// The builder among what is watched.
pub(crate) fn builder(snapshot: &Snapshot) -> &Target {
    let found = snapshot
        .targets
        .iter()
        .find(|target| target.kind == offload_client::Kind::Builder);
    found.unwrap_or_else(|| panic!("no builder: {snapshot:#?}"))
}

fn address(command: &str) -> String {
    format!("addr {command} {}/24 dev lan", Namespace::DESKTOP)
}
