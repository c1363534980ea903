//! What Nix itself says of a cache: this machine's nix-daemon is asked for paths, and goes its own way to find out.
//!
//! It is asked for a path that no cache has, about which it remembers nothing and so must ask, and for one that the
//! cache is known to have. An untrusted user may say which of the daemon's own substituters are asked, and nothing else
//! (`ClientSettings::apply`, src/libstore/daemon.cc): for him Nix may answer from its disk cache, for months what it
//! once found, for an hour what it once missed.

use std::path::Path;

use super::{
    daemon::Daemon,
    wire::ProtocolError,
    worker::{self, Trust},
};
use crate::nonce::nonce;

/// In seconds: Nix is given up on a little later.
const CONNECT_TIMEOUT: &str = "4";

/// What Nix says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// It gets there.
    Reaches,
    /// It asked, and says that the cache lacks the path.
    Lacks,
    /// It does not get there, in its own words.
    Fails(String),
}

/// Asks the nix-daemon at `socket` what it makes of its substituter `url`, which serves `path` of `store_dir` by our
/// own check; `None` where it says nothing. It takes as long as Nix does, which tries some faults again for seconds.
pub async fn ask(
    socket: &Path,
    url: &str,
    store_dir: &str,
    path: Option<&str>,
) -> Option<Testimony> {
    let (mut daemon, hello) = Daemon::connect(socket).await?;
    let mut settings = vec![("substituters", url), ("connect-timeout", CONNECT_TIMEOUT)];
    // Whom Nix does not trust it would warn of these. Before 2.8.1 it does not say whom it trusts, and passes over them.
    if hello.trust != Trust::No {
        settings.extend([
            ("narinfo-cache-positive-ttl", "0"),
            ("narinfo-cache-negative-ttl", "0"),
        ]);
    }
    let nowhere = format!("{store_dir}/{}-offloadd-asks-for-nothing", unused_hash()?);
    let paths: Vec<&str> = path.into_iter().chain([&*nowhere]).collect();
    let mut lines = Vec::new();
    let asked = worker::substitutes(&mut daemon, &hello, &settings, &paths, |line| {
        lines.push(plain(line));
    });
    match asked.await {
        Ok(found) if path.is_some_and(|path| found.iter().any(|it| it == path)) => {
            Some(Testimony::Reaches)
        }
        Ok(_) => Some(match lines.into_iter().find(|line| is_complaint(line)) {
            Some(line) => Testimony::Fails(line),
            None if path.is_some() => Testimony::Lacks,
            None => Testimony::Reaches,
        }),
        Err(ProtocolError::Said(error)) => Some(Testimony::Fails(plain(&error))),
        Err(_) => None,
    }
}

/// 32 letters of Nix's alphabet, which lacks one of those that the nonce has.
fn unused_hash() -> Option<String> {
    Some(nonce().ok()?.replace('e', "x"))
}

/// Whether Nix tells of something that keeps it from the substituter: that it goes on without it, or that it gave up.
fn is_complaint(line: &str) -> bool {
    let is_of_it = ["binary cache", "substituter", "error:", "unable to"];
    !line.contains("retrying in") && is_of_it.iter().any(|it| line.contains(it))
}

/// The first line that says something, without colours and without what stands before all of them.
fn plain(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        clean += before;
        rest = escape
            .split_once(|char: char| char.is_ascii_alphabetic())
            .map_or("", |(_, after)| after);
    }
    clean += rest;
    let mut lines = clean.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("error:").unwrap_or(line).trim()
    });
    let told = lines.find(|line| !line.is_empty());
    told.unwrap_or("it does not say why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_without_its_colours() {
        let error = "\x1b[31;1merror:\x1b[0m\n       … while x\n";
        assert_eq!(plain(error), "… while x");
        assert_eq!(
            plain("error: unable to download '\x1b[35;1mhttp://x\x1b[0m': no"),
            "unable to download 'http://x': no"
        );
        for nothing in ["", "\x1b[", "error:\n", "\x1b[31"] {
            assert_eq!(plain(nothing), "it does not say why");
        }
    }

    #[test]
    fn what_is_tried_again_and_what_is_of_something_else_is_no_complaint() {
        for complaint in [
            "warning: 'http://127.0.0.1:1' does not appear to be a binary cache",
            "warning: ignoring untrusted substituter 'http://127.0.0.1:1'",
            "warning: unable to download 'http://127.0.0.1:1/nix-cache-info': no",
        ] {
            assert!(is_complaint(complaint), "{complaint}");
        }
        for other in [
            "warning: error: unable to download 'http://x/y.narinfo': HTTP error 503; retrying in 257 ms",
            "warning: unknown setting 'fallbock'",
        ] {
            assert!(!is_complaint(other), "{other}");
        }
    }

    #[test]
    fn what_nobody_has_is_called_as_a_path_may_be() {
        let path = format!("{}-x", unused_hash().unwrap());
        assert!(crate::nix::narinfo::StorePath::parse_base_name(&path).is_ok());
    }
}
