//! TLS as Nix would accept it: the same authorities, the same name.

use std::{
    env,
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use offload_client::Reason;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{self, ClientConfig, crypto::ring},
};

use super::authorities::{Authorities, SelfSigned};
use crate::{
    files::{Files, Reachable},
    probe::fault::{is_want, reason_of_broken},
};

/// Where Nix looks when nothing is configured (`getDefaultSSLCertFile` in
/// `src/libstore/filetransfer.cc`).
const USUAL: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
];

/// A bundle of all the world's authorities has less than 1 MiB.
const MAX_BUNDLE: u64 = 16 * 1024 * 1024;

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file with the authorities.
    #[error("{path}: {source}", path = path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The file is there, but nobody in it can be trusted.
    #[error("{path}: no usable certificate: {source}", path = path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: rustls::client::VerifierBuilderError,
    },
    /// The URL's host can be no certificate's name.
    #[error("{host}: {source}")]
    Name {
        /// The host.
        host: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// The library's own.
    #[error("TLS: {0}")]
    Setup(#[from] rustls::Error),
    /// The handshake: I/O, the protocol, or the certificate.
    #[error("{0}")]
    Handshake(io::Error),
}

impl TlsError {
    /// Whether it is the peer's fault, and not this machine's.
    pub(super) fn is_of_peer(&self) -> bool {
        matches!(self, Self::Handshake(_))
    }

    /// What is wrong with the certificate, the protocol or the file of authorities, where that is one of the usual
    /// faults.
    pub(super) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Handshake(error) => fault_of(error.get_ref()?.downcast_ref()?),
            Self::Bundle { .. } | Self::NoAuthority { .. } => Some("authorities"),
            Self::Name { .. } | Self::Setup(_) => None,
        }
    }

    /// The reason to report.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Handshake(error) => {
                let inner = error.get_ref();
                if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
                    Reason::TlsFailed
                } else {
                    reason_of_broken(error)
                }
            }
            Self::Bundle { source, .. } if is_want(source) => Reason::OutOfResources,
            _ => Reason::TlsFailed,
        }
    }
}

/// What is wrong, in a word for a program to read.
fn fault_of(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    Some(match error {
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "expired"
        }
        Error::InvalidCertificate(
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. },
        ) => "not-yet-valid",
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => "other-name",
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            "unknown-authority"
        }
        Error::InvalidCertificate(Certificate::Other(rustls::OtherError(error)))
            if error.is::<SelfSigned>() =>
        {
            "self-signed"
        }
        Error::PeerIncompatible(_) | Error::AlertReceived(Alert::ProtocolVersion) => "too-old",
        Error::AlertReceived(Alert::CertificateRequired) => "client-certificate",
        Error::InvalidMessage(_) => "not-tls",
        _ => return None,
    })
}

/// Loads the authorities that Nix would trust; `configured` is `ssl-cert-file`.
///
/// This reads a file of some 200 KB and keeps it in parsed form: it is done for caches over https
/// alone, and once as long as handshakes succeed.
pub(crate) fn load(configured: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let path = authorities(configured);
    let certificates = read_bundle(&path).map_err(|source| TlsError::Bundle {
        path: path.clone(),
        source,
    })?;
    let provider = Arc::new(ring::default_provider());
    let verifier = Authorities::new(certificates, provider.clone());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(
            verifier.map_err(|source| TlsError::NoAuthority { path, source })?,
        ))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The file with the authorities that Nix would trust.
pub(super) fn authorities(configured: Option<&Path>) -> PathBuf {
    bundle(configured, |name| env::var_os(name))
}

/// Shakes hands with `host` over `stream`.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, TlsError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|source| TlsError::Name {
        host: host.to_owned(),
        source,
    })?;
    let connector = TlsConnector::from(config);
    connector
        .connect(name, stream)
        .await
        .map_err(TlsError::Handshake)
}

/// The file Nix would take: its setting, then the two variables, then the usual places.
fn bundle(configured: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let usual = || USUAL.iter().map(Path::new).find(|path| path.exists());
    configured
        .map(Path::to_owned)
        .or_else(|| variable("NIX_SSL_CERT_FILE").map(PathBuf::from))
        .or_else(|| variable("SSL_CERT_FILE").map(PathBuf::from))
        .unwrap_or_else(|| usual().unwrap_or(Path::new(USUAL[0])).to_owned())
}

fn read_bundle(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let file = Reachable::by_this_process().open(path)?;
    let mut text = Vec::new();
    file.take(MAX_BUNDLE).read_to_end(&mut text)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(configured: Option<&str>, set: &[(&str, &str)]) -> PathBuf {
        bundle(configured.map(Path::new), |name| {
            let notes = set.iter().find(|(known, _)| *known == name);
            notes.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_authorities_are_those_of_nix() {
        let nix = ("NIX_SSL_CERT_FILE", "/nix.crt");
        let any = ("SSL_CERT_FILE", "/any.crt");
        assert_eq!(
            chosen(Some("/conf.crt"), &[nix, any]),
            Path::new("/conf.crt")
        );
        assert_eq!(chosen(None, &[any, nix]), Path::new("/nix.crt"));
        assert_eq!(chosen(None, &[any]), Path::new("/any.crt"));
        let usual = chosen(None, &[("NIX_SSL_CERT_FILE", "")]);
        assert!(USUAL.iter().any(|path| usual == Path::new(path)));
    }

    #[test]
    fn a_bundle_that_is_no_bundle_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.crt");
        std::fs::write(&empty, "no certificate here\n").unwrap();
        for path in [dir.path().join("missing.crt"), empty, dir.path().to_owned()] {
            let error = load(Some(&path)).unwrap_err().to_string();
            assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        }
        // It would be read for ever.
        assert!(load(Some(Path::new("/dev/zero"))).is_err());
    }
}
