//! Whose certificates are good.

use std::sync::Arc;

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

/// Verifies certificates as OpenSSL does for Nix (curl) with the same file.
///
/// That is webpki's way but for one case: a certificate that somebody made for a desktop with
/// `openssl req -x509` signs itself, calls itself an authority, and stands in `ssl-cert-file`.
/// OpenSSL takes it, since that very certificate is trusted; webpki demands that a server's
/// certificate be no authority's.
#[derive(Debug)]
pub(super) struct Authorities {
    webpki: Arc<WebPkiServerVerifier>,
    /// Those that carry a server's name, in full.
    servers: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Trusts the `certificates` that can be read; fails where there is none.
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        let servers = certificates.iter().filter(|each| names_a_server(each));
        let servers = servers.cloned().collect();
        roots.add_parsable_certificates(certificates);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self {
            webpki: webpki.build()?,
            servers,
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
            Err(error) if is_authority(&error) && self.servers.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
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

/// Whether a certificate may have subjectAltName (RFC 5280, 4.2.1.6: 2.5.29.17), as the world's
/// authorities have not: so that a bundle of them is not kept twice.
fn names_a_server(certificate: &CertificateDer<'_>) -> bool {
    const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];
    certificate
        .windows(SUBJECT_ALT_NAME.len())
        .any(|bytes| bytes == SUBJECT_ALT_NAME)
}

/// Whether the only fault is that a server shows an authority's certificate.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(source))) = error else {
        return false;
    };
    let source = source.downcast_ref::<webpki::Error>();
    source.is_some_and(|source| *source == webpki::Error::CaUsedAsEndEntity)
}
