//! A healthy desktop wakes nobody: not one signal, however often it is looked at.

use std::{fs, time::Duration};

use offload_client::{Kind, Stage};
use offload_tests::{
    Desktop, eventually,
    process::{Process, system_program},
};

const NAME: &str = "org.offloadd.Offload1";
const PATIENCE: Duration = Duration::from_secs(90);
const ROUNDS: usize = 180;
/// No check may take longer than the interval, and the first one exchanges keys, which takes its time
/// in a build that is not optimised.
const POLL: &str = "[poll]\n\
                    interval = \"150ms\"\n\
                    fast_interval = \"150ms\"\n\
                    timeout = \"150ms\"\n\
                    fall = 10\n";

#[tokio::test]
async fn hundreds_of_good_checks_are_not_one_signal() {
    let mut desktop = Desktop::start().await.unwrap();
    // With a sample, so that there is something that only a deep check sees on both sides.
    let config = format!("{POLL}{}", desktop.nginx.entry("127.0.15.6"));
    let mut laptop = desktop.laptop(&config).await.unwrap();
    let before = laptop.until_ready().await.unwrap();

    // What a person would run to see whether it is quiet. It hears each signal of the daemon,
    // whatever its path.
    let directory = tempfile::tempdir().unwrap();
    let heard = directory.path().join("heard");
    let monitor = Process::start(
        &system_program("busctl", "systemd").unwrap(),
        None,
        &heard,
        |command| {
            command
                .arg(format!("--address={}", laptop.bus.address()))
                .args(["monitor", NAME]);
        },
    );
    let _monitor = monitor.unwrap();
    let signals = || {
        let heard = fs::read_to_string(&heard).unwrap();
        heard.matches("Type=signal").count()
    };
    eventually(PATIENCE, "busctl listens", async || {
        let heard = fs::read_to_string(&heard).unwrap();
        heard
            .contains("Monitoring bus message stream")
            .then_some(())
    })
    .await
    .unwrap();
    laptop.signals.rest().await.unwrap();
    let signals_before = signals();

    let keepalives = || desktop.sshd.log().matches("keepalive@openssh.com").count();
    let (requests, pings) = (desktop.nginx.requests(), keepalives());
    eventually(PATIENCE, "hundreds of rounds", async || {
        let cache = desktop.nginx.requests() - requests >= ROUNDS;
        let builder = keepalives() - pings >= ROUNDS;
        (cache && builder).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(laptop.signals.rest().await.unwrap(), []);
    assert_eq!(
        signals(),
        signals_before,
        "{}",
        fs::read_to_string(&heard).unwrap()
    );
    let after = laptop.snapshot().await.unwrap();
    for (before, after) in before.targets.iter().zip(&after.targets) {
        assert!(after.last_check_timestamp > before.last_check_timestamp);
        assert_eq!(after.state_change_timestamp, before.state_change_timestamp);
        // What the deep check found is said again by each cheap one.
        assert_eq!(
            (after.stage, &after.facts, &after.details),
            (before.stage, &before.facts, &before.details)
        );
    }
    let stages: Vec<_> = after.targets.iter().map(|target| target.stage).collect();
    assert_eq!(stages, [Stage::Signature, Stage::System]);
    // All of that was one login and one connection.
    assert_eq!((desktop.sshd.logins(), desktop.nginx.connections()), (1, 1));

    // The listeners were not deaf: one change, and both hear it.
    let cache = laptop.the(Kind::Cache).await.unwrap().path();
    desktop.nginx.stop();
    laptop
        .signals
        .until_verdict(PATIENCE, "degraded")
        .await
        .unwrap();
    eventually(PATIENCE, "busctl hears it too", async || {
        let text = fs::read_to_string(&heard).unwrap();
        (signals() >= signals_before + 3 && text.contains(&cache)).then_some(())
    })
    .await
    .unwrap();
}
