//! Whether Nix would take what the cache serves, by real caches that real Nix signed, or did not.

use std::time::Duration;

use offload_client::{
    Kind, Reason, Stage, TargetState,
    snapshot::{Detail, Facts, Target},
};
use offload_tests::{Desktop, Laptop, Nginx, eventually, nginx::Signature};

/// The target's name, which its configuration must have too.
const NAME: &str = "127.0.15.6";
/// A path that nobody has.
const NOWHERE: &str = "/nix/store/00000000000000000000000000000000-nowhere";
/// Only the checks that are asked for are made.
const ON_DEMAND: &str = "[poll]\n\
                         interval = \"60s\"\n\
                         fast_interval = \"60s\"\n\
                         timeout = \"15s\"\n\
                         deep_timeout = \"15s\"\n\
                         rise = 1\n";

/// No deep check comes of itself.
const CHEAP: &str = "[poll]\n\
                     interval = \"2s\"\n\
                     fast_interval = \"1s\"\n\
                     deep_interval = \"1h\"\n\
                     rise = 1\n";
/// Shorter than [`CHEAP`]'s interval.
const KEEPALIVE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

struct Desk {
    laptop: Laptop,
    desktop: Desktop,
}

impl Desk {
    /// `sample` is what the laptop is configured to ask for; else it is what the cache has.
    async fn start(sample: Option<&str>) -> Self {
        let desktop = Desktop::start().await.unwrap();
        let laptop = desktop
            .watched(&config(&desktop.nginx, sample))
            .await
            .unwrap();
        Self { laptop, desktop }
    }

    /// Asks for a check; the cache after it, and its page.
    async fn look(&self) -> (Target, String) {
        let cache = self.laptop.the(Kind::Cache).await.unwrap();
        self.laptop
            .target(&cache)
            .await
            .unwrap()
            .check()
            .await
            .unwrap();
        let page = self.laptop.offloadctl(&["status", "--verbose"]).await;
        let page = page.unwrap().stdout;
        let words: Vec<_> = page.split_whitespace().collect();
        let cache = self.laptop.the(Kind::Cache).await.unwrap();
        (cache, words.join(" "))
    }
}

fn config(nginx: &Nginx, sample: Option<&str>) -> String {
    let own = nginx.store_path();
    let entry = nginx.entry(NAME).replace(own, sample.unwrap_or(own));
    format!("{ON_DEMAND}{entry}")
}

fn signing_key(target: &Target) -> &str {
    match &target.facts {
        Facts::Cache(facts) => &facts.signing_key,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_nix_would_not_take_is_told_with_the_key_to_add_until_it_is_mended() {
    let desk = Desk::start(None).await;
    let (cache, page) = desk.look().await;
    assert_eq!(
        (cache.state, cache.stage),
        (TargetState::Ready, Stage::Signature)
    );
    assert_eq!(signing_key(&cache), desk.desktop.nginx.public_key());
    assert!(page.contains(desk.desktop.nginx.public_key()), "{page}");

    desk.desktop.nginx.sign(Signature::Foreign).unwrap();
    let (cache, page) = desk.look().await;
    assert_eq!(
        (cache.state, cache.reason, cache.stage),
        (
            TargetState::Degraded,
            Reason::UntrustedSignature,
            Stage::Signature
        )
    );
    assert_eq!(signing_key(&cache), "somebody-else-1");
    let named = Detail::from("somebody-else-1");
    assert_eq!(cache.details.get("signed_by"), Some(&named));
    for part in [
        "signature: signature not trusted",
        "signs with somebody-else-1, which",
        "`extra-trusted-public-keys = somebody-else-1:…`",
    ] {
        assert!(page.contains(part), "{part:?}: {page}");
    }

    desk.desktop.nginx.sign(Signature::None).unwrap();
    let (cache, page) = desk.look().await;
    assert_eq!(
        (cache.state, cache.reason, cache.stage),
        (TargetState::Degraded, Reason::Unsigned, Stage::Signature)
    );
    assert_eq!(signing_key(&cache), "");
    let generate = "`sudo nix-store --generate-binary-cache-key 127.0.15.6-1 \
                    /var/lib/cache.secret /var/lib/cache.pub`";
    for part in [
        "signature: not signed",
        desk.desktop.nginx.store_path(),
        generate,
    ] {
        assert!(page.contains(part), "{part:?}: {page}");
    }

    desk.desktop.nginx.sign(Signature::Own).unwrap();
    let (cache, _) = desk.look().await;
    assert_eq!(
        (cache.state, cache.reason, cache.stage),
        (TargetState::Ready, Reason::None, Stage::Signature)
    );
    assert_eq!(signing_key(&cache), desk.desktop.nginx.public_key());
}

#[tokio::test]
async fn a_cache_without_the_sample_is_ready_and_says_that_it_was_not_looked_at() {
    let desk = Desk::start(Some(NOWHERE)).await;
    // Nobody would take what is there; nobody knows.
    desk.desktop.nginx.sign(Signature::Foreign).unwrap();
    let (cache, page) = desk.look().await;
    assert_eq!(
        (cache.state, cache.reason, cache.stage),
        (TargetState::Ready, Reason::None, Stage::CacheInfo)
    );
    let missing = Some(&Detail::Bool(true));
    assert_eq!(cache.details.get("sample_missing"), missing);
    assert!(page.contains("not verified: its signature"), "{page}");

    desk.desktop.nginx.sign(Signature::Own).unwrap();
    let nix = format!("[nix]\nconf = \"{}\"\n", desk.desktop.nix.path().display());
    let config = nix + &config(&desk.desktop.nginx, None);
    desk.laptop.daemon.reload(&config).await.unwrap();
    let looked_at = |target: &Target| target.stage == Stage::Signature && target.state.is_ready();
    let seen = desk.laptop.until("it is looked at", |now| {
        now.targets.iter().any(looked_at) && now.state.is_ready()
    });
    let cache = seen.await.unwrap().targets.remove(0);
    assert!(!cache.details.contains_key("sample_missing"), "{cache:#?}");
}

#[tokio::test]
async fn another_cache_behind_a_server_that_closes_idle_connections_is_told_at_the_next_check() {
    let mut desktop = Desktop::start().await.unwrap();
    desktop.nginx.set_keepalive(KEEPALIVE);
    desktop.nginx.restart().await.unwrap();
    let config = format!("{CHEAP}{}", desktop.nginx.entry(NAME));
    let laptop = desktop.watched(&config).await.unwrap();
    let is_ready = async || laptop.the(Kind::Cache).await.unwrap().state.is_ready();
    let (before, narinfos) = (
        desktop.nginx.connections(),
        desktop.nginx.requests_of(".narinfo"),
    );
    let twice = eventually(PATIENCE, "checks over new connections", async || {
        assert!(is_ready().await);
        (desktop.nginx.connections() > before + 1).then_some(())
    });
    twice.await.unwrap();
    // Each has asked for the one narinfo.
    assert!(desktop.nginx.requests_of(".narinfo") > narinfos);

    // The same store directory, and its own key.
    desktop.nginx.sign(Signature::Foreign).unwrap();
    let told = laptop.until("another one is there", |now| {
        let mut targets = now.targets.iter();
        targets.any(|it| it.kind == Kind::Cache && it.reason == Reason::UntrustedSignature)
    });
    told.await.unwrap();
    assert_eq!(
        laptop.the(Kind::Cache).await.unwrap().stage,
        Stage::Signature
    );
}
