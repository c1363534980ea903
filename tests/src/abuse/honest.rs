//! Somebody who asks now and then, as a status bar does, and how long the answers take.

use std::time::Duration;

use offload_client::names::{BUS_NAME, MANAGER, ROOT_PATH};
use tokio::time::{Instant, sleep, timeout};
use zbus::{Connection, connection::Builder, fdo};

use super::user::as_user;
use crate::{Result, error::Context};

/// Between one question and the next.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

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

    /// What every second answer took no longer than.
    pub fn median(&self) -> Duration {
        let mut answers = self.answers.clone();
        answers.sort_unstable();
        answers.get(answers.len() / 2).copied().unwrap_or_default()
    }
}

/// What an ordinary user asks while others flood, and how they fared.
#[derive(Clone, Debug, Default)]
pub struct Honest {
    /// Reading the state, over and over.
    pub reads: Fared,
    /// A check, in the middle of it.
    pub checks: Fared,
    /// What the bus itself is asked, over and over: no service on it can be faster.
    pub bus: Fared,
}

/// Asks as the user `uid` for as long.
pub fn asks(address: String, uid: u32, duration: Duration) -> impl Future<Output = Result<Honest>> {
    as_user(uid, async move || {
        let connection = Builder::address(&*address).build().await;
        let connection = connection.map_err(std::io::Error::other).context(address)?;
        let until = Instant::now() + duration;
        let reads = over_and_over(until, async || {
            let arguments = (MANAGER, "State");
            call(
                &connection,
                "org.freedesktop.DBus.Properties",
                "Get",
                &arguments,
            )
            .await
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
        let (reads, checks, bus) = tokio::join!(reads, checks, bus);
        Ok(Honest { reads, checks, bus })
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
        let Self { reads, checks, bus } = self;
        write!(f, "reads {reads}; check {checks}; the bus itself {bus}")
    }
}

impl std::fmt::Display for Fared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, worst) = (milliseconds(self.median()), milliseconds(self.worst()));
        let count = self.answers.len();
        write!(f, "{count} within {worst:.1} ms, median {median:.1}")?;
        if let Some(refusal) = self.refusals.first() {
            write!(f, ", {} REFUSED: {refusal}", self.refusals.len())?;
        }
        Ok(())
    }
}
