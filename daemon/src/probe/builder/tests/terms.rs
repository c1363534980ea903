//! Whether ssh and the server come to terms, and what else of ssh_config decides, as the real ssh has it.

use std::process::Stdio;

use super::{sshd::Sshd, *};
use crate::nix::ssh_config::ask_with;

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// ssh goes, and so do we.
    In,
    /// ssh goes, and we can't.
    Beyond,
    /// ssh refuses, at this stage and for this reason.
    Refused(Stage, Reason),
}

const UNMATCHED: End = End::Refused(Stage::HostKey, Reason::SshProtocol);
const AT_CONNECT: End = End::Refused(Stage::Connect, Reason::SshConfigPrevents);
const AT_AUTH: End = End::Refused(Stage::Auth, Reason::SshConfigPrevents);

/// A server with these lines lets in who has `options` in `NIX_SSHOPTS`, or not.
async fn judged(server: &str, cases: &[(&str, End)]) {
    let sshd = Sshd::with(&["ed25519"], server).await;
    let key = sshd.key();
    for (options, end) in cases {
        let options = format!("-F none {options}").replace("{port}", &sshd.port.to_string());
        let ran = tokio::process::Command::new("sh")
            .arg("-c")
            .arg(format!(
                "exec timeout 5 ssh root@{HOST} {options} -i {} -oUserKnownHostsFile=/dev/null \
                 -oStrictHostKeyChecking=no -p{} echo in",
                key.display(),
                sshd.port
            ))
            .stdin(Stdio::null())
            .output();
        let went = ran.await.unwrap().stdout == b"in\n";
        let goes = matches!(end, End::In | End::Beyond);
        assert_eq!(went, goes, "what ssh does: {server} {options}");

        let asked = ask_with(
            &options,
            HOST,
            Some("root"),
            Some(sshd.port),
            Some(&key),
            false,
        );
        let builder = BuilderSpec {
            ssh_key: Some(key.clone()),
            host_keys: pinned(&sshd.path("ed25519")),
            ..spec(sshd.port)
        };
        let report = Probe::keeping(builder, asked.await.unwrap()).check().await;
        let judged = match &report.outcome {
            Ok(_) => End::In,
            Err(failure) if failure.reason == Reason::SshConfigUnsupported => End::Beyond,
            Err(failure) => End::Refused(failure.stage, failure.reason),
        };
        assert_eq!(judged, *end, "{server} {options}: {report:?}");
    }
}

#[tokio::test]
async fn what_ssh_proposes_decides_whether_it_comes_to_terms() {
    let cases = [
        ("-oCiphers=3des-cbc", UNMATCHED),
        ("-oCiphers=aes256-cbc", UNMATCHED),
        ("-oKexAlgorithms=diffie-hellman-group1-sha1", UNMATCHED),
        ("-oHostKeyAlgorithms=ecdsa-sha2-nistp384", UNMATCHED),
        ("-oCiphers=aes128-ctr -oMACs=hmac-md5", UNMATCHED),
        ("-oCiphers=aes128-gcm@openssh.com -oMACs=hmac-md5", End::In),
        ("-oCiphers=aes128-ctr -oMACs=umac-64@openssh.com", End::In),
        (
            "-oKexAlgorithms=sntrup761x25519-sha512@openssh.com",
            End::In,
        ),
        ("", End::In),
    ];
    judged("", &cases).await;
}

#[tokio::test]
async fn a_server_of_few_algorithms_is_spoken_with_or_left_to_the_proof() {
    for (server, end) in [
        ("KexAlgorithms ecdh-sha2-nistp521", End::In),
        ("Ciphers aes128-ctr\nMACs hmac-sha1", End::In),
        ("Ciphers aes128-gcm@openssh.com", End::In),
        (
            "KexAlgorithms sntrup761x25519-sha512@openssh.com",
            End::Beyond,
        ),
        ("Ciphers aes128-ctr\nMACs umac-64@openssh.com", End::Beyond),
        ("KexAlgorithms diffie-hellman-group1-sha1", UNMATCHED),
        ("Ciphers 3des-cbc", UNMATCHED),
    ] {
        judged(server, &[("", end)]).await;
    }
}

#[tokio::test]
async fn what_ssh_config_has_ssh_do_otherwise_keeps_nix_out() {
    let cases = [
        ("-oRemoteCommand=bash", AT_CONNECT),
        ("-oRemoteCommand=none", End::In),
        ("-N", AT_AUTH),
        (
            "-6",
            End::Refused(Stage::Resolve, Reason::SshConfigPrevents),
        ),
        ("-oAddressFamily=inet", End::In),
        ("-oBindAddress=192.0.2.77", AT_CONNECT),
        ("-b127.0.15.7", End::In),
        ("-oPubkeyAuthentication=no", AT_AUTH),
        ("-oPreferredAuthentications=password", AT_AUTH),
        (
            "-L127.0.15.6:{port}:127.0.15.6:1 -oExitOnForwardFailure=yes",
            AT_AUTH,
        ),
        ("-L127.0.15.6:{port}:127.0.15.6:1", End::In),
        (
            "-D127.0.15.6:{port} -oExitOnForwardFailure=yes -oClearAllForwardings=yes",
            End::In,
        ),
        (
            "-L127.0.15.7:{port}:127.0.15.6:1 -oExitOnForwardFailure=yes",
            End::In,
        ),
        (
            "-R127.0.15.7:{port}:127.0.15.6:1 -oExitOnForwardFailure=yes",
            End::Beyond,
        ),
    ];
    judged("", &cases).await;
}
