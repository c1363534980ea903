//! `tray`: an icon in the tray, for desktops whose bar runs no programs: a StatusNotifierItem with a menu (`com.canonical.dbusmenu`).
//!
//! It follows the daemon and the session bus through restarts of both, starts no daemon, and tells the tray what really
//! changed and nothing else.

mod icon;
mod item;
mod menu;
mod shown;

use std::{
    io::{self, Write},
    process,
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use zbus::{
    Connection, MatchRule, MessageStream, connection, message::Type, object_server::SignalEmitter,
};

use self::{item::Item, menu::Menu, shown::Shown};
use super::{
    args::{Cli, NAME},
    bar,
    failure::{Failure, Outcome},
};
use crate::{Bus, Client, Snapshot, client::bus_back::BusBack, language::tr};

/// Who knows the trays and what is to be in them.
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const WATCHER_PATH: &str = "/StatusNotifierWatcher";
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A session bus that stays away for longer was that of a session which is over.
const OVER: Duration = Duration::from_secs(30);

pub(super) async fn tray(cli: &Cli) -> Result<Outcome, Failure> {
    let client = Client::on(cli.bus.clone());
    let mut updates = client.watch();
    // Who hangs is no daemon yet.
    let first = timeout(bar::FIRST, updates.next()).await;
    let first = Shown::of(first.ok().flatten().flatten().as_ref());
    let shown = watch::Sender::new(first);
    let (actions, asked) = mpsc::channel(1);
    let face = Face {
        shown: shown.subscribe(),
        actions,
    };
    tokio::select! {
        end = show(&face, &shown, &mut updates) => end,
        () = act(cli, &client, asked) => Ok(Outcome::Ready),
    }
}

/// What the tray sees of it: what is shown, and the way of a click.
#[derive(Clone)]
struct Face {
    shown: watch::Receiver<Shown>,
    actions: mpsc::Sender<Action>,
}

impl Face {
    /// Has it done, where the menu offers it now. One that waits already is enough.
    fn ask(&self, action: Action) {
        if self.shown.borrow().offers(action) {
            let _ = self.actions.try_send(action);
        }
    }
}

/// What the menu offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Check = 1,
    Pause = 2,
    Resume = 3,
}

/// Does one after the other. What comes of it is seen in the icon; what could not be done is told to whoever reads the journal.
async fn act(cli: &Cli, client: &Client, mut asked: mpsc::Receiver<Action>) {
    while let Some(action) = asked.recv().await {
        let done = match action {
            Action::Check => client.check().await.map(drop),
            Action::Pause => client.pause(None).await,
            Action::Resume => client.resume().await,
        };
        if let Err(error) = done {
            Failure::from(error).report(cli);
        }
    }
}

/// Shows it on one session bus after the other; the first has to be there.
async fn show(
    face: &Face,
    shown: &watch::Sender<Shown>,
    updates: &mut (impl Stream<Item = Option<Snapshot>> + Unpin),
) -> Result<Outcome, Failure> {
    let mut desktop = connect(face)
        .await
        .map_err(|error| Failure::NoDesktop(error.to_string()))?;
    let mut is_told = false;
    loop {
        follow(&desktop, shown, updates, &mut is_told).await?;
        let back = back(&Bus::Session, async || connect(face).await.ok());
        match timeout(OVER, back).await {
            Ok(again) => desktop = again,
            Err(_) => return Ok(Outcome::Ready),
        }
    }
}

async fn connect(face: &Face) -> zbus::Result<Connection> {
    connection::Builder::session()
        .serve_at(item::PATH, Item(face.clone()))
        .serve_at(menu::PATH, Menu(face.clone()))
        .name(name())
        .allow_name_replacements(false)
        .replace_existing_names(false)
        .build()
        .await
}

/// As the specification has it.
fn name() -> String {
    format!("org.kde.StatusNotifierItem-{}-1", process::id())
}

/// Tries until it is there again.
async fn back<T>(bus: &Bus, connect: impl AsyncFn() -> Option<T>) -> T {
    let mut back = BusBack::of(Some(bus));
    loop {
        back.trying();
        if let Some(connection) = connect().await {
            return connection;
        }
        back.wait().await;
    }
}

/// Follows the daemon and the watchers of trays until the connection ends.
async fn follow(
    desktop: &Connection,
    shown: &watch::Sender<Shown>,
    updates: &mut (impl Stream<Item = Option<Snapshot>> + Unpin),
    is_told: &mut bool,
) -> Result<(), Failure> {
    let watchers = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(WATCHER)
        .build()?;
    // One that comes between the two is heard.
    let Ok(mut watchers) = MessageStream::for_match_rule(watchers, desktop, None).await else {
        return Ok(());
    };
    register(desktop, is_told).await;
    loop {
        tokio::select! {
            Some(update) = updates.next() => {
                let mut now = Shown::of(update.as_ref());
                now.follows(&shown.borrow());
                let before = shown.send_replace(now.clone());
                // Whom it can't be told any more will ask when the bus is back.
                let _ = tell(desktop, &before, &now).await;
            }
            change = watchers.next() => match change {
                Some(Ok(change)) => {
                    let change = change.body().deserialize::<(String, String, String)>();
                    if change.is_ok_and(|(_, _, owner)| !owner.is_empty()) {
                        register(desktop, is_told).await;
                    }
                }
                Some(Err(_)) => {}
                None => return Ok(()),
            },
        }
    }
}

/// Asks for a place in the tray. Where there is none, which is said once, one is waited for.
async fn register(desktop: &Connection, is_told: &mut bool) {
    let member = "RegisterStatusNotifierItem";
    let asked = name();
    let asked = desktop.call_method(Some(WATCHER), WATCHER_PATH, Some(WATCHER), member, &asked);
    let is_there = timeout(PATIENCE, asked).await.is_ok_and(|it| it.is_ok());
    if !is_there && !std::mem::replace(is_told, true) {
        let told = tr(
            "this desktop has no tray yet, and one is waited for; in GNOME the extension AppIndicator makes one",
        );
        let _ = writeln!(io::stderr(), "{NAME}: {told}");
    }
}

/// Tells the tray what to read again.
async fn tell(desktop: &Connection, before: &Shown, now: &Shown) -> zbus::Result<()> {
    let item = SignalEmitter::new(desktop, item::PATH)?;
    if before.title != now.title {
        Item::new_title(&item).await?;
    }
    if before.state != now.state {
        Item::new_icon(&item).await?;
        Item::new_attention_icon(&item).await?;
    }
    if before.status() != now.status() {
        Item::new_status(&item, now.status()).await?;
    }
    if before.revision != now.revision {
        let menu = SignalEmitter::new(desktop, menu::PATH)?;
        Menu::layout_updated(&menu, now.revision, menu::ROOT).await?;
    }
    if before.tooltip != now.tooltip {
        Item::new_tool_tip(&item).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_bus_that_does_not_come_back_is_not_waited_for_for_ever() {
        let nowhere = Bus::Address("unix:path=/nonexistent/bus".to_owned());
        let never = back(&nowhere, async || None::<()>);
        timeout(OVER, never).await.unwrap_err();
        let tries = Cell::new(0);
        let third = back(&nowhere, async || {
            tries.set(tries.get() + 1);
            (tries.get() == 3).then_some(())
        });
        timeout(OVER, third).await.unwrap();
    }
}
