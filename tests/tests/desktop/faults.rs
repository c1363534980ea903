//! Every way to be broken has its own reason at its own stage, and help on the status page.

use std::net::SocketAddr;

use offload_client::{Kind, reasons};
use offload_tests::{
    Laptop, NixConf,
    fake::{Control, Desktop, Fault, Point},
    ground::HERE,
    nix_conf::Machine,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// Nothing that signs is asked for; it only has to be a key.
const PUBLIC_KEY: &str = "desktop-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
const POLL: &str = "[poll]\n\
                    interval = \"500ms\"\n\
                    fast_interval = \"50ms\"\n\
                    down_max_interval = \"500ms\"\n\
                    timeout = \"500ms\"\n\
                    fall = 2\n\
                    rise = 1\n";

struct Desk {
    desktop: Desktop,
    laptop: Laptop,
    _nix: NixConf,
}

impl Desk {
    async fn start() -> Self {
        let desktop = Desktop::start(ANY, ANY).await.unwrap();
        let nix = NixConf::new().unwrap();
        nix.set_caches(&[(&desktop.cache.url(), PUBLIC_KEY)])
            .unwrap();
        let machine = Machine {
            uri: desktop.ssh.uri("nix-builder"),
            systems: "x86_64-linux".into(),
            ssh_key: Some(desktop.user_key().to_owned()),
            max_jobs: 1,
            speed_factor: 1,
            features: String::new(),
            host_key: Some(desktop.ssh.host_key().to_owned()),
        };
        nix.set_machines(&[machine]).unwrap();
        Self {
            laptop: Laptop::start(&nix, POLL).await.unwrap(),
            desktop,
            _nix: nix,
        }
    }

    /// Breaks one half of the desktop in each way, and mends it in between.
    async fn each(&self, kind: Kind, half: &Control, faults: &[(Fault, &str, &str, &str)]) {
        for (fault, state, reason, stage) in faults {
            self.laptop.until_ready().await.unwrap();
            half.set(*fault).await.unwrap();
            let what = format!("{fault:?} makes the {kind} {state}, {reason} at {stage}");
            let snapshot = self.laptop.until(&what, |now| {
                let mut targets = now.targets.iter();
                targets.any(|target| {
                    (target.kind, target.state.as_str()) == (kind, *state)
                        && (target.reason.as_str(), target.stage.as_str()) == (*reason, *stage)
                })
            });
            let snapshot = snapshot.await.unwrap();
            assert_eq!(
                snapshot.state.as_str(),
                "degraded",
                "{fault:?}: the other half"
            );
            let target = self.laptop.the(kind).await.unwrap();

            let page = self.laptop.offloadctl(&["status"]).await.unwrap();
            assert_eq!(page.code, 3, "{page:?}");
            let (remedy, page) = (words(&reasons::remedy_for(&target)), words(&page.stdout));
            assert!(!remedy.is_empty(), "{reason} has no remedy");
            assert!(page.contains(&format!("→ {remedy}")), "{remedy}: {page}");
            assert!(page.contains(&format!("{stage}: ")), "{stage}: {page}");
            half.set(Fault::Healthy).await.unwrap();
        }
        self.laptop.until_ready().await.unwrap();
        let page = self.laptop.offloadctl(&[]).await.unwrap();
        assert_eq!(page.code, 0, "{page:?}");
        assert!(!page.stdout.contains('→'), "{}", page.stdout);
    }
}

/// Without the line breaks, which are where the page is narrow.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_fault_of_a_cache_is_told_apart() {
    let desk = Desk::start().await;
    let faults = [
        (Fault::Refuse, "down", "refused", "connect"),
        (Fault::Reset, "down", "connection-lost", "http"),
        (Fault::Silent, "down", "timed-out", "http"),
        (Fault::BlackHole, "down", "timed-out", "connect"),
        (
            Fault::StallAfter(Point::Headers),
            "down",
            "timed-out",
            "http",
        ),
        (Fault::SlowDrip, "down", "timed-out", "http"),
        (Fault::Garbage, "degraded", "not-http", "http"),
        (Fault::Status(503), "degraded", "http-status", "http"),
        (
            Fault::Endless,
            "degraded",
            "cache-info-invalid",
            "cache-info",
        ),
        (
            Fault::CaptivePortal,
            "degraded",
            "captive-portal",
            "cache-info",
        ),
        (
            Fault::WrongStoreDir,
            "degraded",
            "store-dir-mismatch",
            "cache-info",
        ),
    ];
    desk.each(Kind::Cache, &desk.desktop.cache, &faults).await;
}

#[tokio::test]
async fn each_fault_of_a_builder_is_told_apart() {
    let desk = Desk::start().await;
    let faults = [
        (Fault::Refuse, "down", "refused", "connect"),
        // Who hangs up before saying who they are has turned us away, as MaxStartups does.
        (Fault::Reset, "down", "connection-lost", "banner"),
        (Fault::Silent, "down", "timed-out", "banner"),
        (Fault::BlackHole, "down", "timed-out", "connect"),
        (
            Fault::StallAfter(Point::FirstLine),
            "down",
            "timed-out",
            "host-key",
        ),
        (
            Fault::StallAfter(Point::HostKey),
            "down",
            "timed-out",
            "auth",
        ),
        (Fault::Garbage, "degraded", "not-ssh", "banner"),
        (Fault::Endless, "degraded", "not-ssh", "banner"),
        (
            Fault::SwappedHostKey,
            "degraded",
            "host-key-mismatch",
            "host-key",
        ),
        (Fault::RefusedKey, "degraded", "auth-rejected", "auth"),
    ];
    desk.each(Kind::Builder, &desk.desktop.ssh, &faults).await;
}
