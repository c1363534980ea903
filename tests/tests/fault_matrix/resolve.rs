//! The stage resolve: a resolver that breaks by the name that it is asked for. Only root may have one, in a
//! network namespace with a resolv.conf of its own.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use offload_client::Kind::{self, Builder, Cache};
use offload_tests::{Laptop, Namespace, NixConf, skip::supported};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    select,
    sync::oneshot,
    time::sleep,
};

use crate::{STANDS, ground::POLL, neighbour::Neighbour, stands, until, wrong};

/// Whatever is wrong with the resolver, the name has no address; getaddrinfo(3) says no more.
#[rustfmt::skip]
const TABLE: &[(Kind, &str, &str)] = &[
    (Cache, "stall", "down dns-failed resolve"),
    (Cache, "garbage", "down dns-failed resolve"),
    (Cache, "flood", "down dns-failed resolve"),
    (Cache, "reset", "down dns-failed resolve"),
    (Cache, "drip", "down dns-failed resolve"),

    (Builder, "stall", "down dns-failed resolve"),
    (Builder, "garbage", "down dns-failed resolve"),
    (Builder, "flood", "down dns-failed resolve"),
    (Builder, "reset", "down dns-failed resolve"),
    (Builder, "drip", "down dns-failed resolve"),
];

const DOMAIN: &str = "matrix.test";
const RESOLVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 15, 53)), 53);

#[tokio::test]
async fn a_resolver_broken_in_each_way_is_told_and_holds_up_nobody() {
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let inside = PathBuf::from(format!("/run/netns/{}", network.laptop()));
    let _etc = Etc::of(network.laptop());
    let _resolver = Resolver::start(inside.clone());
    let neighbour = Neighbour::start(Some(inside));
    let nix = NixConf::new().unwrap();
    let trusted = format!("extra-trusted-public-keys = {}\n", neighbour.public_key());
    nix.write("extra.conf", &trusted).unwrap();
    let entries = TABLE.iter().map(|(kind, name, _)| match kind {
        Cache => format!("[[cache]]\nname = \"{name}\"\nurl = \"http://{name}.{DOMAIN}:5000\"\n"),
        Builder => format!("[[builder]]\nname = \"{name}\"\nuri = \"ssh-ng://{name}.{DOMAIN}\"\n"),
    });
    let entries: String = entries.collect();
    let config = format!("{POLL}{}{entries}", neighbour.config());
    nix.deploy(&config).unwrap();
    let laptop = Laptop::start_inside(&nix, &config, Some(network.laptop()));
    let laptop = laptop.await.unwrap();

    let judged = neighbour.judge(&laptop);
    let told = |now: &_| wrong(now, TABLE.iter().copied());
    until(&laptop, "each is told as the table has it", told).await;
    stands(&laptop, STANDS, told).await;
    let slowest = judged.end().await;
    eprintln!("the slowest answer about the healthy ones: {slowest:?}");
}

/// Moves this thread into the network namespace at `path`.
pub(crate) fn enter(path: &Path) {
    let namespace = File::open(path).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// What `ip netns exec` lays over /etc.
struct Etc(PathBuf);

impl Etc {
    fn of(namespace: &str) -> Self {
        let etc = Self(format!("/etc/netns/{namespace}").into());
        fs::create_dir_all(&etc.0).unwrap();
        let resolver = format!(
            "nameserver {}\noptions timeout:1 attempts:1\n",
            RESOLVER.ip()
        );
        fs::write(etc.0.join("resolv.conf"), resolver).unwrap();
        fs::write(etc.0.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        etc
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A DNS server on a thread of its own (RFC 1035, 4).
struct Resolver {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    fn start(namespace: PathBuf) -> Self {
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            enter(&namespace);
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async {
                let datagrams = UdpSocket::bind(RESOLVER).await.unwrap();
                let streams = TcpListener::bind(RESOLVER).await.unwrap();
                tell.send(()).unwrap();
                select! {
                    () = by_udp(&datagrams) => {}
                    () = by_tcp(&streams) => {}
                    _ = ended => {}
                }
            });
        });
        told.recv().unwrap();
        Self {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn by_udp(socket: &UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = &buffer[..length];
        let answers = match name(question) {
            "garbage" => vec![b"\x00\xffnoise\xfe".to_vec()],
            "flood" => vec![vec![0xfe; 1400]; 500],
            // What is truncated is asked for again over TCP.
            "reset" | "drip" => vec![truncated(question)],
            _ => Vec::new(),
        };
        for answer in answers {
            // A socket that is full or gone has had enough.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn by_tcp(listener: &TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream));
    }
}

/// Resets, or says one byte at a time.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let length = stream.read_u16().await?;
    let mut question = vec![0; length.into()];
    stream.read_exact(&mut question).await?;
    if name(&question) == "reset" {
        return stream.set_zero_linger();
    }
    stream.write_u16(u16::MAX).await?;
    loop {
        sleep(Duration::from_millis(250)).await;
        stream.write_u8(0).await?;
    }
}

/// The first label of the name that is asked for.
fn name(question: &[u8]) -> &str {
    let length = usize::from(*question.get(12).unwrap_or(&0));
    let label = question.get(13..13 + length).unwrap_or_default();
    std::str::from_utf8(label).unwrap_or_default()
}

/// The question as an answer without a record, and with more to come.
fn truncated(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] = 0x83;
    answer[3] = 0x80;
    answer
}
