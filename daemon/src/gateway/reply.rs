//! The replies that Nix takes well.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{HeaderName, HeaderValue},
};

pub(super) type Answer = Response<Full<Bytes>>;

/// Nobody has it.
pub(super) fn missing() -> Answer {
    plain(StatusCode::NOT_FOUND, Bytes::new())
}

pub(super) fn plain(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
}

pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    answer.headers_mut().insert(name, value);
}
