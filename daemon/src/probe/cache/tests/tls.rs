//! Caches over https, with certificates made by OpenSSL as a person would make them.

use crate::health::Depth;
use std::{path::PathBuf, process::Command, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, client::danger::ServerCertVerifier, crypto::ring},
};

use super::{super::authorities::Authorities, *};

/// A file in a directory of its own.
pub(super) struct Pem {
    pub(super) path: PathBuf,
    _directory: Arc<tempfile::TempDir>,
}

/// A certificate for 127.0.15.6 that signs itself, and its key. OpenSSL calls it an authority
/// unless `options` say otherwise.
pub(super) fn certificate(options: &[&str]) -> (Pem, Pem) {
    let names = ["-addext", "subjectAltName=IP:127.0.15.6,DNS:desktop"];
    certificate_of("/CN=desktop", &names, options)
}

/// The same of another subject and other names.
fn certificate_of(subject: &str, names: &[&str], options: &[&str]) -> (Pem, Pem) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| Pem {
        path: directory.path().join(name),
        _directory: directory.clone(),
    });
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-subj", subject])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(names)
        .arg("-out")
        .arg(&certificate.path)
        .arg("-keyout")
        .arg(&key.path)
        .args(options)
        .output()
        .expect("these tests need the program openssl");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (certificate, key)
}

const NO_AUTHORITY: [&str; 2] = ["-addext", "basicConstraints=critical,CA:FALSE"];

/// A healthy cache behind TLS.
async fn secured(certificate: &Pem, key: &Pem) -> Fake {
    let certificate = CertificateDer::from_pem_file(&certificate.path).unwrap();
    let key = PrivateKeyDer::from_pem_file(&key.path).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Fake::new(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            while question(&mut stream).await.is_some() {
                stream.write_all(ok(INFO).as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await
}

async fn check_secured(fake: &Fake, trusted: &Pem, host: &str) -> Report {
    session_of(https(fake, trusted, host), Connection::Keep, PATIENCE)
        .0
        .check(Depth::Cheap)
        .await
}

fn https(fake: &Fake, trusted: &Pem, host: &str) -> Arc<TargetSpec> {
    spec(fake.address, |cache| {
        cache.tls = true;
        cache.host = host.to_owned();
        cache.ssl_cert_file = Some(trusted.path.clone());
    })
}

#[tokio::test]
async fn a_trusted_certificate_passes_by_name_and_by_address() {
    for options in [&NO_AUTHORITY[..], &[]] {
        let (certificate, key) = certificate(options);
        let fake = secured(&certificate, &key).await;
        for host in ["desktop", "127.0.15.6"] {
            let report = check_secured(&fake, &certificate, host).await;
            assert_eq!(verdict(&report), READY, "{host} {options:?} {report:?}");
        }
    }
}

#[tokio::test]
async fn a_kept_connection_needs_no_second_handshake() {
    let (certificate, key) = certificate(&[]);
    let fake = secured(&certificate, &key).await;
    let spec = https(&fake, &certificate, "desktop");
    let (mut session, _events) = session_of(spec, Connection::Keep, PATIENCE);
    for _ in 0..3 {
        assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
    }
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_fails() {
    for options in [&NO_AUTHORITY[..], &[]] {
        let (certificate, key) = self::certificate(options);
        let (other, _) = self::certificate(options);
        let fake = secured(&certificate, &key).await;
        let report = check_secured(&fake, &other, "desktop").await;
        assert_eq!(verdict(&report), (Stage::Tls, Reason::TlsFailed));
    }
}

#[tokio::test]
async fn whose_certificate_fails_is_passed_by_and_no_stranger() {
    let ((good, good_key), (bad, bad_key)) = (certificate(&[]), certificate(&[]));
    let (wrong, right) = (
        secured(&bad, &bad_key).await,
        secured(&good, &good_key).await,
    );
    let mut spec = (*https(&right, &good, "desktop")).clone();
    spec.addresses = [wrong.address, right.address].map(Address::from).into();
    let mut session = session_of(Arc::new(spec), Connection::Keep, PATIENCE).0;
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), READY);
    assert_eq!(report.address, Some(right.address.to_string()));
    assert_eq!(wrong.connections(), 1);
    assert_eq!(report.strangers, Some(Vec::new()));
}

#[tokio::test]
async fn a_certificate_for_another_name_fails() {
    for options in [&NO_AUTHORITY[..], &[]] {
        let (certificate, key) = certificate(options);
        let fake = secured(&certificate, &key).await;
        let report = check_secured(&fake, &certificate, "laptop").await;
        assert_eq!(verdict(&report), (Stage::Tls, Reason::TlsFailed));
    }
}

#[test]
fn a_certificate_is_good_in_its_time_alone() {
    let day = Duration::from_secs(24 * 60 * 60);
    let name = ServerName::try_from("desktop").unwrap();
    for options in [&NO_AUTHORITY[..], &[]] {
        let (certificate, _) = certificate(options);
        let der = CertificateDer::from_pem_file(&certificate.path).unwrap();
        let provider = Arc::new(ring::default_provider());
        let authorities = Authorities::new(vec![der.clone()], provider).unwrap();
        let good_at = |time| {
            let verdict = authorities.verify_server_cert(&der, &[], &name, &[], time);
            verdict.is_ok()
        };
        let made = Duration::from_secs(UnixTime::now().as_secs());
        assert!(good_at(UnixTime::since_unix_epoch(made + day)));
        assert!(!good_at(UnixTime::since_unix_epoch(made + 99 * day)));
        assert!(!good_at(UnixTime::since_unix_epoch(made - day)));
    }
}

#[tokio::test]
async fn a_bundle_that_was_mended_is_read_again() {
    let (certificate, key) = certificate(&[]);
    let (bundle, _) = self::certificate(&[]);
    let fake = secured(&certificate, &key).await;
    let spec = https(&fake, &bundle, "desktop");
    let (mut session, _events) = session_of(spec, Connection::Keep, PATIENCE);
    let report = session.check(Depth::Cheap).await;
    assert_eq!(verdict(&report), (Stage::Tls, Reason::TlsFailed));
    std::fs::copy(&certificate.path, &bundle.path).unwrap();
    assert_eq!(verdict(&session.check(Depth::Cheap).await), READY);
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_hangs_up() {
    let (trusted, _) = certificate(&[]);
    let plain = Fake::new(|mut stream, _| async move {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        drain(&mut stream).await;
    })
    .await;
    let report = check_secured(&plain, &trusted, "desktop").await;
    assert_eq!(verdict(&report), (Stage::Tls, Reason::TlsFailed));

    let silent = Fake::new(|mut stream, _| async move {
        let _ = stream.read_u8().await;
    })
    .await;
    let report = check_secured(&silent, &trusted, "desktop").await;
    assert_eq!(verdict(&report), (Stage::Tls, Reason::ConnectionLost));
}

fn fault(report: &Report) -> String {
    assert_eq!(
        verdict(report),
        (Stage::Tls, Reason::TlsFailed),
        "{report:?}"
    );
    let fault = report.details.get("tls_fault");
    fault.unwrap_or_else(|| panic!("{report:?}")).to_string()
}

#[tokio::test]
async fn each_usual_fault_of_a_certificate_has_its_word_and_the_authorities_are_named() {
    let (good, key) = certificate(&[]);
    let (other, _) = certificate(&[]);
    let fake = secured(&good, &key).await;
    let report = check_secured(&fake, &good, "laptop").await;
    assert_eq!(fault(&report), "other-name");
    let file = good.path.display().to_string();
    assert_eq!(report.details["authorities"], file.into());
    for options in [&[][..], &NO_AUTHORITY] {
        let (stranger, key) = certificate(options);
        let fake = secured(&stranger, &key).await;
        let report = check_secured(&fake, &other, "desktop").await;
        assert_eq!(fault(&report), "self-signed");
    }
    let missing = Pem {
        path: good.path.with_file_name("missing.pem"),
        _directory: good._directory.clone(),
    };
    let report = check_secured(&fake, &missing, "desktop").await;
    assert_eq!(fault(&report), "authorities");

    let plain = Fake::new(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        drain(&mut stream).await;
    })
    .await;
    let report = check_secured(&plain, &good, "desktop").await;
    assert_eq!(fault(&report), "not-tls");
}

#[tokio::test]
async fn a_common_name_serves_where_there_is_no_other_as_for_curl() {
    for (subject, host, passes) in [
        ("/CN=desktop", "desktop", true),
        ("/O=home/CN=old/CN=Desktop", "desktop", true),
        ("/CN=127.0.15.6", "127.0.15.6", true),
        ("/CN=laptop", "desktop", false),
        ("/O=desktop", "desktop", false),
    ] {
        for options in [&NO_AUTHORITY[..], &[]] {
            let (certificate, key) = certificate_of(subject, &[], options);
            let fake = secured(&certificate, &key).await;
            let report = check_secured(&fake, &certificate, host).await;
            if passes {
                assert_eq!(verdict(&report), READY, "{subject} {report:?}");
                let noted = report.details.get("certificate_name");
                assert_eq!(noted, Some(&"common-name".into()), "{subject}");
            } else {
                assert_eq!(fault(&report), "other-name", "{subject}");
            }
        }
    }
    // Where it has others, the common name is none.
    let (certificate, key) =
        certificate_of("/CN=desktop", &["-addext", "subjectAltName=DNS:x"], &[]);
    let fake = secured(&certificate, &key).await;
    let report = check_secured(&fake, &certificate, "desktop").await;
    assert_eq!(fault(&report), "other-name");
}
