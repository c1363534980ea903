//! What the laptop lacks is not the desktop's fault: a turn of its own, descriptors.

use std::time::Duration;

use offload_client::{Kind, Reason, TargetState, proxy::TargetProxy};
use offload_tests::{Desktop, Laptop};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tokio::time::sleep;

/// A single silence would decide, and only the checks that are asked for are made.
const STRICT: &str = "[poll]\n\
                      interval = \"60s\"\n\
                      fast_interval = \"60s\"\n\
                      timeout = \"1s\"\n\
                      deep_timeout = \"1500ms\"\n\
                      fall = 1\n\
                      rise = 1\n";
/// Longer than both.
const STOPPED: Duration = Duration::from_millis(1_800);

struct Desk {
    laptop: Laptop,
    builder: TargetProxy<'static>,
    cache: TargetProxy<'static>,
    _desktop: Desktop,
}

impl Desk {
    async fn start() -> Self {
        let desktop = Desktop::start().await.unwrap();
        let laptop = desktop.watched(STRICT).await.unwrap();
        let [builder, cache] = [Kind::Builder, Kind::Cache];
        let (builder, cache) = (laptop.the(builder).await, laptop.the(cache).await);
        Self {
            builder: laptop.target(&builder.unwrap()).await.unwrap(),
            cache: laptop.target(&cache.unwrap()).await.unwrap(),
            laptop,
            _desktop: desktop,
        }
    }

    /// Neither has ever been anything but ready.
    async fn nobody_was_blamed(&self) {
        for target in [&self.builder, &self.cache] {
            let history = target.get_history(16).await.unwrap();
            assert_eq!(history.len(), 1, "{history:?}");
        }
    }
}

#[tokio::test]
async fn a_daemon_that_was_stopped_in_a_check_blames_nobody() {
    let desk = Desk::start().await;
    // Wherever in the check it is.
    for into in [20, 45, 70, 110, 200] {
        let stop = async {
            sleep(Duration::from_millis(into)).await;
            desk.laptop.daemon.signal(Signal::STOP).unwrap();
            sleep(STOPPED).await;
            desk.laptop.daemon.signal(Signal::CONT).unwrap();
        };
        let (state, ()) = tokio::join!(desk.builder.check(), stop);
        assert_eq!(state.unwrap(), "ready", "after {into} ms");
    }
    desk.nobody_was_blamed().await;
}

#[tokio::test]
async fn a_daemon_without_descriptors_blames_nobody() {
    let desk = Desk::start().await;
    let daemon = Pid::from_raw(desk.laptop.daemon.id().try_into().unwrap());
    let none = Rlimit {
        current: Some(3),
        ..getrlimit(Resource::Nofile)
    };
    let before = prlimit(daemon, Resource::Nofile, none).unwrap();
    for _ in 0..3 {
        for target in [&desk.builder, &desk.cache] {
            assert_eq!(target.check().await.unwrap(), "ready");
        }
    }
    let snapshot = desk.laptop.snapshot().await.unwrap();
    for target in &snapshot.targets {
        assert_eq!(
            (target.state, target.reason),
            (TargetState::Ready, Reason::None)
        );
        let error = target.details.get("error").map(ToString::to_string);
        let error = error.unwrap_or_default();
        assert!(error.contains("Too many open files"), "{error}");
    }
    prlimit(daemon, Resource::Nofile, before).unwrap();
    for target in [&desk.builder, &desk.cache] {
        assert_eq!(target.check().await.unwrap(), "ready");
    }
    desk.nobody_was_blamed().await;
}
