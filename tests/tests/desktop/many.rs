//! Many targets on one desktop: what takes all of them is one piece of news.

use std::{collections::BTreeMap, time::Duration};

use offload_client::{
    OverallState,
    names::{MANAGER, ROOT_PATH},
};
use offload_tests::{
    Bus, Daemon, Nginx,
    daemon::Launch,
    ground::free_address,
    signals::{Content, Signals},
};

const PATIENCE: Duration = Duration::from_secs(30);
const CACHES: usize = 50;

#[tokio::test]
async fn a_server_that_goes_with_all_its_caches_is_told_once() {
    let mut nginx = Nginx::start(free_address().unwrap()).await.unwrap();
    nginx.set_server("rewrite ^/[0-9]+/(.*)$ /$1 last;");
    nginx.restart().await.unwrap();
    let bus = Bus::start().await.unwrap();
    let mut signals = Signals::listen(&bus.address()).await.unwrap();
    let cache = |number: usize| {
        format!(
            "[[cache]]\nname = \"desktop{number}\"\nurl = \"{}/{number}\"\npublic_keys = [\"{}\"]\nsample = \"{}\"\n",
            nginx.url(),
            nginx.public_key(),
            nginx.store_path()
        )
    };
    // Nothing is checked by itself any more once all are ready: what was within the last second would be looked at later.
    let poll = "[poll]\ninterval = \"60s\"\n[nix]\nimport = false\n".to_owned();
    let _daemon = Daemon::start(Launch {
        config: (0..CACHES).map(cache).fold(poll, |all, one| all + &one),
        bus: bus.address(),
        ..Launch::default()
    })
    .await
    .unwrap();
    let ready = OverallState::Ready.as_str();
    signals.until_verdict(PATIENCE, ready).await.unwrap();
    signals.rest().await.unwrap();

    nginx.stop();
    let offline = OverallState::Offline.as_str();
    let mut told = signals.until_verdict(PATIENCE, offline).await.unwrap();
    told.extend(signals.rest().await.unwrap());
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for signal in &told {
        if let Content::Changed { interface, .. } = &signal.content {
            *counts.entry((&signal.path, interface)).or_default() += 1;
        }
    }
    let of_manager = counts.remove(&(ROOT_PATH, MANAGER)).unwrap_or_default();
    assert_eq!(counts.len(), CACHES);
    assert_eq!(counts.values().max(), Some(&1), "{told:#?}");
    // Bad news waits a quarter of a second for its kind: on a machine that is slower some of it comes later.
    assert!((1..=3).contains(&of_manager), "{of_manager}: {told:#?}");
}
