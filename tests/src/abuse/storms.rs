//! The storms.

use std::{collections::HashMap, time::Duration};

use offload_client::names::{BUILDER, JOB, MANAGER, TARGET};
use zbus::{Message, Variant};

use super::{
    Desk, Flood, call,
    desk::{FLOODER, OTHER_FLOODER},
};
use crate::Result;

const CACHE: &str = "/cache/desktop";
const HOST: &str = "/builder/desktop";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const MANAGED: &str = "org.freedesktop.DBus.ObjectManager";

/// A storm, by its name.
pub type Storm = (&'static str, Vec<Flood>);

/// All of them, each for as long; all but the first over one in `divisor` of the connections that a user may have.
///
/// # Errors
/// Never: what they send can be sent.
pub fn all(desk: &Desk, duration: Duration, divisor: usize) -> Result<Vec<Storm>> {
    let lasting = |flood: Flood| Flood { duration, ..flood };
    let part = |connections: usize| (connections / divisor).max(2);
    let check = call("", MANAGER, "Check", &())?;
    let managed = call("", MANAGED, "GetManagedObjects", &())?;
    let describe = call("", MANAGER, "Describe", &())?;
    let mixed = Flood {
        connections: part(16),
        ..desk.flood(everything()?)
    };
    let unread = Flood {
        reads: false,
        depth: 100_000,
        connections: part(10),
        ..desk.flood([describe.clone(), managed.clone()])
    };
    let paced = |uid| Flood {
        uid,
        connections: part(250),
        depth: 100,
        rate: Some(5000),
        ..desk.flood(cheap().unwrap_or_default())
    };
    let huge = "x".repeat(8_000_000);
    let huge = [
        call("", MANAGER, "Check", &&*huge)?,
        call("", PROPERTIES, "Get", &(MANAGER, &*huge))?,
        call("", MANAGER, "Describe", &&*huge)?,
    ];
    let storms = vec![
        ("2,000 Check() in flight", vec![desk.flood([check])]),
        (
            "10,000 calls a second over 500 connections of two users",
            vec![paced(FLOODER), paced(OTHER_FLOODER)],
        ),
        ("every method and property with odd arguments", vec![mixed]),
        (
            "GetManagedObjects() and Describe(), 25,000 in flight",
            vec![Flood {
                connections: part(250),
                depth: 100,
                ..desk.flood([managed, describe])
            }],
        ),
        ("answers that nobody reads", vec![unread]),
        (
            "arguments of 8 MB",
            vec![Flood {
                connections: part(10),
                depth: 2,
                ..desk.flood(huge)
            }],
        ),
    ];
    let storms = storms.into_iter();
    Ok(storms
        .map(|(name, floods)| (name, floods.into_iter().map(lasting).collect()))
        .collect())
}

/// What programs ask for.
fn cheap() -> Result<Vec<Message>> {
    Ok(vec![
        call("", PROPERTIES, "Get", &(MANAGER, "State"))?,
        call("", PROPERTIES, "GetAll", &MANAGER)?,
        call(CACHE, PROPERTIES, "GetAll", &TARGET)?,
        call("", MANAGER, "Check", &())?,
        call(CACHE, TARGET, "Check", &())?,
        call(CACHE, TARGET, "GetHistory", &10u32)?,
        call("", "org.freedesktop.DBus.Peer", "Ping", &())?,
        call("", MANAGER, "Discover", &())?,
    ])
}

/// Everything there is, with arguments that nobody sends.
///
/// # Errors
/// Never: it can be sent.
pub fn everything() -> Result<Vec<Message>> {
    let introspectable = "org.freedesktop.DBus.Introspectable";
    let options = |name: &'static str, value: Variant<'static>| HashMap::from([(name, value)]);
    let many: HashMap<String, Variant<'_>> = (0..500)
        .map(|n| (n.to_string(), Variant::from(n)))
        .collect();
    Ok(vec![
        call("", introspectable, "Introspect", &())?,
        call(CACHE, introspectable, "Introspect", &())?,
        call("", PROPERTIES, "Get", &(MANAGER, "Targets"))?,
        call("", PROPERTIES, "Get", &(MANAGER, "\u{202e}Nothing"))?,
        call("", PROPERTIES, "Get", &("no interface", ""))?,
        call("", PROPERTIES, "Get", &"State")?,
        call("", PROPERTIES, "GetAll", &"")?,
        call(
            "",
            PROPERTIES,
            "Set",
            &(MANAGER, "State", Variant::from("ready")),
        )?,
        call("", MANAGED, "GetManagedObjects", &"argument")?,
        call("", MANAGER, "Describe", &(u64::MAX, "argument"))?,
        call("", MANAGER, "NoSuchMethod", &())?,
        call("", "org.offloadd.Offload1.Nothing", "Check", &())?,
        call("", MANAGER, "Check", &vec![0u8; 10_000])?,
        call("", MANAGER, "Discover", &())?,
        call("", MANAGER, "Pause", &u64::MAX)?,
        call("", MANAGER, "Pause", &"for ever")?,
        call("", MANAGER, "Resume", &())?,
        call(CACHE, TARGET, "Check", &())?,
        call(CACHE, TARGET, "GetHistory", &u32::MAX)?,
        call(CACHE, TARGET, "GetHistory", &-1i64)?,
        call("/cache/nothing", TARGET, "Check", &())?,
        call(HOST, BUILDER, "TestBuild", &options("timeout", 0u64.into()))?,
        call(
            HOST,
            BUILDER,
            "TestBuild",
            &options("timeout", u64::MAX.into()),
        )?,
        call(HOST, BUILDER, "TestBuild", &options("timeout", "1s".into()))?,
        call(
            HOST,
            BUILDER,
            "TestBuild",
            &options("", Variant::from(vec![0u8; 1000])),
        )?,
        call(HOST, BUILDER, "TestBuild", &many)?,
        call("/job/4294967295", JOB, "Cancel", &())?,
        call("/job/1", JOB, "GetOutput", &())?,
    ])
}
