//! The daemon's own introspection and `dbus/*.xml` say the same, member by member.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use offload_client::{
    errors::BusError,
    names::{BUILDER, BUS_NAME, CACHE, MANAGER, ROOT_PATH, TARGET},
    proxy::ManagerProxy,
};
use offload_tests::{Bus, Daemon, daemon::Launch, fake::Desktop, ground::HERE};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use zbus::{
    Connection,
    fdo::{self, IntrospectableProxy, ObjectManagerProxy},
    proxy,
};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
const XML: [&str; 4] = [
    include_str!("../../../dbus/org.offloadd.Offload1.Manager.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Target.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Cache.xml"),
    include_str!("../../../dbus/org.offloadd.Offload1.Builder.xml"),
];
const CACHE_PATH: &str = "/org/offloadd/Offload1/cache/desktop";
const BUILDER_PATH: &str = "/org/offloadd/Offload1/builder/desktop";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
/// What every object has (D-Bus specification, "Standard Interfaces").
const EVERYWHERE: [&str; 3] = [
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.Peer",
    "org.freedesktop.DBus.Properties",
];

/// An interface as one line for each member: `method Check() -> state s`.
type Interface = BTreeSet<String>;

/// A daemon that watches one cache and one builder of the same name, and a client of its bus.
async fn served() -> (Bus, Daemon, Desktop, Connection) {
    let desktop = Desktop::start(ANY, ANY).await.unwrap();
    let bus = Bus::start().await.unwrap();
    let daemon = Daemon::start(Launch {
        config: format!(
            "[nix]\nimport = false\n\
             [[cache]]\nname = \"desktop\"\nurl = \"{}\"\n\
             [[builder]]\nname = \"desktop\"\nuri = \"{}\"\n",
            desktop.cache.url(),
            desktop.ssh.uri("nix-builder")
        ),
        bus: bus.address(),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    let connection = bus.connect().await.unwrap();
    (bus, daemon, desktop, connection)
}

async fn introspect(connection: &Connection, path: &str) -> BTreeMap<String, Interface> {
    let proxy = IntrospectableProxy::builder(connection)
        .destination(BUS_NAME)
        .path(path.to_owned())
        .build();
    interfaces(&proxy.await.unwrap().introspect().await.unwrap())
}

#[tokio::test]
async fn every_object_has_the_interfaces_that_the_xml_declares() {
    let (_bus, _daemon, _desktop, connection) = served().await;
    let declared: BTreeMap<String, Interface> =
        XML.iter().flat_map(|xml| interfaces(xml)).collect();
    assert_eq!(declared.len(), XML.len());
    assert!(declared.values().all(|interface| !interface.is_empty()));

    for (path, own) in [
        (ROOT_PATH, &[MANAGER][..]),
        (CACHE_PATH, &[TARGET, CACHE]),
        (BUILDER_PATH, &[TARGET, BUILDER]),
    ] {
        let mut served = introspect(&connection, path).await;
        for standard in EVERYWHERE {
            assert!(served.remove(standard).is_some(), "{path}: {standard}");
        }
        let lists = served.remove(OBJECT_MANAGER).is_some();
        assert_eq!(lists, path == ROOT_PATH, "{path}: {OBJECT_MANAGER}");
        let expected: BTreeMap<_, _> = own
            .iter()
            .map(|name| ((*name).to_owned(), declared[*name].clone()))
            .collect();
        assert_eq!(served, expected, "{path}");
    }
}

#[tokio::test]
async fn the_managed_objects_are_the_targets_with_exactly_these_interfaces_and_properties() {
    let (_bus, _daemon, _desktop, connection) = served().await;
    let proxy = ObjectManagerProxy::builder(&connection)
        .destination(BUS_NAME)
        .path(ROOT_PATH)
        .build();
    let objects = proxy.await.unwrap().get_managed_objects().await.unwrap();
    let mut managed = BTreeMap::new();
    for (path, interfaces) in &objects {
        let with_properties: BTreeMap<&str, BTreeMap<&str, String>> = interfaces
            .iter()
            .map(|(name, properties)| {
                let types = properties
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.value_signature().to_string()));
                (name.as_str(), types.collect())
            })
            .collect();
        managed.insert(path.as_str(), with_properties);
    }
    let expected: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, String>>> = [
        (CACHE_PATH, [(TARGET, XML[1]), (CACHE, XML[2])]),
        (BUILDER_PATH, [(TARGET, XML[1]), (BUILDER, XML[3])]),
    ]
    .map(|(path, own)| (path, own.map(|(name, xml)| (name, properties(xml))).into()))
    .into();
    assert_eq!(managed, expected);
}

#[tokio::test]
async fn a_target_is_found_by_kind_and_name() {
    let (_bus, _daemon, _desktop, connection) = served().await;
    let manager = ManagerProxy::new(&connection).await.unwrap();
    for (kind, path) in [("cache", CACHE_PATH), ("builder", BUILDER_PATH)] {
        let found = manager.get_target(kind, "desktop").await.unwrap();
        assert_eq!(found.as_str(), path);
    }
    let missing = manager.get_target("cache", "desk-top").await.unwrap_err();
    let text = "there is no cache called \"desk-top\"".to_owned();
    assert_eq!(missing, BusError::NoSuchTarget(text));
    let BusError::ZBus(zbus::Error::FDO(error)) =
        manager.get_target("caches", "desktop").await.unwrap_err()
    else {
        panic!("no error of the bus's own");
    };
    assert!(matches!(*error, fdo::Error::InvalidArgs(_)), "{error}");
}

/// org.freedesktop.LogControl1(5), as systemctl speaks it.
#[proxy(
    interface = "org.freedesktop.LogControl1",
    default_service = "org.offloadd.Offload1",
    default_path = "/org/freedesktop/LogControl1"
)]
trait LogControl {
    #[zbus(property)]
    fn log_level(&self) -> fdo::Result<String>;
    #[zbus(property)]
    fn set_log_level(&self, level: &str) -> fdo::Result<()>;
    #[zbus(property)]
    fn log_target(&self) -> fdo::Result<String>;
    #[zbus(property)]
    fn set_log_target(&self, target: &str) -> fdo::Result<()>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> fdo::Result<String>;
}

#[tokio::test]
async fn the_log_level_is_set_while_it_runs() {
    let (_bus, daemon, _desktop, connection) = served().await;
    let builder = LogControlProxy::builder(&connection);
    let builder = builder.cache_properties(proxy::CacheProperties::No);
    let log = builder.build().await.unwrap();
    assert_eq!(log.log_level().await.unwrap(), "info");
    assert_eq!(log.log_target().await.unwrap(), "console");
    assert_eq!(log.syslog_identifier().await.unwrap(), "offloadd");

    log.set_log_level("debug").await.unwrap();
    assert_eq!(log.log_level().await.unwrap(), "debug");
    let manager = ManagerProxy::new(&connection).await.unwrap();
    let before = daemon.log().len();
    manager.check().await.unwrap();
    assert!(daemon.log()[before..].contains("DEBUG"), "{}", daemon.log());

    let refused = log.set_log_level("loud").await.unwrap_err();
    assert!(
        refused.to_string().contains("is none of emerg"),
        "{refused}"
    );
    let refused = log.set_log_target("kmsg").await.unwrap_err();
    assert!(
        refused.to_string().contains("goes to the console"),
        "{refused}"
    );
    log.set_log_target("auto").await.unwrap();
    assert_eq!(log.log_level().await.unwrap(), "debug");
}

/// The properties of the one interface in `xml`, with their types.
fn properties(xml: &'static str) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    for piece in xml.split("<property name=\"").skip(1) {
        let (name, rest) = piece.split_once('"').unwrap();
        let (_, rest) = rest.split_once("type=\"").unwrap();
        let (signature, _) = rest.split_once('"').unwrap();
        found.insert(name, signature.to_owned());
    }
    found
}

/// Reads introspection data: the interfaces of the outermost node.
fn interfaces(xml: &str) -> BTreeMap<String, Interface> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    let mut reader = Reader::from_str(xml);
    let (mut interface, mut member) = (String::new(), None::<Member>);
    let mut depth = 0;
    loop {
        let event = reader.read_event().unwrap();
        // An object's children stand inside of it, some of them with all that they have.
        match &event {
            Event::Start(element) if element.name().as_ref() == "node" => depth += 1,
            Event::End(element) if element.name().as_ref() == "node" => depth -= 1,
            _ => {}
        }
        if depth > 1 {
            continue;
        }
        let (element, empty) = match &event {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(element) => {
                if matches!(element.name().as_ref(), "method" | "signal" | "property") {
                    let whole = interfaces.get_mut(&interface).unwrap();
                    assert!(whole.insert(member.take().unwrap().to_string()));
                }
                continue;
            }
            Event::Eof => return interfaces,
            _ => continue,
        };
        let attribute = |name| attribute(element, name).unwrap_or_default();
        match element.name().as_ref() {
            "node" => {}
            "interface" => {
                interface = attribute("name");
                interfaces.insert(interface.clone(), Interface::new());
            }
            what @ ("method" | "signal" | "property") => {
                let mut new = Member::default();
                new.what = format!("{what} {}", attribute("name"));
                if what == "property" {
                    new.what += &format!(" {} {}", attribute("type"), attribute("access"));
                    // D-Bus specification: what is not annotated emits its changes.
                    new.emits = Some("true".to_owned());
                }
                if empty {
                    let whole = interfaces.get_mut(&interface).unwrap();
                    assert!(whole.insert(new.to_string()));
                } else {
                    member = Some(new);
                }
            }
            "arg" => {
                let argument = format!("{} {}", attribute("name"), attribute("type"));
                let member = member.as_mut().unwrap();
                match attribute("direction").as_str() {
                    // A method's argument without a direction goes in; a signal's goes out.
                    "in" => member.input.push(argument),
                    "out" => member.output.push(argument),
                    _ if member.what.starts_with("method") => member.input.push(argument),
                    _ => member.output.push(argument),
                }
            }
            "annotation" => {
                let emits = "org.freedesktop.DBus.Property.EmitsChangedSignal";
                assert_eq!(attribute("name"), emits);
                member.as_mut().unwrap().emits = Some(attribute("value"));
            }
            other => panic!("{other}"),
        }
    }
}

/// One member, in the making.
#[derive(Default)]
struct Member {
    what: String,
    input: Vec<String>,
    output: Vec<String>,
    emits: Option<String>,
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (input, output) = (self.input.join(", "), self.output.join(", "));
        match &self.emits {
            Some(emits) => write!(f, "{} emits {emits}", self.what),
            None => write!(f, "{}({input}) -> {output}", self.what),
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).unwrap()?;
    Some(found.value.into_owned())
}
