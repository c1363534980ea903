//! `offloadctl connect`, as ssh runs it: what it prints is a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, command, finish, offloadctl, on},
};
use offload_client::{Reason, Snapshot, TargetState, names, snapshot::Target};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg, sockopt,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
    sync::mpsc,
    time::{Instant, timeout},
};

const GREETING: &[u8] = b"SSH-2.0-desk\r\n";

/// What ssh got of it.
struct Dialled {
    code: i32,
    stderr: String,
    socket: Option<TcpStream>,
}

/// Runs it with a socket for its output, as ssh does.
async fn dialled(mut command: Command) -> Dialled {
    let (ours, its) = UnixStream::pair().unwrap();
    command.stdout(Stdio::from(OwnedFd::from(its)));
    let child = command.spawn().unwrap();
    // Its own end of the pair.
    drop(command);
    let output = timeout(LIMIT, child.wait_with_output()).await;
    let output = output.expect("it does not end").unwrap();
    Dialled {
        code: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8(output.stderr).unwrap(),
        socket: taken(&ours),
    }
}

/// As `mm_receive_fd` in OpenSSH's monitor_fdpass.c.
fn taken(from: &UnixStream) -> Option<TcpStream> {
    let mut byte = [1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(&mut byte)];
    let received = recvmsg(from, parts, &mut beside, RecvFlags::empty()).unwrap();
    assert_eq!(received.flags & ReturnFlags::CTRUNC, ReturnFlags::empty());
    let socket = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })?;
    assert_eq!((received.bytes, byte), (1, [0]));
    Some(socket.into())
}

/// A builder's port, with somebody who speaks first, as sshd does.
struct Desk {
    address: SocketAddr,
    /// What each connection heard to its end.
    heard: mpsc::Receiver<String>,
}

impl Desk {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    stream.write_all(GREETING).await.unwrap();
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await.unwrap();
                    sender.send(text).await.unwrap();
                });
            }
        });
        Self { address, heard }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// What was handed over leads here, and the greeting is there still.
    async fn is_reached_by(&mut self, dialled: Dialled) {
        assert_eq!((dialled.code, dialled.stderr.as_str()), (0, ""));
        let socket = dialled.socket.expect("no socket came");
        // Not one that blocks: who greets runs in this thread too.
        socket.set_nonblocking(true).unwrap();
        let mut socket = tokio::net::TcpStream::from_std(socket).unwrap();
        let mut greeting = [0; GREETING.len()];
        let greeted = timeout(LIMIT, socket.read_exact(&mut greeting)).await;
        greeted.expect("no greeting").unwrap();
        assert_eq!(greeting, GREETING);
        socket.write_all(b"SSH-2.0-here\r\n").await.unwrap();
        drop(socket);
        let heard = timeout(LIMIT, self.heard.recv()).await.unwrap();
        assert_eq!(heard.as_deref(), Some("SSH-2.0-here\r\n"));
    }

    async fn is_left_alone(&mut self) {
        let heard = timeout(Duration::from_millis(50), self.heard.recv()).await;
        assert!(heard.is_err(), "it was dialled");
    }
}

/// `snapshot`, with the builder at `address`.
fn at(address: &str, mut snapshot: Snapshot) -> Snapshot {
    builder(&mut snapshot).address = address.into();
    snapshot
}

fn builder(snapshot: &mut Snapshot) -> &mut Target {
    snapshot.targets.iter_mut().last().unwrap()
}

fn now_usec() -> u64 {
    #[allow(clippy::disallowed_methods)]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_micros() as u64
}

async fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

const HOST: [&str; 3] = ["connect", "192.0.2.6", "22"];

#[tokio::test]
async fn ssh_is_handed_a_socket_to_where_the_builder_is_now() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    let fake = Fake::start(&bus, at(&desk.address(), ready())).await;
    let dialled = dialled(on(&bus, &HOST)).await;
    desk.is_reached_by(dialled).await;
    assert_eq!(
        fake.script.borrow().calls,
        ["/org/offloadd/Offload1 Describe()"]
    );
}

#[tokio::test]
async fn its_other_end_is_missed_when_it_vanishes_and_it_is_as_ssh_would_have_made_it() {
    let (bus, desk) = (Bus::start().await, Desk::open().await);
    let _fake = Fake::start(&bus, at(&desk.address(), ready())).await;
    let socket = dialled(on(&bus, &HOST)).await.socket.unwrap();
    assert!(sockopt::socket_keepalive(&socket).unwrap());
    assert_eq!(
        sockopt::tcp_keepidle(&socket).unwrap(),
        Duration::from_secs(5)
    );
    assert_eq!(
        sockopt::tcp_keepintvl(&socket).unwrap(),
        Duration::from_secs(3)
    );
    assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 15_000);
    let flags = rustix::fs::fcntl_getfl(&socket).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_one_line_that_says_why() {
    let bus = Bus::start().await;
    let (mut desk, closed) = (Desk::open().await, closed().await);
    for (state, reason, words) in [
        (
            TargetState::Down,
            Reason::Refused,
            "builder/desktop is down: connection refused (",
        ),
        (
            TargetState::Away,
            Reason::NoRoute,
            "builder/desktop is away: ",
        ),
        (TargetState::Paused, Reason::Paused, "`offloadctl resume`"),
        (
            TargetState::Degraded,
            Reason::HostKeyMismatch,
            "builder/desktop is degraded: ",
        ),
    ] {
        let is_dialled = state == TargetState::Down;
        let address = if is_dialled { &closed } else { &desk.address() };
        let mut snapshot = at(address, builder_down());
        let target = builder(&mut snapshot);
        (target.state, target.reason) = (state, reason);
        target.uri = format!("ssh-ng://nix@{closed}").into();
        let fake = Fake::start(&bus, snapshot).await;
        let (host, port) = closed.split_once(':').unwrap();
        let dialled = dialled(on(&bus, &["connect", host, port])).await;
        assert_eq!(dialled.code, 3, "{state}");
        assert!(
            dialled.stderr.contains(words),
            "{state}: {}",
            dialled.stderr
        );
        assert_eq!(dialled.stderr.lines().count(), 1, "{}", dialled.stderr);
        assert!(dialled.socket.is_none());
        fake.stop().await;
    }
    desk.is_left_alone().await;
}

#[tokio::test]
async fn who_is_back_is_used_at_once_however_young_the_verdict() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    let mut down = at(&desk.address(), builder_down());
    builder(&mut down).last_check_timestamp = now_usec();
    let fake = Fake::start(&bus, down).await;
    let back = at(&desk.address(), ready());
    fake.script
        .send_modify(|script| script.after_check = Some(back));
    let dialled = dialled(on(&bus, &HOST)).await;
    desk.is_reached_by(dialled).await;
}

#[tokio::test]
async fn a_builder_that_moved_is_found_where_else_it_may_be_before_anybody_knows() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    let gone = closed().await;
    let mut snapshot = at(&gone, ready());
    let target = builder(&mut snapshot);
    target.uri = format!("ssh-ng://nix@{gone}").into();
    target.elsewhere = vec![closed().await.into(), desk.address().into()];
    let _fake = Fake::start(&bus, snapshot).await;
    let (host, port) = gone.split_once(':').unwrap();
    desk.is_reached_by(dialled(on(&bus, &["connect", host, port])).await)
        .await;
}

#[tokio::test]
async fn who_is_slow_to_speak_is_not_left_for_who_is_quicker() {
    let (bus, mut other) = (Bus::start().await, Desk::open().await);
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = slow.local_addr().unwrap().to_string();
    let mut snapshot = at(&address, ready());
    let target = builder(&mut snapshot);
    target.uri = format!("ssh-ng://nix@{address}").into();
    target.elsewhere = vec![other.address().into()];
    let _fake = Fake::start(&bus, snapshot).await;
    let speak = async {
        let (mut stream, _) = slow.accept().await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        stream.write_all(GREETING).await.unwrap();
        stream
    };
    let (host, port) = address.split_once(':').unwrap();
    let (dialled, _stream) = tokio::join!(dialled(on(&bus, &["connect", host, port])), speak);
    let there = dialled.socket.unwrap().peer_addr().unwrap().to_string();
    assert_eq!(there, address);
    other.is_left_alone().await;
}

#[tokio::test]
async fn it_is_used_where_it_was_before_the_check_is_over() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    let fake = Fake::start(&bus, at(&desk.address(), builder_down())).await;
    fake.script
        .send_modify(|script| script.error = Some("Busy"));
    desk.is_reached_by(dialled(on(&bus, &HOST)).await).await;
}

#[tokio::test]
async fn who_accepts_and_is_silent_is_not_there() {
    let bus = Bus::start().await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap().to_string();
    for (snapshot, words) in [
        (builder_down(), "is down"),
        (ready(), "no answer within 1000 ms"),
    ] {
        let mut snapshot = at(&address, snapshot);
        builder(&mut snapshot).uri = format!("ssh-ng://nix@{address}").into();
        let _fake = Fake::start(&bus, snapshot).await;
        let (host, port) = address.split_once(':').unwrap();
        let dialled = dialled(on(&bus, &["connect", host, port])).await;
        assert_eq!(dialled.code, 3);
        assert!(dialled.stderr.contains(words), "{}", dialled.stderr);
        _fake.stop().await;
    }
}

#[tokio::test]
async fn who_is_on_the_way_up_is_dialled() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    let mut snapshot = at(&desk.address(), builder_down());
    builder(&mut snapshot).consecutive_failures = 0;
    let _fake = Fake::start(&bus, snapshot).await;
    desk.is_reached_by(dialled(on(&bus, &HOST)).await).await;
}

#[tokio::test]
async fn a_builder_that_was_ready_and_is_gone_is_told_of_and_checked() {
    let bus = Bus::start().await;
    let gone = closed().await;
    let (host, port) = gone.split_once(':').unwrap();
    let mut snapshot = at(&gone, ready());
    builder(&mut snapshot).uri = format!("ssh-ng://nix@{gone}").into();
    let fake = Fake::start(&bus, snapshot).await;
    let dialled = dialled(on(&bus, &["connect", host, port])).await;
    assert_eq!(dialled.code, 3);
    let line = format!("builder/desktop can't be reached at {gone}: Connection refused");
    assert!(dialled.stderr.contains(&line), "{}", dialled.stderr);
    fake.asked("builder/desktop Check()").await;
}

#[tokio::test]
async fn what_is_no_builder_is_not_dialled() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    let _fake = Fake::start(&bus, ready()).await;
    let port = desk.port();
    // Neither a stranger, nor another port of a builder whose port is known.
    for host in ["127.0.0.1", "localhost", "192.0.2.7"] {
        let dialled = dialled(on(&bus, &["connect", host, &port])).await;
        assert_eq!(dialled.code, 64, "{}", dialled.stderr);
        assert!(
            dialled.stderr.contains("it watches builder/desktop"),
            "{}",
            dialled.stderr
        );
        assert!(dialled.socket.is_none());
    }
    desk.is_left_alone().await;
}

#[tokio::test]
async fn without_a_daemon_it_dials_what_ssh_would_have() {
    let mut desk = Desk::open().await;
    let port = desk.port();
    let bus = Bus::start().await;
    desk.is_reached_by(dialled(on(&bus, &["connect", "localhost", &port])).await)
        .await;
    // Nor is one started for it, or missed where there is not even a bus.
    let startable = Bus::with_activation("/bin/false").await;
    desk.is_reached_by(dialled(on(&startable, &["connect", "127.0.0.1", &port])).await)
        .await;
    let mut no_bus = command(&["connect", "127.0.0.1", &port]);
    no_bus.args(["--bus", "unix:path=/nonexistent/bus"]);
    desk.is_reached_by(dialled(no_bus).await).await;
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_not_waited_for() {
    let (bus, mut desk) = (Bus::start().await, Desk::open().await);
    // It has the name, and reads nothing.
    let hung = bus.connect().await;
    hung.request_name(names::BUS_NAME).await.unwrap();
    let port = desk.port();
    let began = Instant::now();
    desk.is_reached_by(dialled(on(&bus, &["connect", "127.0.0.1", &port])).await)
        .await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn by_hand_it_says_what_it_is_for() {
    let bus = Bus::start().await;
    let run = offloadctl(&bus, &HOST).await;
    assert_eq!(run.code, 64);
    assert!(run.stderr.contains("ProxyUseFdpass yes"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    let run = finish(on(&bus, &["connect", "desktop", "0"])).await;
    assert_eq!(run.code, 64, "{}", run.stderr);
}
