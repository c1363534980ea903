//! What a cache behind TLS shows, made by OpenSSL as a person would make it.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{Result, error::Context, process::run};

/// A certificate that signs itself.
pub struct Certificate {
    path: PathBuf,
    acceptor: TlsAcceptor,
    _directory: TempDir,
}

impl Certificate {
    /// Makes one for these addresses, and its key.
    ///
    /// # Errors
    /// When openssl is missing or fails.
    pub fn new(addresses: &[IpAddr]) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for a certificate")?;
        let [path, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        let text = |path: &Path| path.display().to_string();
        let addresses: Vec<String> = addresses.iter().map(|ip| format!("IP:{ip}")).collect();
        let name = format!("subjectAltName={}", addresses.join(","));
        let kind = ["req", "-x509", "-nodes", "-subj", "/CN=desktop"];
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let files = ["-out", &text(&path), "-keyout", &text(&key)];
        run(
            "openssl",
            [&kind[..], &curve, &["-addext", &name], &files].concat(),
        )?;
        let server = server(&path, &key).context(path.display())?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            path,
            _directory: directory,
        })
    }

    /// The file that a client is to trust: `ssl-cert-file` of nix.conf.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

fn server(certificate: &Path, key: &Path) -> io::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|server| {
            server
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
        })
        .map_err(io::Error::other)
}
