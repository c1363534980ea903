//! Somebody who asks now and then, as a status bar does, and how long the answers take.

use std::time::Duration;

use offload_client::names::{BUS_NAME, MANAGER, ROOT_PATH};
use tokio::time::{Instant, sleep, timeout};
use zbus::{Connection, connection::Builder, fdo};

use super::{
    control::{CONTROL, QUESTION},
    user::as_user,
};
use crate::{Result, error::Context};

/// Between one question and the next.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How somebody fared.
#[derive(Clone, Debug, Default)]
pub struct Fared {
    /// How long each answer took.
    pub answers: Vec<Duration>,
    /// What was refused, or not answered.
    pub refusals: Vec<String>,
}

impl Fared {
    /// The longest that an answer took.
    pub fn worst(&self) -> Duration {
        self.answers.iter().copied().max().unwrap_or_default()
    }

    /// What so many of a hundred answers took no longer than.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut answers = self.answers.clone();
        answers.sort_unstable();
        let at = answers.len() * percent / 100;
        answers.get(at).copied().unwrap_or_default()
    }
}

/// What an ordinary user asks while others flood, and how they fared.
#[derive(Clone, Debug, Default)]
pub struct Honest {
    /// Reading the state, over and over.
    pub reads: Fared,
    /// A check, in the middle of it.
    pub checks: Fared,
    /// Asking the service beside it, over and over.
    pub control: Fared,
    /// What the bus itself is asked, over and over.
    pub bus: Fared,
}

/// Asks as the user `uid` for as long.
pub fn asks(address: String, uid: u32, duration: Duration) -> impl Future<Output = Result<Honest>> {
    as_user(uid, async move || {
        let connection = Builder::address(&*address).build().await;
        let connection = connection.map_err(std::io::Error::other).context(address)?;
        let until = Instant::now() + duration;
        let reads = over_and_over(until, async || {
            let (member, arguments) = ("Get", (MANAGER, "State"));
            call(&connection, PROPERTIES, member, &arguments).await
        });
        let control = over_and_over(until, async || {
            let answer = connection.call_method(Some(CONTROL), "/", Some(CONTROL), QUESTION, &());
            answer.await.map(drop)
        });
        let bus = over_and_over(until, async || {
            let bus = fdo::DBusProxy::new(&connection).await?;
            bus.get_id().await?;
            Ok(())
        });
        let checks = async {
            let mut fared = Fared::default();
            sleep(duration / 2).await;
            fared.note(call(&connection, MANAGER, "Check", &())).await;
            fared
        };
        let (reads, checks, control, bus) = tokio::join!(reads, checks, control, bus);
        Ok(Honest {
            reads,
            checks,
            control,
            bus,
        })
    })
}

async fn over_and_over(until: Instant, ask: impl AsyncFn() -> zbus::Result<()>) -> Fared {
    let mut fared = Fared::default();
    while Instant::now() < until {
        fared.note(ask()).await;
        sleep(PAUSE).await;
    }
    fared
}

impl Fared {
    async fn note(&mut self, asking: impl Future<Output = zbus::Result<()>>) {
        let start = Instant::now();
        match timeout(PATIENCE, asking).await {
            Ok(Ok(())) => self.answers.push(start.elapsed()),
            Ok(Err(error)) => self.refusals.push(error.to_string()),
            Err(_) => self.refusals.push("no answer".to_owned()),
        }
    }
}

async fn call<B: serde::Serialize + zbus::DynamicType>(
    connection: &Connection,
    interface: &str,
    member: &str,
    body: &B,
) -> zbus::Result<()> {
    let answer = connection.call_method(Some(BUS_NAME), ROOT_PATH, Some(interface), member, body);
    answer.await.map(drop)
}

impl std::fmt::Display for Honest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            reads,
            checks,
            control,
            bus,
        } = self;
        write!(
            f,
            "\n        reads: {reads}\n        the service beside: {control}\n        the bus itself: {bus}\n        \
             a check: {checks}"
        )
    }
}

impl std::fmt::Display for Fared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{} answers, median {:.1} ms, 99 % {:.1} ms, worst {:.1} ms",
            self.answers.len(),
            milliseconds(self.percentile(50)),
            milliseconds(self.percentile(99)),
            milliseconds(self.worst()),
        )?;
        if let Some(refusal) = self.refusals.first() {
            write!(f, ", {} REFUSED: {refusal}", self.refusals.len())?;
        }
        Ok(())
    }
}
