//! Whatever a cache, a file or a name says: the daemon stays on the bus, and nothing that it
//! publishes moves a cursor, forges a line or reverses the writing.

use std::{collections::HashMap, net::SocketAddr};

use offload_client::{
    Printable, Reason, Snapshot,
    names::{BUS_NAME, MANAGER, ROOT_PATH},
    snapshot::{Facts, Target},
};
use offload_tests::{Bus, Daemon, Follower, NixConf, daemon::Launch, ground::HERE};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant, fdo::DBusProxy};

/// Controls of each kind: C0, DEL, C1, bidi, line and paragraph separators, without width.
const HOSTILE: &str =
    "\0\x1b]0owned\x07\x7f\u{9b}2J\u{202e}\u{2066}\u{2028}\u{2029}\u{200b}\u{feff}";

async fn start(bus: &Bus, nix: &str) -> Daemon {
    let config =
        format!("[poll]\ninterval = \"1s\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n{nix}");
    let daemon = Daemon::start(Launch {
        config,
        bus: bus.address(),
        ..Launch::default()
    });
    let daemon = daemon.await.unwrap();
    daemon.wait_ready().await.unwrap();
    daemon
}

async fn follow(bus: &Bus) -> Follower {
    Follower::new(bus.connect().await.unwrap())
}

/// A server that answers everything with `body`; its URL.
async fn cache(body: String) -> String {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nServer: x\u{9b}\u{202e}y\r\nContent-Length: {length}\r\n\r\n");
    format!("http://{}", server(head + &body).await)
}

/// A server that waits for somebody to speak and says `answer`; its address.
async fn server(answer: String) -> SocketAddr {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Holds everything that is on the bus against the promise, past what the client crate makes of it:
/// properties of all objects, the Manager's, and the JSON of `Describe`.
async fn assert_printable(connection: &Connection) {
    let call = async |interface: &str, member: &str| {
        let called =
            connection.call_method(Some(BUS_NAME), ROOT_PATH, Some(interface), member, &());
        called.await.expect("the daemon is on the bus")
    };
    type Interfaces = HashMap<String, HashMap<String, OwnedVariant>>;
    let objects = call("org.freedesktop.DBus.ObjectManager", "GetManagedObjects").await;
    let objects: HashMap<OwnedObjectPath, Interfaces> = objects.body().deserialize().unwrap();
    let properties = objects.values().flat_map(HashMap::values).flatten();
    for (name, value) in properties {
        texts(value, &mut |text| {
            assert!(is_printable(text), "{name}: {text:?}");
        });
    }
    let json = call(MANAGER, "Describe").await;
    let json: String = json.body().deserialize().unwrap();
    assert!(is_printable(&json), "{json:?}");
    let described: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_json_printable(&described);
}

fn texts(value: &Variant<'_>, each: &mut dyn FnMut(&str)) {
    match value {
        Variant::Str(text) => each(text),
        Variant::Variant(inner) => texts(inner, each),
        Variant::Array(items) => items.iter().for_each(|item| texts(item, each)),
        Variant::Structure(fields) => fields.fields().iter().for_each(|item| texts(item, each)),
        Variant::Dict(dict) => dict.iter().for_each(|(key, value)| {
            texts(key, each);
            texts(value, each);
        }),
        _ => {}
    }
}

fn assert_json_printable(value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => assert!(is_printable(text), "{text:?}"),
        serde_json::Value::Array(items) => items.iter().for_each(assert_json_printable),
        serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            assert!(is_printable(key), "{key:?}");
            assert_json_printable(value);
        }),
        _ => {}
    }
}

/// By a list of its own, shorter than the gate's.
fn is_printable(text: &str) -> bool {
    let harmful = |c: char| c.is_control() || HOSTILE.contains(c) && !c.is_ascii_graphic();
    !text.chars().any(harmful)
}

fn store_dir(target: &Target) -> &str {
    match &target.facts {
        Facts::Cache(facts) => &facts.store_dir,
        Facts::Builder(_) => panic!("{target:?}"),
    }
}

/// What is published of a cache that says this of itself, when it is judged; all of that is printable.
async fn judged(info: String) -> Snapshot {
    let url = cache(info).await;
    let bus = Bus::start().await.unwrap();
    let nix = format!("[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"{url}\"\n");
    let mut daemon = start(&bus, &nix).await;
    let mut follower = follow(&bus).await;
    let is_judged = |snapshot: &Snapshot| {
        let mut targets = snapshot.targets.iter();
        targets.any(|target| target.reason == Reason::StoreDirMismatch)
    };
    let seen = tokio::select! {
        seen = follower.until("the store directory is judged", is_judged) => seen.unwrap(),
        ended = daemon.wait_exit() => panic!("{ended:?}: {}", daemon.log()),
    };
    assert_printable(&follower.connection).await;
    seen
}

#[tokio::test]
async fn a_nul_in_what_a_cache_says_of_itself_ends_nothing() {
    let seen = judged("StoreDir: /gnu\0/store\n".to_owned()).await;
    assert_eq!(store_dir(&seen.targets[0]), r"/gnu\x00/store");
}

#[tokio::test]
async fn what_a_cache_says_moves_no_cursor() {
    judged(format!("StoreDir: /gnu{HOSTILE}/store\nPriority: 30\n")).await;
}

#[tokio::test]
async fn controls_in_nix_files_end_nothing_and_stay_there() {
    let nix = NixConf::new().unwrap();
    // Percent-encoded where a URI would not be one otherwise: its host becomes the target's name.
    let host = "desk%00%1B%5D0%C2%9B%E2%80%AE%E2%80%A8";
    nix.write(
        "machines",
        &format!("ssh-ng://{host} x86{HOSTILE}-linux - 2 1 kvm{HOSTILE} big{HOSTILE}\n"),
    )
    .unwrap();
    nix.write(
        "extra.conf",
        &format!(
            "extra-substituters = http://{host}:5000/a{HOSTILE} ftp://{HOSTILE}\n\
             fallback = {HOSTILE}\n\
             trusted-public-keys = key{HOSTILE}-1:AAAA\n"
        ),
    )
    .unwrap();
    let bus = Bus::start().await.unwrap();
    let conf = format!("[nix]\nconf = \"{}\"\n", nix.path().display());
    let mut daemon = start(&bus, &conf).await;
    let mut follower = follow(&bus).await;
    let planned = |snapshot: &Snapshot| !snapshot.targets.is_empty();
    let seen = tokio::select! {
        seen = follower.until("the files are read", planned) => seen.unwrap(),
        ended = daemon.wait_exit() => panic!("{ended:?}: {}", daemon.log()),
    };
    assert_eq!(
        seen.targets[0].name,
        r"desk\x00\x1b]0\u{9b}\u{202e}\u{2028}"
    );
    let Facts::Builder(facts) = &seen.targets[0].facts else {
        panic!("{seen:?}");
    };
    for words in [&facts.systems, &facts.features] {
        assert!(words[0].contains(r"\x00\x1b]0owned\x07"), "{words:?}");
    }
    assert!(seen.warnings.len() >= 4, "{:?}", seen.warnings);
    assert_printable(&follower.connection).await;
}

#[tokio::test]
async fn what_answers_in_place_of_ssh_moves_no_cursor() {
    for said in [
        format!("{HOSTILE}\n"),
        format!("SSH-2.0-OpenSSH{HOSTILE}\r\n"),
        format!("SSH-1.0-{HOSTILE}\r\n"),
    ] {
        let address = server(said.clone()).await;
        let bus = Bus::start().await.unwrap();
        let nix = format!(
            "[nix]\nimport = false\n[[builder]]\nname = \"desktop\"\nuri = \"ssh-ng://nobody@{address}\"\n"
        );
        let mut daemon = start(&bus, &nix).await;
        let mut follower = follow(&bus).await;
        let judged = |snapshot: &Snapshot| {
            let mut targets = snapshot.targets.iter();
            targets.any(|target| target.details.contains_key("error"))
        };
        tokio::select! {
            seen = follower.until("what answers is judged", judged) => seen.unwrap(),
            ended = daemon.wait_exit() => panic!("{said:?}: {ended:?}: {}", daemon.log()),
        };
        assert_printable(&follower.connection).await;
        assert!(
            is_printable(&daemon.log().replace('\n', "")),
            "{}",
            daemon.log()
        );
    }
}

/// The bus closes a connection at the first text that is none for it.
#[tokio::test]
async fn whatever_comes_in_the_bus_takes_what_goes_out() {
    let bus = Bus::start().await.unwrap();
    let connection = bus.connect().await.unwrap();
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let bytes = prop_oneof![bytes, ".{0,100}".prop_map(String::into_bytes)];
    for _ in 0..2000 {
        let bytes = bytes.new_tree(&mut runner).unwrap().current();
        let text = Printable::from(&*bytes);
        let to = connection.unique_name().unwrap().clone();
        let sent = connection.emit_signal(Some(to), "/", "a.b", "C", &text);
        sent.await
            .unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
    let names = DBusProxy::new(&connection).await.unwrap();
    assert!(names.get_id().await.is_ok(), "the bus still talks to us");
}
