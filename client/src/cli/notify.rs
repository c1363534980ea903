//! `notify`: a notice on the desktop when builds begin to stay on this machine, and one when they go out again.
//!
//! What is worth one is decided in `turn`, which touches nothing; here it is shown, by the Desktop Notifications Specification
//! 1.2, as one notice that the next one takes the place of.

mod turn;

use std::{collections::HashMap, pin::pin, time::Duration};

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};
use zbus::{Connection, MatchRule, MessageStream, Variant, connection, message::Type};

pub(super) use self::turn::stay_here;
use self::turn::{Notice, Turns};
use super::{
    args::Cli,
    bar::pango,
    failure::{Failure, Outcome},
};
use crate::{Client, language::tr};

const SERVER: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// The action that has everything checked.
const CHECK: &str = "check";

/// Tells of what has lasted so long.
pub(super) async fn notify(cli: &Cli, settled: Duration) -> Result<Outcome, Failure> {
    let desktop = connection::Builder::session().build().await;
    let desktop = desktop.map_err(|error| Failure::NoDesktop(error.to_string()))?;
    telling(&Client::on(cli.bus.clone()), &desktop, Turns::new(settled)).await
}

async fn telling(
    client: &Client,
    desktop: &Connection,
    mut turns: Turns,
) -> Result<Outcome, Failure> {
    let mut updates = client.watch();
    let mut shown = Shown { desktop, id: 0 };
    let invoked = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface(SERVER)
        .member("ActionInvoked")
        .path(PATH)
        .build()?;
    let mut invoked = MessageStream::for_match_rule(invoked, desktop, None).await?;
    loop {
        let due = pin!(at(turns.due()));
        tokio::select! {
            Some(update) = updates.next() => turns.observe(update.as_ref(), Instant::now()),
            () = due => {
                if let Some(notice) = turns.ring(Instant::now()) {
                    shown.show(&notice).await;
                }
            }
            action = invoked.next() => match action {
                Some(Ok(message)) => {
                    let action = message.body().deserialize::<(u32, String)>();
                    if action.is_ok_and(|(id, key)| id == shown.id && key == CHECK) {
                        // What comes of it is told by the next notice, or by none.
                        let _ = client.check().await;
                    }
                }
                Some(Err(_)) => {}
                // The desktop's session is over.
                None => return Ok(Outcome::Ready),
            },
        }
    }
}

/// The notice that is there, or was last.
struct Shown<'a> {
    desktop: &'a Connection,
    id: u32,
}

impl Shown<'_> {
    /// Shows it in the place of the last one. A desktop without anybody who shows notices shows none.
    async fn show(&mut self, notice: &Notice) {
        let able =
            self.desktop
                .call_method(Some(SERVER), PATH, Some(SERVER), "GetCapabilities", &());
        let able = able
            .await
            .ok()
            .and_then(|reply| reply.body().deserialize::<Vec<String>>().ok());
        let able = able.unwrap_or_default();
        let can = |what: &str| able.iter().any(|it| it == what);
        let body = if can("body-markup") {
            pango(&notice.body)
        } else {
            notice.body.clone()
        };
        let actions: &[&str] = if notice.is_bad && can("actions") {
            &[CHECK, tr("Check now")]
        } else {
            &[]
        };
        let icon = if notice.is_bad {
            "network-offline"
        } else {
            "network-server"
        };
        let urgency = Variant::from(if notice.is_bad { 1_u8 } else { 0_u8 });
        let hints: HashMap<&str, Variant<'_>> = HashMap::from([("urgency", urgency)]);
        let arguments = (
            "offloadd",
            self.id,
            icon,
            notice.title.as_str(),
            body.as_str(),
            actions,
            hints,
            -1_i32,
        );
        let shown =
            self.desktop
                .call_method(Some(SERVER), PATH, Some(SERVER), "Notify", &arguments);
        if let Ok(reply) = shown.await
            && let Ok(id) = reply.body().deserialize()
        {
            self.id = id;
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
