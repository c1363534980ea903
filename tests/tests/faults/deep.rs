//! A builder's Nix that falls silent, ends, or says what makes no sense, at each of its messages:
//! the daemon has one reason for each, is not held up, and takes it back when all is well again.

use std::net::SocketAddr;

use offload_client::{
    Kind, Reason, Stage, TargetState,
    snapshot::{Facts, Target},
};
use offload_tests::{
    Laptop, NixConf,
    fake::{Desktop, Fault, Point},
    ground::HERE,
    nix_conf::Machine,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// After a failure all checks are deep; before it there are those that are asked for.
const POLL: &str = "[poll]\n\
                    interval = \"1s\"\n\
                    fast_interval = \"50ms\"\n\
                    down_max_interval = \"1s\"\n\
                    timeout = \"1s\"\n\
                    deep_timeout = \"1s\"\n\
                    deep_interval = \"1s\"\n\
                    fall = 1\n\
                    rise = 1\n";

struct Desk {
    desktop: Desktop,
    laptop: Laptop,
    _nix: NixConf,
}

impl Desk {
    async fn start(scheme: &str) -> Self {
        Self::start_under(Fault::Healthy, scheme).await
    }

    /// Nobody has seen the desktop before the fault.
    async fn start_under(fault: Fault, scheme: &str) -> Self {
        let desktop = Desktop::start(ANY, ANY).await.unwrap();
        desktop.ssh.set(fault).await.unwrap();
        let nix = NixConf::new().unwrap();
        let machine = Machine {
            uri: format!("{scheme}://nix-builder@{}", desktop.ssh.address()),
            systems: "x86_64-linux".into(),
            ssh_key: Some(desktop.user_key().to_owned()),
            max_jobs: 1,
            speed_factor: 1,
            features: "kvm".into(),
            host_key: Some(desktop.ssh.host_key().to_owned()),
        };
        nix.set_machines(&[machine]).unwrap();
        Self {
            laptop: Laptop::start(&nix, POLL).await.unwrap(),
            desktop,
            _nix: nix,
        }
    }

    /// Breaks the builder, and mends it when it is `seen`.
    async fn each(&self, faults: &[(Fault, Seen)]) {
        for (fault, seen) in faults {
            self.until("all is proven", |target| Seen::Well.fits(target))
                .await;
            self.desktop.ssh.set(*fault).await.unwrap();
            // Where it was asked too often, the next deep check comes of itself.
            let builder = self.laptop.the(Kind::Builder).await.unwrap();
            let object = self.laptop.target(&builder).await.unwrap();
            let _ = object.check().await;
            let what = format!("{fault:?} is seen as {seen:?}");
            self.until(&what, |target| seen.fits(target)).await;
            self.desktop.ssh.set(Fault::Healthy).await.unwrap();
        }
        self.until("all is well", |target| Seen::Well.fits(target))
            .await;
    }

    async fn until(&self, what: &str, fits: impl Fn(&Target) -> bool) {
        let seen = self.laptop.until(what, |now| now.targets.iter().any(&fits));
        seen.await.unwrap();
    }
}

/// What comes of a fault.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Ready, and all is known.
    Well,
    /// Not ready, for this reason at this stage.
    Broken(Reason, Stage),
    /// Ready, and it is not known what it builds.
    SystemUnknown,
    /// Ready, and it is not known whom it trusts.
    TrustUnknown,
}

impl Seen {
    fn fits(self, target: &Target) -> bool {
        let Facts::Builder(facts) = &target.facts else {
            return false;
        };
        let ready = target.state == TargetState::Ready;
        match self {
            Self::Well => ready && target.stage == Stage::System && facts.trusted == "yes",
            Self::Broken(reason, stage) => {
                !ready && (target.reason, target.stage) == (reason, stage)
            }
            Self::SystemUnknown => ready && target.details.contains_key("system_unknown"),
            Self::TrustUnknown => ready && facts.trusted == "unknown",
        }
    }
}

/// The four ways to break off after `point`, which come to the same unless it is silence.
fn after(point: Point, silent: Seen, other: Seen) -> [(Fault, Seen); 4] {
    [
        (Fault::StallAfter(point), silent),
        (Fault::EndAfter(point), other),
        (Fault::GarbageAfter(point), other),
        (Fault::EndlessAfter(point), other),
    ]
}

const SILENT: Seen = Seen::Broken(Reason::TimedOut, Stage::Handshake);
const NOT_NIX: Seen = Seen::Broken(Reason::NotNix, Stage::Handshake);
const BROKEN: Seen = Seen::Broken(Reason::ProtocolMismatch, Stage::Handshake);

#[tokio::test]
async fn each_message_of_nix_over_ssh_ng_can_be_the_last() {
    let desk = Desk::start("ssh-ng").await;
    desk.each(&after(Point::Auth, SILENT, NOT_NIX)).await;
    for point in [
        Point::Magic,
        Point::Version,
        Point::NixVersion,
        Point::Trust,
    ] {
        desk.each(&after(point, SILENT, BROKEN)).await;
    }
}

#[tokio::test]
async fn each_message_of_nix_over_ssh_can_be_the_last() {
    let desk = Desk::start("ssh").await;
    desk.each(&after(Point::Auth, SILENT, NOT_NIX)).await;
    for point in [Point::Magic, Point::Version, Point::Handshake] {
        desk.each(&after(point, SILENT, BROKEN)).await;
    }
}

#[tokio::test]
async fn a_daemon_beside_ssh_that_does_not_say_leaves_what_is_known() {
    let unknown = Seen::TrustUnknown;
    let faults = [Point::NixVersion, Point::Trust].map(|point| after(point, unknown, unknown));
    for (fault, seen) in faults.concat() {
        let desk = Desk::start_under(fault, "ssh").await;
        let what = format!("{fault:?} is seen as {seen:?}");
        desk.until(&what, |target| seen.fits(target)).await;
        desk.desktop.ssh.set(Fault::Healthy).await.unwrap();
        desk.until("all is proven", |target| Seen::Well.fits(target))
            .await;

        desk.desktop.ssh.set(fault).await.unwrap();
        let checked = desk.laptop.the(Kind::Builder).await.unwrap();
        desk.until("it is checked again and again", |target| {
            target.last_check_timestamp > checked.last_check_timestamp + 3_000_000
        })
        .await;
        let target = desk.laptop.the(Kind::Builder).await.unwrap();
        assert!(Seen::Well.fits(&target), "{fault:?}: {target:#?}");
    }
}

#[tokio::test]
async fn what_it_is_configured_to_may_come_as_noise_and_is_then_not_known() {
    let desk = Desk::start("ssh-ng").await;
    let silent = Seen::Broken(Reason::TimedOut, Stage::System);
    let faults = after(Point::Handshake, silent, Seen::SystemUnknown);
    desk.each(&faults).await;
}

#[tokio::test]
async fn a_server_that_runs_no_program_at_all_is_not_nix() {
    let desk = Desk::start("ssh-ng").await;
    desk.each(&[(Fault::NoPrograms, NOT_NIX)]).await;
}
