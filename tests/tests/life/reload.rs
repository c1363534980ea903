//! SIGHUP: a good configuration is taken up and disturbs nothing that it leaves as it was; a broken
//! one leaves the old one in force and says so.

use std::{fs, net::SocketAddr, time::Duration};

use offload_client::{
    OverallState, Reason, Snapshot, WarningCode, proxy::ManagerProxy, snapshot::Detail,
};
use offload_tests::{
    Bus, Daemon, Follower, Ground, Sshd, daemon::Launch, eventually, fake::Cache, ground::HERE,
    notify::Message,
};
use offloadd::clock::{Now, Stopwatch};
use rustix::process::Signal;

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const NOTHING: &str = "[nix]\nimport = false\n";

async fn start(bus: &Bus, config: &str) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: config.into(),
        bus: bus.address(),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    daemon
}

fn cache(cache: &Cache, name: &str) -> String {
    format!("[[cache]]\nname = \"{name}\"\nurl = \"{}\"\n", cache.url())
}

fn builder(sshd: &Sshd) -> String {
    format!(
        "[[builder]]\nname = \"desktop\"\nuri = \"{}\"\nssh_key = \"{}\"\nhost_key = \"{}\"\n",
        sshd.uri(),
        sshd.user_key().display(),
        sshd.host_key().unwrap(),
    )
}

/// What the daemon says at this very moment, without waiting for anything.
async fn now(bus: &Bus) -> Snapshot {
    let connection = bus.connect().await.unwrap();
    let manager = ManagerProxy::new(&connection).await.unwrap();
    serde_json::from_str(&manager.describe().await.unwrap()).unwrap()
}

fn labels(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .targets
        .iter()
        .map(|target| target.label())
        .collect()
}

#[tokio::test]
async fn a_reload_takes_up_a_new_target_and_keeps_the_connection_to_an_old_one() {
    let ground = Ground::take().await.unwrap();
    let sshd = Sshd::start(ground.ssh()).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let old = format!("{NOTHING}{}", builder(&sshd));
    let daemon = start(&bus, &old).await;
    let mut follower = Follower::new(bus.connect().await.unwrap());
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    follower.until("the builder is ready", ready).await.unwrap();
    assert_eq!((sshd.connections(), sshd.logins()), (1, 1));

    let fake = Cache::start(ANY).await.unwrap();
    daemon
        .reload(&format!("{old}{}", cache(&fake, "new")))
        .await
        .unwrap();
    // READY=1 means that it is in force, not that it will be.
    assert_eq!(labels(&now(&bus).await), ["cache/new", "builder/desktop"]);
    let both = |s: &Snapshot| s.targets.len() == 2 && s.state == OverallState::Ready;
    follower.until("both are ready", both).await.unwrap();
    assert_eq!((sshd.connections(), sshd.logins()), (1, 1));

    daemon.reload(&old).await.unwrap();
    assert_eq!(labels(&now(&bus).await), ["builder/desktop"]);
    let one = |s: &Snapshot| labels(s) == ["builder/desktop"];
    follower.until("its objects are gone", one).await.unwrap();
    assert_eq!((sshd.connections(), sshd.logins()), (1, 1));
}

#[tokio::test]
async fn a_reload_is_told_as_notify_reload_asks() {
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, NOTHING).await;
    let before = Now::read().monotonic_usec;
    let fake = Cache::start(ANY).await.unwrap();
    daemon
        .reload(&format!("{NOTHING}{}", cache(&fake, "new")))
        .await
        .unwrap();
    let after = Now::read().monotonic_usec;

    let messages = daemon.messages();
    let at = |key: &str| {
        messages
            .iter()
            .rposition(|m| m.get(key) == Some("1"))
            .unwrap()
    };
    assert!(at("RELOADING") < at("READY"), "{messages:?}");
    // systemd compares it with its own clock at the signal: an older one would not count.
    let stamp: u64 = messages[at("RELOADING")]
        .get("MONOTONIC_USEC")
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        (before..=after).contains(&stamp),
        "{before} {stamp} {after}"
    );
    // By then the status is the new configuration's.
    let status = messages[..at("READY")]
        .iter()
        .rev()
        .find_map(|m| m.get("STATUS"));
    assert!(status.unwrap().contains("cache/new"), "{status:?}");
}

#[tokio::test]
async fn a_rejected_configuration_leaves_the_old_one_in_force_until_it_is_mended() {
    let fake = Cache::start(ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let good = format!("{NOTHING}{}", cache(&fake, "desktop"));
    let mut daemon = start(&bus, &good).await;
    let mut follower = Follower::new(bus.connect().await.unwrap());
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    let before = follower.until("the cache is ready", ready).await.unwrap();

    for broken in ["[poll]\nintervall = \"1s\"\n", "this is no TOML"] {
        daemon.reload(broken).await.unwrap();
        let snapshot = now(&bus).await;
        let [warning] = &snapshot.warnings[..] else {
            panic!("{:?}", snapshot.warnings);
        };
        assert_eq!(warning.code, WarningCode::ConfigRejected);
        let Some(Detail::Text(error)) = warning.details.get("error") else {
            panic!("{warning:?}");
        };
        assert!(error.contains("config.toml"), "{error}");
        assert_eq!(snapshot.targets[0].uri, before.targets[0].uri);
        assert_eq!(snapshot.state, OverallState::Ready);
        let warned = |s: &Snapshot| s.warnings.contains(warning);
        follower
            .until("the warning on the bus", warned)
            .await
            .unwrap();
    }
    assert!(
        daemon.log().contains("configuration rejected"),
        "{}",
        daemon.log()
    );
    assert!(daemon.log().contains("poll.intervall"), "{}", daemon.log());

    daemon.reload(&good).await.unwrap();
    assert_eq!(now(&bus).await.warnings, []);
    let mended = |s: &Snapshot| s.warnings.is_empty();
    let after = follower.until("no warning", mended).await.unwrap();
    let since = |s: &Snapshot| s.state_change_timestamp;
    assert_eq!(since(&after), since(&before), "the verdict never wavered");
    assert_eq!(fake.connections(), 1);
    assert_eq!(daemon.terminate().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_changed_address_of_a_target_is_looked_for_at_once() {
    let (first, second) = (
        Cache::start(ANY).await.unwrap(),
        Cache::start(ANY).await.unwrap(),
    );
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, &format!("{NOTHING}{}", cache(&first, "desktop"))).await;
    let mut follower = Follower::new(bus.connect().await.unwrap());
    let at = |cache: &Cache| {
        let address = cache.address().to_string();
        move |s: &Snapshot| {
            s.state == OverallState::Ready && s.targets.iter().all(|t| t.address == address)
        }
    };
    follower
        .until("ready at the first", at(&first))
        .await
        .unwrap();
    let config = format!("{NOTHING}{}", cache(&second, "desktop"));
    daemon.reload(&config).await.unwrap();
    let snapshot = follower.until("ready at the second", at(&second)).await;
    assert_eq!(snapshot.unwrap().targets[0].uri, second.url());
}

/// Nobody signals.
#[tokio::test]
async fn what_is_written_to_the_configuration_is_taken_up_by_itself() {
    let fake = Cache::start(ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, NOTHING).await;
    let mut follower = Follower::new(bus.connect().await.unwrap());
    let main = daemon.directory().join("config.toml");
    let drop_in = daemon.directory().join("config.d/50-more.toml");
    let has = |names: &'static [&'static str]| move |s: &Snapshot| labels(s) == names;
    let broken = |s: &Snapshot| {
        let mut codes = s.warnings.iter().map(|warning| warning.code);
        codes.any(|code| code == WarningCode::ConfigRejected)
    };

    let watch = Stopwatch::start();
    fs::write(&main, format!("{NOTHING}{}", cache(&fake, "first"))).unwrap();
    follower
        .until("the file", has(&["cache/first"]))
        .await
        .unwrap();
    println!("the file: taken up after {:?}", watch.elapsed());
    fs::create_dir(drop_in.parent().unwrap()).unwrap();
    fs::write(&drop_in, cache(&fake, "second")).unwrap();
    let both = has(&["cache/first", "cache/second"]);
    follower.until("a drop-in", both).await.unwrap();

    fs::write(&drop_in, "[poll]\nintervall = \"1s\"\n").unwrap();
    let told = follower
        .until("a broken one is told", broken)
        .await
        .unwrap();
    assert!(both(&told), "what was in force holds: {told:#?}");
    // What is as it was is no news.
    let reloads = || daemon.log().matches("configuration re").count();
    let before = reloads();
    fs::write(&drop_in, "[poll]\nintervall = \"1s\"\n").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(reloads(), before, "{}", daemon.log());

    fs::remove_file(&drop_in).unwrap();
    let mended = |s: &Snapshot| !broken(s) && labels(s) == ["cache/first"];
    follower.until("the drop-in is gone", mended).await.unwrap();
}

/// The first thorough check of a builder that lacks its key is minutes away from the second.
#[tokio::test]
async fn a_key_is_taken_up_as_it_comes_and_goes() {
    let ground = Ground::take().await.unwrap();
    let sshd = Sshd::start(ground.ssh()).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("builder");
    let own = sshd.user_key().display().to_string();
    let config = builder(&sshd).replace(&own, &key.display().to_string());
    let _daemon = start(&bus, &format!("{NOTHING}{config}")).await;
    let mut follower = Follower::new(bus.connect().await.unwrap());
    let reason = |wanted| move |s: &Snapshot| s.targets.iter().all(|t| t.reason == wanted);
    for round in ["comes", "comes again"] {
        let missed = reason(Reason::KeyUnreadable);
        follower.until("it is missed", missed).await.unwrap();
        let watch = Stopwatch::start();
        fs::copy(&own, &key).unwrap();
        let ready = |s: &Snapshot| s.state == OverallState::Ready;
        follower.until(round, ready).await.unwrap();
        println!("{round}: ready after {:?}", watch.elapsed());
        fs::remove_file(&key).unwrap();
    }
}

#[tokio::test]
async fn a_storm_of_signals_is_a_reload_each_second_and_each_is_answered() {
    let bus = Bus::start().await.unwrap();
    let daemon = start(&bus, NOTHING).await;
    let fake = Cache::start(ANY).await.unwrap();
    let watch = Stopwatch::start();
    for _ in 0..500 {
        daemon.signal(Signal::HUP).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let config = format!("{NOTHING}{}", cache(&fake, "new"));
    fs::write(daemon.directory().join("config.toml"), config).unwrap();
    let before = Now::read().monotonic_usec;
    daemon.signal(Signal::HUP).unwrap();

    // As systemd does: what counts is the end of a reload that began after its signal.
    let began = |message: &Message| {
        let stamp = message.get("MONOTONIC_USEC")?.parse::<u64>().ok()?;
        (stamp >= before).then_some(())
    };
    let patience = Duration::from_secs(15);
    let messages = eventually(patience, "the last signal is answered", async || {
        let messages = daemon.messages();
        let at = messages
            .iter()
            .position(|message| began(message).is_some())?;
        let ready = |message: &Message| message.get("READY") == Some("1");
        messages[at..].iter().any(ready).then_some(messages)
    });
    let messages = messages.await.unwrap();
    assert_eq!(labels(&now(&bus).await), ["cache/new"]);
    let reloads = messages.iter().filter(|m| m.get("RELOADING") == Some("1"));
    let (reloads, seconds) = (reloads.count(), watch.elapsed().as_secs());
    assert!(
        reloads as u64 <= seconds + 2,
        "{reloads} reloads in {seconds} s"
    );
}
