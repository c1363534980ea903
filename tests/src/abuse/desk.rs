//! A daemon with much to tell, on a bus with a polkit that takes its time.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use offload_client::names::ROOT_PATH;
use tokio::time::sleep;
use zbus::{Connection, DynamicType, Message, interface};

use super::{Control, Flood, Honest, Tally, asks};
use crate::{
    Bus, Daemon, Error, Result, bench::proc, bus::Flavour, daemon::Launch, error::Context,
    fake::Cache, ground::HERE,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// Caches beside the one that answers: so that whoever asks for all gets much.
const OTHERS: usize = 40;
/// How long polkit takes for an answer.
const POLKIT: Duration = Duration::from_millis(20);
/// What the daemon gets to calm down.
const REST: Duration = Duration::from_secs(1);
/// How long the next one asks after a storm.
const NEXT: Duration = Duration::from_millis(200);
/// The user who asks now and then: `bin`. (dbus-daemon wants users with a name.)
pub const HONEST: u32 = 2;
/// Who floods: `daemon`.
pub const FLOODER: u32 = 1;
/// And another: `nobody`.
pub const OTHER_FLOODER: u32 = 65_534;

/// A bus, a polkit, a daemon and a cache.
pub struct Desk {
    daemon: Daemon,
    /// The one that answers.
    _cache: Cache,
    _polkit: Connection,
    _control: Control,
    bus: Bus,
}

/// How a storm was weathered. Memory is the daemon's, resident, in KiB.
#[derive(Clone, Debug)]
pub struct Weathered {
    /// What came of the floods.
    pub floods: Vec<Tally>,
    /// How somebody else fared meanwhile.
    pub honest: Honest,
    /// And right after it.
    pub next: Honest,
    /// Before it.
    pub before: u64,
    /// The most while it lasted.
    pub peak: u64,
    /// A second after it.
    pub after: u64,
    /// The daemon's time on the processor.
    pub cpu: Duration,
}

/// Lets everybody.
struct Polkit;

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    async fn check_authorization(
        &self,
        _subject: (String, HashMap<String, zbus::OwnedVariant>),
        _action: &str,
        _details: HashMap<String, String>,
        _flags: u32,
        _cancellation: &str,
    ) -> (bool, bool, HashMap<String, String>) {
        sleep(POLKIT).await;
        (true, false, HashMap::new())
    }
}

impl Desk {
    /// Starts it all.
    ///
    /// # Errors
    /// When something is not installed, or does not come up.
    pub async fn start(flavour: Flavour) -> Result<Self> {
        let bus = Bus::start_as(flavour).await?;
        let polkit = bus.connect().await?;
        let server = polkit.object_server();
        let served = server.at("/org/freedesktop/PolicyKit1/Authority", Polkit);
        served
            .await
            .map_err(std::io::Error::other)
            .context("polkit")?;
        let named = polkit.request_name("org.freedesktop.PolicyKit1").await;
        named.map_err(std::io::Error::other).context("polkit")?;
        let control = Control::start(socket(&bus)).await?;
        let cache = Cache::start(ANY).await?;
        let mut config = format!(
            "[nix]\nimport = false\n[poll]\ninterval = \"60s\"\ntimeout = \"1s\"\n[[cache]]\nname = \"desktop\"\nurl = \"{}\"\n\
             [[builder]]\nname = \"desktop\"\nuri = \"ssh-ng://root@{HERE}:1\"\n",
            cache.url()
        );
        for other in 0..OTHERS {
            config += &format!(
                "[[cache]]\nname = \"other-{other}\"\nurl = \"http://{HERE}:1/{other}\"\n"
            );
        }
        let daemon = Daemon::start(Launch {
            config,
            bus: bus.address(),
            ..Launch::default()
        });
        let daemon = daemon.await?;
        daemon.wait_ready().await?;
        // The first round is over.
        sleep(REST).await;
        Ok(Self {
            daemon,
            _cache: cache,
            _polkit: polkit,
            _control: control,
            bus,
        })
    }

    /// A flood of `calls` by [`FLOODER`] for two seconds, as many as go.
    pub fn flood(&self, calls: impl IntoIterator<Item = Message>) -> Flood {
        Flood {
            socket: socket(&self.bus),
            uid: FLOODER,
            connections: 16,
            calls: calls.into_iter().collect(),
            depth: 125,
            rate: None,
            duration: Duration::from_secs(2),
            reads: true,
        }
    }

    /// Sends the floods, all at once, while [`HONEST`] asks now and then.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub async fn weather(&self, floods: Vec<Flood>) -> Result<Weathered> {
        let id = self.daemon.id();
        let longest = floods.iter().map(|flood| flood.duration).max();
        let before = proc::memory(id)?.resident;
        proc::forget_peak(id)?;
        let account = proc::account(id)?;
        let sent = floods.into_iter().map(Flood::send);
        let sent = futures_util::future::try_join_all(sent);
        let honest = asks(self.bus.address(), HONEST, longest.unwrap_or_default());
        let (floods, honest) = tokio::try_join!(sent, honest)?;
        let next = asks(self.bus.address(), HONEST, NEXT).await?;
        let peak = proc::peak(id)?;
        sleep(REST).await;
        Ok(Weathered {
            floods,
            honest,
            next,
            before,
            peak,
            after: proc::memory(id)?.resident,
            cpu: Duration::from_nanos(proc::account(id)?.since(account).cpu_nanos),
        })
    }
}

fn socket(bus: &Bus) -> String {
    bus.address().replace("unix:path=", "")
}

/// A call of what offloadd has, whoever it is sent to.
///
/// # Errors
/// When it is none.
pub fn call<B: serde::Serialize + DynamicType>(
    destination: &str,
    path: &str,
    interface: &str,
    member: &str,
    body: &B,
) -> Result<Message> {
    let path = format!("{ROOT_PATH}{path}");
    let call = Message::method_call(&*path, member);
    let call = call
        .destination(destination)
        .interface(interface)
        .build(body);
    call.map_err(|error| Error::Unsupported(error.to_string()))
}

impl std::fmt::Display for Weathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = |kib: u64| kib as f64 * 1024.0 / 1e6;
        write!(
            f,
            "memory {:.1} MB, {:.1} at most, {:.1} after; cpu {:.2} s\n    meanwhile:{}\n    then:{}",
            megabytes(self.before),
            megabytes(self.peak),
            megabytes(self.after),
            self.cpu.as_secs_f64(),
            self.honest,
            self.next,
        )?;
        for flood in &self.floods {
            write!(
                f,
                "\n    flood: {} connections, {} sent, {} answered, {:?}",
                flood.connections, flood.sent, flood.answered, flood.errors
            )?;
        }
        Ok(())
    }
}
