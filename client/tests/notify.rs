//! `offloadctl notify` beside a server of notices, on a bus of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "notify/tray.rs"]
mod tray;

use std::collections::HashMap;

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, collect, on, spawn},
};
use futures_util::StreamExt;
use tokio::{
    process::Child,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use zbus::{Connection, Message, MessageStream, Variant, message::Type};

const SERVER: &str = "org.freedesktop.Notifications";

type Notify<'a> = (
    String,
    u32,
    String,
    String,
    String,
    Vec<String>,
    HashMap<String, Variant<'a>>,
    i32,
);

/// What a desktop was asked to show.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    replaces: u32,
    title: String,
    body: String,
    actions: Vec<String>,
}

/// A desktop that shows notices: each is number 7.
async fn desktop(
    bus: &Bus,
    can: &'static [&'static str],
) -> (Connection, UnboundedReceiver<Shown>) {
    let connection = bus.connect().await;
    let (sender, shown) = unbounded_channel();
    let calls = MessageStream::from(connection.clone());
    tokio::spawn(serve(connection.clone(), calls, can, sender));
    connection.request_name(SERVER).await.unwrap();
    (connection, shown)
}

async fn serve(
    connection: Connection,
    mut calls: MessageStream,
    can: &[&str],
    shown: UnboundedSender<Shown>,
) {
    while let Some(Ok(call)) = calls.next().await {
        let header = call.header();
        if header.message_type() != Type::MethodCall {
            continue;
        }
        let reply = Message::method_return(&header);
        let reply = match header.member().unwrap().as_str() {
            "GetCapabilities" => reply.build(&can),
            "Notify" => {
                let body = call.body();
                let (_, replaces, _, title, body, actions, ..): Notify<'_> =
                    body.deserialize().unwrap();
                let _ = shown.send(Shown {
                    replaces,
                    title,
                    body,
                    actions,
                });
                reply.build(&7_u32)
            }
            other => panic!("{other}"),
        };
        connection.send(&reply.unwrap()).await.unwrap();
    }
}

fn notify(bus: &Bus) -> Child {
    let mut command = on(bus, &["notify", "--after", "300ms"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    spawn(command)
}

async fn next(shown: &mut UnboundedReceiver<Shown>) -> Shown {
    timeout(LIMIT, shown.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn each_turn_is_one_notice_in_the_place_of_the_last_and_its_button_checks() {
    let bus = Bus::start().await;
    let (desktop, mut shown) = desktop(&bus, &["actions", "body", "body-markup"]).await;
    let fake = Fake::start(&bus, ready()).await;
    let _program = notify(&bus);
    fake.asked("Describe()").await;
    let mut down = builder_down();
    for target in down.targets.iter_mut() {
        target.uri = "ssh://<b>&".into();
    }
    fake.change(down, 3).await;
    let notice = next(&mut shown).await;
    assert_eq!(
        (notice.replaces, notice.title.as_str()),
        (0, "Builds stay on this machine")
    );
    assert!(
        notice
            .body
            .starts_with("builder/desktop\nconnection refused\n"),
        "{notice:?}"
    );
    assert!(notice.body.contains("ssh://&lt;b&gt;&amp;"), "{notice:?}");
    assert_eq!(notice.actions, ["check", "Check now"]);
    // Another's button is not ours.
    for (id, key) in [(8_u32, "check"), (7, "default"), (7, "check")] {
        let signal = Message::signal("/org/freedesktop/Notifications", SERVER, "ActionInvoked");
        desktop
            .send(&signal.build(&(id, key)).unwrap())
            .await
            .unwrap();
    }
    fake.asked("Check()").await;
    let script = fake.script.borrow().calls.clone();
    assert_eq!(
        script
            .iter()
            .filter(|call| call.ends_with("Check()"))
            .count(),
        1
    );
    fake.change(ready(), 1).await;
    assert_eq!(
        next(&mut shown).await,
        Shown {
            replaces: 7,
            title: "Builds go out again".to_owned(),
            body: "desktop takes them.".to_owned(),
            actions: vec![],
        }
    );
    assert!(shown.is_empty());
}

#[tokio::test]
async fn a_plain_desktop_gets_plain_text_and_a_restart_of_the_daemon_is_no_news() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let _program = notify(&bus);
    fake.asked("Describe()").await;
    // Nobody shows notices yet: the first is lost, and nothing else.
    fake.stop().await;
    let fake = Fake::start(&bus, ready()).await;
    fake.asked("Describe()").await;
    let (_desktop, mut shown) = desktop(&bus, &["body"]).await;
    let mut down = builder_down();
    for target in down.targets.iter_mut() {
        target.uri = "ssh://<b>&".into();
    }
    fake.change(down, 1).await;
    let notice = next(&mut shown).await;
    assert!(notice.body.contains("ssh://<b>&"), "{notice:?}");
    assert_eq!((notice.replaces, notice.actions.len()), (0, 0));
}

#[tokio::test]
async fn it_waits_for_a_bus_that_starts_later() {
    let (session, mut system) = (Bus::start().await, Bus::start().await);
    system.stop().await;
    let (desktop, mut shown) = desktop(&session, &["body"]).await;
    let bus = zbus::fdo::DBusProxy::new(&desktop).await.unwrap();
    let mut arrived = bus.receive_name_owner_changed().await.unwrap();
    let mut command = on(&system, &["notify", "--after", "300ms"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", &session.address);
    let _program = spawn(command);
    timeout(LIMIT, arrived.next()).await.unwrap().unwrap();
    system.start_again().await;
    let fake = Fake::start(&system, ready()).await;
    fake.asked("Describe()").await;
    fake.change(builder_down(), 1).await;
    let notice = next(&mut shown).await;
    assert_eq!(notice.title, "Builds stay on this machine");
}

#[tokio::test]
async fn without_a_session_bus_it_says_so() {
    let bus = Bus::start().await;
    let mut command = on(&bus, &["notify"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    let run = collect(spawn(command)).await;
    assert_eq!(run.code, 69, "{run:?}");
    assert!(run.stderr.contains("there is no session bus"), "{run:?}");
}
