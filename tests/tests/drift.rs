//! The afternoon, and what else differs between what is declared, deployed and really there: each
//! difference is named, with what to do about it, and goes when it is mended.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use offload_client::{
    Kind, Snapshot, WarningCode,
    snapshot::{Comparison, Detail, Warning},
    warnings::remedy_for,
};
use offload_tests::{
    Ground, Laptop, Nginx, NixConf, Sshd,
    ground::{CACHE_PORT, MOVED, SSH_PORT},
    nix_conf::Machine,
};

/// Short, so that no test waits for what is due anyway.
const POLL: &str = "[poll]\ninterval = \"500ms\"\nfast_interval = \"100ms\"\n\
                    down_max_interval = \"500ms\"\ntimeout = \"400ms\"\n";

struct Desk {
    nginx: Nginx,
    sshd: Sshd,
    nix: NixConf,
    _ground: Ground,
}

impl Desk {
    async fn start() -> Self {
        let ground = Ground::take().await.unwrap();
        let nginx = Nginx::start(ground.cache()).await.unwrap();
        let sshd = Sshd::start(ground.ssh()).await.unwrap();
        Self {
            nix: NixConf::for_desktop(&nginx, &sshd).unwrap(),
            nginx,
            sshd,
            _ground: ground,
        }
    }

    /// offloadd's configuration, which says that the desktop is at `host`.
    fn declared_at(&self, host: &str) -> String {
        let cache = self.nginx.entry("desktop").replace("127.0.15.6", host);
        let uri = self.sshd.uri().replace("127.0.15.6", host);
        let key = self.sshd.host_key().unwrap();
        format!(
            "{POLL}{cache}[[builder]]\nname = \"desktop\"\nuri = \"{uri}\"\nhost_key = \"{key}\"\n"
        )
    }
}

fn codes(snapshot: &Snapshot) -> Vec<WarningCode> {
    snapshot
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect()
}

fn text<'a>(warning: &'a Warning, key: &str) -> &'a str {
    match warning.details.get(key) {
        Some(Detail::Text(text)) => text,
        other => panic!("{key} is {other:?} in {warning:?}"),
    }
}

/// Waits until the one warning is `code`.
async fn until_only(laptop: &Laptop, code: WarningCode) -> Warning {
    let only = |now: &Snapshot| codes(now) == [code];
    let what = format!("the one warning is {code}");
    let snapshot = laptop.until(&what, only).await.unwrap();
    let warning = snapshot.warnings.into_iter().next().unwrap();
    assert!(matches!(warning.details["since"], Detail::Uint(since) if since > 0));
    warning
}

async fn until_none(laptop: &Laptop) {
    let none = |now: &Snapshot| now.warnings.is_empty();
    laptop.until("no warning is left", none).await.unwrap();
}

/// The address of the cache in each layer, as `Describe()` has it.
async fn cache_address(laptop: &Laptop) -> Comparison {
    let json = laptop.manager().await.unwrap().describe().await.unwrap();
    let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
    let mut targets = snapshot.targets.into_iter();
    let cache = targets.find(|target| target.kind == Kind::Cache).unwrap();
    let mut layers = cache.layers.into_iter();
    layers.find(|layer| layer.subject == "address").unwrap()
}

#[tokio::test]
async fn the_afternoon_is_named_and_turns_around_when_the_desktop_moves() {
    let mut desk = Desk::start().await;
    let laptop = Laptop::start(&desk.nix, &desk.declared_at("127.0.15.7"))
        .await
        .unwrap();
    let snapshot = laptop.until_ready().await.unwrap();
    let labels: Vec<_> = snapshot.targets.iter().map(|it| it.label()).collect();
    assert_eq!(labels, ["cache/desktop", "builder/desktop"]);
    assert_eq!(snapshot.targets[0].address, "127.0.15.6:5000");
    assert_eq!(snapshot.targets[1].address, "127.0.15.6:2222");

    let warning = until_only(&laptop, WarningCode::AddressMismatch).await;
    assert_eq!(warning.target, Some((Kind::Builder, "desktop".into())));
    assert_eq!(text(&warning, "expected"), "127.0.15.7:2222");
    assert_eq!(text(&warning, "actual"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "observed"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "wrong"), "declared");
    let machines = format!("{}:1", desk.nix.machines_path().display());
    assert_eq!(text(&warning, "deployed_at"), machines);
    assert!(text(&warning, "declared_at").contains("config.toml:"));
    let remedy = remedy_for(&warning);
    assert!(
        remedy.contains("grep -rn 127.0.15.7 /etc/nixos"),
        "{remedy}"
    );

    let layers = cache_address(&laptop).await;
    let (declared, deployed) = (layers.declared.unwrap(), layers.deployed.unwrap());
    assert_eq!(declared.value, "127.0.15.7:5000");
    assert_eq!(deployed.value, "127.0.15.6:5000");
    assert!(deployed.source.ends_with("/extra.conf:1"), "{deployed:?}");
    assert_eq!(layers.observed.unwrap().value, "127.0.15.6:5000");

    // It goes where the configuration said all the time.
    let (cache, ssh) = (
        SocketAddr::new(MOVED, CACHE_PORT),
        SocketAddr::new(MOVED, SSH_PORT),
    );
    desk.nginx.move_to(cache).await.unwrap();
    desk.sshd.move_to(ssh).await.unwrap();
    let moved = laptop.until("it is ready where it moved", |now| {
        let there = |address: &str| address.starts_with("127.0.15.7:");
        now.state.is_ready() && now.targets.iter().all(|it| there(&it.address))
    });
    moved.await.unwrap();
    let turned = until_only(&laptop, WarningCode::AddressMismatch).await;
    assert_eq!(text(&turned, "wrong"), "deployed");
    assert_eq!(text(&turned, "observed"), "127.0.15.7:2222");
    let remedy = remedy_for(&turned);
    assert!(remedy.contains("`sudo nixos-rebuild switch`"), "{remedy}");

    // The rebuild.
    let key = desk.nginx.public_key();
    desk.nix.set_caches(&[(&desk.nginx.url(), key)]).unwrap();
    desk.nix
        .set_machines(&[Machine::of(&desk.sshd).unwrap()])
        .unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn a_desktop_that_moved_is_told_where_only_its_candidates_are_declared() {
    let mut desk = Desk::start().await;
    let config = format!(
        "{POLL}[[cache]]\nname = \"desktop\"\naddresses = [\"127.0.15.6\", \"127.0.15.7\"]\n\
         [[builder]]\nname = \"desktop\"\naddresses = [\"127.0.15.6\", \"127.0.15.7\"]\n"
    );
    let laptop = Laptop::start(&desk.nix, &config).await.unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;

    let there = |port| SocketAddr::new(MOVED, port);
    desk.nginx.move_to(there(CACHE_PORT)).await.unwrap();
    desk.sshd.move_to(there(SSH_PORT)).await.unwrap();
    // One of the two is found first, and is alone with its warning until then.
    let moved = laptop.until("it is ready where it moved", |now| {
        let there = |address: &str| address.starts_with("127.0.15.7:");
        now.state.is_ready() && now.targets.iter().all(|it| there(&it.address))
    });
    moved.await.unwrap();
    let warning = until_only(&laptop, WarningCode::AddressMoved).await;
    assert_eq!(warning.target, Some((Kind::Builder, "desktop".into())));
    assert_eq!(text(&warning, "expected"), "127.0.15.6:2222");
    assert_eq!(text(&warning, "actual"), "127.0.15.7:2222");
}

#[tokio::test]
async fn what_nix_does_not_have_is_told_with_the_line_to_add() {
    let desk = Desk::start().await;
    desk.nix.set_caches(&[]).unwrap();
    let laptop = Laptop::start(&desk.nix, &desk.declared_at("127.0.15.6"))
        .await
        .unwrap();
    // Its key, which Nix does not trust either, comes with it.
    let warning = until_only(&laptop, WarningCode::NotInNixConf).await;
    assert_eq!(warning.target, Some((Kind::Cache, "desktop".into())));
    let remedy = remedy_for(&warning);
    let line = format!("`extra-substituters = {}`", desk.nginx.url());
    assert!(remedy.contains(&line), "{remedy}");
    let line = format!("`extra-trusted-public-keys = {}`", desk.nginx.public_key());
    assert!(remedy.contains(&line), "{remedy}");

    // Where builders are off, that is the root.
    desk.nix.set_machines(&[]).unwrap();
    let both = laptop.until("the builder is missing too", |now| {
        codes(now) == [WarningCode::NotInNixConf; 2]
    });
    let both = both.await.unwrap();
    let of_builder = both
        .warnings
        .iter()
        .find(|it| text(it, "kind") == "builder");
    let add = text(of_builder.unwrap(), "add");
    assert!(add.starts_with(&desk.sshd.uri()), "{add}");
    // Nix takes the line as it is told.
    desk.nix.write("machines", &format!("{add}\n")).unwrap();
    until_only(&laptop, WarningCode::NotInNixConf).await;
    let key = desk.nginx.public_key();
    desk.nix.set_caches(&[(&desk.nginx.url(), key)]).unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn builders_that_are_switched_off_are_told_once() {
    let desk = Desk::start().await;
    let laptop = Laptop::start(&desk.nix, &desk.declared_at("127.0.15.6"))
        .await
        .unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;
    let conf = std::fs::read_to_string(desk.nix.path()).unwrap();
    let (before, after) = conf.split_once("builders = @").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    desk.nix
        .write("nix.conf", &format!("{before}builders =\n{after}"))
        .unwrap();
    let warning = until_only(&laptop, WarningCode::BuildersDisabled).await;
    assert_eq!(warning.details["line"], Detail::Uint(2));
    let machines = desk.nix.machines_path().display().to_string();
    assert_eq!(text(&warning, "machines"), machines);
    desk.nix.write("nix.conf", &conf).unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn a_broken_line_of_the_machines_file_is_the_one_root() {
    let desk = Desk::start().await;
    let laptop = Laptop::start(&desk.nix, &desk.declared_at("127.0.15.7"))
        .await
        .unwrap();
    laptop.until_ready().await.unwrap();
    let good = Machine::of(&desk.sshd).unwrap().line();
    let bad = format!("{good}\nssh-ng://laptop x86_64-linux - many\n");
    desk.nix.write("machines", &bad).unwrap();
    let broken = laptop.until("the file is broken", |now| {
        codes(now)
            == [
                WarningCode::MachinesFileBroken,
                WarningCode::AddressMismatch,
            ]
    });
    let broken = broken.await.unwrap();
    let [file, cache] = &broken.warnings[..] else {
        panic!("{broken:#?}");
    };
    assert_eq!(file.details["line"], Detail::Uint(2));
    assert_eq!(file.details["field"], Detail::Uint(4));
    // Of the builder nothing is said any more; the cache speaks for itself.
    assert_eq!(cache.target, Some((Kind::Cache, "desktop".into())));
}

#[tokio::test]
async fn fallback_that_is_off_is_advised_against_where_a_cache_may_go_away() {
    let desk = Desk::start().await;
    let laptop = Laptop::start(&desk.nix, POLL).await.unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;
    let conf = std::fs::read_to_string(desk.nix.path()).unwrap();
    let off = conf.replace("fallback = true", "fallback = false");
    assert_ne!(conf, off);
    // nginx serves nix-cache-info without a priority: 50, behind the 40 of cache.nixos.org.
    desk.nix.write("nix.conf", &off).unwrap();
    let last = until_only(&laptop, WarningCode::LanCacheLast).await;
    assert_eq!(last.details["priority"], Detail::Uint(50));
    assert!(remedy_for(&last).contains("`fallback = true`"));

    let url = format!("{}?priority=30", desk.nginx.url());
    desk.nix
        .set_caches(&[(&url, desk.nginx.public_key())])
        .unwrap();
    until_only(&laptop, WarningCode::FallbackOff).await;
    desk.nix.write("nix.conf", &conf).unwrap();
    until_none(&laptop).await;
}
