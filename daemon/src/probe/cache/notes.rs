//! What a check learns on its way.

use hyper::{HeaderMap, header};
use offload_client::{
    Printable,
    snapshot::{CacheFacts, Details},
};

use super::{
    DETAIL_CERTIFICATE,
    ask::Sent,
    link::Link,
    redirect::Hop,
    tls::{self, TlsError},
};
use crate::{credential, target::CacheSpec};

/// What a check learns on its way, kept when it fails half-way.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) facts: Option<CacheFacts>,
    pub(super) details: Details,
    /// The connection, where the cache can be asked more over it.
    pub(super) link: Option<Link>,
    /// Where somebody sent us first that only a check goes which somebody asked for.
    pub(super) beyond: Option<Hop>,
    /// Whether who answers a cheap check over a new connection may be another one.
    pub(super) doubts: bool,
}

impl Notes {
    /// Which program answers: it tells a cache from a portal.
    pub(super) fn note_server(&mut self, headers: &HeaderMap) {
        if let Some(server) = headers.get(header::SERVER) {
            let server = Printable::excerpt(server.as_bytes(), 80);
            self.details.insert("server".into(), server.into());
        }
    }

    pub(super) fn note_redirect(&mut self, to: &Hop) {
        let to = Printable::excerpt(to.authority().as_bytes(), 80);
        self.details.insert("redirected_to".into(), to.into());
    }

    pub(super) fn note_common_name(&mut self) {
        let noted = (DETAIL_CERTIFICATE.into(), "common-name".into());
        self.details.extend([noted]);
    }

    /// What is wrong with its certificate or protocol, and which authorities it was held against.
    pub(super) fn note_tls(&mut self, error: &TlsError, cache: &CacheSpec) {
        if let Some(fault) = error.fault() {
            self.details.insert("tls_fault".into(), fault.into());
        }
        let file = tls::authorities(cache.ssl_cert_file.as_deref());
        let file = file.display().to_string();
        self.details.insert("authorities".into(), file.into());
    }

    /// Who asks for Nix, and which variable says so.
    pub(super) fn note_proxy(&mut self, cache: &CacheSpec) {
        if let Some(proxy) = &cache.proxy {
            let noted = [
                ("proxy".into(), proxy.authority().into()),
                ("proxy_variable".into(), proxy.variable.into()),
            ];
            self.details.extend(noted);
        }
    }

    /// Who wants a login, and whether it is the one that there is.
    pub(super) fn note_login(&mut self, sent: Sent, cache: &CacheSpec) {
        let sent = match sent {
            Sent::Login => "refused",
            Sent::Nothing => "none",
            Sent::NotVisible => "not-visible",
            Sent::Withheld => "withheld",
        };
        self.details.insert("login".into(), sent.into());
        let file = cache.netrc_file.display().to_string();
        self.details.insert("netrc".into(), file.into());
        let handed_over = credential::name(&cache.netrc_file);
        let handed_over = Printable::excerpt(handed_over.as_encoded_bytes(), 255);
        self.details.insert("credential".into(), handed_over.into());
    }

    /// What it means on this machine is this machine.
    pub(super) fn note_leads_back(&mut self) {
        self.details.insert("leads_back".into(), true.into());
    }

    /// Where the cache is by the redirect to `to`, for a person to name it.
    pub(super) fn note_moved(&mut self, to: &Hop) {
        let url = Printable::excerpt(to.cache_url().as_bytes(), 160);
        self.details.insert("moved_to".into(), url.into());
    }
}
