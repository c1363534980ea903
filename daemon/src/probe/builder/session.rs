//! What ssh_config has ssh do once it is logged in that keeps it from serving Nix.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use offload_client::{Reason, Stage};
use tokio::net::TcpSocket;

use super::{Notes, note_option};
use crate::{
    net,
    nix::ssh_config::{Demands, Listen},
    report::Failure,
};

/// Before anybody is connected to: ssh says "Cannot execute command-line and remote command".
pub(super) fn before(demands: &Demands, notes: &mut Notes) -> Result<(), Failure> {
    if let Some(option) = &demands.is_beyond_us {
        note_option(&mut notes.details, option);
        return Err(Failure {
            stage: Stage::Connect,
            reason: Reason::SshConfigUnsupported,
            detail: format!("{option}: only ssh itself does that").into(),
        });
    }
    if let Some(option) = &demands.bars_connection {
        let why = if option.starts_with("remotecommand") {
            "ssh runs no command of Nix's beside its own"
        } else {
            "ssh has nothing left to propose"
        };
        return Err(prevented(Stage::Connect, option, why, notes));
    }
    match &demands.bind_interface {
        // A tunnel that is off, as a rule: ssh finds no address to connect from (`check_ifaddrs` in sshconnect.c).
        Some(name) if matches!(net::addresses_of(name), Ok(None)) => {
            let option = format!("bindinterface {name}");
            let why = "there is no such interface";
            Err(prevented(Stage::Connect, &option, why, notes))
        }
        Some(_) | None => Ok(()),
    }
}

/// Once the server has let us in.
pub(super) fn after(demands: &Demands, notes: &mut Notes) -> Result<(), Failure> {
    for listen in &demands.listens {
        if let Some(why) = taken(listen) {
            let why = format!("{why}, and ssh ends over that (ExitOnForwardFailure)");
            return Err(prevented(Stage::Auth, &listen.option, &why, notes));
        }
    }
    if let Some(option) = &demands.bars_command {
        let why = "ssh logs in and runs no command";
        return Err(prevented(Stage::Auth, option, why, notes));
    }
    if let Some(option) = &demands.bars_conversation {
        let why = if option.starts_with("stdinnull") {
            "what Nix says does not reach the builder"
        } else {
            "a terminal in between changes what Nix says"
        };
        return Err(prevented(Stage::Handshake, option, why, notes));
    }
    if demands.has_remote_forwards {
        let option = "remoteforward, with exitonforwardfailure";
        note_option(&mut notes.details, option);
        return Err(Failure {
            stage: Stage::Auth,
            reason: Reason::SshConfigUnsupported,
            detail: format!("{option}: whether the server listens is not asked").into(),
        });
    }
    Ok(())
}

fn prevented(stage: Stage, option: &str, why: &str, notes: &mut Notes) -> Failure {
    note_option(&mut notes.details, option);
    Failure {
        stage,
        reason: Reason::SshConfigPrevents,
        detail: format!("{option}: {why}").into(),
    }
}

/// Why ssh could not listen there, where that is certain (`channel_setup_fwd_listener_tcpip` in OpenSSH's
/// channels.c: one of several addresses is enough).
fn taken(listen: &Listen) -> Option<String> {
    let Some(port) = listen.port else {
        let path = listen.host.as_deref()?;
        let is_there = std::fs::symlink_metadata(path).is_ok();
        return is_there.then(|| format!("{path} exists"));
    };
    let addresses: Vec<IpAddr> = match listen.host.as_deref() {
        None | Some("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Some("" | "*") => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        Some(host) => vec![host.parse().ok()?],
    };
    let mut why = None;
    for address in addresses {
        let kind = bind((address, port).into())?;
        why.get_or_insert(format!("{address} port {port}: {kind}"));
    }
    why
}

/// Why nobody could bind there; `None` where it can be, or where that is not for us to know. It is never
/// listened on: who listens there next is not disturbed.
fn bind(address: SocketAddr) -> Option<ErrorKind> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.ok()?;
    socket.set_reuseaddr(true).ok()?;
    let error = socket.bind(address).err()?.kind();
    // Root may bind where we may not.
    matches!(error, ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(host: Option<&str>, port: Option<u16>) -> Listen {
        Listen {
            option: "localforward".into(),
            host: host.map(str::to_owned),
            port,
        }
    }

    #[tokio::test]
    async fn what_somebody_listens_on_is_taken_and_nothing_else() {
        let listener = std::net::TcpListener::bind("127.0.15.6:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(taken(&listen(Some("127.0.15.6"), Some(port))).is_some());
        assert!(taken(&listen(Some("192.0.2.6"), Some(port))).is_some());
        assert!(taken(&listen(Some("127.0.15.7"), Some(port))).is_none());
        assert!(taken(&listen(Some("a-name"), Some(port))).is_none());
        // A second look finds it as free as the first.
        assert!(taken(&listen(Some("127.0.15.7"), Some(port))).is_none());
        let path = tempfile::NamedTempFile::new().unwrap();
        assert!(taken(&listen(path.path().to_str(), None)).is_some());
        assert!(taken(&listen(Some("/nonexistent/socket"), None)).is_none());
    }

    #[test]
    fn each_demand_has_its_stage() {
        let option = || Some("option value".to_owned());
        let told = |demands: &Demands| {
            let mut notes = Notes::default();
            let told = before(demands, &mut notes).and_then(|()| after(demands, &mut notes));
            let told = told.map_err(|failure| (failure.stage, failure.reason));
            (told, notes.details.contains_key("ssh_config_option"))
        };
        assert_eq!(told(&Demands::default()), (Ok(()), false));
        let prevents = Reason::SshConfigPrevents;
        for (demands, stage, reason) in [
            (
                Demands {
                    bars_connection: option(),
                    ..Demands::default()
                },
                Stage::Connect,
                prevents,
            ),
            (
                Demands {
                    is_beyond_us: option(),
                    ..Demands::default()
                },
                Stage::Connect,
                Reason::SshConfigUnsupported,
            ),
            (
                Demands {
                    bars_command: option(),
                    ..Demands::default()
                },
                Stage::Auth,
                prevents,
            ),
            (
                Demands {
                    bars_conversation: option(),
                    ..Demands::default()
                },
                Stage::Handshake,
                prevents,
            ),
            (
                Demands {
                    has_remote_forwards: true,
                    ..Demands::default()
                },
                Stage::Auth,
                Reason::SshConfigUnsupported,
            ),
        ] {
            assert_eq!(told(&demands), (Err((stage, reason)), true), "{demands:?}");
        }
    }
}
