//! A desktop that works is ready, at once, and everybody can read that.

use offload_client::{OverallState, Reason, Snapshot, Stage, TargetState, snapshot::Facts};
use offload_tests::Desktop;

const NAME: &str = "org.offloadd.Offload1";
const ROOT: &str = "/org/offloadd/Offload1";
const CACHE: &str = "/org/offloadd/Offload1/cache/_3127_2e0_2e15_2e6";
const BUILDER: &str = "/org/offloadd/Offload1/builder/_3127_2e0_2e15_2e6";

#[tokio::test]
async fn cache_and_builder_are_ready_with_their_first_checks() {
    let desktop = Desktop::start().await.unwrap();

    let sample = desktop.nginx.entry("127.0.15.6");
    let laptop = desktop.laptop(&sample).await.unwrap();
    let snapshot = laptop.until_ready().await.unwrap();

    assert_eq!(snapshot.builder_state, OverallState::Ready);
    assert_eq!(snapshot.cache_state, OverallState::Ready);
    assert_eq!(snapshot.warnings, []);
    let targets: Vec<_> = snapshot.targets.iter().collect();
    let [cache, builder] = targets[..] else {
        panic!("{snapshot:#?}");
    };
    assert_eq!(
        (cache.path(), builder.path()),
        (CACHE.into(), BUILDER.into())
    );
    assert_eq!(
        (&cache.uri, &builder.uri),
        (&desktop.nginx.url().into(), &desktop.sshd.uri().into())
    );
    assert_eq!(
        (cache.stage, builder.stage),
        (Stage::Signature, Stage::System)
    );
    for target in [cache, builder] {
        assert_eq!(
            (target.state, target.reason),
            (TargetState::Ready, Reason::None)
        );
        assert!(target.latency_usec > 0 && target.last_success_timestamp > 0);
        assert!(target.next_check_timestamp > target.last_check_timestamp);
    }
    let Facts::Cache(facts) = &cache.facts else {
        panic!("{cache:#?}");
    };
    assert_eq!(facts.store_dir, "/nix/store");
    assert_eq!(facts.signing_key, desktop.nginx.public_key());
    let Facts::Builder(facts) = &builder.facts else {
        panic!("{builder:#?}");
    };
    assert_eq!(
        (facts.max_jobs, &*facts.systems),
        (4, &["x86_64-linux".into()][..])
    );
    assert!(facts.nix_version.starts_with("2."), "{facts:?}");
    assert_eq!(facts.trusted, "yes");
    assert!(
        facts.host_key_fingerprint.starts_with("SHA256:"),
        "{facts:?}"
    );
}

#[tokio::test]
async fn busctl_reads_every_property_and_finds_every_object() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop.watched("").await.unwrap();

    for (path, interface, property, shown) in [
        (ROOT, "Manager", "State", "s \"ready\"".to_owned()),
        (ROOT, "Manager", "BuilderState", "s \"ready\"".to_owned()),
        (ROOT, "Manager", "CacheState", "s \"ready\"".to_owned()),
        (ROOT, "Manager", "Reason", "s \"\"".to_owned()),
        (ROOT, "Manager", "Warnings", "a(ssa{sv}) 0".to_owned()),
        (
            ROOT,
            "Manager",
            "Targets",
            format!("ao 2 \"{CACHE}\" \"{BUILDER}\""),
        ),
        (CACHE, "Target", "State", "s \"ready\"".to_owned()),
        (CACHE, "Target", "Kind", "s \"cache\"".to_owned()),
        (CACHE, "Target", "ConsecutiveFailures", "u 0".to_owned()),
        (CACHE, "Cache", "StoreDir", "s \"/nix/store\"".to_owned()),
        (BUILDER, "Target", "State", "s \"ready\"".to_owned()),
        (
            BUILDER,
            "Target",
            "Uri",
            format!("s \"{}\"", desktop.sshd.uri()),
        ),
        (
            BUILDER,
            "Builder",
            "Systems",
            "as 1 \"x86_64-linux\"".to_owned(),
        ),
        (BUILDER, "Builder", "SpeedFactor", "d 2".to_owned()),
    ] {
        let interface = format!("{NAME}.{interface}");
        let read = ["get-property", NAME, path, &interface, property];
        let run = laptop.busctl(&read).await.unwrap();
        assert_eq!(
            (run.code, run.stdout.trim()),
            (0, &*shown),
            "{property}: {run:?}"
        );
    }

    let tree = laptop.busctl(&["tree", "--list", NAME]).await.unwrap();
    let objects: Vec<&str> = tree.stdout.lines().collect();
    for path in [ROOT, CACHE, BUILDER] {
        assert!(objects.contains(&path), "{path} is not in {objects:?}");
    }
    for (path, expected) in [
        (
            ROOT,
            &[
                "Manager",
                ".Check",
                ".Describe",
                ".Pause",
                ".Targets",
                ".StateChanged",
            ][..],
        ),
        (
            CACHE,
            &[
                "Target",
                "Cache",
                ".Check",
                ".GetHistory",
                ".LatencyUSec",
                ".StoreDir",
            ],
        ),
        (
            BUILDER,
            &[
                "Target",
                "Builder",
                ".Check",
                ".HostKeyFingerprint",
                ".Systems",
            ],
        ),
    ] {
        let shown = laptop.busctl(&["introspect", NAME, path]).await.unwrap();
        assert_eq!(shown.code, 0, "{shown:?}");
        for member in expected {
            let name = if member.starts_with('.') {
                (*member).to_owned()
            } else {
                format!("{NAME}.{member}")
            };
            let mut names = shown
                .stdout
                .lines()
                .filter_map(|line| line.split(' ').next());
            assert!(names.any(|found| found == name), "{name}: {}", shown.stdout);
        }
    }
}

#[tokio::test]
async fn describe_is_the_snapshot_as_versioned_json() {
    let desktop = Desktop::start().await.unwrap();
    // No check comes between the two readings.
    let poll = "[poll]\nfast_interval = \"30s\"\n";
    let laptop = desktop.laptop(poll).await.unwrap();
    let read = laptop.until_ready().await.unwrap();

    let described = laptop.manager().await.unwrap().describe().await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(json["describe_version"], 1);
    assert_eq!(json["state"], "ready");
    assert_eq!(json["targets"][1]["facts"]["builder"]["protocol"], "ssh-ng");
    let described: Snapshot = serde_json::from_str(&described).unwrap();
    assert_eq!(described, read);
    assert!(read.targets.iter().all(|target| !target.layers.is_empty()));

    let printed = laptop.offloadctl(&["status", "--json"]).await.unwrap();
    assert_eq!(printed.code, 0);
    assert_eq!(
        serde_json::from_str::<Snapshot>(&printed.stdout).unwrap(),
        described
    );
}
