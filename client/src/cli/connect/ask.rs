//! What the daemon says of a builder, in one question.

use std::{collections::HashMap, time::Duration};

use zbus::{Connection, Message, Variant, message::Flags};

use super::ConnectError;
use crate::{
    Bus, Client, Kind, TargetState, connect, names, snapshot::Target, template::Authority,
};

/// A daemon that has answered.
pub(super) struct Daemon {
    connection: Connection,
    builders: Vec<Target>,
}

impl Daemon {
    /// The daemon that runs: none is started.
    pub(super) async fn find(bus: Option<&Bus>) -> Option<Self> {
        let connection = connect::open(bus).await.ok()?;
        let builders = builders(&connection).await?;
        Some(Self {
            connection,
            builders,
        })
    }

    /// The builder that ssh means. Of several (two users of one machine) the one that fares best.
    pub(super) fn builder(&self, host: &str, port: u16) -> Result<Target, ConnectError> {
        let meant = self.builders.iter().filter(|it| is_at(it, host, port));
        let best = meant.min_by_key(|builder| match builder.state {
            TargetState::Ready => 0,
            TargetState::Degraded => 1,
            TargetState::Unknown => 2,
            TargetState::Down | TargetState::Away | TargetState::Paused => 3,
        });
        best.cloned().ok_or_else(|| ConnectError::Foreign {
            host: host.into(),
            port,
            watched: self.builders.iter().map(Target::label).collect(),
        })
    }

    /// Has `target` checked; what is known of it then.
    pub(super) async fn look(&self, target: &Target) -> Option<Target> {
        let (bus, target_of) = (Some(names::BUS_NAME), Some(names::TARGET));
        let check = self
            .connection
            .call_method(bus, target.path(), target_of, "Check", &());
        check.await.ok()?;
        let mut now = builders(&self.connection).await?.into_iter();
        now.find(|it| it.name == target.name)
    }

    /// Has `target` woken, where that is done on demand, because it is not there; for how long it is to be waited for,
    /// if at all.
    pub(super) async fn wake(&self, target: &Target) -> Option<Duration> {
        let (bus, target_of) = (Some(names::BUS_NAME), Some(names::TARGET));
        let options = (HashMap::from([("on-demand", Variant::from(true))]),);
        let wake = self
            .connection
            .call_method(bus, target.path(), target_of, "Wake", &options);
        let (_, wait): (String, u64) = wake.await.ok()?.body().deserialize().ok()?;
        (wait > 0).then(|| Duration::from_micros(wait))
    }

    /// Has the builder checked, without waiting for it: it was not where it is said to be.
    pub(super) async fn tell(&self, host: &str, port: u16) {
        let Ok(target) = self.builder(host, port) else {
            return;
        };
        let call = Message::method_call(target.path(), "Check")
            .destination(names::BUS_NAME)
            .interface(names::TARGET)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&());
        if let Ok(call) = call {
            let _ = self.connection.send(&call).await;
        }
    }
}

async fn builders(connection: &Connection) -> Option<Vec<Target>> {
    let client = Client::from(connection.clone());
    let snapshot = client.snapshot_if_running().await.ok()?;
    let targets = snapshot.targets.iter();
    let builders = targets.filter(|target| target.kind == Kind::Builder);
    Some(builders.cloned().collect())
}

/// Whether `host` and `port`, as ssh has them, are a builder's: the host of its URI, or what ssh_config makes
/// of that, which is where the daemon looks for it.
fn is_at(builder: &Target, host: &str, port: u16) -> bool {
    let configured = Authority::of(&builder.uri);
    let address = Authority::of(&builder.address);
    let is_port = |named: &Authority<'_>| named.port.is_some_and(|named| named.parse() == Ok(port));
    let is_host = |named: &Authority<'_>| !host.is_empty() && named.host.eq_ignore_ascii_case(host);
    (is_host(&configured) || is_host(&address))
        && (configured.port.is_none() || is_port(&configured) || is_port(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_is_known_by_the_host_and_port_that_ssh_has() {
        let builder = |uri: &str, address: &str| Target {
            kind: Kind::Builder,
            uri: uri.into(),
            address: address.into(),
            ..Target::default()
        };
        for (uri, address, host, port, is_it) in [
            ("ssh-ng://nix@desktop", "192.0.2.6:22", "desktop", 22, true),
            ("ssh-ng://nix@desktop", "192.0.2.6:22", "Desktop", 22, true),
            // ssh_config's HostName and Port.
            (
                "ssh-ng://nix@desktop",
                "192.0.2.6:2222",
                "192.0.2.6",
                2222,
                true,
            ),
            (
                "ssh://nix@192.0.2.6:2222",
                "192.0.2.9:2222",
                "192.0.2.6",
                2222,
                true,
            ),
            (
                "ssh://nix@192.0.2.6:2222",
                "192.0.2.9:2222",
                "192.0.2.6",
                22,
                false,
            ),
            (
                "ssh://nix@[2001:db8::6]",
                "[2001:db8::6]:22",
                "2001:db8::6",
                22,
                true,
            ),
            (
                "ssh-ng://nix@desktop",
                "192.0.2.6:22",
                "desktop.example.org",
                22,
                false,
            ),
            ("ssh-ng://nix@desktop", "", "", 22, false),
        ] {
            let found = is_at(&builder(uri, address), host, port);
            assert_eq!(found, is_it, "{uri} {address} {host} {port}");
        }
    }
}
