//! One question to a cache, over whatever connection there is, wherever it is redirected.

use std::{slice, time::Duration};

use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header, http,
};
use offload_client::{Reason, Stage};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use super::{
    Found, Session,
    link::{Body, Broken, Link, MAX_BODY, Stream},
    redirect::{Astray, Hop, is_redirect},
    search::Search,
    status_text,
    tls::{self, TlsError},
};
use crate::{
    probe::{Failure, Trace, connect::connect},
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
}

/// An answer without its body.
pub(super) struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    incoming: Incoming,
    link: Link,
    /// Whether the cache itself answered, not somebody it sent us to.
    ours: bool,
}

impl Session {
    /// Asks, over `link` where there is one, and follows redirects.
    pub(super) async fn ask(
        &mut self,
        mut question: Question,
        mut link: Option<Link>,
        cache: &CacheSpec,
        search: &mut Search<'_>,
        found: &mut Found,
    ) -> Result<Answer, Failure> {
        let trace = search.trace;
        let mut elsewhere: Option<Address> = None;
        for _ in 0..=MAX_REDIRECTS {
            let exchange = self.exchange(link.take(), cache, elsewhere.as_ref(), &question, search);
            let (mut used, response) = exchange.await?;
            let (head, incoming) = response.into_parts();
            search.has_status(head.status);
            found.note_server(&head.headers);
            if !is_redirect(head.status) {
                return Ok(Answer {
                    head,
                    incoming,
                    link: used,
                    ours: elsewhere.is_none(),
                });
            }
            let next = question
                .hop
                .follow(head.headers.get(header::LOCATION))
                .map_err(|Astray| {
                    let detail = format!("{} without a usable Location", status_text(head.status));
                    trace.failure(Reason::HttpStatus, detail)
                })?;
            found.note_redirect(&next);
            if self.is_proof && next.host != question.hop.host {
                let detail = format!("redirects to {}", next.host);
                return Err(trace.failure(Reason::HttpStatus, detail));
            }
            if !question.hop.same_origin(&next) {
                elsewhere = Some(next.candidate(&question.hop, used.peer));
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

    /// Asks over `link`, and over a new connection where there is none.
    ///
    /// One that has rested may have been closed in the meantime, or lead nowhere since this
    /// machine slept or changed its network. Its breaking says nothing of the cache, and its
    /// silence little: some of the time is left for a new one, whose stages tell what is wrong.
    async fn exchange(
        &mut self,
        link: Option<Link>,
        cache: &CacheSpec,
        elsewhere: Option<&Address>,
        question: &Question,
        search: &mut Search<'_>,
    ) -> Result<(Link, Response<Incoming>), Failure> {
        let trace = search.trace;
        if let Some(mut link) = link {
            trace.enter(question.stage);
            trace.at(link.peer);
            let answer = link.ask(question.request(trace)?);
            match timeout(question.patience, answer).await {
                Ok(Ok(response)) => {
                    search.answered(link.peer);
                    return Ok((link, response));
                }
                Ok(Err(broken)) if !broken.may_be_stale() => {
                    search.answered(link.peer);
                    return Err(broken.failure());
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let mut link = self.open(cache, elsewhere, question, search).await?;
        let response = link.ask(question.request(trace)?).await;
        Ok((link, response.map_err(Broken::failure)?))
    }

    async fn open(
        &mut self,
        cache: &CacheSpec,
        elsewhere: Option<&Address>,
        question: &Question,
        search: &mut Search<'_>,
    ) -> Result<Link, Failure> {
        let (trace, hop) = (search.trace, &question.hop);
        let (stream, peer) = match elsewhere {
            Some(only) => {
                connect(slice::from_ref(only), hop.port, &mut self.lookups, trace).await?
            }
            None => search.connect(&mut self.lookups).await?,
        };
        let stream: Box<dyn Stream> = if hop.tls {
            trace.enter(Stage::Tls);
            let secured = self.secure(cache, &hop.host, stream).await;
            Box::new(secured.map_err(|error| {
                if !error.is_of_peer() {
                    search.acquit();
                }
                trace.failure(error.reason(), error.to_string())
            })?)
        } else {
            Box::new(stream)
        };
        trace.enter(question.stage);
        Link::new(stream, peer).await.map_err(Broken::failure)
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
    fn request(&self, trace: &Trace) -> Result<Request<Empty<Bytes>>, Failure> {
        let connection = if self.keep { "keep-alive" } else { "close" };
        Request::get(&self.hop.path)
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
