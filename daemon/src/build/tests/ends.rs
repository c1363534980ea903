//! Test builds that do not come to their own end.

use std::{fs, time::Duration};

use offload_client::{JobState, Reason};

use super::{
    PATIENCE,
    laptop::{Builder, Laptop, WAITS, eventually},
};
use crate::build::StartError;

#[tokio::test]
async fn a_cancelled_test_build_leaves_no_process_and_no_verdict() {
    let laptop = Laptop::start(Builder::Waits).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    laptop.printed(number, WAITS).await;
    assert!(laptop.has_processes());
    laptop.jobs.cancel(number).await;
    let (state, reason, _) = laptop.ended(number).await;
    assert_eq!((state, reason), (JobState::Cancelled, Reason::None));
    eventually("nix-build and its ssh end", async || {
        !laptop.has_processes()
    })
    .await;
    assert!(!laptop.details().contains_key("test_build"));
    // Once more is without effect.
    laptop.jobs.cancel(number).await;
}

#[tokio::test]
async fn one_builder_has_one_test_build_at_a_time() {
    let laptop = Laptop::start(Builder::Waits).await;
    let first = laptop.begin(PATIENCE).await.unwrap();
    laptop.printed(first, WAITS).await;
    assert_eq!(laptop.begin(PATIENCE).await, Err(StartError::Busy));
    laptop.open_gate();
    let (state, _, lines) = laptop.ended(first).await;
    assert_eq!(state, JobState::Succeeded, "{lines:?}");
    let second = eventually_begun(&laptop).await;
    assert_eq!(second, first + 1);
}

#[tokio::test]
async fn a_builder_that_dies_in_mid_build_fails_it() {
    let laptop = Laptop::start(Builder::Waits).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    laptop.printed(number, WAITS).await;
    laptop.kill_sessions();
    let (state, reason, lines) = laptop.ended(number).await;
    assert_eq!(
        (state, reason),
        (JobState::Failed, Reason::BuildFailed),
        "{lines:?}"
    );
    let error = laptop.details()["test_build_error"].to_string();
    assert!(!error.is_empty());
}

#[tokio::test]
async fn a_test_build_that_takes_too_long_says_after_how_long() {
    let laptop = Laptop::start(Builder::Waits).await;
    let number = laptop.begin(Duration::from_secs(1)).await.unwrap();
    let (state, reason, _) = laptop.ended(number).await;
    assert_eq!((state, reason), (JobState::Failed, Reason::BuildFailed));
    let error = laptop.details()["test_build_error"].to_string();
    assert!(error.starts_with("it had not ended after 1s"), "{error}");
    eventually("nix-build and its ssh end", async || {
        !laptop.has_processes()
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_actor_ends_what_it_runs() {
    let laptop = Laptop::start(Builder::Waits).await;
    let number = laptop.begin(PATIENCE).await.unwrap();
    laptop.printed(number, WAITS).await;
    laptop.actor.abort();
    eventually("nix-build and its ssh end", async || {
        !laptop.has_processes()
    })
    .await;
    assert_eq!(laptop.begin(PATIENCE).await, Err(StartError::Stopping));
}

#[tokio::test]
async fn what_is_no_builder_of_nix_s_is_not_begun() {
    let laptop = Laptop::start(Builder::Unknown).await;
    assert_eq!(laptop.begin(PATIENCE).await, Err(StartError::NotDispatched));
    let nobody = crate::target::TargetId::builder("nobody");
    let refused = laptop.jobs.start(&nobody, PATIENCE, 0).await;
    assert_eq!(refused, Err(StartError::NoSuchBuilder));
}

/// The next one: the actor learns of a job's end a moment after the board.
async fn eventually_begun(laptop: &Laptop) -> u32 {
    let begin = async {
        loop {
            match laptop.begin(PATIENCE).await {
                Err(StartError::Busy) => tokio::task::yield_now().await,
                begun => return begun.unwrap(),
            }
        }
    };
    let begun = tokio::time::timeout(PATIENCE, begin).await;
    begun.expect("the first is over")
}

impl Laptop {
    /// Whether anything runs that was given the builder's key: nix-build, and the ssh of its hook.
    fn has_processes(&self) -> bool {
        let key = self.key();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .any(|line| line.windows(key.len()).any(|part| part == key.as_bytes()))
    }
}
