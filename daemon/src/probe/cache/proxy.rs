//! A connection through a proxy, to speak TLS over (RFC 9110, 9.3.6).

use offload_client::{Printable, Reason, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::redirect::Hop;
use crate::{
    nix::environment::Proxy,
    probe::{Trace, fault::reason_of_broken},
    report::Failure,
};

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// Has `proxy`, which `stream` leads to, connect to where `hop` asks.
///
/// # Errors
/// [`Reason::ProxyFailed`] where it does not; how the connection to it ended.
pub(super) async fn tunnel(
    mut stream: TcpStream,
    proxy: &Proxy,
    hop: &Hop,
    trace: &Trace,
) -> Result<TcpStream, Failure> {
    let host = if hop.host.contains(':') {
        format!("[{}]", hop.host)
    } else {
        hop.host.clone()
    };
    let port = hop.port;
    let mut question = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(login) = &proxy.login {
        question += &format!("Proxy-Authorization: {}\r\n", login.authorization());
    }
    question += "\r\n";
    let broken = |error: std::io::Error| {
        let reason = reason_of_broken(&error);
        trace.failure(reason, error.to_string())
    };
    trace.enter(Stage::Connect);
    stream
        .write_all(question.as_bytes())
        .await
        .map_err(broken)?;
    // A byte at a time: what comes behind it is not ours.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MAX_ANSWER {
            return Err(refused(&answer, trace));
        }
        answer.push(stream.read_u8().await.map_err(broken)?);
    }
    let is_there = answer.starts_with(b"HTTP/1.") && answer.get(9) == Some(&b'2');
    if is_there {
        Ok(stream)
    } else {
        Err(refused(&answer, trace))
    }
}

fn refused(answer: &[u8], trace: &Trace) -> Failure {
    let line = answer.split(|byte| *byte == b'\r').next();
    let line = Printable::excerpt(line.unwrap_or_default(), 80);
    trace.failure(Reason::ProxyFailed, format!("the proxy says: {line}"))
}
