//! A laptop with its own Nix and offloadd beside it, and what it is asked in these tests.

use std::{collections::HashMap, fs, net::Ipv4Addr, time::Duration};

use data_encoding::BASE64;
use offload_client::{
    Kind, Printable, Reason,
    proxy::{BuilderProxy, JobProxy},
    reasons::remedy_for,
    snapshot::{BuilderFacts, Detail, Facts, Target},
};
use offload_tests::{
    Laptop, Namespace, NixDaemon, Sshd, container::Desktop, daemon::Launch, eventually, supported,
};
use zbus::{OwnedObjectPath, OwnedVariant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Checks only when asked, and each of them counts.
pub(crate) const ASKED: &str =
    "[poll]\ninterval = \"60s\"\nfast_interval = \"60s\"\nfall = 1\nrise = 1\n";
/// What the desktop keeps, unless a test says otherwise.
pub(crate) const PROMISE: Promise = Promise {
    systems: "x86_64-linux",
    max_jobs: 2,
    features: "kvm",
};

/// What the laptop's machines file says of the desktop.
#[derive(Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) systems: &'static str,
    pub(crate) max_jobs: u32,
    pub(crate) features: &'static str,
}

impl Promise {
    /// The line for the builder at `uri`, as machines(5) of Nix has it.
    pub(crate) fn line(&self, uri: &str, user_key: &std::path::Path, host_key: &str) -> String {
        let Self {
            systems,
            max_jobs,
            features,
        } = self;
        let (user_key, host_key) = (user_key.display(), BASE64.encode(host_key.as_bytes()));
        format!("{uri} {systems} {user_key} {max_jobs} 1 {features} - {host_key}\n")
    }
}

/// A laptop, and its own Nix.
pub(crate) struct Watcher {
    pub(crate) laptop: Laptop,
    pub(crate) nix: NixDaemon,
}

/// How a test build ended.
pub(crate) struct Built {
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) output: Vec<Printable>,
}

impl Watcher {
    /// On the laptop's side of `network`, with `machines` for its builders; it is checked once.
    pub(crate) async fn start(network: &Namespace, machines: &str, poll: &str) -> Self {
        let nix = NixDaemon::start_inside(Some(network.laptop())).await;
        Self::beside(nix.unwrap(), network, machines, poll).await
    }

    /// The same with a Nix that runs already.
    pub(crate) async fn beside(
        mut nix: NixDaemon,
        network: &Namespace,
        machines: &str,
        poll: &str,
    ) -> Self {
        let file = nix.conf_dir().join("machines");
        fs::write(&file, machines).unwrap();
        nix.set("builders", &format!("@{}", file.display()));
        nix.restart().await.unwrap();
        let conf = nix.conf_dir().join("nix.conf");
        let laptop = Laptop::start_with(Launch {
            config: format!(
                "{poll}[proof]\nbuilds = \"never\"\n[nix]\nconf = \"{}\"\n",
                conf.display()
            ),
            netns: Some(network.laptop().to_owned()),
            environment: nix.environment(),
            ..Launch::default()
        });
        let laptop = laptop.await.unwrap();
        nix.show_store_to(laptop.daemon.id()).unwrap();
        Self { laptop, nix }
    }

    /// The builder, as it is published now.
    pub(crate) async fn builder(&self) -> Target {
        self.laptop.the(Kind::Builder).await.unwrap()
    }

    /// Checks, as a person asks for it, until the reason is `reason`.
    pub(crate) async fn checked(&self, reason: Reason) -> Target {
        let proxy = self.laptop.target(&self.builder().await).await.unwrap();
        let fact = async || {
            proxy.check().await.ok()?;
            let target = self.laptop.the(Kind::Builder).await.ok()?;
            (target.reason == reason && target.last_check_timestamp > 0).then_some(target)
        };
        match eventually(PATIENCE, &format!("the reason is {reason}"), fact).await {
            Ok(target) => target,
            Err(late) => panic!("{late}; it is {:#?}", self.builder().await),
        }
    }

    /// Begins a test build that ends after `timeout` at the latest.
    pub(crate) async fn begin(&self, timeout: Duration) -> JobProxy<'static> {
        let path = self.builder().await.path();
        let builder = BuilderProxy::builder(&self.laptop.connection).path(path);
        let builder = builder.build().await.unwrap();
        let usec = u64::try_from(timeout.as_micros()).unwrap();
        let options = HashMap::from([("timeout".to_owned(), OwnedVariant::from(usec))]);
        let job: OwnedObjectPath = builder.test_build(options).await.unwrap();
        let job = JobProxy::builder(&self.laptop.connection).path(job);
        let job = job.cache_properties(zbus::proxy::CacheProperties::No);
        job.build().await.unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn end(&self, job: &JobProxy<'_>) -> Built {
        let ended = eventually(PATIENCE, "the test build ends", async || {
            let state = job.state().await.unwrap();
            (state != "running").then_some(state)
        });
        let state = match ended.await {
            Ok(state) => state,
            Err(late) => panic!("{late}: {:#?}", job.get_output().await),
        };
        assert!(job.finish_timestamp().await.unwrap() >= job.start_timestamp().await.unwrap());
        Built {
            state,
            reason: job.reason().await.unwrap(),
            output: job.get_output().await.unwrap(),
        }
    }

    /// Runs a test build to its end.
    pub(crate) async fn test_build(&self) -> Built {
        let job = self.begin(PATIENCE).await;
        self.end(&job).await
    }

    /// `offloadctl status` shows the remedy for what the builder suffers from now.
    pub(crate) async fn status_has_the_remedy(&self) {
        let target = self.builder().await;
        let remedy = words(&remedy_for(&target));
        assert!(!remedy.is_empty(), "{target:#?}");
        let status = self.laptop.offloadctl(&["status"]).await.unwrap();
        let said = words(&status.stdout);
        assert!(
            said.contains(&remedy),
            "{}: {remedy} is not in {said}",
            target.reason
        );
    }
}

impl Built {
    /// State and reason; what it printed is said where they are others.
    pub(crate) fn expect(&self, state: &str, reason: &str) {
        let found = (&*self.state, &*self.reason);
        assert_eq!(found, (state, reason), "{:#?}", self.output);
    }
}

/// A [`Watcher`] whose builder is a container: another machine, with Nix 2.26.
pub(crate) struct Desk {
    pub(crate) watcher: Watcher,
    pub(crate) desktop: Desktop,
    pub(crate) network: Namespace,
}

impl Desk {
    /// `None`, with the reason said, where this machine can't.
    pub(crate) async fn start(protocol: &str, promise: Promise, poll: &str) -> Option<Self> {
        let network = supported(Namespace::new())?;
        let desktop = supported(Desktop::start(&network).await)?;
        let host_key = desktop.host_key().unwrap();
        let line = promise.line(&desktop.uri(protocol), desktop.user_key(), &host_key);
        Some(Self {
            watcher: Watcher::start(&network, &line, poll).await,
            desktop,
            network,
        })
    }
}

/// An sshd at `address` in `netns` whose logins find `nix`, and the line for it.
pub(crate) async fn sshd_before(
    nix: &NixDaemon,
    netns: &str,
    address: Ipv4Addr,
    protocol: &str,
) -> (Sshd, String) {
    let sshd = Sshd::start_inside((address, 22).into(), Some(netns));
    let sshd = sshd.await.unwrap();
    nix.serve(&sshd).unwrap();
    let uri = format!("{protocol}://{}@{address}", sshd.user());
    let promise = Promise {
        features: "-",
        ..PROMISE
    };
    let line = promise.line(&uri, sshd.user_key(), &sshd.host_key().unwrap());
    (sshd, line)
}

pub(crate) fn facts(target: &Target) -> &BuilderFacts {
    match &target.facts {
        Facts::Builder(facts) => facts,
        Facts::Cache(_) => panic!("{target:#?}"),
    }
}

pub(crate) fn detail(target: &Target, key: &str) -> String {
    let found = target.details.get(key).map(Detail::to_string);
    found.unwrap_or_else(|| panic!("no {key}: {target:#?}"))
}

/// However the page breaks its lines.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
