//! A cache that is well until it is asked for a path: the daemon has one reason for each way to
//! answer that makes no sense, and is not held up.

use std::net::SocketAddr;

use offload_client::{Kind, Reason, Snapshot, Stage, TargetState};
use offload_tests::{
    Laptop, NixConf,
    fake::{Cache, Fault, Point},
    ground::HERE,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// After a failure all checks are deep; before it there are those that are asked for.
const POLL: &str = "[poll]\n\
                    interval = \"1s\"\n\
                    fast_interval = \"50ms\"\n\
                    down_max_interval = \"1s\"\n\
                    timeout = \"1s\"\n\
                    deep_timeout = \"1s\"\n\
                    deep_interval = \"1s\"\n\
                    fall = 1\n\
                    rise = 1\n";

#[tokio::test]
async fn each_answer_about_a_path_that_is_none_is_told_apart() {
    let cache = Cache::start(ANY).await.unwrap();
    let nix = NixConf::new().unwrap();
    nix.set_caches(&[(&cache.url(), &cache.public_key())])
        .unwrap();
    let config = format!(
        "{POLL}[[cache]]\nname = \"desktop\"\nurl = \"{}\"\npublic_keys = [\"{}\"]\nsample = \"{}\"\n",
        cache.url(),
        cache.public_key(),
        cache.store_path()
    );
    let laptop = Laptop::start(&nix, &config).await.unwrap();
    let is = |now: &Snapshot, state, reason, stage| {
        let seen = now.targets.iter().find(|target| target.kind == Kind::Cache);
        seen.is_some_and(|seen| (seen.state, seen.reason, seen.stage) == (state, reason, stage))
    };
    let well = |now: &Snapshot| is(now, TargetState::Ready, Reason::None, Stage::Signature);
    for (fault, state, reason) in [
        (
            Fault::StallAfter(Point::CacheInfo),
            TargetState::Down,
            Reason::TimedOut,
        ),
        (
            Fault::EndAfter(Point::CacheInfo),
            TargetState::Degraded,
            Reason::NarinfoInvalid,
        ),
        (
            Fault::GarbageAfter(Point::CacheInfo),
            TargetState::Degraded,
            Reason::NarinfoInvalid,
        ),
        (
            Fault::EndlessAfter(Point::CacheInfo),
            TargetState::Degraded,
            Reason::NarinfoInvalid,
        ),
        (Fault::Unsigned, TargetState::Degraded, Reason::Unsigned),
        (
            Fault::ForeignKey,
            TargetState::Degraded,
            Reason::UntrustedSignature,
        ),
        (
            Fault::BadSignature,
            TargetState::Degraded,
            Reason::UntrustedSignature,
        ),
    ] {
        laptop.until("its signature is good", well).await.unwrap();
        cache.set(fault).await.unwrap();
        // Where it was asked too often, the next deep check comes of itself.
        let target = laptop.the(Kind::Cache).await.unwrap();
        let _ = laptop.target(&target).await.unwrap().check().await;
        let what = format!("{fault:?} is {state}, {reason}");
        let seen = laptop.until(&what, |now| is(now, state, reason, Stage::Signature));
        seen.await.unwrap();
        cache.set(Fault::Healthy).await.unwrap();
    }
    laptop.until("all is well", well).await.unwrap();
}
