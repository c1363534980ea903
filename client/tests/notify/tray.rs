//! `offloadctl tray` beside what keeps a desktop's trays, on a bus of the test's own.

use std::collections::HashMap;

use futures_util::StreamExt;
use offload_client::OverallState;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant, message::Type};

use crate::common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, collect, on, spawn},
};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const ITEM: (&str, &str) = ("/StatusNotifierItem", "org.kde.StatusNotifierItem");
const MENU: (&str, &str) = ("/MenuBar", "com.canonical.dbusmenu");

type Properties = HashMap<String, OwnedVariant>;
/// Icon by name, icons as pixels, title, text.
type ToolTip = (String, Vec<(i32, i32, Vec<u8>)>, String, String);

/// A desktop with a tray: what registers, and the signals of what is in it.
struct Desktop {
    connection: Connection,
    registered: UnboundedReceiver<String>,
    signals: MessageStream,
    /// The one that registered last.
    item: String,
}

impl Desktop {
    async fn start(bus: &Bus) -> Self {
        let connection = bus.connect().await;
        let signals = MatchRule::builder().msg_type(Type::Signal);
        let signals = signals.build().unwrap();
        let signals = MessageStream::for_match_rule(signals, &connection, None);
        let signals = signals.await.unwrap();
        let (sender, registered) = unbounded_channel();
        let mut calls = MessageStream::from(connection.clone());
        let answering = connection.clone();
        tokio::spawn(async move {
            while let Some(Ok(call)) = calls.next().await {
                let header = call.header();
                if header.message_type() == Type::MethodCall {
                    assert_eq!(
                        header.member().unwrap().as_str(),
                        "RegisterStatusNotifierItem"
                    );
                    let _ = sender.send(call.body().deserialize().unwrap());
                    let reply = Message::method_return(&header).build(&()).unwrap();
                    // The bus may be gone by now.
                    let _ = answering.send(&reply).await;
                }
            }
        });
        connection.request_name(WATCHER).await.unwrap();
        Self {
            connection,
            registered,
            signals,
            item: String::new(),
        }
    }

    /// Waits until it registers.
    async fn registers(&mut self) {
        let item = timeout(LIMIT, self.registered.recv()).await;
        self.item = item.unwrap().unwrap();
        let name = self.item.strip_prefix("org.kde.StatusNotifierItem-");
        assert!(name.is_some_and(|it| it.ends_with("-1")), "{}", self.item);
    }

    async fn call<B>(&self, (path, interface): (&str, &str), member: &str, body: &B) -> Message
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let item = Some(self.item.as_str());
        let call = self
            .connection
            .call_method(item, path, Some(interface), member, body);
        timeout(LIMIT, call).await.unwrap().unwrap()
    }

    async fn properties(&self) -> Properties {
        let interface = (ITEM.0, "org.freedesktop.DBus.Properties");
        let reply = self.call(interface, "GetAll", &ITEM.1).await;
        reply.body().deserialize().unwrap()
    }

    /// Title, status and icon.
    async fn shows(&self) -> [String; 3] {
        let properties = self.properties().await;
        ["Title", "Status", "IconName"].map(|name| text(&properties[name]))
    }

    async fn tooltip(&self) -> String {
        let properties = self.properties().await;
        let (icon, pixmaps, title, text): ToolTip = properties["ToolTip"]
            .try_clone()
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!((icon.as_str(), pixmaps.len()), ("", 0));
        assert_eq!(title, text_of_title(&properties));
        text
    }

    /// The entries of its menu: number, label (`-`: a separator), and whether it can be clicked on.
    async fn menu(&self) -> Vec<(i32, String, bool)> {
        let asked = (0_i32, -1_i32, Vec::<String>::new());
        let reply = self.call(MENU, "GetLayout", &asked).await;
        let body = reply.body();
        let (_, (root, _, entries)): (u32, (i32, Properties, Vec<OwnedVariant>)) =
            body.deserialize().unwrap();
        assert_eq!(root, 0);
        let entry = |entry: OwnedVariant| {
            let (id, properties, within): (i32, Properties, Vec<OwnedVariant>) =
                entry.try_into().unwrap();
            assert!(within.is_empty());
            let label = properties.get("label").map_or_else(|| "-".to_owned(), text);
            let enabled = properties.get("enabled");
            let enabled =
                enabled.is_some_and(|it| bool::try_from(it.try_clone().unwrap()).unwrap());
            (id, label, enabled)
        };
        entries.into_iter().map(entry).collect()
    }

    async fn click(&self, id: i32) {
        let event = (id, "clicked", zbus::Variant::from(0_i32), 0_u32);
        self.call(MENU, "Event", &event).await;
    }

    /// The signals of a change, up to the last one of it.
    async fn told(&mut self, last: &str) -> Vec<String> {
        let mut told = Vec::new();
        while told.last().is_none_or(|told| told != last) {
            let signal = timeout(LIMIT, self.signals.next()).await;
            let signal = signal.unwrap().unwrap().unwrap();
            let header = signal.header();
            let of = header.interface().unwrap().as_str();
            if of == ITEM.1 || of == MENU.1 {
                told.push(header.member().unwrap().to_string());
            }
        }
        told
    }
}

fn text(value: &OwnedVariant) -> String {
    value.try_clone().unwrap().try_into().unwrap()
}

fn text_of_title(properties: &Properties) -> String {
    text(&properties["Title"])
}

fn tray(bus: &Bus) -> Child {
    let mut command = on(bus, &["tray"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    spawn(command)
}

const NOBODY: [&str; 3] = ["offloadd is not running", "Active", "dialog-question"];
const READY: [&str; 3] = ["offloadd: ready", "Active", "network-server"];
const DOWN: [&str; 3] = ["offloadd: degraded", "NeedsAttention", "dialog-warning"];
/// What is told when all of it is another.
const ALL: [&str; 6] = [
    "NewTitle",
    "NewIcon",
    "NewAttentionIcon",
    "NewStatus",
    "LayoutUpdated",
    "NewToolTip",
];

#[tokio::test]
async fn the_tray_is_told_of_each_change_and_of_nothing_else() {
    let bus = Bus::start().await;
    let mut desktop = Desktop::start(&bus).await;
    let _program = tray(&bus);
    desktop.registers().await;
    assert_eq!(desktop.shows().await, NOBODY);
    let menu = desktop.menu().await;
    assert_eq!(menu.len(), 1, "{menu:?}");
    assert!(
        menu[0].1.contains("sudo systemctl start offloadd"),
        "{menu:?}"
    );

    let fake = Fake::start(&bus, ready()).await;
    let told = desktop.told("NewToolTip").await;
    assert_eq!(
        told,
        [
            "NewTitle",
            "NewIcon",
            "NewAttentionIcon",
            "LayoutUpdated",
            "NewToolTip"
        ]
    );
    assert_eq!(desktop.shows().await, READY);
    assert_eq!(
        desktop.tooltip().await,
        "✔ cache/desktop: ready\n✔ builder/desktop: ready"
    );

    // The same again is no news.
    fake.change(ready(), 2).await;
    let mut down = builder_down();
    let builder = down.targets.iter_mut().last().unwrap();
    (builder.name, builder.uri) = ("a_b".into(), "ssh://<b>&".into());
    let cause = down.root_cause.as_mut().unwrap();
    cause.target.as_mut().unwrap().1 = "a_b".into();
    fake.change(down.clone(), 3).await;
    assert_eq!(desktop.told("NewToolTip").await, ALL);
    assert_eq!(desktop.shows().await, DOWN);
    let tooltip = desktop.tooltip().await;
    assert!(
        tooltip.contains("✗ builder/a_b: down, connection refused\n\n"),
        "{tooltip}"
    );
    assert!(tooltip.contains("ssh://&lt;b&gt;&amp;"), "{tooltip}");
    let menu = desktop.menu().await;
    assert_eq!(menu[1].1, "✗ builder/a__b: down, connection refused");

    // Another remedy of the same cause is read in the tooltip alone.
    down.targets.iter_mut().last().unwrap().uri = "ssh://elsewhere".into();
    fake.change(down, 1).await;
    assert_eq!(desktop.told("NewToolTip").await, ["NewToolTip"]);

    let mut offline = ready();
    offline.state = OverallState::Offline;
    fake.change(offline, 1).await;
    // Builds stay here as before.
    desktop.told("NewToolTip").await;
    assert_eq!(
        desktop.shows().await,
        ["offloadd: offline", "NeedsAttention", "dialog-error"]
    );

    fake.stop().await;
    assert_eq!(desktop.told("NewToolTip").await, ALL);
    assert_eq!(desktop.shows().await, NOBODY);
    let _fake = Fake::start(&bus, ready()).await;
    desktop.told("NewToolTip").await;
    assert_eq!(desktop.shows().await, READY);
}

#[tokio::test]
async fn a_click_and_the_menu_ask_the_daemon() {
    let bus = Bus::start().await;
    let mut desktop = Desktop::start(&bus).await;
    let fake = Fake::start(&bus, ready()).await;
    let _program = tray(&bus);
    desktop.registers().await;
    let entry = |id, label: &str, enabled| (id, label.to_owned(), enabled);
    assert_eq!(
        desktop.menu().await,
        [
            entry(10, "✔ cache/desktop: ready", false),
            entry(11, "✔ builder/desktop: ready", false),
            entry(12, "-", false),
            entry(1, "Check now", true),
            entry(2, "Pause the checks", true),
        ]
    );
    // What libdbusmenu asks of the root, after each change.
    let named = (vec![0_i32, 1, 99], vec!["label", "children-display"]);
    let reply = desktop.call(MENU, "GetGroupProperties", &named).await;
    let found: Vec<(i32, Properties)> = reply.body().deserialize().unwrap();
    let found = found.iter().map(|(id, properties)| {
        assert_eq!(properties.len(), 1, "{properties:?}");
        (*id, properties.values().map(text).collect())
    });
    assert_eq!(
        found.collect::<Vec<(i32, String)>>(),
        [(0, "submenu".to_owned()), (1, "Check now".to_owned())]
    );
    // What can't be clicked on, and what is not there, asks for nothing.
    for id in [10, 12, 3, 0, 99] {
        desktop.click(id).await;
    }
    desktop.click(2).await;
    fake.asked("Pause(0)").await;
    let mut paused = ready();
    paused.state = OverallState::Paused;
    fake.change(paused, 1).await;
    desktop.told("LayoutUpdated").await;
    assert_eq!(
        desktop.shows().await,
        ["offloadd: paused", "Active", "media-playback-pause"]
    );
    assert_eq!(
        desktop.menu().await.last().unwrap(),
        &entry(3, "Resume the checks", true)
    );
    let hovered = (3_i32, "hovered", zbus::Variant::from(0_i32), 0_u32);
    desktop.call(MENU, "Event", &hovered).await;
    let clicked = [(3_i32, "clicked", zbus::Variant::from(0_i32), 0_u32)];
    desktop.call(MENU, "EventGroup", &clicked.as_slice()).await;
    fake.asked("Resume()").await;
    desktop.call(ITEM, "Activate", &(0_i32, 0_i32)).await;
    fake.asked("Check()").await;
    let calls = fake.script.borrow().calls.clone();
    let asked: Vec<&str> = calls.iter().filter_map(|it| it.split(' ').nth(1)).collect();
    let asked: Vec<&str> = asked
        .into_iter()
        .filter(|it| !it.starts_with("Describe"))
        .collect();
    assert_eq!(asked, ["Pause(0)", "Resume()", "Check()"]);
}

#[tokio::test]
async fn a_daemon_is_not_started_by_a_click() {
    let bus = Bus::with_activation("/bin/false").await;
    let mut desktop = Desktop::start(&bus).await;
    let mut program = tray(&bus);
    desktop.registers().await;
    assert_eq!(desktop.shows().await, NOBODY);
    desktop.call(ITEM, "Activate", &(0_i32, 0_i32)).await;
    desktop.click(1).await;
    // It asks for one thing after the other: the third is after those.
    let fake = Fake::start(&bus, ready()).await;
    desktop.told("NewToolTip").await;
    desktop.click(1).await;
    fake.asked("Check()").await;
    program.start_kill().unwrap();
    let run = collect(program).await;
    // What could not be asked would stand here.
    assert_eq!(run.stderr, "");
}

#[tokio::test]
async fn restarts_of_the_tray_and_of_the_bus_are_outlived() {
    let mut bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut program = tray(&bus);
    let mut said = BufReader::new(program.stderr.take().unwrap()).lines();
    let line = timeout(LIMIT, said.next_line()).await.unwrap();
    let line = line.unwrap().unwrap();
    assert!(
        line.contains("no tray yet") && line.contains("GNOME"),
        "{line}"
    );
    for _ in 0..2 {
        let mut desktop = Desktop::start(&bus).await;
        desktop.registers().await;
        assert_eq!(desktop.shows().await, READY);
        desktop.connection.close().await.unwrap();
    }
    bus.stop().await;
    drop(fake);
    bus.start_again().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let mut desktop = Desktop::start(&bus).await;
    desktop.registers().await;
    while desktop.shows().await != DOWN {
        desktop.told("NewToolTip").await;
    }
    // Nothing is said twice.
    program.start_kill().unwrap();
    assert_eq!(said.next_line().await.unwrap(), None);
    let gone = timeout(LIMIT, async {
        let bus = zbus::fdo::DBusProxy::new(&desktop.connection)
            .await
            .unwrap();
        let name = || zbus::names::BusName::try_from(desktop.item.as_str()).unwrap();
        while bus.name_has_owner(name()).await.unwrap() {}
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn a_tray_without_a_session_bus_says_so() {
    let bus = Bus::start().await;
    let mut command = on(&bus, &["tray"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    let run = collect(spawn(command)).await;
    assert_eq!(run.code, 69, "{run:?}");
    assert!(run.stderr.contains("there is no session bus"), "{run:?}");
}
