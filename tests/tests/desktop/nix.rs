//! What is wrong with the builder's Nix, each by a real cause, is told on the bus and on the page
//! with what to do about it; and what is well is well over both protocols.

use std::time::Duration;

use offload_client::{
    Kind, Reason, Stage, TargetState,
    snapshot::{BuilderFacts, Detail, Facts, Target},
};
use offload_tests::{Desktop, Laptop, Sshd, eventually, nix_conf::Machine, sshd::RemoteNix};

const NAME: &str = "org.offloadd.Offload1";
const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 20;
/// Deep checks come of themselves, and after a failure all are deep.
const POLL: &str = "[poll]\n\
                    interval = \"1s\"\n\
                    fast_interval = \"100ms\"\n\
                    down_max_interval = \"1s\"\n\
                    timeout = \"1s\"\n\
                    deep_timeout = \"2s\"\n\
                    deep_interval = \"2s\"\n\
                    fall = 2\n\
                    rise = 1\n";

struct Desk {
    laptop: Laptop,
    desktop: Desktop,
}

/// Something that is done to the builder.
enum Cause {
    Nix(RemoteNix),
    Profile(&'static str),
    Force(&'static str),
    Offer(&'static str, &'static str),
}

/// What is told of it: reason, stage, title, and what of the remedy is there to be copied, with
/// `USER` for whoever logs in.
struct Told(Reason, Stage, &'static str, &'static str);

impl Desk {
    async fn start(config: &str, uri: impl FnOnce(&Sshd) -> String) -> Self {
        let desktop = Desktop::start().await.unwrap();
        let machine = Machine {
            uri: uri(&desktop.sshd),
            ..Machine::of(&desktop.sshd).unwrap()
        };
        desktop.nix.set_machines(&[machine]).unwrap();
        let laptop = desktop.watched(config).await.unwrap();
        Self { laptop, desktop }
    }

    async fn inflict(&mut self, cause: &Cause) {
        match cause {
            Cause::Nix(how) => self.desktop.sshd.set_nix(*how).await.unwrap(),
            Cause::Profile(script) => self.desktop.sshd.set_profile(script).unwrap(),
            Cause::Force(command) => self.desktop.sshd.force_command(Some(command)).unwrap(),
            Cause::Offer(system, features) => {
                self.desktop.sshd.set_system(system, features).unwrap();
            }
        }
        self.look().await;
    }

    async fn mend(&mut self, cause: &Cause) {
        match cause {
            Cause::Nix(_) => self.desktop.sshd.set_nix(RemoteNix::Direct).await.unwrap(),
            Cause::Profile(_) => self.desktop.sshd.set_profile("").unwrap(),
            Cause::Force(_) => self.desktop.sshd.force_command(None).unwrap(),
            Cause::Offer(..) => {
                let all = "kvm big-parallel benchmark nixos-test";
                self.desktop.sshd.set_system("x86_64-linux", all).unwrap();
            }
        }
        self.look().await;
    }

    /// Asks for a check; where that was asked too often, the next deep one comes of itself.
    async fn look(&self) {
        let builder = self.laptop.the(Kind::Builder).await.unwrap();
        let object = self.laptop.target(&builder).await.unwrap();
        let _ = object.check().await;
    }

    /// Waits until the builder is as it should be.
    async fn until(&self, what: &str, fits: impl Fn(&Target) -> bool) -> Target {
        let fits = |target: &Target| target.kind == Kind::Builder && fits(target);
        let seen = self.laptop.until(what, |now| now.targets.iter().any(fits));
        seen.await.unwrap();
        self.laptop.the(Kind::Builder).await.unwrap()
    }

    async fn each(&mut self, causes: &[(Cause, Told)]) {
        for (cause, Told(reason, stage, title, line)) in causes {
            self.inflict(cause).await;
            let what = format!("{reason} at {stage}");
            let told = |target: &Target| (target.reason, target.stage) == (*reason, *stage);
            let target = self.until(&what, told).await;
            let frozen = *reason == Reason::TimedOut;
            let state = if frozen {
                TargetState::Down
            } else {
                TargetState::Degraded
            };
            assert_eq!(target.state, state, "{what}: {target:#?}");

            let page = self.laptop.offloadctl(&["status"]).await.unwrap();
            assert_eq!(page.code, 3, "{page:?}");
            let shown = words(&page.stdout);
            let line = line.replace("USER", self.desktop.sshd.user());
            for part in [format!("{stage}: {title}"), line] {
                assert!(shown.contains(&part), "{part:?}: {shown}");
            }
            self.mend(cause).await;
            self.until("it is mended", |target| target.state.is_ready())
                .await;
        }
        let page = self.laptop.offloadctl(&["status"]).await.unwrap();
        assert_eq!(page.code, 0, "{page:?}");
        assert!(!page.stdout.contains('→'), "{}", page.stdout);
    }
}

/// Without the line breaks, which are where the page is narrow.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn facts(target: &Target) -> &BuilderFacts {
    match &target.facts {
        Facts::Builder(facts) => facts,
        other => panic!("{other:?}"),
    }
}

/// What does not depend on the protocol.
fn common() -> Vec<(Cause, Told)> {
    use Stage::{Handshake, System, Trust};
    vec![
        (
            Cause::Nix(RemoteNix::Missing),
            Told(
                Reason::NixMissing,
                Handshake,
                "Nix not found",
                "`sudo ln -s /nix/var/nix/profiles/default/bin/nix* /usr/local/bin/`",
            ),
        ),
        (
            Cause::Nix(RemoteNix::DaemonDown),
            Told(
                Reason::NixDaemonDown,
                Handshake,
                "nix-daemon down",
                "`sudo systemctl start nix-daemon.socket`",
            ),
        ),
        (
            Cause::Nix(RemoteNix::Untrusted),
            Told(
                Reason::NotTrusted,
                Trust,
                "user not trusted",
                "add the line `extra-trusted-users = USER` to /etc/nix/nix.conf",
            ),
        ),
        (
            Cause::Profile("echo Welcome home\n"),
            Told(
                Reason::ProfileOutput,
                Handshake,
                "shell profile prints",
                "`case $- in *i*) echo hello ;; esac`",
            ),
        ),
        (
            Cause::Force("echo hello"),
            Told(
                Reason::NotNix,
                Handshake,
                "another program than Nix answers",
                "`command=` out of ~USER/.ssh/authorized_keys",
            ),
        ),
        (
            Cause::Offer("aarch64-linux", "kvm big-parallel"),
            Told(
                Reason::SystemMissing,
                System,
                "system not built for",
                "`extra-platforms = x86_64-linux` in its nix.conf",
            ),
        ),
        (
            Cause::Offer("x86_64-linux", "kvm"),
            Told(
                Reason::FeatureMissing,
                System,
                "feature missing",
                "`extra-system-features = big-parallel`",
            ),
        ),
    ]
}

/// A nix-daemon that takes connections and answers none.
fn frozen(line: &'static str) -> (Cause, Told) {
    let told = Told(Reason::TimedOut, Stage::Handshake, "no answer", line);
    (Cause::Nix(RemoteNix::DaemonFrozen), told)
}

#[tokio::test]
async fn each_real_fault_of_nix_is_told_over_ssh_ng_with_what_to_add() {
    let mut desk = Desk::start(POLL, Sshd::uri).await;
    let mut causes = common();
    causes.push((
        Cause::Force("nix-store --serve --write"),
        Told(
            Reason::ProtocolMismatch,
            Stage::Handshake,
            "Nix protocol mismatch",
            "must be `nix-daemon --stdio`, which ssh-ng://USER@127.0.15.6:2222 asks for",
        ),
    ));
    causes.push(frozen("`nix-daemon --stdio` said nothing in time"));
    desk.each(&causes).await;
}

#[tokio::test]
async fn each_real_fault_of_nix_is_told_over_ssh_with_what_to_add() {
    let mut desk = Desk::start(POLL, Sshd::ssh_uri).await;
    let mut causes = common();
    causes.push((
        Cause::Force("nix-daemon --stdio"),
        Told(
            Reason::ProtocolMismatch,
            Stage::Handshake,
            "Nix protocol mismatch",
            "must be `nix-store --serve --write`, which ssh://USER@127.0.15.6:2222 asks for",
        ),
    ));
    causes.push(frozen("`nix-store --serve --write` said nothing in time"));
    desk.each(&causes).await;
}

#[tokio::test]
async fn both_protocols_are_ready_and_say_version_and_trust_directly_or_through_the_daemon() {
    let mut desk = Desk::start(POLL, Sshd::uri).await;
    for (uri, protocol) in [
        (desk.desktop.sshd.uri(), "ssh-ng 1."),
        (desk.desktop.sshd.ssh_uri(), "ssh 2."),
    ] {
        let machine = Machine {
            uri: uri.clone(),
            ..Machine::of(&desk.desktop.sshd).unwrap()
        };
        desk.desktop.nix.set_machines(&[machine]).unwrap();
        for how in [RemoteNix::Direct, RemoteNix::Daemon] {
            desk.desktop.sshd.set_nix(how).await.unwrap();
            desk.look().await;
            let builder = desk
                .until("it is ready by this way", |target| {
                    target.uri == uri && target.state.is_ready() && target.stage == Stage::System
                })
                .await;
            let path = builder.path();
            for (property, shown) in [("NixVersion", "s \"2."), ("Trusted", "s \"yes\"")] {
                let interface = format!("{NAME}.Builder");
                let read = ["get-property", NAME, &path, &interface, property];
                let read = desk.laptop.busctl(&read).await.unwrap();
                assert!(read.stdout.starts_with(shown), "{uri}, {how:?}: {read:?}");
            }
            let page = desk.laptop.offloadctl(&["status", "--verbose"]).await;
            let page = words(&page.unwrap().stdout);
            for part in [&format!("protocol {protocol}"), "trusted yes", "nix 2."] {
                assert!(page.contains(part), "{part:?}: {page}");
            }
        }
    }
}

#[tokio::test]
async fn behind_a_forced_command_of_nixs_own_the_system_stays_unknown_and_it_is_ready() {
    let mut desk = Desk::start(POLL, Sshd::uri).await;
    desk.inflict(&Cause::Force("nix-daemon --stdio")).await;
    let unknown = |target: &Target| target.details.contains_key("system_unknown");
    let builder = desk.until("the system is unknown", unknown).await;
    assert_eq!(
        (builder.state, builder.reason),
        (TargetState::Ready, Reason::None)
    );
    assert_eq!(facts(&builder).trusted, "yes");
    // What it does not keep is not known either.
    desk.inflict(&Cause::Offer("aarch64-linux", "")).await;
    desk.look().await;
    let builder = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(builder.state, TargetState::Ready, "{builder:#?}");
}

#[tokio::test]
async fn cheap_checks_between_deep_ones_say_nothing_and_forget_nothing() {
    let poll = "[poll]\n\
                interval = \"150ms\"\n\
                fast_interval = \"150ms\"\n\
                timeout = \"150ms\"\n\
                fall = 10\n";
    let mut desk = Desk::start(poll, Sshd::uri).await;
    let before = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(before.stage, Stage::System);
    assert!(matches!(
        before.details.get("remote_system"),
        Some(Detail::Text(system)) if system == "x86_64-linux"
    ));
    desk.laptop.signals.rest().await.unwrap();
    let programs = || {
        desk.desktop
            .sshd
            .log()
            .matches("Starting session: command")
            .count()
    };
    let (programs_before, checks) = (programs(), desk.laptop.checks(&before));
    eventually(PATIENCE, "many rounds", async || {
        (desk.laptop.checks(&before) >= checks + ROUNDS).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(programs(), programs_before, "they were cheap");
    assert_eq!(desk.laptop.signals.rest().await.unwrap(), []);
    let after = desk.laptop.the(Kind::Builder).await.unwrap();
    assert_eq!(
        (after.stage, &after.facts, &after.details),
        (before.stage, &before.facts, &before.details)
    );

    // Who asks gets a deep one.
    desk.look().await;
    assert!(programs() > programs_before);
}
