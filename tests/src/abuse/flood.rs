//! Method calls by the thousand, by a client that does only what it takes to send them.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at},
};
use zbus::Message;

use super::user::as_user;
use crate::{Error, Result, error::Context};

/// How long connections may take to be made.
const GREETING: Duration = Duration::from_secs(20);

/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(20);

/// What is sent, by whom, how often.
#[derive(Clone, Debug)]
pub struct Flood {
    /// The socket of the bus.
    pub socket: String,
    /// Who sends.
    pub uid: u32,
    /// Over how many connections.
    pub connections: usize,
    /// The calls, one after the other; every connection begins with another.
    pub calls: Vec<Message>,
    /// How many of them wait for their answer at once, on each connection.
    pub depth: usize,
    /// How many are sent each second, over all connections; as many as go where it is not said.
    pub rate: Option<u32>,
    /// For how long.
    pub duration: Duration,
    /// Whether answers are read.
    pub reads: bool,
}

/// What came of a flood.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Connections that were made.
    pub connections: usize,
    /// Calls that were sent.
    pub sent: u64,
    /// Calls that were answered with what they asked for.
    pub answered: u64,
    /// Those that were answered with an error, by its name.
    pub errors: BTreeMap<String, u64>,
}

impl Flood {
    /// Sends it.
    pub fn send(self) -> impl Future<Output = Result<Tally>> {
        as_user(self.uid, async move || self.play().await)
    }

    async fn play(self) -> Result<Tally> {
        let greetings = join_all((0..self.connections).map(|_| greet(&self.socket, self.uid)));
        let clients = tokio::time::timeout(GREETING, greetings).await;
        // More than the bus allows a user are refused by it.
        let clients = clients.unwrap_or_default().into_iter().flatten();
        let clients: Vec<_> = clients.collect();
        let until = Instant::now() + self.duration;
        let pace = self.rate.map(|rate| {
            let share = f64::from(rate) / clients.len().max(1) as f64;
            Duration::from_secs_f64(1.0 / share)
        });
        let flood = Arc::new(self);
        let connections = clients.len();
        let floods = clients.into_iter().enumerate();
        let floods = floods.map(|(first, client)| flood.clone().run(first, client, pace, until));
        let mut all = Tally::default();
        for tally in join_all(floods).await {
            all.sent += tally.sent;
            all.answered += tally.answered;
            for (name, count) in tally.errors {
                *all.errors.entry(name).or_default() += count;
            }
        }
        all.connections = connections;
        Ok(all)
    }

    async fn run(
        self: Arc<Self>,
        first: usize,
        client: UnixStream,
        pace: Option<Duration>,
        until: Instant,
    ) -> Tally {
        let room = Semaphore::new(self.depth);
        let (read, mut write) = client.into_split();
        let (mut sent, mut tally) = (0, Tally::default());
        let sending = async {
            let sending = self.write(first, &mut write, pace, &room, &mut sent);
            let _ = timeout_at(until, sending).await;
            // Who reads waits for what is still to come.
            if let (true, Ok(all)) = (self.reads, self.depth.try_into()) {
                let _ = timeout(LAST_ANSWERS, room.acquire_many(all)).await;
            }
        };
        let reading = async {
            if self.reads {
                let _ = read_answers(read, &room, &mut tally).await;
            } else {
                sleep_until(until).await;
                drop(read);
            }
        };
        // Who floods may be cut off by the bus.
        tokio::select! {
            () = sending => {}
            () = reading => {}
        }
        tally.sent = sent;
        tally
    }

    async fn write(
        &self,
        first: usize,
        write: &mut OwnedWriteHalf,
        pace: Option<Duration>,
        room: &Semaphore,
        sent: &mut u64,
    ) -> Option<()> {
        let mut ticks = pace.map(interval);
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        }
        // The first serial was that of Hello().
        let serials = 2u32..;
        for (serial, call) in serials.zip(self.calls.iter().cycle().skip(first)) {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            let waits = room.acquire().await.ok()?;
            let mut bytes = call.data().to_vec();
            bytes[8..12].copy_from_slice(&serial.to_ne_bytes());
            write.write_all(&bytes).await.ok()?;
            waits.forget();
            *sent += 1;
        }
        None
    }
}

/// A client that has said Hello().
pub(super) async fn greet(socket: &str, uid: u32) -> Result<UnixStream> {
    let broken = || Error::Unsupported("the bus does not let us in".to_owned());
    let mut stream = UnixStream::connect(socket).await.context(socket)?;
    let name: String = uid
        .to_string()
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect();
    let greeting = format!("\0AUTH EXTERNAL {name}\r\nBEGIN\r\n");
    stream
        .write_all(greeting.as_bytes())
        .await
        .context("AUTH")?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.context("AUTH")?);
    }
    if !line.starts_with(b"OK ") {
        return Err(broken());
    }
    let hello = Message::method_call("/org/freedesktop/DBus", "Hello")
        .destination("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .build(&())
        .map_err(|_| broken())?;
    let mut hello = hello.data().to_vec();
    hello[8..12].copy_from_slice(&1u32.to_ne_bytes());
    stream.write_all(&hello).await.context("Hello")?;
    match next(&mut stream).await.context("Hello")?.kind {
        Kind::Return => Ok(stream),
        Kind::Error | Kind::Other => Err(broken()),
    }
}

async fn read_answers(
    read: OwnedReadHalf,
    room: &Semaphore,
    tally: &mut Tally,
) -> std::io::Result<()> {
    let mut read = tokio::io::BufReader::with_capacity(64 * 1024, read);
    loop {
        let answer = next(&mut read).await?;
        match answer.kind {
            Kind::Return => tally.answered += 1,
            Kind::Error => *tally.errors.entry(answer.error_name()).or_default() += 1,
            Kind::Other => continue,
        }
        room.add_permits(1);
    }
}

/// A message that came, as far as it matters.
pub(super) struct Arrived {
    pub(super) kind: Kind,
    pub(super) serial: Option<NonZeroU32>,
    /// The header's fields.
    fields: Vec<u8>,
}

pub(super) enum Kind {
    Return,
    Error,
    Other,
}

/// The next message: its type is the second byte, the body's length is at 4, its serial number at 8 and the length
/// of the header's fields at 12 (D-Bus specification, "Message Format").
pub(super) async fn next(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> std::io::Result<Arrived> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        match head[0] {
            b'l' => u32::from_le_bytes(bytes),
            _ => u32::from_be_bytes(bytes),
        }
    };
    let mut fields = vec![0; (number(12) as usize).next_multiple_of(8)];
    stream.read_exact(&mut fields).await?;
    let mut body = stream.take(number(4).into());
    tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
    let kind = match head[1] {
        2 => Kind::Return,
        3 => Kind::Error,
        _ => Kind::Other,
    };
    Ok(Arrived {
        kind,
        serial: NonZeroU32::new(number(8)),
        fields,
    })
}

impl Arrived {
    /// Whether a field of the header is `text`.
    pub(super) fn has(&self, text: &str) -> bool {
        let mut parts = self.fields.split(|byte| *byte == 0);
        parts.any(|part| part == text.as_bytes())
    }

    /// Field 4 of the header, a string.
    pub(super) fn error_name(&self) -> String {
        self.text(|part| part.contains(".Error."))
    }

    /// Field 7, a unique name.
    pub(super) fn sender(&self) -> String {
        self.text(|part| part.starts_with(":1."))
    }

    fn text(&self, is_it: impl Fn(&str) -> bool) -> String {
        let parts = self.fields.split(|byte| *byte == 0);
        let texts = parts.flat_map(str::from_utf8);
        // The length before it may be read as a sign.
        let mut texts = texts.map(|text| text.trim_start_matches(|c: char| c.is_ascii_control()));
        texts
            .find(|text| is_it(text))
            .unwrap_or_default()
            .to_owned()
    }
}
