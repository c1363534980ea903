//! The daemon on a laptop, watching a desktop that is another machine with another Nix: ready means
//! that a build would go, each cause has its own word, and a test build proves where it ran.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::HashMap, fs, time::Duration};

use data_encoding::BASE64;
use offload_client::{
    Kind, Reason, Stage, TargetState,
    proxy::{BuilderProxy, JobProxy},
    reasons::remedy_for,
    snapshot::{BuilderFacts, Detail, Facts, Target},
};
use offload_tests::{
    Bus, Daemon, Error, Laptop, Namespace, NixDaemon, Signals, container::Desktop, daemon::Launch,
    eventually,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Checks only when asked, and each of them counts.
const POLL: &str = "[poll]\ninterval = \"60s\"\nfast_interval = \"60s\"\nfall = 1\nrise = 1\n";

/// Something that is done to the desktop.
type Step<'a> = &'a dyn Fn() -> Result<(), Error>;

/// A laptop with its own Nix, offloadd beside it, and the desktop at the other end of the cable.
struct Desk {
    laptop: Laptop,
    nix: NixDaemon,
    desktop: Desktop,
    _network: Namespace,
}

impl Desk {
    /// `None`, with the reason said, where this machine can't. `promise` is systems and features of
    /// the machines entry.
    async fn start(protocol: &str, promise: (&str, &str)) -> Option<Self> {
        let network = supported(Namespace::new())?;
        let desktop = supported(Desktop::start(&network).await)?;
        let mut nix = NixDaemon::start_inside(Some(network.laptop()))
            .await
            .unwrap();
        let machines = nix.conf_dir().join("machines");
        fs::write(&machines, machine(&desktop, protocol, promise)).unwrap();
        nix.set("builders", &format!("@{}", machines.display()));
        nix.restart().await.unwrap();

        let bus = Bus::start().await.unwrap();
        let signals = Signals::listen(&bus.address()).await.unwrap();
        let conf = nix.conf_dir().join("nix.conf");
        let mut environment = nix.environment();
        environment.push(("OFFLOADD_LOG".into(), "offloadd=debug".into()));
        let daemon = Daemon::start(Launch {
            config: format!("{POLL}[nix]\nconf = \"{}\"\n", conf.display()),
            bus: bus.address(),
            netns: Some(network.laptop().to_owned()),
            environment,
            ..Launch::default()
        });
        let daemon = daemon.await.unwrap();
        daemon.wait_ready().await.unwrap();
        let connection = zbus::connection::Builder::address(bus.address().as_str());
        let connection = connection.build().await.unwrap();
        Some(Self {
            laptop: Laptop {
                signals,
                connection,
                daemon,
                bus,
            },
            nix,
            desktop,
            _network: network,
        })
    }

    /// Checks, as a person asks for it, until the reason is `reason`.
    async fn checked(&self, reason: Reason) -> Target {
        let target = self.laptop.the(Kind::Builder).await.unwrap();
        let proxy = self.laptop.target(&target).await.unwrap();
        let fact = async || {
            proxy.check().await.ok()?;
            let target = self.laptop.the(Kind::Builder).await.ok()?;
            (target.reason == reason).then_some(target)
        };
        match eventually(PATIENCE, &format!("the reason is {reason}"), fact).await {
            Ok(target) => target,
            Err(late) => panic!("{late}; it is {:#?}", self.laptop.the(Kind::Builder).await),
        }
    }

    /// Runs a test build to its end: state, reason and what it printed.
    async fn test_build(&self) -> (String, String, Vec<String>) {
        let target = self.laptop.the(Kind::Builder).await.unwrap();
        let builder = BuilderProxy::builder(&self.laptop.connection).path(target.path());
        let builder = builder.build().await.unwrap();
        let job = builder.test_build(HashMap::new()).await.unwrap();
        let job = JobProxy::builder(&self.laptop.connection).path(job);
        let job = job.cache_properties(zbus::proxy::CacheProperties::No);
        let job = job.build().await.unwrap();
        let ended = eventually(PATIENCE, "the test build ends", async || {
            let state = job.state().await.unwrap();
            (state != "running").then_some(state)
        });
        let state = ended.await.unwrap();
        assert!(job.finish_timestamp().await.unwrap() >= job.start_timestamp().await.unwrap());
        (
            state,
            job.reason().await.unwrap(),
            job.get_output().await.unwrap(),
        )
    }
}

#[tokio::test]
async fn ready_names_the_desktops_nix_and_a_test_build_its_place() {
    for protocol in ["ssh-ng", "ssh"] {
        let Some(desk) = Desk::start(protocol, ("x86_64-linux", "kvm")).await else {
            return;
        };
        let target = desk.checked(Reason::None).await;
        assert_eq!(
            (target.state, target.stage),
            (TargetState::Ready, Stage::System)
        );
        let facts = facts(&target);
        assert_eq!(facts.protocol, protocol);
        assert_eq!(facts.nix_version, "2.26.3");
        if protocol == "ssh-ng" {
            assert_eq!(facts.trusted, "yes");
        }
        let boot_id = desk.desktop.boot_id().unwrap();
        assert_eq!(detail(&target, "boot_id"), boot_id);
        assert_eq!(detail(&target, "hostname"), "desktop");

        let before = store(&desk.desktop);
        let (state, reason, output) = desk.test_build().await;
        assert_eq!((&*state, &*reason), ("succeeded", ""), "{output:#?}");
        assert!(!output.is_empty());
        let target = desk.laptop.the(Kind::Builder).await.unwrap();
        assert_eq!(detail(&target, "test_build"), "succeeded");
        assert_eq!(detail(&target, "test_build_place"), "desktop");
        // What was built there is here too.
        let after = store(&desk.desktop);
        let built = after
            .iter()
            .find(|path| !before.contains(path) && !path.ends_with(".drv"));
        let built = built.expect("nothing was built on the desktop");
        assert!(desk.nix.has(built).unwrap(), "{built}");
    }
}

#[tokio::test]
async fn each_cause_has_its_reason_and_its_remedy() {
    let Some(desk) = Desk::start("ssh-ng", ("x86_64-linux", "kvm")).await else {
        return;
    };
    let inside = desk.desktop.container();
    let shell = |script: &str| inside.run(&["sh", "-c", script]).map(drop);
    desk.checked(Reason::None).await;

    let causes: [(Reason, Step, Step); 6] = [
        (
            Reason::NixMissing,
            &|| shell("mv /usr/bin/nix-daemon /usr/bin/hidden"),
            &|| shell("mv /usr/bin/hidden /usr/bin/nix-daemon"),
        ),
        (Reason::NixDaemonDown, &|| desk.desktop.stop_nix(), &|| {
            desk.desktop.restart_nix()
        }),
        (
            Reason::NotTrusted,
            &|| desk.desktop.set_nix("trusted-users", "root"),
            &|| desk.desktop.set_nix("trusted-users", "root nix-builder"),
        ),
        (
            // bash reads it for each command that sshd runs.
            Reason::ProfileOutput,
            &|| inside.write("/home/nix-builder/.bashrc", "echo welcome home\n"),
            &|| inside.write("/home/nix-builder/.bashrc", ""),
        ),
        (
            Reason::NotNix,
            &|| {
                desk.desktop
                    .authorise_with("command=\"/bin/cat /etc/motd\"")
            },
            &|| desk.desktop.authorise(),
        ),
        (
            Reason::FeatureMissing,
            &|| desk.desktop.set_nix("system-features", "benchmark"),
            &|| desk.desktop.set_nix("system-features", "benchmark kvm"),
        ),
    ];
    for (reason, cause, undo) in causes {
        cause().unwrap();
        let target = desk.checked(reason).await;
        let status = desk.laptop.offloadctl(&["status"]).await.unwrap();
        let (said, remedy) = (words(&status.stdout), words(&remedy_for(&target)));
        assert!(
            said.contains(&remedy),
            "{reason}: {remedy} is not in {said}"
        );
        undo().unwrap();
        desk.checked(Reason::None).await;
    }
}

#[tokio::test]
async fn a_system_that_is_promised_and_not_built_for_is_missing() {
    let promise = ("x86_64-linux,riscv64-linux", "-");
    let Some(desk) = Desk::start("ssh-ng", promise).await else {
        return;
    };
    let target = desk.checked(Reason::SystemMissing).await;
    assert_eq!(target.stage, Stage::System);
    assert!(
        detail(&target, "missing").contains("riscv64-linux"),
        "{target:#?}"
    );
}

#[tokio::test]
async fn a_build_that_the_desktop_refuses_has_failed_there() {
    let Some(desk) = Desk::start("ssh-ng", ("x86_64-linux", "-")).await else {
        return;
    };
    desk.checked(Reason::None).await;
    // Nix itself is well; what its builds need is not.
    let script = "chmod 000 /bin/sh /usr/bin/dash";
    desk.desktop
        .container()
        .run(&["bash", "-c", script])
        .unwrap();
    let (state, reason, output) = desk.test_build().await;
    assert_eq!(
        (&*state, &*reason),
        ("failed", "build-failed"),
        "{output:#?}"
    );
}

fn machine(desktop: &Desktop, protocol: &str, (systems, features): (&str, &str)) -> String {
    let key = BASE64.encode(desktop.host_key().unwrap().as_bytes());
    let (uri, user_key) = (desktop.uri(protocol), desktop.user_key().display());
    format!("{uri} {systems} {user_key} 2 1 {features} - {key}\n")
}

fn facts(target: &Target) -> &BuilderFacts {
    match &target.facts {
        Facts::Builder(facts) => facts,
        Facts::Cache(_) => panic!("{target:#?}"),
    }
}

fn detail(target: &Target, key: &str) -> String {
    let found = target.details.get(key).map(Detail::to_string);
    found.unwrap_or_else(|| panic!("no {key}: {target:#?}"))
}

/// The valid paths of the desktop's store.
fn store(desktop: &Desktop) -> Vec<String> {
    let listed = desktop
        .container()
        .run(&["nix", "path-info", "--all"])
        .unwrap();
    listed.lines().map(str::to_owned).collect()
}

/// However the page breaks its lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn supported<T>(made: Result<T, Error>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(Error::Unsupported(why)) => {
            eprintln!("skipped: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
