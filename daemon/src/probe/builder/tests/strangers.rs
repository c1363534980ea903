//! Somebody else at one of the builder's addresses.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use super::{
    super::{
        host_key::{HostKeys, describe},
        identify::Identifier,
        link::Listener,
    },
    sshd::Sshd,
    *,
};
use crate::{
    nix::known_hosts::Lines,
    probe::{Identity, connect::tests::silent},
    report::Stranger,
};

/// Who is looked for: `sshd`, pinned, at these ports.
fn probe(sshd: &Sshd, ports: &[u16], timeout: Duration) -> Probe {
    let builder = BuilderSpec {
        ssh_key: Some(sshd.key()),
        host_keys: pinned(&sshd.path("ed25519")),
        ..spec(sshd.port)
    };
    let mut probe = Probe::new(builder, options(sshd.port), Connection::Keep, timeout);
    look_at(&mut probe, ports);
    probe
}

fn look_at(probe: &mut Probe, ports: &[u16]) {
    let address = |port: &u16| Address {
        host: HOST.into(),
        port: Some(*port),
    };
    probe.session.spec = Arc::new(TargetSpec {
        addresses: ports.iter().map(address).collect(),
        ..(*probe.session.spec).clone()
    });
}

fn at(port: u16) -> String {
    format!("{HOST}:{port}")
}

fn described(sshd: &Sshd) -> String {
    describe(&public_key(&sshd.path("ed25519")))
}

fn impostor_of(sshd: &Sshd, impostor: &Sshd) -> Stranger {
    Stranger {
        address: at(impostor.port).into(),
        reason: Reason::HostKeyMismatch,
        expected: described(sshd).into(),
        actual: described(impostor).into(),
    }
}

/// Greets each connection as a web server would.
async fn web_server() -> (JoinHandle<()>, u16) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    (serving, port)
}

fn refusing() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(at(0).parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn the_one_that_proves_the_host_key_is_used_and_the_others_are_told() {
    let (sshd, impostor) = (Sshd::start().await, Sshd::start().await);
    impostor.authorise(&sshd.key());
    let (_serving, web) = web_server().await;
    let ports = [web, impostor.port, sshd.port];
    let mut probe = probe(&sshd, &ports, PATIENCE);

    let report = probe.check().await;
    assert_ready(&report);
    assert_eq!(report.address, Some(at(sshd.port)));
    let strangers = report.strangers.as_deref().unwrap();
    let [not_ssh, mismatch] = strangers else {
        panic!("{strangers:?}");
    };
    assert_eq!(
        (not_ssh.address.as_str(), not_ssh.reason),
        (at(web).as_str(), Reason::NotSsh)
    );
    assert!(not_ssh.actual.starts_with("HTTP/1.1 400"), "{not_ssh:?}");
    assert_eq!(*mismatch, impostor_of(&sshd, &impostor));
    assert_eq!(impostor.auth_attempts(), 0);
    assert!(!report.details.contains_key("host_key_presented"));
    assert_eq!(text(&report, "user"), "root");

    let cheap = probe.check().await;
    assert_ready(&cheap);
    assert_eq!(cheap.strangers, None, "it asked nobody else");
    assert_eq!(cheap.details, report.details);
}

#[tokio::test]
async fn a_host_key_that_does_not_match_is_hidden_by_nothing_at_another_address() {
    let (sshd, impostor) = (Sshd::start().await, Sshd::start().await);
    let (_silent, _fill, silent) = silent().await;
    let (_refusing, refused) = refusing();
    let (_serving, web) = web_server().await;
    for ports in [
        &[impostor.port][..],
        &[refused, impostor.port],
        &[impostor.port, refused],
        &[web, impostor.port, refused],
        &[impostor.port, silent.port()],
    ] {
        let mut probe = probe(&sshd, ports, Duration::from_secs(3));
        let report = probe.check().await;
        failed(&report, Stage::HostKey, Reason::HostKeyMismatch);
        assert_eq!(report.address, Some(at(impostor.port)), "{ports:?}");
        let expected = list(&report, "host_key_expected");
        assert_eq!(expected, [described(&sshd)], "{ports:?}");
        let told = report.strangers.as_ref().unwrap().last();
        assert_eq!(told, Some(&impostor_of(&sshd, &impostor)), "{ports:?}");
    }
    assert_eq!(impostor.auth_attempts(), 0);
}

#[tokio::test]
async fn who_proves_the_host_key_and_lets_nobody_in_is_final() {
    let sshd = Sshd::start().await;
    sshd.deauthorise();
    let next = TcpListener::bind((HOST, 0)).await.unwrap();
    let ports = [sshd.port, next.local_addr().unwrap().port()];
    let report = probe(&sshd, &ports, PATIENCE).check().await;
    failed(&report, Stage::Auth, Reason::AuthRejected);
    assert_eq!(report.address, Some(at(sshd.port)));
    assert_eq!(report.strangers, Some(Vec::new()));
    assert!(next.accept().now_or_never().is_none(), "another was asked");
}

#[tokio::test]
async fn where_no_host_key_is_known_nobody_is_a_stranger() {
    let sshd = Sshd::start().await;
    let report = Probe::keeping(spec(sshd.port), options(sshd.port))
        .check()
        .await;
    failed(&report, Stage::HostKey, Reason::HostKeyUnknown);
    assert_eq!(report.strangers, Some(Vec::new()));
}

#[tokio::test]
async fn it_is_told_where_ssh_config_leads_and_whether_ssh_would_know_the_key() {
    let sshd = Sshd::start().await;
    let known_hosts = sshd.path("known_hosts");
    let key = std::fs::read_to_string(sshd.path("ed25519.pub")).unwrap();
    let other = std::fs::read_to_string(sshd.path("user.pub")).unwrap();
    let port = sshd.port;
    let known = |key: &str| format!("[{HOST}]:{port} {key}");
    for (text_of, expected) in [
        (known(&key), true),
        (known(&other), false),
        (String::new(), false),
    ] {
        std::fs::write(&known_hosts, text_of).unwrap();
        let builder = BuilderSpec {
            ssh_key: Some(sshd.key()),
            host_keys: pinned(&sshd.path("ed25519")),
            host: "desk".into(),
            port: None,
            ..spec(port)
        };
        let options = SshOptions {
            user_known_hosts_files: vec![known_hosts.clone()],
            ..options(port)
        };
        let mut probe = Probe::keeping(builder, options);
        for _ in ["anew", "on the kept connection"] {
            let report = probe.check().await;
            assert_ready(&report);
            assert_eq!(report.details["host_key_known"], Detail::Bool(expected));
            assert_eq!(report.signs.host_key_known, Some(expected));
            assert_eq!(text(&report, "ssh_config_host"), at(port));
            assert_eq!(report.signs.ssh_config, Some(at(port).into()));
        }
    }
    let ports = [sshd.port];
    let report = probe(&sshd, &ports, PATIENCE).check().await;
    assert!(!report.details.contains_key("ssh_config_host"));
    assert_eq!(report.signs.ssh_config, None);
}

#[tokio::test]
async fn an_address_is_proved_by_a_key_exchange_and_no_more() {
    let (sshd, impostor) = (Sshd::start().await, Sshd::start().await);
    let (_refusing, refused) = refusing();
    let (_serving, web) = web_server().await;
    let probe = probe(&sshd, &[sshd.port], PATIENCE);
    let (spec, context) = (&probe.session.spec, &probe.session.context);
    // What it asks is the real `ssh -G`, once.
    let identifier = crate::probe::Identifier::new(spec, context).await;
    assert_eq!(identifier.leads_to(), Some((HOST, sshd.port)));
    let identify = async |port: u16| {
        let address = at(port).parse().unwrap();
        identifier.identify(address, PATIENCE).await
    };
    assert_eq!(identify(sshd.port).await, Identity::Same);
    let stranger = impostor_of(&sshd, &impostor);
    assert_eq!(identify(impostor.port).await, Identity::Stranger(stranger));
    match identify(web).await {
        Identity::Stranger(stranger) => assert_eq!(stranger.reason, Reason::NotSsh),
        other => panic!("{other:?}"),
    }
    match identify(refused).await {
        Identity::Nobody(failure) => assert_eq!(failure.reason, Reason::Refused),
        other => panic!("{other:?}"),
    }
    assert_eq!(sshd.auth_attempts() + impostor.auth_attempts(), 0);
}

#[tokio::test]
async fn a_key_that_ssh_would_take_of_anybody_proves_nothing() {
    let (sshd, impostor) = (Sshd::start().await, Sshd::start().await);
    let identifier = Identifier {
        host_keys: Ok(Arc::new(HostKeys {
            known: Lines {
                keys: vec![public_key(&sshd.path("ed25519"))],
                ..Lines::default()
            },
            strictness: StrictHostKeyChecking::No,
            ..HostKeys::default()
        })),
        listener: Listener {
            target: TargetId::builder("desktop"),
            closed: mpsc::channel(1).0,
        },
        leads_to: None,
    };
    let address = at(impostor.port).parse().unwrap();
    let stranger = impostor_of(&sshd, &impostor);
    assert_eq!(
        identifier.identify(address, PATIENCE).await,
        Identity::Stranger(stranger)
    );
}

#[tokio::test]
async fn who_is_mute_or_hangs_up_bars_nobodys_way() {
    let sshd = Sshd::start().await;
    // The kernel takes the connection, and nobody ever reads.
    let mute = TcpListener::bind((HOST, 0)).await.unwrap();
    let mute = (mute.local_addr().unwrap().port(), mute);
    let gone = TcpListener::bind((HOST, 0)).await.unwrap();
    let gone_port = gone.local_addr().unwrap().port();
    let _hanging_up = tokio::spawn(async move { while gone.accept().await.is_ok() {} });
    for wrong in [mute.0, gone_port] {
        let report = probe(&sshd, &[wrong, sshd.port], Duration::from_secs(3))
            .check()
            .await;
        assert_ready(&report);
        assert_eq!(report.address, Some(at(sshd.port)));
        assert_eq!(report.strangers, Some(Vec::new()));
    }
    let (_refusing, refused) = refusing();
    let (_listener, _fill, silent) = silent().await;
    for ports in [
        &[mute.0][..],
        &[mute.0, refused],
        &[refused, mute.0],
        &[mute.0, silent.port()],
    ] {
        let report = probe(&sshd, ports, Duration::from_secs(1)).check().await;
        failed(&report, Stage::Banner, Reason::TimedOut);
        assert_eq!(report.address, Some(at(mute.0)), "{ports:?}");
    }
}

#[tokio::test]
async fn a_banner_and_no_key_bar_nobodys_way() {
    let sshd = Sshd::start().await;
    let greeting = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = greeting.local_addr().unwrap().port();
    let _greeting = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = greeting.accept().await {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
            kept.push(stream);
        }
    });
    let mut probe = probe(&sshd, &[port, sshd.port], Duration::from_secs(3));
    let report = probe.check().await;
    assert_ready(&report);
    assert_eq!(report.address, Some(at(sshd.port)));
    let mut probe = self::probe(&sshd, &[port], Duration::from_secs(1));
    let report = probe.check().await;
    failed(&report, Stage::HostKey, Reason::TimedOut);
}
