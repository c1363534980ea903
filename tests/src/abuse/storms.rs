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

/// All of them, against `destination`, each for as long; all but the first over one in `divisor` of the connections that a user may have.
///
/// # Errors
/// Never: what they send can be sent.
pub fn all(
    desk: &Desk,
    destination: &str,
    duration: Duration,
    divisor: usize,
) -> Result<Vec<Storm>> {
    let lasting = |flood: Flood| Flood { duration, ..flood };
    let part = |connections: usize| (connections / divisor).max(2);
    let check = call(destination, "", MANAGER, "Check", &())?;
    let managed = call(destination, "", MANAGED, "GetManagedObjects", &())?;
    let describe = call(destination, "", MANAGER, "Describe", &())?;
    let mixed = Flood {
        connections: part(16),
        ..desk.flood(everything(destination)?)
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
        ..desk.flood(cheap(destination).unwrap_or_default())
    };
    let huge = "x".repeat(8_000_000);
    let huge = [
        call(destination, "", MANAGER, "Check", &&*huge)?,
        call(destination, "", PROPERTIES, "Get", &(MANAGER, &*huge))?,
        call(destination, "", MANAGER, "Describe", &&*huge)?,
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
fn cheap(destination: &str) -> Result<Vec<Message>> {
    Ok(vec![
        call(destination, "", PROPERTIES, "Get", &(MANAGER, "State"))?,
        call(destination, "", PROPERTIES, "GetAll", &MANAGER)?,
        call(destination, CACHE, PROPERTIES, "GetAll", &TARGET)?,
        call(destination, "", MANAGER, "Check", &())?,
        call(destination, CACHE, TARGET, "Check", &())?,
        call(destination, CACHE, TARGET, "GetHistory", &10u32)?,
        call(destination, "", "org.freedesktop.DBus.Peer", "Ping", &())?,
        call(destination, "", MANAGER, "Discover", &())?,
    ])
}

/// Everything there is, with arguments that nobody sends.
///
/// # Errors
/// Never: it can be sent.
pub fn everything(destination: &str) -> Result<Vec<Message>> {
    let introspectable = "org.freedesktop.DBus.Introspectable";
    let options = |name: &'static str, value: Variant<'static>| HashMap::from([(name, value)]);
    let many: HashMap<String, Variant<'_>> = (0..500)
        .map(|n| (n.to_string(), Variant::from(n)))
        .collect();
    Ok(vec![
        call(destination, "", introspectable, "Introspect", &())?,
        call(destination, CACHE, introspectable, "Introspect", &())?,
        call(destination, "", PROPERTIES, "Get", &(MANAGER, "Targets"))?,
        call(
            destination,
            "",
            PROPERTIES,
            "Get",
            &(MANAGER, "\u{202e}Nothing"),
        )?,
        call(destination, "", PROPERTIES, "Get", &("no interface", ""))?,
        call(destination, "", PROPERTIES, "Get", &"State")?,
        call(destination, "", PROPERTIES, "GetAll", &"")?,
        call(
            destination,
            "",
            PROPERTIES,
            "Set",
            &(MANAGER, "State", Variant::from("ready")),
        )?,
        call(destination, "", MANAGED, "GetManagedObjects", &"argument")?,
        call(
            destination,
            "",
            MANAGER,
            "Describe",
            &(u64::MAX, "argument"),
        )?,
        call(destination, "", MANAGER, "NoSuchMethod", &())?,
        call(
            destination,
            "",
            "org.offloadd.Offload1.Nothing",
            "Check",
            &(),
        )?,
        call(destination, "", MANAGER, "Check", &vec![0u8; 10_000])?,
        call(destination, "", MANAGER, "Discover", &())?,
        call(destination, "", MANAGER, "Pause", &u64::MAX)?,
        call(destination, "", MANAGER, "Pause", &"for ever")?,
        call(destination, "", MANAGER, "Resume", &())?,
        call(destination, CACHE, TARGET, "Check", &())?,
        call(destination, CACHE, TARGET, "GetHistory", &u32::MAX)?,
        call(destination, CACHE, TARGET, "GetHistory", &-1i64)?,
        call(destination, "/cache/nothing", TARGET, "Check", &())?,
        call(
            destination,
            HOST,
            BUILDER,
            "TestBuild",
            &options("timeout", 0u64.into()),
        )?,
        call(
            destination,
            HOST,
            BUILDER,
            "TestBuild",
            &options("timeout", u64::MAX.into()),
        )?,
        call(
            destination,
            HOST,
            BUILDER,
            "TestBuild",
            &options("timeout", "1s".into()),
        )?,
        call(
            destination,
            HOST,
            BUILDER,
            "TestBuild",
            &options("", Variant::from(vec![0u8; 1000])),
        )?,
        call(destination, HOST, BUILDER, "TestBuild", &many)?,
        call(destination, "/job/4294967295", JOB, "Cancel", &())?,
        call(destination, "/job/1", JOB, "GetOutput", &())?,
    ])
}
