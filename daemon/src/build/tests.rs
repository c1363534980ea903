//! Test builds through a real nix-daemon, sshd and Nix on both ends, each with a store of its own.

#[cfg(feature = "embedded-bus")]
mod bus;
mod ends;
mod laptop;

use std::time::Duration;

use offload_client::{JobState, Reason, Stage, snapshot::Detail};

use self::laptop::{Builder, Laptop};

/// Longer than any test build takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_test_build_runs_on_the_builder_and_its_log_is_kept() {
    let laptop = Laptop::start(Builder::Sound).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Succeeded, Reason::None),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("a test build of offloadd runs here")),
        "{lines:?}"
    );
    let path = lines.iter().find(|line| line.starts_with('/')).unwrap();
    assert!(laptop.builder_has(path), "{path}");

    let details = laptop.details();
    assert_eq!(details["test_build"], Detail::from("succeeded"));
    assert_eq!(details["test_build_reason"], Detail::from(""));
    // Both ends are one machine here, whose name the sandbox hides.
    assert_eq!(details["test_build_place"], Detail::from(laptop::HOST));
    let Detail::Uint(took) = details["test_build_usec"] else {
        panic!("{details:?}");
    };
    assert!(took > 0);
}

#[tokio::test]
async fn every_test_build_is_a_new_one() {
    let laptop = Laptop::start(Builder::Sound).await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let number = laptop.begin(PATIENCE).await.unwrap();
        let (_, _, lines) = laptop.ended(number).await;
        paths.push(
            lines
                .into_iter()
                .find(|line| line.starts_with('/'))
                .unwrap(),
        );
    }
    assert_ne!(paths[0], paths[1]);
}

#[tokio::test]
async fn a_builder_that_can_t_build_fails_with_nix_s_words() {
    let laptop = Laptop::start(Builder::WithoutShell).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Failed, Reason::BuildFailed),
        "{lines:?}"
    );
    let details = laptop.details();
    assert_eq!(details["test_build_reason"], Detail::from("build-failed"));
    let error = details["test_build_error"].to_string();
    assert!(error.contains("No such file or directory"), "{error}");
    assert!(!error.contains('\n') && error.len() < 2_000, "{error}");
}

#[tokio::test]
async fn a_builder_that_keeps_its_promises_has_built_for_each_of_them() {
    let promises = Builder::Promises("x86_64-linux,i686-linux", "benchmark,big-parallel");
    let laptop = Laptop::start(promises).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Succeeded, Reason::None),
        "{lines:?}"
    );
    for derivation in [".drv' on '", "-1.drv' on '", "-2.drv' on '"] {
        assert!(
            lines.iter().any(|line| line.contains(derivation)),
            "{derivation}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_promise_that_a_builder_does_not_keep_is_named() {
    for (systems, features, lacks) in [
        (
            "x86_64-linux",
            "big-parallel,never-heard-of",
            "never-heard-of",
        ),
        (
            "x86_64-linux,riscv64-linux",
            "big-parallel",
            "riscv64-linux",
        ),
    ] {
        let laptop = Laptop::start(Builder::Promises(systems, features)).await;
        let number = laptop.begin(PATIENCE).await.unwrap();
        let (state, reason, lines) = laptop.ended(number).await;
        assert_eq!(
            (state, reason),
            (JobState::Failed, Reason::BuildFailed),
            "{lines:?}"
        );
        let error = laptop.details()["test_build_error"].to_string();
        assert!(error.contains(lacks), "{error}: {lines:?}");
    }
}

#[tokio::test]
async fn a_builder_that_is_away_fails_with_the_hook_s_words() {
    let mut laptop = Laptop::start(Builder::Sound).await;
    laptop.stop_sshd();
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Failed, Reason::BuildFailed),
        "{lines:?}"
    );
    let error = laptop.details()["test_build_error"].to_string();
    assert!(error.contains("cannot build on '"), "{error}");
}

#[tokio::test]
async fn a_nix_that_builds_itself_is_found_out() {
    let laptop = Laptop::start(Builder::Ignored).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Failed, Reason::BuiltLocally),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_nix_that_chooses_for_itself_is_found_out_and_its_choice_is_named() {
    let laptop = Laptop::start(Builder::Diverted).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Failed, Reason::BuiltElsewhere),
        "{lines:?}"
    );
    let place = laptop.details()["test_build_place"].clone();
    assert_eq!(place, Detail::from(laptop::OTHER_HOST));
}

#[tokio::test]
async fn a_builder_without_a_free_slot_is_full_and_not_at_fault() {
    let laptop = Laptop::start(Builder::Sound).await;
    let slot = laptop.take_slot();
    let number = laptop.begin(PATIENCE).await.unwrap();
    let (state, reason, lines) = laptop.ended(number).await;
    let full = (JobState::Failed, Reason::BuilderFull);
    assert_eq!((state, reason), full, "{lines:?}");
    assert_eq!(lines, Vec::<String>::new());
    let details = laptop.details();
    let used = "1 of 1 slots are in use";
    assert_eq!(details["test_build_error"], Detail::from(used));
    let snapshot = laptop.monitor.snapshot();
    assert_ne!(snapshot.targets[0].reason, Reason::BuilderFull);
    assert_ne!(snapshot.targets[0].stage, Stage::Build);
    drop(slot);
}
