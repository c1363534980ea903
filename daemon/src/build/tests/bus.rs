//! The Job objects, on a real bus.

use std::collections::{BTreeSet, HashMap};

use futures_util::{Stream, StreamExt};
use offload_client::{
    Kind,
    errors::BusError,
    names,
    proxy::{BuilderProxy, JobProxy},
};
use zbus::{
    Connection, OwnedVariant, Variant, connection,
    fdo::{self, PropertiesProxy},
};

use super::{
    PATIENCE,
    laptop::{Builder, Laptop, WAITS},
};
use crate::bus::{Service, embedded::EmbeddedBus};

/// The laptop's daemon on a bus of its own, and somebody else on it.
struct Desk {
    laptop: Laptop,
    client: Connection,
    _bus: EmbeddedBus,
    _dir: tempfile::TempDir,
}

impl Desk {
    async fn start(builder: Builder) -> Self {
        let laptop = Laptop::start(builder).await;
        let dir = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::start(&dir.path().join("bus/socket")).unwrap();
        let builder = connection::Builder::address(bus.address());
        let service = Service::start(builder, laptop.monitor.clone(), laptop.jobs.clone(), None);
        let mut service = service.await.unwrap();
        tokio::spawn(async move { service.run().await });
        let client = connection::Builder::address(bus.address()).build().await;
        Self {
            laptop,
            client: client.unwrap(),
            _bus: bus,
            _dir: dir,
        }
    }

    async fn builder(&self) -> BuilderProxy<'static> {
        let path = names::target_path(Kind::Builder, "desktop");
        let builder = BuilderProxy::builder(&self.client).path(path).build();
        builder.await.unwrap()
    }

    async fn begin(&self) -> JobProxy<'static> {
        let path = self
            .builder()
            .await
            .test_build(HashMap::new())
            .await
            .unwrap();
        let job = JobProxy::builder(&self.client).path(path).build();
        job.await.unwrap()
    }
}

#[tokio::test]
async fn a_job_tells_its_lines_and_then_its_end_in_one_signal() {
    let desk = Desk::start(Builder::Waits).await;
    let job = desk.begin().await;
    let path = names::target_path(Kind::Builder, "desktop");
    assert_eq!(job.builder_path().await.unwrap().as_str(), path);
    assert_eq!(job.state().await.unwrap(), "running");
    assert_eq!(job.finish_timestamp().await.unwrap(), 0);
    let started = job.start_timestamp().await.unwrap();
    assert!(started > 0);

    desk.laptop.printed(1, WAITS).await;
    let mut printed = job.receive_printed().await.unwrap();
    let path = job.inner().path().to_owned();
    let properties = PropertiesProxy::builder(&desk.client)
        .destination(names::BUS_NAME)
        .path(path)
        .build()
        .await
        .unwrap();
    let mut changes = properties.receive_properties_changed().await.unwrap();
    desk.laptop.open_gate();
    loop {
        let line = next(&mut printed).await;
        if line
            .args()
            .unwrap()
            .line()
            .contains("a test build of offloadd runs here")
        {
            break;
        }
    }
    let change = next(&mut changes).await;
    let args = change.args().unwrap();
    assert_eq!(*args.interface_name(), names::JOB);
    let changed = args.changed_properties();
    let names: BTreeSet<_> = changed.keys().copied().collect();
    assert_eq!(
        names,
        BTreeSet::from(["FinishTimestamp", "Reason", "State"])
    );
    assert_eq!(changed["State"], Variant::from("succeeded"));
    assert_eq!(job.reason().await.unwrap(), "");
    assert!(job.finish_timestamp().await.unwrap() >= started);
    let output = job.get_output().await.unwrap();
    assert!(output.iter().any(|line| line.contains(WAITS)), "{output:?}");
}

/// The next signal.
async fn next<T>(signals: &mut (impl Stream<Item = T> + Unpin)) -> T {
    let next = tokio::time::timeout(PATIENCE, signals.next()).await;
    next.expect("there is one more").unwrap()
}

#[tokio::test]
async fn the_bus_refuses_what_it_can_t_do() {
    let desk = Desk::start(Builder::Waits).await;
    let job = desk.begin().await;
    let builder = desk.builder().await;
    let busy = builder.test_build(HashMap::new()).await;
    assert!(matches!(busy, Err(BusError::Busy(_))), "{busy:?}");
    for (option, value) in [
        ("timeout", Variant::from(0_u64)),
        ("timeout", Variant::from(601_000_000_u64)),
        ("timeout", Variant::from("soon")),
        ("colour", Variant::from(true)),
    ] {
        let value = OwnedVariant::try_from(value).unwrap();
        let refused = builder
            .test_build(HashMap::from([(option.to_owned(), value)]))
            .await;
        let Err(BusError::ZBus(zbus::Error::FDO(refused))) = refused else {
            panic!("{refused:?}");
        };
        let fdo::Error::InvalidArgs(text) = *refused else {
            panic!("{refused:?}");
        };
        assert!(text.contains(option), "{text}");
    }
    desk.laptop.printed(1, WAITS).await;
    job.cancel().await.unwrap();
    let (state, ..) = desk.laptop.ended(1).await;
    assert_eq!(state.as_str(), "cancelled");
    job.cancel().await.unwrap();
}
