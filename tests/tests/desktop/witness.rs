//! Nix as the second witness: where the running nix-daemon does not get to a cache that offloadd gets to, Nix is right.

use std::fs;

use offload_client::{Kind, Reason, Stage, TargetState, WarningCode, snapshot::Target};
use offload_tests::{Ground, Laptop, Nginx, NixDaemon, daemon::Launch};

/// Only the checks that are asked for are made.
const ON_DEMAND: &str = "[poll]\n\
                         interval = \"60s\"\n\
                         fast_interval = \"60s\"\n\
                         timeout = \"15s\"\n\
                         deep_timeout = \"15s\"\n\
                         rise = 1\n";
/// Where nothing listens.
const CLOSED: &str = "http://127.0.15.6:9";

struct Desk {
    nginx: Nginx,
    nix: NixDaemon,
    _ground: Ground,
}

impl Desk {
    /// A nix-daemon that has no substituter yet.
    async fn start() -> Self {
        let ground = Ground::take().await.unwrap();
        let nginx = Nginx::start(ground.cache()).await.unwrap();
        let nix = NixDaemon::start().await.unwrap();
        Self {
            nginx,
            nix,
            _ground: ground,
        }
    }

    async fn with_cache(set: impl FnOnce(&mut NixDaemon)) -> Self {
        let mut desk = Self::start().await;
        desk.nix.set("substituters", &desk.nginx.url());
        desk.nix.set("trusted-public-keys", desk.nginx.public_key());
        set(&mut desk.nix);
        desk.nix.restart().await.unwrap();
        desk
    }

    async fn laptop(&self) -> Laptop {
        let conf = self.nix.conf_dir().join("nix.conf");
        let entry = self.nginx.entry("127.0.15.6");
        let launch = Launch {
            config: format!("[nix]\nconf = \"{}\"\n{ON_DEMAND}{entry}", conf.display()),
            environment: self.nix.environment(),
            ..Launch::default()
        };
        Laptop::start_with(launch).await.unwrap()
    }

    /// Whether the nix-daemon has asked anybody for a path.
    fn has_asked(&self) -> bool {
        let environment = self.nix.environment().into_iter();
        let mut cache = environment.filter(|(name, _)| name == "XDG_CACHE_HOME");
        let (_, cache) = cache.next().unwrap();
        fs::read_dir(format!("{cache}/nix")).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|it| it.file_name().to_string_lossy().starts_with("binary-cache"))
        })
    }
}

/// After a check that somebody asked for.
async fn checked(laptop: &Laptop) -> Target {
    laptop.offloadctl(&["check"]).await.unwrap();
    laptop.the(Kind::Cache).await.unwrap()
}

fn verdict(target: &Target) -> (TargetState, Reason, Stage) {
    (target.state, target.reason, target.stage)
}

const READY: (TargetState, Reason, Stage) = (TargetState::Ready, Reason::None, Stage::Signature);
const DECLINED: (TargetState, Reason, Stage) =
    (TargetState::Degraded, Reason::NixDeclines, Stage::Signature);

#[tokio::test]
async fn a_cache_that_nix_gets_to_as_well_is_ready_and_nix_was_asked() {
    let desk = Desk::with_cache(|_| {}).await;
    let laptop = desk.laptop().await;
    assert_eq!(verdict(&checked(&laptop).await), READY);
    assert!(desk.has_asked());

    // Who asks has Nix asked again, which goes to the cache beside offloadd's own check.
    let asked = || desk.nginx.requests_of(".narinfo");
    let before = asked();
    checked(&laptop).await;
    assert!(asked() > before + 1);
}

#[tokio::test]
async fn a_proxy_that_only_the_nix_daemon_knows_keeps_nix_from_the_cache() {
    let desk = Desk::with_cache(|nix| nix.set_variable("http_proxy", CLOSED)).await;
    let laptop = desk.laptop().await;
    let cache = checked(&laptop).await;
    assert_eq!(verdict(&cache), DECLINED);
    let said = cache.details["error"].to_string();
    assert!(said.contains("unable to download"), "{said}");
    assert_eq!(cache.disagreements, 1, "{cache:#?}");
    let page = laptop.offloadctl(&["status"]).await.unwrap().stdout;
    assert!(page.contains("unable to download"), "{page}");

    // The same again is the same disagreement.
    assert_eq!(verdict(&checked(&laptop).await), DECLINED);
    let cache = laptop.the(Kind::Cache).await.unwrap();
    assert_eq!(cache.disagreements, 1);
}

#[tokio::test]
async fn what_kept_nix_away_is_gone_with_the_nix_daemon_that_had_it() {
    let mut desk = Desk::with_cache(|nix| nix.set_variable("http_proxy", CLOSED)).await;
    let laptop = desk.laptop().await;
    assert_eq!(verdict(&checked(&laptop).await), DECLINED);
    desk.nix.set_variable("http_proxy", "");
    desk.nix.restart().await.unwrap();
    let is_ready = |now: &offload_client::Snapshot| now.state.is_ready();
    let ready = async {
        checked(&laptop).await;
        laptop.until("Nix gets there", is_ready).await
    };
    ready.await.unwrap();
}

#[tokio::test]
async fn a_substituter_that_the_running_nix_daemon_has_not_read_yet_is_none_of_nixs() {
    let mut desk = Desk::start().await;
    desk.nix.set("trusted-users", "nobody");
    desk.nix.restart().await.unwrap();
    let conf = desk.nix.conf_dir().join("nix.conf");
    let text = fs::read_to_string(&conf).unwrap();
    let text = text.replace("substituters = \n", "");
    let (url, key) = (desk.nginx.url(), desk.nginx.public_key());
    let more = format!("{text}substituters = {url}\ntrusted-public-keys = {key}\n");
    fs::write(&conf, more).unwrap();
    let laptop = desk.laptop().await;
    let cache = checked(&laptop).await;
    assert_eq!(verdict(&cache), DECLINED);
    let said = cache.details["error"].to_string();
    assert!(said.contains("ignoring untrusted substituter"), "{said}");
}

#[tokio::test]
async fn a_key_counts_from_when_the_nix_daemon_has_read_it_to_when_it_has_read_that_it_is_gone() {
    let mut desk = Desk::with_cache(|nix| nix.set("trusted-public-keys", "")).await;
    let laptop = desk.laptop().await;
    let keyed = (
        TargetState::Degraded,
        Reason::UntrustedSignature,
        Stage::Signature,
    );
    assert_eq!(verdict(&checked(&laptop).await), keyed);

    let conf = desk.nix.conf_dir().join("nix.conf");
    let without = fs::read_to_string(&conf).unwrap();
    let key = format!("trusted-public-keys = {}\n", desk.nginx.public_key());
    fs::write(&conf, format!("{without}{key}")).unwrap();
    let is = |reason: Reason| {
        move |now: &offload_client::Snapshot| {
            let mut targets = now.targets.iter().filter(|it| it.kind == Kind::Cache);
            targets.any(|it| it.reason == reason && it.state != TargetState::Unknown)
        }
    };
    let stale = laptop
        .until("only the file has the key", is(Reason::DaemonConfigStale))
        .await;
    let cache = stale.unwrap();
    let page = laptop.offloadctl(&["status"]).await.unwrap().stdout;
    assert!(page.contains("sudo systemctl restart nix-daemon"), "{page}");
    assert!(!page.contains("trusted-public-keys"), "{page}");
    let cause = cache.root_cause.unwrap();
    assert_eq!(cause.code, "daemon-config-stale");
    assert_eq!(cause.explains.len(), 1, "{cause:?}");

    desk.nix.set("trusted-public-keys", desk.nginx.public_key());
    desk.nix.restart().await.unwrap();
    laptop
        .until("it has read it", is(Reason::None))
        .await
        .unwrap();

    // What is taken out of the file it goes on trusting.
    fs::write(&conf, without).unwrap();
    let warned = |now: &offload_client::Snapshot| {
        let stale = WarningCode::DaemonConfigStale;
        now.warnings.iter().any(|warning| warning.code == stale)
    };
    laptop.until("it has not read it", warned).await.unwrap();
    assert_eq!(verdict(&checked(&laptop).await), READY);
}

#[tokio::test]
async fn a_nix_that_says_nothing_is_no_verdict() {
    let desk = Desk::with_cache(|_| {}).await;
    desk.nix
        .process()
        .unwrap()
        .signal_tree(rustix::process::Signal::STOP)
        .unwrap();
    let laptop = desk.laptop().await;
    let cache = checked(&laptop).await;
    desk.nix
        .process()
        .unwrap()
        .signal_tree(rustix::process::Signal::CONT)
        .unwrap();
    assert_eq!(verdict(&cache), READY);
}
