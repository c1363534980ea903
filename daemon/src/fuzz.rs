//! What must hold of every byte that comes from outside: one function for each kind of them, run by
//! `tests/fuzz` with inputs that it invents, and by a test of this module with the inputs that are kept.
//!
//! The functions stand in a `fuzz.rs` beside what they are about, where they see what is private. One
//! that finds something to be untrue panics.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{config, discover, helper, net, nix, probe};

/// A kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of the fuzzer's program and of the directory of what is kept.
    pub name: &'static str,
    /// Reads it, and looks whether what must hold does.
    pub run: fn(&[u8]),
    /// More than so many bytes of it are never read: who reads them sees to it.
    pub most: usize,
    /// So many times it may be read: files may name each other.
    times: u64,
}

/// All of them.
pub const TARGETS: [Target; 22] = [
    // What a cache says.
    target("cache_info", probe::cache::fuzz::cache_info, 8 << 10),
    target("http", probe::cache::fuzz::http, 64 << 10),
    target("narinfo", nix::fuzz::narinfo, 1 << 20),
    target("redirect", probe::cache::fuzz::redirect, 16 << 10),
    // What a builder says.
    target("banner", probe::builder::fuzz::banner, 16 << 10),
    target("nix_protocol", nix::fuzz::nix_protocol, 1 << 20),
    target(
        "remote_system",
        probe::builder::fuzz::remote_system,
        1 << 20,
    ),
    // What somebody says to the helper, and the helper.
    target("helper", helper::fuzz::helper, 256 << 10),
    // What a network says, and the kernel.
    target("mdns", discover::fuzz::mdns, 64 << 10),
    target("netlink", net::fuzz::netlink, 16 << 10),
    target("proc", nix::fuzz::proc, 1 << 20),
    // What stands in files, and what OpenSSH makes of its own.
    target("config_toml", config::fuzz::config_toml, 1 << 20),
    target("disk_cache", nix::disk_cache::fuzz::disk_cache, 1 << 20),
    target("known_hosts", nix::fuzz::known_hosts, 4 << 20),
    Target {
        times: 64,
        ..target("machines", nix::fuzz::machines, 4 << 20)
    },
    target("netrc", nix::fuzz::netrc, 128 << 10),
    Target {
        times: 256,
        ..target("nix_conf", nix::fuzz::nix_conf, 4 << 20)
    },
    target("snapshot", snapshot, 1 << 20),
    target("ssh_config", nix::ssh_config::fuzz::answer, 256 << 10),
    target("ssh_keys", nix::fuzz::ssh_keys, 64 << 10),
    target("ssh_options", nix::ssh_config::fuzz::options, 64 << 10),
    target("store_uri", store_uri, 64 << 10),
];

const fn target(name: &'static str, run: fn(&[u8]), most: usize) -> Target {
    Target {
        name,
        run,
        most,
        times: 1,
    }
}

impl Target {
    /// The most memory, in bytes, that reading so many bytes may take at a time, together with what is made of
    /// them to look whether what must hold does.
    pub const fn memory(&self, length: usize) -> u64 {
        (1 << 20) + 128 * self.times * length as u64
    }
}

/// A store URL, by Nix's reader and by the configuration's.
fn store_uri(bytes: &[u8]) {
    if let Ok(uri) = std::str::from_utf8(bytes) {
        nix::fuzz::store_uri(uri);
        config::fuzz::url(uri);
    }
}

/// What `Describe()` answers: it survives being written, and no page of it moves a cursor.
fn snapshot(bytes: &[u8]) {
    use offload_client::{Snapshot, page};
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else {
        return;
    };
    let json = serde_json::to_string(&snapshot).unwrap_or_default();
    let again: Snapshot = serde_json::from_str(&json).unwrap_or_default();
    assert_eq!(serde_json::to_string(&again).unwrap_or_default(), json);
    // What JSON escapes by number is what no text of it may hold.
    assert!(!json.replace(r"\\", "").contains(r"\u"), "{json}");
    let style = page::Style {
        colour: false,
        width: 80,
        now_realtime_usec: 0,
        verbose: true,
    };
    let page = page::render(&snapshot, &style);
    let is_bad = |c: char| c.is_control() && c != '\n';
    assert!(!page.contains(is_bad), "{page:?}");
}

/// Runs what has all that it waits for.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    // What is polled again and again gets on: hyper gives others a turn now and then.
    const MAX_POLLS: usize = 1 << 20;
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MAX_POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    unreachable!("it waits for what never comes")
}

/// The pieces of an input that is several texts: a NUL byte between two.
pub(crate) fn texts(bytes: &[u8]) -> Vec<String> {
    let pieces = bytes.split(|&byte| byte == 0);
    let lossy = |piece| String::from_utf8_lossy(piece).into_owned();
    pieces.map(lossy).collect()
}

/// A peer that answers as soon as it is spoken to, whatever it is told.
pub(crate) struct Says {
    /// What nobody has read yet.
    pub(crate) left: Bytes,
    piece: usize,
    is_asked: bool,
}

impl Says {
    /// It says `bytes`, at most `piece` of them at a time, and ends.
    pub(crate) fn new(bytes: &[u8], piece: usize) -> Self {
        Self {
            left: Bytes::copy_from_slice(bytes),
            piece,
            is_asked: false,
        }
    }
}

impl AsyncRead for Says {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_asked {
            // Nobody is woken: `now` asks again in any case.
            return Poll::Pending;
        }
        let piece = into.remaining().min(this.piece).min(this.left.len());
        into.put_slice(&this.left.split_to(piece));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Says {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().is_asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
