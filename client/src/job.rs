//! A test build from its start to its end: what `offloadctl test-build` shows, and a widget could.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = offload_client::Client::connect().await?;
//! let snapshot = client.snapshot().await?;
//! let builder = snapshot.find("builder/desktop").next().ok_or("no such builder")?;
//! let mut job = client.test_build(builder, None).await?;
//! while let Some(line) = job.line().await? {
//!     println!("{line}");
//! }
//! println!("{}", job.end().map_or("", |end| end.state.as_str()));
//! # Ok(()) }
//! ```
//!
//! Where it was built and how long it took is then in the builder's details:
//! [`crate::test_build::of`].

mod signals;
mod transcript;

use std::{collections::HashMap, io, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;
use zbus::{Connection, OwnedVariant, fdo, proxy::CacheProperties};

use crate::{
    JobState, Printable, Reason,
    errors::BusError,
    proxy::{BuilderProxy, JobProxy},
};
use signals::{News, Signals};
use transcript::Transcript;

/// How long the daemon may take to say what it has in memory.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most jobs whose lines are counted while ours has no name yet. The daemon runs fewer.
const NAMELESS: usize = 64;

/// A job that somebody follows.
///
/// Its signals wait in a queue of the connection that holds the connection up once it is full: ask
/// for lines until there are none, or drop it. Dropping leaves the job to itself; [`Job::cancel`]
/// ends it.
pub struct Job {
    proxy: JobProxy<'static>,
    signals: Signals,
    heard: Heard,
    /// How many changes of state had been heard of when the state was last read.
    looked: Option<u64>,
    end: Option<End>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What became of it; never [`JobState::Running`].
    pub state: JobState,
    /// Why it failed; [`Reason::None`] otherwise.
    pub reason: Reason,
    /// When it began: microseconds of `CLOCK_REALTIME`.
    pub start_timestamp: u64,
    /// When it ended, likewise.
    pub finish_timestamp: u64,
}

/// Starts a test build on the builder with the object path `builder`, and follows it. `limit`, in microseconds, may
/// cut it short; the daemon has a limit of its own. The bus may ask the user for a password, so this
/// can take minutes.
///
/// # Errors
/// The daemon's: [`BusError::Busy`] while one is running on that builder,
/// [`BusError::NotAuthorized`], [`BusError::Failed`]; and the bus's.
pub(crate) async fn test_build(
    connection: &Connection,
    builder: &str,
    limit: Option<u64>,
) -> Result<Job, BusError> {
    let builder = BuilderProxy::builder(connection)
        .path(builder.to_owned())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let mut options: HashMap<String, OwnedVariant> = HashMap::new();
    if let Some(usec) = limit {
        options.insert("timeout".to_owned(), usec.into());
    }
    // Listen first, ask then: what it prints before we know its name is heard.
    let mut signals = Signals::listen(connection).await?;
    let mut nameless: HashMap<String, usize> = HashMap::new();
    let path = while_listening(&mut signals, builder.test_build(options), |news| {
        if let News::Printed { path, .. } = news
            && (nameless.len() < NAMELESS || nameless.contains_key(&path))
        {
            *nameless.entry(path).or_default() += 1;
        }
    })
    .await?;
    let proxy = JobProxy::builder(connection)
        .path(path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let path = path.to_string();
    let announced = nameless.get(&path).copied().unwrap_or_default();
    Ok(Job {
        proxy,
        signals,
        heard: Heard {
            path,
            transcript: Transcript::new(announced),
            changes: 0,
            left: false,
        },
        looked: None,
        end: None,
    })
}

impl Job {
    /// Its object path.
    pub fn path(&self) -> &str {
        &self.heard.path
    }

    /// The next line that it prints. `None` once it has ended; then [`Self::end`] says how. May be cancelled and called again.
    ///
    /// # Errors
    /// The daemon left ([`BusError::is_no_daemon`]), is silent ([`BusError::TimedOut`]), or the
    /// connection ended.
    pub async fn line(&mut self) -> Result<Option<Printable>, BusError> {
        loop {
            if let Some(line) = self.heard.transcript.next() {
                return Ok(Some(line));
            }
            if self.end.is_some() {
                return Ok(None);
            }
            if self.heard.left {
                // What it said before it left may still be in the other queue.
                match self.signals.next().now_or_never() {
                    Some(Some(news)) => self.heard.hear(news),
                    Some(None) | None => return Err(left()),
                }
            } else if self.looked == Some(self.heard.changes) {
                let news = self.signals.next().await.ok_or_else(disconnected)?;
                self.heard.hear(news);
            } else {
                self.look().await?;
            }
        }
    }

    /// How it ended; `None` until [`Self::line`] has said that there are no more.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Asks the daemon to end it: its end comes as any other's. Without effect once it has ended.
    ///
    /// # Errors
    /// [`BusError::NotAuthorized`] where somebody else started it, and the bus's.
    pub async fn cancel(&mut self) -> Result<(), BusError> {
        ask(&mut self.signals, &mut self.heard, self.proxy.cancel()).await
    }

    /// Reads how it is, and what it has printed.
    async fn look(&mut self) -> Result<(), BusError> {
        let changes = self.heard.changes;
        // The state first: what is read after the end is all there will be.
        let state = ended(&self.proxy);
        let end = ask(&mut self.signals, &mut self.heard, state).await?;
        let output = self.proxy.get_output();
        let output = ask(&mut self.signals, &mut self.heard, output).await?;
        self.heard.transcript.read(output);
        self.looked = Some(changes);
        self.end = end;
        Ok(())
    }
}

/// What the signals have told of the job.
struct Heard {
    path: String,
    transcript: Transcript,
    /// How often something but its output changed.
    changes: u64,
    /// Whether the daemon left.
    left: bool,
}

impl Heard {
    fn hear(&mut self, news: News) {
        match news {
            News::Printed { path, line } if path == self.path => self.transcript.announced(line),
            News::Changed { path } if path == self.path => self.changes += 1,
            News::Printed { .. } | News::Changed { .. } => {}
            News::Left => self.left = true,
        }
    }
}

/// How the job ended, if it has.
async fn ended(proxy: &JobProxy<'_>) -> Result<Option<End>, BusError> {
    let state = JobState::from_word(&proxy.state().await?);
    let finish_timestamp = proxy.finish_timestamp().await?;
    // A newer daemon may have more words for an end than we know.
    if state == JobState::Running || (state == JobState::Unknown && finish_timestamp == 0) {
        return Ok(None);
    }
    Ok(Some(End {
        state,
        reason: Reason::from_word(&proxy.reason().await?),
        start_timestamp: proxy.start_timestamp().await?,
        finish_timestamp,
    }))
}

/// A call that the daemon answers from memory.
async fn ask<T>(
    signals: &mut Signals,
    heard: &mut Heard,
    call: impl Future<Output = Result<T, BusError>>,
) -> Result<T, BusError> {
    let call = while_listening(signals, call, |news| heard.hear(news));
    let answer = timeout(PATIENCE, call).await;
    answer.unwrap_or_else(|_| Err(BusError::TimedOut("no answer".to_owned())))
}

/// Awaits a call, and goes on taking signals off the queue: a full one would hold up the answer.
async fn while_listening<T>(
    signals: &mut Signals,
    call: impl Future<Output = Result<T, BusError>>,
    mut hear: impl FnMut(News),
) -> Result<T, BusError> {
    let mut call = std::pin::pin!(call);
    loop {
        tokio::select! {
            answer = &mut call => return answer,
            news = signals.next() => hear(news.ok_or_else(disconnected)?),
        }
    }
}

fn left() -> BusError {
    let error = fdo::Error::ServiceUnknown("the daemon left the bus".to_owned());
    zbus::Error::FDO(Box::new(error)).into()
}

fn disconnected() -> BusError {
    zbus::Error::from(io::Error::from(io::ErrorKind::NotConnected)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A widget with threads spawns what follows a job.
    #[test]
    fn a_job_can_be_followed_from_another_thread() {
        fn sendable<T: Send>(_: impl FnOnce(&'static Connection, &'static mut Job) -> T) {}
        sendable(|connection, _| test_build(connection, "/x", None));
        sendable(|_, job| job.line());
        sendable(|_, job| job.cancel());
    }
}
