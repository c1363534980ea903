//! One question to a cache, over whatever connection there is, wherever it is redirected.
//!
//! A login goes to whom Nix sends it, and less far: not to another host that an answer sends on to (curl looks for
//! that one's own), nor in the clear to an address that Nix does not go to, nor to whom a search finds. Who asks
//! for a login there is `unknown`, `not-visible`, as where the netrc file is root's.
//!
//! It is hyper and no pooled client: a check says at which stage it failed, and the moment a desktop shuts down is
//! the moment its idle connection closes.

use std::{net::SocketAddr, time::Duration};

use http_body_util::Empty;
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header, http,
};
use offload_client::{Printable, Reason, Stage};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{
    Notes, Session,
    authorities::is_by_common_name,
    candidates::Candidates,
    link::{Body, Broken, Link, MAX_BODY, Stream},
    proxy,
    redirect::{Astray, Follow, Hop, is_redirect, may_lead},
    status_text,
    tls::{self, TlsError},
};
use crate::{
    nix::netrc::Login,
    probe::{Trace, connect::connect, resolve::literal},
    report::Failure,
    target::{Address, CacheSpec},
};

/// So many redirects are followed.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("offloadd/", env!("CARGO_PKG_VERSION"));

/// What is asked.
pub(super) struct Question {
    /// Where, to begin with.
    pub hop: Hop,
    /// The stage it belongs to, once there is a connection.
    pub stage: Stage,
    /// How long an answer over a connection that was there already is waited for.
    pub patience: Duration,
    /// Whether the connection is of use afterwards.
    pub keep: bool,
    /// How much of the file.
    pub wanted: Wanted,
}

/// How much of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    All,
    /// Whether it is there, and how large it is.
    Head,
    /// So many of its first bytes; who knows no ranges sends more.
    First(u64),
}

/// Where a redirect leads.
struct Elsewhere {
    candidate: Address,
    /// Who has sent us there.
    sender: SocketAddr,
}

/// An answer without its body.
pub(super) struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    incoming: Incoming,
    link: Link,
    /// Whether the cache itself answered, not somebody it sent us to.
    ours: bool,
    /// Whether Nix's login went with the question.
    pub login: Sent,
}

/// Whether a question carried a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// That of the netrc file.
    Login,
    /// Nix has none.
    Nothing,
    /// Nix may have one: the netrc file is not for this process.
    NotVisible,
    /// Nix may have one: it is not sent to whom this question went.
    Withheld,
}

impl Session {
    /// Asks, over `link` where there is one, and follows the redirects that may be.
    pub(super) async fn ask(
        &mut self,
        mut question: Question,
        mut link: Option<Link>,
        cache: &CacheSpec,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<Answer, Failure> {
        let trace = candidates.trace;
        let mut elsewhere: Option<Elsewhere> = None;
        for _ in 0..=MAX_REDIRECTS {
            let exchange = self.exchange(
                link.take(),
                cache,
                elsewhere.as_ref(),
                &question,
                candidates,
                notes,
            );
            let (mut used, login, response) = exchange.await.inspect_err(|failure| {
                if failure.reason == Reason::Redirected {
                    notes.note_leads_back();
                }
            })?;
            let (head, incoming) = response.into_parts();
            candidates.has_status(head.status);
            notes.note_server(&head.headers);
            if !is_redirect(head.status) {
                return Ok(Answer {
                    head,
                    incoming,
                    link: used,
                    ours: elsewhere.is_none(),
                    login,
                });
            }
            let next = question
                .hop
                .follow(head.headers.get(header::LOCATION))
                .map_err(|Astray| {
                    let detail = format!("{} without a usable Location", status_text(head.status));
                    trace.failure(Reason::HttpStatus, detail)
                })?;
            notes.note_redirect(&next);
            self.permit(&question.hop, &next, used.peer, trace, notes)?;
            if !question.hop.same_origin(&next) {
                elsewhere = Some(Elsewhere {
                    candidate: next.candidate(&question.hop, used.peer),
                    sender: used.peer,
                });
            } else {
                let body = used.read(incoming, MAX_BODY).await;
                let body = body.map_err(Broken::failure)?;
                link = (!body.cut && used.is_reusable().await).then_some(used);
            }
            question.hop = next;
        }
        let detail = format!("more than {MAX_REDIRECTS} redirects");
        Err(trace.failure(Reason::HttpStatus, detail))
    }

    /// Whether a redirect of `peer`'s, `from` here `to` there, is followed.
    fn permit(
        &self,
        from: &Hop,
        to: &Hop,
        peer: SocketAddr,
        trace: &Trace,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        let watched = self.context.cache_hosts.borrow();
        if !from.may_go(to, Follow::Watched, &watched) {
            notes.beyond.get_or_insert_with(|| to.clone());
        }
        if from.may_go(to, self.follows, &watched) {
            return Ok(());
        }
        let detail = format!(
            "redirects to {}",
            Printable::excerpt(to.authority().as_bytes(), 80)
        );
        let address = literal(&to.host, to.port).and_then(Result::ok);
        let leads_back = address.is_some_and(|address| !may_lead(peer, address));
        let reason = match self.follows {
            Follow::Nobody => Reason::HttpStatus,
            _ if leads_back => {
                notes.note_leads_back();
                Reason::Redirected
            }
            _ if from.same_file(to) || self.followed.as_ref() == Some(to) => {
                notes.note_moved(to);
                Reason::Redirected
            }
            _ => Reason::CaptivePortal,
        };
        Err(trace.failure(reason, detail))
    }

    /// Asks over `link`, and over a new connection where there is none.
    ///
    /// One that has rested may have been closed in the meantime, or lead nowhere since this
    /// machine slept or changed its network. Its breaking says nothing of the cache, and its
    /// silence little: some of the time is left for a new one, whose stages tell what is wrong.
    async fn exchange(
        &mut self,
        link: Option<Link>,
        cache: &CacheSpec,
        elsewhere: Option<&Elsewhere>,
        question: &Question,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<(Link, Sent, Response<Incoming>), Failure> {
        let trace = candidates.trace;
        if let Some(mut link) = link {
            trace.enter(question.stage);
            trace.at(link.peer);
            let login = self.login(cache, &question.hop, candidates);
            let answer = link.ask(question.request(cache, login, trace)?);
            match trace.within(question.patience, answer).await {
                Some(Ok(response)) => {
                    candidates.answered(link.peer);
                    return Ok((link, login, response));
                }
                Some(Err(broken)) if !broken.may_be_stale() => {
                    candidates.answered(link.peer);
                    return Err(broken.failure());
                }
                Some(Err(_)) | None => {}
            }
        }
        let mut link = self
            .open(cache, elsewhere, question, candidates, notes)
            .await?;
        let login = self.login(cache, &question.hop, candidates);
        let response = link.ask(question.request(cache, login, trace)?).await;
        Ok((link, login, response.map_err(Broken::failure)?))
    }

    /// Whether the login goes with a question to `hop`: as curl does to the cache's own host, whatever the port.
    /// But unlike curl, which serves somebody who waits, to no other host that answers have led to, and, where
    /// no certificate proves it, to no address but the one that Nix goes to.
    fn login(&self, cache: &CacheSpec, hop: &Hop, candidates: &Candidates<'_>) -> Sent {
        let is_own = hop.host.eq_ignore_ascii_case(&Hop::to(cache, "").host);
        let is_elsewhere = candidates.is_elsewhere().unwrap_or(self.elsewhere);
        let is_safe = hop.tls || !cache.tls && !is_elsewhere;
        match &cache.login {
            _ if !is_own => Sent::Withheld,
            Login::None => Sent::Nothing,
            Login::NotVisible => Sent::NotVisible,
            Login::Basic(_) if !is_safe => Sent::Withheld,
            Login::Basic(_) => Sent::Login,
        }
    }

    async fn open(
        &mut self,
        cache: &CacheSpec,
        elsewhere: Option<&Elsewhere>,
        question: &Question,
        candidates: &mut Candidates<'_>,
        notes: &mut Notes,
    ) -> Result<Link, Failure> {
        let (trace, hop) = (candidates.trace, &question.hop);
        let (stream, peer) = match elsewhere {
            // Where a redirect leads to, the proxy finds.
            Some(_) if cache.proxy.is_some() => candidates.connect(&self.context.lookups).await?,
            Some(elsewhere) => {
                let addresses = self.lead(elsewhere, question, trace).await?;
                connect(&addresses, hop.port, &self.context.lookups, trace).await?
            }
            None => candidates.connect(&self.context.lookups).await?,
        };
        let stream: Box<dyn Stream> = if hop.tls {
            let stream = match &cache.proxy {
                Some(proxy) => proxy::tunnel(stream, proxy, hop, trace).await?,
                None => stream,
            };
            trace.enter(Stage::Tls);
            let secured = self.secure(cache, &hop.host, stream).await;
            let secured = secured.map_err(|error| {
                if !error.is_of_peer() {
                    candidates.forget_peer();
                }
                notes.note_tls(&error, cache);
                trace.failure(error.reason(), error.to_string())
            })?;
            let shown = secured.get_ref().1.peer_certificates();
            if let Some(certificate) = shown.and_then(<[_]>::first)
                && is_by_common_name(certificate, &hop.host)
            {
                notes.note_common_name();
            }
            Box::new(secured)
        } else {
            Box::new(stream)
        };
        trace.enter(question.stage);
        Link::new(stream, peer).await.map_err(Broken::failure)
    }

    /// The addresses that `elsewhere` stands for, without those that its sender may not lead to. They are looked
    /// up here, so that it is the very addresses that were looked at which are connected to.
    async fn lead(
        &mut self,
        elsewhere: &Elsewhere,
        question: &Question,
        trace: &Trace,
    ) -> Result<Vec<Address>, Failure> {
        let (host, port) = (&*elsewhere.candidate.host, question.hop.port);
        let found = match literal(host, port) {
            Some(address) => address.map(|address| vec![address]),
            None => {
                trace.enter(Stage::Resolve);
                trace.looking_up(host);
                self.context.lookups.resolve(host, port).await
            }
        };
        let found = found.map_err(|error| trace.failure(error.reason(), error.to_string()))?;
        let permitted = found.iter().filter(|to| may_lead(elsewhere.sender, **to));
        let permitted: Vec<_> = permitted.map(|to| Address::from(*to)).collect();
        if permitted.is_empty() {
            trace.enter(question.stage);
            trace.at(elsewhere.sender);
            let detail = format!("redirects to this machine or its link: {}", found[0]);
            Err(trace.failure(Reason::Redirected, detail))
        } else {
            Ok(permitted)
        }
    }

    async fn secure(
        &mut self,
        cache: &CacheSpec,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let config = match self.authorities.take() {
            Some(config) => config,
            None => tls::load(cache.ssl_cert_file.as_deref())?,
        };
        let stream = tls::handshake(config.clone(), host, stream).await?;
        // Kept only now: after a failure they are read again, should somebody have mended them.
        self.authorities = Some(config);
        Ok(stream)
    }
}

impl Question {
    fn request(
        &self,
        cache: &CacheSpec,
        login: Sent,
        trace: &Trace,
    ) -> Result<Request<Empty<Bytes>>, Failure> {
        let connection = if self.keep { "keep-alive" } else { "close" };
        let method = match self.wanted {
            Wanted::Head => Method::HEAD,
            Wanted::All | Wanted::First(_) => Method::GET,
        };
        // Over TLS a proxy sees nothing of it.
        let proxy = cache.proxy.as_ref().filter(|_| !self.hop.tls);
        let mut question = Request::builder().method(method).uri(match proxy {
            Some(_) => format!("http://{}{}", self.hop.authority(), self.hop.path),
            None => self.hop.path.clone(),
        });
        if let Some(login) = proxy.and_then(|proxy| proxy.login.as_ref()) {
            question = question.header(header::PROXY_AUTHORIZATION, login.authorization());
        }
        if let Wanted::First(bytes) = self.wanted {
            let last = bytes.saturating_sub(1);
            question = question.header(header::RANGE, format!("bytes=0-{last}"));
        }
        if let (Sent::Login, Login::Basic(basic)) = (login, &cache.login) {
            question = question.header(header::AUTHORIZATION, basic.authorization());
        }
        question
            .header(header::HOST, self.hop.authority().as_bytes())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, connection)
            .body(Empty::new())
            // The URL was read as one, so this is next to impossible.
            .map_err(|error| trace.failure(Reason::NotHttp, format!("the question: {error}")))
    }
}

impl Answer {
    /// Reads the body, but for what is beyond `most` bytes; with it comes the connection, where the
    /// cache can be asked more over it.
    pub(super) async fn read(mut self, most: usize) -> Result<(Body, Option<Link>), Broken> {
        let body = self.link.read(self.incoming, most).await?;
        let reusable = self.ours && !body.cut && self.link.is_reusable().await;
        Ok((body, reusable.then_some(self.link)))
    }
}

#[cfg(test)]
mod tests;
