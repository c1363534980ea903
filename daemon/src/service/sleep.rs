//! Checks everything after a resume from suspend, as logind tells of it
//! (`PrepareForSleep`, org.freedesktop.login1(5)).

use futures_util::StreamExt;
use zbus::{
    Connection, MatchRule, Message, MessageStream, fdo::DBusProxy, message::Type, names::BusName,
};

use crate::monitor::Handle;

const LOGIND: &str = "org.freedesktop.login1";

/// Has the monitor look again at each resume. Never ends; does nothing where the bus has no logind.
pub(crate) async fn follow_sleep(connection: &Connection, monitor: Handle) {
    if let Err(error) = follow(connection, &monitor).await {
        tracing::debug!("resumes from suspend will not be noticed: {error}");
    }
    std::future::pending::<()>().await;
}

async fn follow(connection: &Connection, monitor: &Handle) -> zbus::Result<()> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(LOGIND)
        .path("/org/freedesktop/login1")
        .interface("org.freedesktop.login1.Manager")
        .member("PrepareForSleep")
        .build()?;
    let mut signals = MessageStream::for_match_rule(rule, connection, None).await?;
    let bus = DBusProxy::new(connection).await?;
    while let Some(signal) = signals.next().await {
        let signal = signal?;
        if signal.body().deserialize::<bool>() == Ok(false) && is_of_logind(&bus, &signal).await {
            tracing::info!("resumed from suspend");
            monitor.refresh().await;
        }
    }
    Ok(())
}

/// The bus holds broadcasts to the rule's sender, but anybody may send a signal to us alone.
async fn is_of_logind(bus: &DBusProxy<'_>, signal: &Message) -> bool {
    let Ok(logind) = BusName::try_from(LOGIND) else {
        return false;
    };
    let owner = bus.get_name_owner(logind).await;
    owner.is_ok_and(|owner| signal.header().sender() == Some(&*owner))
}
