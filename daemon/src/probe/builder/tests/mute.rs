//! Builders whose Nix stalls, lies or breaks off, at each message of the handshake.

use std::future::pending;

use russh::{
    ChannelId,
    keys::{Algorithm, PrivateKey},
    server::{self, Msg, Session as Served},
};
use tokio::net::TcpListener;

use super::*;
use crate::nix::{
    serve,
    wire::{put_numbers, put_string},
    worker,
};

/// What a program does, once it is run.
#[derive(Clone)]
struct Program {
    /// What it writes, piece by piece.
    says: Vec<Vec<u8>>,
    then: After,
}

/// What it does when it has said all.
#[derive(Clone, Copy, PartialEq)]
enum After {
    /// Nothing more, for ever.
    Stall,
    /// It ends its output and says no more, not even how it ended.
    Eof,
    /// It ends with this status.
    Exit(u32),
    /// It says the last piece again and again.
    Again,
    /// The server closes the connection.
    HangUp,
    /// The server runs no command at all.
    Refuse,
    /// The server does not say whether it runs one.
    Ponder,
}

struct Handler(Program);

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<server::Auth, russh::Error> {
        Ok(server::Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: russh::Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Served,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        _: &[u8],
        session: &mut Served,
    ) -> Result<(), russh::Error> {
        match self.0.then {
            After::Refuse => return session.channel_failure(id),
            After::Ponder => return Ok(()),
            _ => session.channel_success(id)?,
        }
        tokio::spawn(run(self.0.clone(), id, session.handle()));
        Ok(())
    }
}

async fn run(program: Program, id: ChannelId, session: server::Handle) {
    for piece in &program.says {
        if session.data(id, piece.clone()).await.is_err() {
            return;
        }
    }
    match program.then {
        After::Stall | After::Refuse | After::Ponder => pending().await,
        After::Eof => drop(session.eof(id).await),
        After::Exit(status) => {
            let _ = session.exit_status_request(id, status).await;
            let _ = session.eof(id).await;
            let _ = session.close(id).await;
        }
        After::Again => {
            let piece = program.says.last().unwrap();
            while session.data(id, piece.clone()).await.is_ok() {}
        }
        After::HangUp => {
            let by_application = russh::Disconnect::ByApplication;
            let _ = session
                .disconnect(by_application, "enough".into(), String::new())
                .await;
        }
    }
}

/// One deep check of a builder that runs `program`, whatever it is asked for.
async fn check(protocol: Protocol, says: &[&[u8]], then: After) -> Report {
    check_within(protocol, says, then, PATIENCE).await
}

async fn check_within(protocol: Protocol, says: &[&[u8]], then: After, bound: Duration) -> Report {
    let says = says.iter().map(|piece| piece.to_vec()).collect();
    let program = Program { says, then };
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let builder = BuilderSpec {
        protocol,
        host_keys: HostKeyRule::Pinned(vec![key.public_key().clone()]),
        ..spec(port)
    };
    let config = Arc::new(server::Config {
        keys: vec![key],
        ..server::Config::default()
    });
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = Handler(program.clone());
            if let Ok(running) = server::run_stream(config.clone(), stream, handler).await {
                tokio::spawn(running);
            }
        }
    });
    let mut probe = Probe::within(builder, options(port), Connection::Keep, PATIENCE, bound);
    let report = probe.session.check(Depth::Deep).await;
    serving.abort();
    report
}

/// Time for a handshake on a busy machine, and no more.
const SHORT: Duration = Duration::from_secs(2);

/// What a Nix says up to each of its messages.
fn worker(trust: u64) -> Vec<Vec<u8>> {
    let mut version = Vec::new();
    put_numbers(&mut version, &[0x125]);
    let mut nix = Vec::new();
    put_string(&mut nix, "2.26.3");
    let trust = trust.to_le_bytes().to_vec();
    let last = 0x616c_7473_u64.to_le_bytes().to_vec();
    vec![
        worker::MAGIC.to_le_bytes().to_vec(),
        version,
        nix,
        trust,
        last,
    ]
}

fn serve() -> Vec<Vec<u8>> {
    [serve::MAGIC, 0x207, 0, 0]
        .map(|number| number.to_le_bytes().to_vec())
        .into()
}

fn slices(pieces: &[Vec<u8>]) -> Vec<&[u8]> {
    pieces.iter().map(Vec::as_slice).collect()
}

#[tokio::test]
async fn a_nix_of_today_says_whom_it_trusts() {
    let report = check(Protocol::SshNg, &slices(&worker(1)), After::Stall).await;
    assert_passed(&report, Stage::Trust);
    assert_eq!(facts(&report).nix_version, "2.26.3");
    assert_eq!(facts(&report).trusted, "yes");
    assert_eq!(text(&report, "protocol_version"), "1.37");

    let report = check(Protocol::SshNg, &slices(&worker(2)), After::Stall).await;
    failed(&report, Stage::Trust, Reason::NotTrusted);
    assert_eq!(facts(&report).trusted, "no");

    let report = check(Protocol::SshNg, &slices(&worker(0)), After::Stall).await;
    assert_passed(&report, Stage::Trust);
    assert_eq!(facts(&report).trusted, "unknown");
}

#[tokio::test]
async fn one_byte_at_a_time_is_as_good() {
    for (protocol, whole) in [(Protocol::SshNg, worker(1)), (Protocol::Ssh, serve())] {
        let bytes: Vec<Vec<u8>> = whole.concat().iter().map(|byte| vec![*byte]).collect();
        // The second program of an `ssh://` builder is no daemon here, which harms nothing.
        let report = check(protocol, &slices(&bytes), After::Exit(0)).await;
        assert_passed(&report, Stage::Trust);
    }
}

#[tokio::test]
async fn silence_at_each_message_times_out() {
    for (protocol, whole) in [(Protocol::SshNg, worker(1)), (Protocol::Ssh, serve())] {
        for count in 0..whole.len() {
            let says = &slices(&whole)[..count];
            let report = check_within(protocol, says, After::Stall, SHORT).await;
            failed(&report, Stage::Handshake, Reason::TimedOut);
        }
    }
    let report = check_within(Protocol::SshNg, &[], After::Ponder, SHORT).await;
    failed(&report, Stage::Handshake, Reason::TimedOut);
}

#[tokio::test]
async fn an_end_at_each_message_is_a_mismatch_once_nix_has_spoken() {
    for (protocol, whole) in [(Protocol::SshNg, worker(1)), (Protocol::Ssh, serve())] {
        for count in 0..whole.len() {
            for then in [After::Exit(1), After::Eof] {
                let report = check(protocol, &slices(&whole)[..count], then).await;
                let reason = match (protocol, count, then) {
                    (_, 0, _) => Reason::NotNix,
                    // Where a Nix that relays misses its daemon.
                    (Protocol::SshNg, 2, After::Exit(1)) => Reason::NixDaemonDown,
                    _ => Reason::ProtocolMismatch,
                };
                failed(&report, Stage::Handshake, reason);
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_at_a_message_is_lost() {
    for (protocol, whole) in [(Protocol::SshNg, worker(1)), (Protocol::Ssh, serve())] {
        for count in 0..whole.len() {
            let report = check(protocol, &slices(&whole)[..count], After::HangUp).await;
            // Before the first word it is the login that ends.
            let reason = match count {
                0 => Reason::LoginRefused,
                _ => Reason::ConnectionLost,
            };
            let failure = failed(&report, Stage::Handshake, reason);
            assert!(failure.detail.contains("enough"), "{}", failure.detail);
        }
    }
}

#[tokio::test]
async fn garbage_at_each_message_breaks_the_protocol() {
    for (protocol, whole) in [(Protocol::SshNg, worker(1)), (Protocol::Ssh, serve())] {
        for count in 0..whole.len() {
            let mut says = slices(&whole)[..count].to_vec();
            says.push(&[0xff; 100]);
            for then in [After::Exit(0), After::Again] {
                let report = check(protocol, &says, then).await;
                let reason = match count {
                    0 => Reason::NotNix,
                    _ => Reason::ProtocolMismatch,
                };
                failed(&report, Stage::Handshake, reason);
            }
        }
    }
}

#[tokio::test]
async fn a_log_without_an_end_is_not_listened_to() {
    let mut says = worker(1);
    let mut line = Vec::new();
    put_numbers(&mut line, &[0x6f6c_6d67]);
    put_string(&mut line, "and another thing");
    says[4] = line;
    let report = check(Protocol::SshNg, &slices(&says), After::Again).await;
    failed(&report, Stage::Handshake, Reason::ProtocolMismatch);
}

#[tokio::test]
async fn what_asks_and_waits_is_not_nix() {
    let report = check_within(Protocol::SshNg, &[b"? "], After::Stall, SHORT).await;
    let failure = failed(&report, Stage::Handshake, Reason::NotNix);
    assert!(failure.detail.contains("silence"), "{}", failure.detail);
    assert_eq!(text(&report, "noise"), "?");
}

#[tokio::test]
async fn nixs_first_bytes_are_found_behind_much_noise() {
    let noise = b"all work and no play\n".repeat(1000);
    let whole = worker(1);
    let report = check(Protocol::SshNg, &[&noise, &whole.concat()], After::Stall).await;
    failed(&report, Stage::Handshake, Reason::ProfileOutput);
    assert!(text(&report, "noise").len() < 300);
}

#[tokio::test]
async fn a_server_that_runs_no_command_is_not_nix() {
    let report = check(Protocol::SshNg, &[], After::Refuse).await;
    let failure = failed(&report, Stage::Handshake, Reason::NotNix);
    assert!(
        failure.detail.contains("runs no command"),
        "{}",
        failure.detail
    );
}
