//! What the bus's policy and the daemon let whom do.

use std::net::SocketAddr;

use offload_client::{OverallState, Snapshot, names, proxy::ManagerProxy};
use offload_tests::{
    Bus, Daemon, Follower, daemon::Launch, fake::Cache, ground::HERE, skip::is_root,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const CACHE: &str = "/org/offloadd/Offload1/cache/desktop";

async fn start(bus: &Bus, cache: &Cache) -> Daemon {
    let daemon = Daemon::start(Launch {
        config: format!(
            "[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"{}\"\n",
            cache.url()
        ),
        bus: bus.address(),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_status("ready: ").await.unwrap();
    daemon
}

#[tokio::test]
async fn everybody_may_read_and_ask_for_a_check() {
    if !is_root("becoming another user") {
        return;
    }
    let (bus, cache) = (
        Bus::start().await.unwrap(),
        Cache::start(ANY).await.unwrap(),
    );
    let _daemon = start(&bus, &cache).await;
    let manager = ["string:org.offloadd.Offload1.Manager"];
    let state = [manager[0], "string:State"];
    for (member, arguments, answer) in [
        (
            "org.freedesktop.DBus.Introspectable.Introspect",
            &[][..],
            "org.offloadd.Offload1.Manager",
        ),
        ("org.freedesktop.DBus.Peer.Ping", &[], ""),
        (
            "org.freedesktop.DBus.Properties.Get",
            &state,
            "string \"ready\"",
        ),
        (
            "org.freedesktop.DBus.Properties.GetAll",
            &manager,
            "CacheState",
        ),
        (
            "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
            &[],
            CACHE,
        ),
        (
            "org.offloadd.Offload1.Manager.Describe",
            &[],
            "describe_version",
        ),
    ] {
        let said = bus
            .ask_as_stranger(names::BUS_NAME, member, arguments)
            .await;
        let said = said.unwrap_or_else(|error| panic!("{member}: {error}"));
        assert!(said.contains(answer), "{member}: {said}");
    }
    let requests = cache.requests();
    let check = "org.offloadd.Offload1.Manager.Check";
    let said = bus
        .ask_as_stranger(names::BUS_NAME, check, &[])
        .await
        .unwrap();
    assert!(said.contains("string \"ready\""), "{said}");
    assert_eq!(cache.requests(), requests + 1);
    for (member, arguments) in [
        ("org.offloadd.Offload1.Target.GetHistory", &["uint32:5"][..]),
        ("org.freedesktop.DBus.Introspectable.Introspect", &[]),
    ] {
        let asked = bus.ask_object_as_stranger(names::BUS_NAME, CACHE, member, arguments);
        asked
            .await
            .unwrap_or_else(|error| panic!("{member}: {error}"));
    }
}

#[tokio::test]
async fn only_root_may_pause_and_resume() {
    if !is_root("becoming another user") {
        return;
    }
    let (bus, cache) = (
        Bus::start().await.unwrap(),
        Cache::start(ANY).await.unwrap(),
    );
    let _daemon = start(&bus, &cache).await;
    let mut follower = Follower::new(bus.connect().await.unwrap());
    for (member, arguments) in [
        ("org.offloadd.Offload1.Manager.Pause", &["uint64:0"][..]),
        ("org.offloadd.Offload1.Manager.Resume", &[]),
    ] {
        let asked = bus
            .ask_as_stranger(names::BUS_NAME, member, arguments)
            .await;
        let refused = asked.unwrap_err().to_string();
        let error = "org.offloadd.Offload1.Error.NotAuthorized";
        assert!(refused.contains(error), "{member}: {refused}");
        assert!(refused.contains("uid 65534"), "{member}: {refused}");
    }
    let manager = ManagerProxy::new(&follower.connection).await.unwrap();
    assert_eq!(manager.state().await.unwrap(), "ready");

    manager.pause(0).await.unwrap();
    let paused = |s: &Snapshot| s.state == OverallState::Paused;
    follower.until("it is paused", paused).await.unwrap();
    manager.resume().await.unwrap();
    let ready = |s: &Snapshot| s.state == OverallState::Ready;
    follower.until("it is ready", ready).await.unwrap();
}

#[tokio::test]
async fn nobody_else_may_own_the_name_or_set_a_property() {
    if !is_root("becoming another user") {
        return;
    }
    let (bus, cache) = (
        Bus::start().await.unwrap(),
        Cache::start(ANY).await.unwrap(),
    );
    let mut daemon = start(&bus, &cache).await;
    let set = [
        "string:org.offloadd.Offload1.Manager",
        "string:State",
        "variant:string:offline",
    ];
    let member = "org.freedesktop.DBus.Properties.Set";
    let refused = bus.ask_as_stranger(names::BUS_NAME, member, &set).await;
    assert!(refused.unwrap_err().to_string().contains("AccessDenied"));
    let path = "/org/freedesktop/LogControl1";
    let set = [
        "string:org.freedesktop.LogControl1",
        "string:LogLevel",
        "variant:string:debug",
    ];
    let refused = bus.ask_object_as_stranger(names::BUS_NAME, path, member, &set);
    assert!(
        refused
            .await
            .unwrap_err()
            .to_string()
            .contains("AccessDenied")
    );

    // Not while the daemon has it, nor once it is free.
    let own = ["string:org.offloadd.Offload1", "uint32:2"];
    let member = "org.freedesktop.DBus.RequestName";
    let ask = async || {
        let asked = bus
            .ask_as_stranger("org.freedesktop.DBus", member, &own)
            .await;
        asked.unwrap_err().to_string()
    };
    assert!(ask().await.contains("AccessDenied"));
    daemon.terminate().await.unwrap();
    assert!(ask().await.contains("AccessDenied"));
}
