//! Every stage of a cache and of a builder, broken in every way: stalled, answered with noise, flooded,
//! reset, and answered a byte at a time. Each has its reason in bounded time and memory, and who is well
//! is judged within its second all the while.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ground;
mod neighbour;
mod resolve;
mod table;

use std::{collections::BTreeMap, time::Duration};

use offload_client::{Kind, Snapshot};
use offload_tests::{Laptop, NixConf, eventually};
use offloadd::clock::Stopwatch;
use tokio::time::sleep;

use self::{
    ground::{Broken, POLL, peak_memory},
    neighbour::Neighbour,
    table::MATRIX,
};

/// What is told once a silence of the longest kind was seen `fall` times, with what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long each verdict has to last: through the next look at what is down.
const STANDS: Duration = Duration::from_secs(7);
/// What one connection may be sent before it is let go of: what the daemon reads of the longest answer (a
/// narinfo of a MiB), and what the kernel and SSH's windows hold on the way.
const FLOOD: u64 = 3 * 1024 * 1024;
/// What all of it may take of memory, in KiB: 55 checks at a time, of which one in ten is flooded.
const GROWTH: u64 = 16 * 1024;

#[tokio::test]
async fn each_stage_broken_in_each_way_is_told_apart_and_holds_up_nobody() {
    let neighbour = Neighbour::start(None);
    let broken = Broken::start(MATRIX).await;
    let nix = NixConf::new().unwrap();
    let trusted = format!("{} {}\n", broken.nix_conf(), neighbour.public_key());
    nix.write("extra.conf", &trusted).unwrap();
    let config = format!("{POLL}{}{}", neighbour.config(), broken.config());
    nix.deploy(&config).unwrap();
    let laptop = Laptop::start(&nix, &config).await.unwrap();
    until(&laptop, "all are well", is_well).await;
    let before = peak_memory(&laptop);

    let judged = neighbour.judge(&laptop);
    let watch = Stopwatch::start();
    broken.break_all(&laptop).await;
    let told = |now: &_| {
        wrong(
            now,
            MATRIX.iter().map(|cell| (cell.kind, cell.at, cell.told)),
        )
    };
    until(&laptop, "each is told as the table has it", told).await;
    eprintln!("all were told after {:?}", watch.elapsed());
    stands(&laptop, STANDS, told).await;
    let slowest = judged.end().await;
    eprintln!("the slowest answer about the healthy ones: {slowest:?}");

    let growth = peak_memory(&laptop) - before;
    eprintln!("memory: {before} KiB at the most before, {growth} KiB more after");
    for (at, sent) in broken.floods() {
        eprintln!("{at}: {sent} bytes");
        assert!(sent < FLOOD, "{at} was read for {sent} bytes");
    }
    assert!(growth < GROWTH, "{growth} KiB");

    broken.mend_all().await;
    until(&laptop, "all are well again", is_well).await;
}

async fn until(laptop: &Laptop, what: &str, wrong: impl Fn(&Snapshot) -> Vec<String>) {
    let mut left = Vec::new();
    let done = eventually(PATIENCE, what, async || {
        left = wrong(&laptop.snapshot().await.ok()?);
        left.is_empty().then_some(())
    });
    if let Err(late) = done.await {
        panic!("{late}: {left:#?}");
    }
}

async fn stands(laptop: &Laptop, time: Duration, wrong: impl Fn(&Snapshot) -> Vec<String>) {
    let watch = Stopwatch::start();
    while watch.elapsed() < time {
        sleep(Duration::from_millis(500)).await;
        let now = laptop.snapshot().await.unwrap();
        assert_eq!(wrong(&now), Vec::<String>::new(), "it did not last");
    }
}

/// What is published of each target: state, reason and stage.
fn told(snapshot: &Snapshot) -> BTreeMap<(Kind, String), String> {
    let told = snapshot.targets.iter().map(|target| {
        let reason = match target.reason.as_str() {
            "" => "-",
            reason => reason,
        };
        let told = format!("{} {reason} {}", target.state, target.stage);
        ((target.kind, target.name.to_string()), told)
    });
    told.collect()
}

/// Which cells (kind, name, what is told) are not told as their table has them.
fn wrong(
    snapshot: &Snapshot,
    table: impl Iterator<Item = (Kind, &'static str, &'static str)>,
) -> Vec<String> {
    let told = told(snapshot);
    let wrong = table.filter_map(|(kind, name, expected)| {
        let is = told.get(&(kind, name.to_owned()));
        let is = is.map_or("not watched", String::as_str);
        (is != expected).then(|| format!("{kind} {name}: {is}, not {expected}"))
    });
    wrong.collect()
}

/// Which targets are not ready.
fn is_well(snapshot: &Snapshot) -> Vec<String> {
    let told = told(snapshot).into_iter();
    let ill = told.filter(|(_, told)| !told.starts_with("ready"));
    ill.map(|((kind, name), told)| format!("{kind} {name}: {told}"))
        .collect()
}
