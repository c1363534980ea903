//! The proxies and `dbus/*.xml` say the same.
//!
//! A peer made of nothing but the XML answers the proxies: it knows the members, signatures and
//! annotations that the XML declares and refuses all else. Every member of every proxy is used, and
//! every member of the XML must have been.

#![allow(clippy::unwrap_used, clippy::panic)]

mod xml;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::StreamExt;
use offload_client::proxy::{BuilderProxy, CacheProxy, JobProxy, ManagerProxy, TargetProxy};
use tokio::{net::UnixStream, sync::mpsc};
use zbus::{
    Connection, Message, MessageStream, Signature, Variant,
    connection::Builder,
    message::Type,
    wire::{Array, Dict, StructureBuilder},
};

use self::xml::{Interface, interfaces};

const PATH: &str = "/org/offloadd/Offload1";

macro_rules! call_all {
    ($proxy:ident: $($member:ident($($arg:expr),*)),* $(,)?) => {
        $($proxy.$member($($arg),*).await.unwrap_or_else(|error| {
            panic!("{}: {error:?}", stringify!($member))
        });)*
    };
}

#[tokio::test]
async fn every_member_of_the_proxies_is_the_xmls_and_the_other_way_round() {
    let mut peer = Peer::new().await;
    let connection = peer.client.clone();

    let manager = ManagerProxy::new(&connection).await.unwrap();
    let mut signals = manager.receive_overall_state_changed().await.unwrap();
    let target = TargetProxy::new(&connection, PATH).await.unwrap();
    let cache = CacheProxy::new(&connection, PATH).await.unwrap();
    let builder = BuilderProxy::new(&connection, PATH).await.unwrap();
    let job = JobProxy::new(&connection, PATH).await.unwrap();
    let mut output = job.receive_printed().await.unwrap();
    call_all!(job: cancel(), get_output());
    call_all!(cache: forget_misses());
    call_all!(builder: test_build(HashMap::new()));
    call_all!(manager: check(), pause(1), resume(), discover(), describe(),
            get_target("cache", "desktop"),
            explain("x86_64-linux", &["kvm"], HashMap::new()));
    call_all!(target: check(), wake(HashMap::new()), get_history(1));
    // Twice: what announces its changes is read once and cached, what does not is asked for each time.
    for _ in 0..2 {
        call_all!(manager: version(), state(), reason(), builder_state(), cache_state(),
            state_change_timestamp(), state_change_timestamp_monotonic(), targets(), warnings());
        call_all!(target: name(), kind(), uri(), address(), state(), reason(), stage(),
            state_change_timestamp(), state_change_timestamp_monotonic(), waking(), last_check_timestamp(),
            last_success_timestamp(), next_check_timestamp(), latency_usec(),
            consecutive_failures(), details());
        call_all!(cache: store_dir(), want_mass_query(), priority(), signing_key());
        call_all!(builder: protocol(), systems(), features(), max_jobs(), speed_factor(),
            nix_version(), trusted(), host_key_fingerprint());
        call_all!(job: state(), reason(), builder_path(), start_timestamp(), finish_timestamp());
    }

    let interfaces = interfaces();
    let mut signalled = BTreeSet::new();
    for (name, interface) in &interfaces {
        for (signal, signature) in &interface.signals {
            let body = StructureBuilder::from_signature(signature);
            peer.server
                .emit_signal(None::<&str>, PATH, name.as_str(), signal.as_str(), &body)
                .await
                .unwrap();
            signalled.insert(format!("{name}.{signal}"));
        }
    }
    let signal = signals.next().await.unwrap();
    assert_eq!(signal.args().unwrap().new, "x");
    let printed = output.next().await.unwrap();
    assert_eq!(printed.args().unwrap().line, "x");
    assert_eq!(
        signalled,
        BTreeSet::from([
            "org.offloadd.Offload1.Job.Output".to_owned(),
            "org.offloadd.Offload1.Manager.StateChanged".to_owned(),
        ])
    );

    let used = peer.used();
    let declared: BTreeSet<Use> = interfaces
        .iter()
        .flat_map(|(name, interface)| {
            let methods = interface
                .methods
                .keys()
                .map(move |method| Use::Method(format!("{name}.{method}")));
            let uncached = interface
                .properties
                .iter()
                .filter(|(_, property)| property.emits == "false")
                .map(move |(property, _)| Use::Get(format!("{name}.{property}")));
            methods.chain(uncached).chain([Use::GetAll(name.clone())])
        })
        .collect();
    assert_eq!(used, declared);
}

/// What the macro generates can't be listed; what it reads can be counted.
#[test]
fn the_proxies_declare_no_member_that_the_test_above_does_not_use() {
    let source = include_str!("../../src/proxy.rs");
    let interfaces = interfaces();
    let members: usize = interfaces
        .values()
        .map(|i| i.methods.len() + i.signals.len() + i.properties.len())
        .sum();
    assert_eq!(source.matches("\n    fn ").count(), members);
    for (kind, marker) in [
        ("const", r#"emits_changed_signal = "const""#),
        ("false", r#"emits_changed_signal = "false""#),
    ] {
        let declared = interfaces
            .values()
            .flat_map(|interface| interface.properties.values())
            .filter(|property| property.emits == kind)
            .count();
        assert_eq!(source.matches(marker).count(), declared, "{kind}");
    }
}

/// One use that a proxy made of the peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Method(String),
    Get(String),
    GetAll(String),
}

/// Two ends of a socket: the proxies', and one that knows only the XML.
struct Peer {
    client: Connection,
    server: Connection,
    uses: mpsc::Receiver<Use>,
}

impl Peer {
    async fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let guid = zbus::Guid::generate();
        let server = Builder::unix_stream(ours.into_std().unwrap())
            .server(guid)
            .p2p()
            .build();
        let client = Builder::unix_stream(theirs.into_std().unwrap())
            .p2p()
            .build();
        let (server, client) = tokio::join!(server, client);
        let server = server.unwrap();
        let calls = MessageStream::from(server.clone());
        let (sender, uses) = mpsc::channel(1000);
        tokio::spawn(answer(server.clone(), calls, sender));
        Self {
            client: client.unwrap(),
            server,
            uses,
        }
    }

    fn used(&mut self) -> BTreeSet<Use> {
        let mut used = BTreeSet::new();
        while let Ok(one) = self.uses.try_recv() {
            used.insert(one);
        }
        used
    }
}

async fn answer(server: Connection, mut calls: MessageStream, uses: mpsc::Sender<Use>) {
    let interfaces = interfaces();
    while let Some(Ok(call)) = calls.next().await {
        let header = call.header();
        if header.message_type() != Type::MethodCall {
            continue;
        }
        let answered = match reply(&interfaces, &call) {
            Ok((used, body)) => {
                uses.try_send(used).unwrap();
                server.send(&body).await
            }
            Err(why) => {
                let name = "org.freedesktop.DBus.Error.UnknownMethod";
                server.reply_error(&header, name, &why).await
            }
        };
        answered.unwrap();
    }
}

fn reply(
    interfaces: &BTreeMap<String, Interface>,
    call: &Message,
) -> Result<(Use, Message), String> {
    let header = call.header();
    let name = header.interface().ok_or("no interface")?.to_string();
    let member = header.member().ok_or("no member")?.to_string();
    let answer = Message::method_return(&header);
    if name == "org.freedesktop.DBus.Properties" {
        let body = call.body();
        let (of, property): (String, Option<String>) = match member.as_str() {
            "Get" => {
                let (of, property) = body.deserialize().map_err(|e| e.to_string())?;
                (of, Some(property))
            }
            "GetAll" => (body.deserialize().map_err(|e| e.to_string())?, None),
            other => return Err(format!("{other} is not expected")),
        };
        let properties = &interfaces.get(&of).ok_or(format!("no {of}"))?.properties;
        return Ok(match property {
            Some(property) => {
                let declared = properties.get(&property).ok_or(format!("no {property}"))?;
                let value = sample(&declared.signature);
                (
                    Use::Get(format!("{of}.{property}")),
                    answer.build(&value).unwrap(),
                )
            }
            None => {
                let all: HashMap<&str, Variant<'_>> = properties
                    .iter()
                    .map(|(name, property)| (name.as_str(), sample(&property.signature)))
                    .collect();
                (Use::GetAll(of), answer.build(&all).unwrap())
            }
        });
    }
    let interface = interfaces.get(&name).ok_or(format!("no {name}"))?;
    let method = interface
        .methods
        .get(&member)
        .ok_or(format!("no {member}"))?;
    let given = header.signature().to_string_no_parens();
    if given != method.input {
        return Err(format!("{member} takes {}, not {given}", method.input));
    }
    let answer = match method.output.as_str() {
        "" => answer.build(&()),
        output => answer.build(&StructureBuilder::from_signature(output)),
    };
    Ok((Use::Method(format!("{name}.{member}")), answer.unwrap()))
}

/// Values of a list of types.
trait FromSignature {
    fn from_signature(signature: &str) -> zbus::Structure<'static>;
}

impl FromSignature for StructureBuilder<'static> {
    fn from_signature(signature: &str) -> zbus::Structure<'static> {
        // The parentheses make one type of several.
        match Signature::try_from(format!("({signature})").as_str()).unwrap() {
            Signature::Structure(fields) => structure_of(fields.iter()),
            other => panic!("{other:?}"),
        }
    }
}

fn sample(signature: &str) -> Variant<'static> {
    sample_of(&Signature::try_from(signature).unwrap())
}

fn structure_of<'s>(fields: impl Iterator<Item = &'s Signature>) -> zbus::Structure<'static> {
    let all = fields.fold(StructureBuilder::new(), |all, field| {
        all.append_field(sample_of(field))
    });
    all.build().unwrap()
}

/// A value of a type; no container is empty, so that its elements are decoded too.
fn sample_of(signature: &Signature) -> Variant<'static> {
    match signature {
        Signature::Bool => Variant::Bool(true),
        Signature::U32 => Variant::U32(1),
        Signature::U64 => Variant::U64(1),
        Signature::F64 => Variant::F64(1.0),
        Signature::Str => Variant::from("x"),
        Signature::ObjectPath => Variant::ObjectPath(PATH.try_into().unwrap()),
        Signature::Variant => Variant::Variant(Box::new(Variant::from("x"))),
        Signature::Array(child) => {
            let mut array = Array::new(child.signature());
            array.append(sample_of(child.signature())).unwrap();
            Variant::Array(array)
        }
        Signature::Dict { key, value } => {
            let mut dict = Dict::new(key.signature(), value.signature());
            dict.append(sample_of(key.signature()), sample_of(value.signature()))
                .unwrap();
            Variant::Dict(dict)
        }
        Signature::Structure(fields) => Variant::Structure(structure_of(fields.iter())),
        other => panic!("the interfaces have no type {other:?}"),
    }
}
