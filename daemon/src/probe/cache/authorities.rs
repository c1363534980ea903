//! Whose certificates are good.

use std::{collections::BTreeSet, sync::Arc};

use ring::digest::{self, SHA256};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    server::ParsedCertificate,
};
use webpki::EndEntityCert;

/// Verifies certificates as OpenSSL does for Nix (curl) with the same file.
///
/// That is webpki's way but for what somebody makes for a desktop with `openssl req -x509`. Such a certificate signs
/// itself, calls itself an authority, and stands in `ssl-cert-file`: OpenSSL takes it, since that very certificate is
/// trusted, and webpki demands that a server's certificate be no authority's. And it often has a common name and no
/// subjectAltName, which curl takes for its name (`verifyhost` in lib/vtls/openssl.c).
#[derive(Debug)]
pub(super) struct Authorities {
    webpki: Arc<WebPkiServerVerifier>,
    /// The SHA-256 of each.
    trusted: BTreeSet<Vec<u8>>,
}

/// The certificate vouches for itself, and nobody for it.
#[derive(Debug, thiserror::Error)]
#[error("the certificate signs itself, and is none of the authorities")]
pub(super) struct SelfSigned;

impl Authorities {
    /// Trusts the `certificates` that can be read; fails where there is none.
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        let trusted = certificates.iter().map(digest).collect();
        roots.add_parsable_certificates(certificates);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self {
            webpki: webpki.build()?,
            trusted,
        })
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verdict {
            // webpki has found its dates good before it looks at this.
            Err(error) if is_authority(&error) && self.trusted.contains(&digest(end_entity)) => {
                verify_name(end_entity, server_name)
            }
            // And all else before it looks at names.
            Err(error) if is_of_name(&error) => verify_name(end_entity, server_name),
            Err(error) if is_unknown_issuer(&error) && is_self_signed(end_entity) => {
                Err(CertificateError::Other(OtherError(Arc::new(SelfSigned))).into())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn digest(certificate: &CertificateDer<'_>) -> Vec<u8> {
    digest::digest(&SHA256, certificate).as_ref().to_vec()
}

/// Whether the certificate is for `name`, by its common name where it has no other.
fn verify_name(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<ServerCertVerified, Error> {
    let verdict = verify_server_name(&ParsedCertificate::try_from(certificate)?, name);
    match verdict {
        Err(_) if is_common_name(certificate, name) => Ok(ServerCertVerified::assertion()),
        verdict => verdict.map(|()| ServerCertVerified::assertion()),
    }
}

/// Whether `name` is the last common name of a certificate without subjectAltName.
fn is_common_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    /// RFC 5280, 4.2.1.6 (2.5.29.17), and X.520, 6.2.2 (2.5.4.3), as they are in a certificate.
    const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let has = |bytes: &[u8], what: &[u8; 5]| bytes.windows(5).rposition(|part| part == what);
    if has(certificate, &SUBJECT_ALT_NAME).is_some() {
        return false;
    }
    let Ok(parsed) = EndEntityCert::try_from(certificate) else {
        return false;
    };
    let subject = parsed.subject();
    let value = has(subject, &COMMON_NAME).and_then(|at| subject.get(at + 5..));
    // UTF8String, PrintableString or IA5String, no longer than X.520 allows (64).
    let text = match value {
        Some([0x0c | 0x13 | 0x16, length @ 0..0x80, rest @ ..]) => rest.get(..usize::from(*length)),
        _ => None,
    };
    text.is_some_and(|text| text.eq_ignore_ascii_case(name.to_str().as_bytes()))
}

/// Whether the certificate that a server showed is for `host` by its common name alone.
pub(super) fn is_by_common_name(certificate: &CertificateDer<'_>, host: &str) -> bool {
    ServerName::try_from(host).is_ok_and(|name| is_common_name(certificate, &name))
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    let parsed = EndEntityCert::try_from(certificate);
    parsed.is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

fn is_of_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(
        error,
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })
    )
}

/// Whether none of the authorities vouches for it. One of the same name that was made anew has another key.
fn is_unknown_issuer(error: &Error) -> bool {
    use CertificateError::{BadSignature, UnknownIssuer};
    is_authority(error)
        || matches!(
            error,
            Error::InvalidCertificate(BadSignature | UnknownIssuer)
        )
}

/// Whether the only fault is that a server shows an authority's certificate.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(source))) = error else {
        return false;
    };
    let source = source.downcast_ref::<webpki::Error>();
    source.is_some_and(|source| *source == webpki::Error::CaUsedAsEndEntity)
}
