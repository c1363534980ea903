//! A server that knows the key and ends the login, and one that lets nobody try.

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{sshd::Sshd, *};

async fn checked(sshd: &Sshd) -> Failure {
    let mut builder = spec(sshd.port);
    builder.ssh_key = Some(sshd.key());
    builder.host_keys = pinned(&sshd.path("ed25519"));
    let options = SshOptions {
        identity_files: vec![sshd.key()],
        ..options(sshd.port)
    };
    let mut probe = Probe::keeping(builder, options);
    let report = probe.session.check(Depth::Deep).await;
    report.outcome.unwrap_err()
}

#[tokio::test]
async fn a_login_that_ends_after_the_key_is_told_as_that() {
    for extra in ["PermitRootLogin forced-commands-only", "MaxSessions 0"] {
        let sshd = Sshd::with(&["ed25519"], extra).await;
        let failure = checked(&sshd).await;
        assert_eq!(
            (failure.stage, failure.reason),
            (Stage::Handshake, Reason::LoginRefused),
            "{extra}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_not_known_is_rejected_as_before() {
    let sshd = Sshd::with(&["ed25519"], "AllowUsers nobody").await;
    let failure = checked(&sshd).await;
    assert_eq!(
        (failure.stage, failure.reason),
        (Stage::Auth, Reason::AuthRejected)
    );
}

#[tokio::test]
async fn who_punishes_this_machine_says_so() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        // As OpenSSH 9.8 does (`drop_connection` in sshd.c).
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"Not allowed at this time\r\n").await;
        }
    });
    let report = Probe::keeping(spec(port), options(port)).check().await;
    let failure = report.outcome.unwrap_err();
    assert_eq!(
        (failure.stage, failure.reason),
        (Stage::Banner, Reason::TurnedAway)
    );
    server.abort();
}
