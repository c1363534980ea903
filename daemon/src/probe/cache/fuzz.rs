//! What must hold of what a cache sends, whoever answers in its place.

use http_body_util::Empty;
use hyper::{
    Request,
    body::Bytes,
    header::{self, HeaderValue},
};

use super::{
    Notes, info,
    link::{Link, MAX_BODY},
    redirect::Hop,
};
use crate::fuzz::{Says, now};

const STORE: &str = "/nix/store";

/// What is read of `nix-cache-info` reads back; what is refused is refused in one printable line.
pub(crate) fn cache_info(bytes: &[u8]) {
    match info::parse(bytes, STORE) {
        Ok(facts) => {
            assert_eq!(facts.store_dir.as_str(), STORE);
            let wants = u8::from(facts.want_mass_query);
            let priority = facts.priority;
            let text = format!("StoreDir: {STORE}\nWantMassQuery: {wants}\nPriority: {priority}\n");
            assert_eq!(info::parse(text.as_bytes(), STORE), Ok(facts));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.chars().count() < 1200, "{text:?}");
        }
    }
}

/// An HTTP answer is read within bounds, whatever it is, and ends.
pub(crate) fn http(bytes: &[u8]) {
    let answer = async {
        let peer = ([192, 0, 2, 6], 5000).into();
        let mut link = Link::new(Box::new(Says::new(bytes, 999)), peer)
            .await
            .ok()?;
        let question = Request::get("/nix-cache-info").header(header::HOST, "desktop");
        let response = link.ask(question.body(Empty::<Bytes>::new()).ok()?).await;
        let (head, incoming) = match response {
            Ok(response) => response.into_parts(),
            Err(broken) => {
                let failure = broken.failure();
                assert!(failure.detail.len() < 1024, "{}", failure.detail);
                return None;
            }
        };
        let mut notes = Notes::default();
        notes.note_server(&head.headers);
        let body = link.read(incoming, MAX_BODY).await.ok()?;
        assert!(body.bytes.len() <= MAX_BODY.min(bytes.len()));
        assert!(!body.cut || body.bytes.len() == MAX_BODY);
        let reusable = link.is_reusable().await;
        assert!(!(reusable && body.cut), "the rest is still to come");
        Some(body.bytes)
    };
    if let Some(body) = now(answer) {
        cache_info(&body);
    }
}

/// A redirect leads to what can be asked for, and saying the same in full leads to the same.
pub(crate) fn redirect(bytes: &[u8]) {
    let Ok(location) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    for from in [(false, "desktop", 5000), (true, "2001:db8::6", 443)] {
        let (tls, host, port) = from;
        let from = Hop {
            tls,
            host: host.to_owned(),
            port,
            path: "/nix/nix-cache-info?x".to_owned(),
        };
        let Ok(to) = from.follow(Some(&location)) else {
            continue;
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c);
        assert!(!to.host.is_empty() && !to.host.contains(is_odd), "{to:?}");
        assert!(to.path.starts_with('/'), "{to:?}");
        let question = Request::get(&to.path).header(header::HOST, to.authority());
        assert!(question.body(()).is_ok(), "{to:?}");
        let scheme = if to.tls { "https" } else { "http" };
        let full = format!("{scheme}://{}{}", to.authority(), to.path);
        let full = HeaderValue::from_str(&full).ok();
        assert_eq!(from.follow(full.as_ref()), Ok(to));
    }
}
