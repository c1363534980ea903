//! The caches are asked: over one pooled client each for those with TLS and those without.
//!
//! What Nix itself can do and this can't (a login that it alone has, a redirect to anywhere) is left to it: the
//! answer is that Nix should ask the cache [itself](Reply::Itself).

use std::{cell::RefCell, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header, redirect,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::caches::{Cache, caches};
use crate::{monitor::Handle, nix::netrc::Login, probe::cache::tls};

const USER_AGENT: &str = concat!("offloadd/", env!("CARGO_PKG_VERSION"));
/// As long as a cache may take to accept a connection.
const CONNECT: Duration = Duration::from_millis(300);
/// As long as an idle connection is kept for the next question.
const IDLE: Duration = Duration::from_secs(30);
/// As many as Nix opens (`http-connections`, src/libstore/filetransfer.hh).
const IDLE_MOST: usize = 25;

/// More than this is not handed on: a narinfo has some hundred bytes, and rarely some thousand.
const MAX_BODY: usize = 64 * 1024;

/// What a cache answered.
#[derive(Debug)]
pub(super) enum Reply {
    /// It has the path, and this is it.
    Here(Bytes),
    /// It does not have it.
    Missing,
    /// Nix is to ask it.
    Itself,
}

/// Why it did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// Nobody knows where it is, or nobody is there, or speaks there.
    #[error("nobody accepts a connection, or speaks on one")]
    Nowhere,
    /// TLS can't be spoken.
    #[error("{0}")]
    Tls(#[from] tls::TlsError),
    /// On the way there or back.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// It could not answer.
    #[error("status {0}")]
    Status(StatusCode),
}

/// Asks caches.
pub(super) struct Upstream {
    plain: Client,
    /// The one for TLS, with the file of authorities that it was made of.
    secure: RefCell<Option<(Option<PathBuf>, Client)>>,
    places: Places,
}

impl Upstream {
    pub(super) fn new(monitor: Handle) -> io::Result<Self> {
        let places = Places(monitor);
        let provider = Arc::new(ring::default_provider());
        let nobody = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(Self {
            plain: client(nobody, &places).map_err(io::Error::other)?,
            secure: RefCell::new(None),
            places,
        })
    }

    /// Asks for a small thing.
    pub(super) async fn get(&self, cache: &Cache, path: &str) -> Result<Reply, UpstreamError> {
        let mut response = self.ask(Method::GET, cache, path).await?;
        if let Some(reply) = without_body(response.status())? {
            return Ok(reply);
        }
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() > MAX_BODY {
                return Ok(Reply::Itself);
            }
            body.extend_from_slice(&part);
        }
        Ok(Reply::Here(body.freeze()))
    }

    /// Asks whether it has something, of which nothing is read.
    pub(super) async fn has(&self, cache: &Cache, path: &str) -> Result<bool, UpstreamError> {
        let mut status = self.ask(Method::HEAD, cache, path).await?.status();
        // Of those that do not know HEAD.
        if matches!(
            status,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ) {
            status = self.ask(Method::GET, cache, path).await?.status();
        }
        Ok(!matches!(without_body(status)?, Some(Reply::Missing)))
    }

    async fn ask(
        &self,
        method: Method,
        cache: &Cache,
        path: &str,
    ) -> Result<reqwest::Response, UpstreamError> {
        let address = cache.address.ok_or(UpstreamError::Nowhere)?;
        let mut request = if cache.spec.tls {
            self.secure(cache)?.request(method, cache.own_url(path))
        } else {
            self.plain
                .request(method, cache.url_at(address, path))
                .header(header::HOST, cache.authority())
        };
        if let Login::Basic(basic) = &cache.spec.login
            && may_log_in(cache, address)
        {
            request = request.header(header::AUTHORIZATION, basic.authorization());
        }
        let answer = request.send().await;
        if answer.is_err() && cache.spec.tls {
            // Its authorities may have changed.
            self.secure.replace(None);
        }
        Ok(answer?)
    }

    fn secure(&self, cache: &Cache) -> Result<Client, UpstreamError> {
        let mut secure = self.secure.borrow_mut();
        let file = &cache.spec.ssl_cert_file;
        if let Some((known, client)) = &*secure
            && known == file
        {
            return Ok(client.clone());
        }
        let config = tls::load(file.as_deref())?;
        let made = client(ClientConfig::clone(&config), &self.places)?;
        *secure = Some((file.clone(), made.clone()));
        Ok(made)
    }
}

/// A login goes where a certificate proves the cache, or to the very address that Nix would send it to.
fn may_log_in(cache: &Cache, address: SocketAddr) -> bool {
    cache.spec.tls || cache.is_named_by(address) == Some(true)
}

/// What the status alone says; nothing where the body is what was asked for.
fn without_body(status: StatusCode) -> Result<Option<Reply>, UpstreamError> {
    match status {
        StatusCode::OK => Ok(None),
        // As Nix takes them (src/libstore/filetransfer.cc).
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => {
            Ok(Some(Reply::Missing))
        }
        StatusCode::UNAUTHORIZED => Ok(Some(Reply::Itself)),
        status if status.is_redirection() => Ok(Some(Reply::Itself)),
        status => Err(UpstreamError::Status(status)),
    }
}

fn client(tls: ClientConfig, places: &Places) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls)
        .dns_resolver(places.clone())
        .no_proxy()
        .redirect(redirect::Policy::none())
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MOST)
        .build()
}

/// A cache's name stands for where it is now: certificates go by the name.
#[derive(Clone)]
struct Places(Handle);

impl Resolve for Places {
    fn resolve(&self, name: Name) -> Resolving {
        let caches = caches(&self.0);
        let mut named = caches.iter().filter(|cache| {
            let host = &cache.spec.host;
            cache.spec.tls && host.eq_ignore_ascii_case(name.as_str())
        });
        let found = named.find_map(|cache| cache.address);
        Box::pin(async move {
            let address = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            Ok(Box::new(std::iter::once(address)) as Addrs)
        })
    }
}
