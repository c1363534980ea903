//! Who reads the bus, and holds what it says against the truth.

use std::{collections::BTreeMap, time::Duration};

use offload_client::{Client, Reason, Snapshot, TargetState, snapshot::Target};
use offloadd::clock::Stopwatch;
use tokio::time::timeout;
use zbus::{Connection, connection::Builder};

use super::{
    faults::Standing,
    lane::Lane,
    report::Report,
    truth::{Published, Shows, Truth, tell},
};
use crate::{
    Result, Signals,
    error::Context,
    signals::{Content, Signal},
};

/// Between two reads.
const LOOK: Duration = Duration::from_millis(100);
/// A daemon that is well answers a read within this.
const ANSWER: Duration = Duration::from_secs(2);

/// Reads what is published, by its signals and by asking.
pub(super) struct Watch {
    clock: Stopwatch,
    connection: Connection,
    signals: Signals,
    /// By object path.
    expected: BTreeMap<String, Expected>,
    /// Whether there is nobody who could answer.
    pub(super) is_deaf: bool,
    pub(super) report: Report,
}

struct Expected {
    label: String,
    cause: &'static str,
    truth: Truth,
    published: Option<Published>,
    is_missed: bool,
}

impl Watch {
    pub(super) async fn start(bus: &str) -> Result<Self> {
        Ok(Self {
            clock: Stopwatch::start(),
            connection: connect(bus).await?,
            signals: Signals::listen(bus).await?,
            expected: BTreeMap::new(),
            is_deaf: false,
            report: Report::default(),
        })
    }

    /// The bus is another one.
    pub(super) async fn reconnect(&mut self, bus: &str) -> Result<()> {
        self.connection = connect(bus).await?;
        self.signals = Signals::listen(bus).await?;
        Ok(())
    }

    /// Since the start.
    pub(super) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(super) fn expect(&mut self, lane: &Lane, cause: &'static str, truth: Truth) {
        let (now, label) = (self.now(), lane.label());
        self.report
            .happened(now, format!("{label}: {}", truth.tell()));
        let published = self.expected.remove(&lane.path());
        let expected = Expected {
            label,
            cause,
            truth,
            published: published.and_then(|old| old.published),
            is_missed: false,
        };
        self.expected.insert(lane.path(), expected);
    }

    /// What may be published of it when another truth follows now.
    pub(super) fn may_be_published(&self, lane: &Lane) -> Vec<Standing> {
        let expected = self.expected.get(&lane.path());
        expected.map_or_else(Vec::new, |expected| expected.truth.leaves(self.now()))
    }

    /// Whether it was well, by the truth so far.
    pub(super) fn was_ready(&self, lane: &Lane) -> bool {
        let expected = self.expected.get(&lane.path());
        expected.is_some_and(|expected| expected.truth.is_ready())
    }

    /// Everything may take so much longer.
    pub(super) fn delay(&mut self, more: Duration) {
        for expected in self.expected.values_mut() {
            expected.truth.delay(more);
        }
    }

    /// A daemon that knows nothing has begun: the truth is due again.
    pub(super) fn begin_anew(&mut self, cause: &'static str, due: Duration, unknown: Standing) {
        let now = self.now();
        for expected in self.expected.values_mut() {
            expected.truth.begins_anew(now, now + due, unknown);
            expected.cause = cause;
            expected.published = None;
        }
    }

    /// Whether every truth was published.
    pub(super) fn is_settled(&self) -> bool {
        self.expected.values().all(|expected| {
            // It was published, and still is.
            let published = expected.published.as_ref();
            expected.truth.is_seen() && published.is_some_and(|now| expected.truth.allows(now))
        })
    }

    pub(super) fn is_overdue(&self) -> bool {
        let mut all = self.expected.values();
        all.any(|expected| expected.truth.is_overdue(self.now()))
    }

    /// Counts those that were not published in time.
    pub(super) fn count_missed(&mut self) {
        let now = self.now();
        let mut missed = Vec::new();
        for expected in self.expected.values_mut() {
            if !expected.truth.is_seen() && expected.truth.is_overdue(now) && !expected.is_missed {
                expected.is_missed = true;
                let what = format!("missed {}: {}", expected.label, expected.truth.tell());
                missed.push((expected.label.clone(), what));
            }
        }
        for (label, what) in missed {
            self.report.missed += 1;
            self.report.tell(now, &label, &what);
        }
    }

    /// Looks on for so long.
    pub(super) async fn look_for(&mut self, time: Duration) {
        let until = self.now() + time;
        loop {
            let began = self.now();
            let left = until.saturating_sub(began);
            let wait = left.min(LOOK);
            match self.signals.until(wait, "a signal", |_| true).await {
                Ok(signals) => signals.iter().for_each(|signal| self.hear(signal)),
                Err(_) => {
                    // What keeps us waiting keeps the daemon waiting, too.
                    let late = self.now().saturating_sub(began + wait);
                    self.report.lateness = self.report.lateness.max(late);
                    self.delay(late);
                    self.read().await;
                }
            }
            if left.is_zero() {
                return;
            }
        }
    }

    async fn read(&mut self) {
        if self.is_deaf {
            return;
        }
        let client = Client::from(self.connection.clone());
        match timeout(ANSWER, client.snapshot()).await {
            Ok(Ok(snapshot)) => self.take(&snapshot),
            Ok(Err(error)) => self.no_answer(&error.to_string()),
            Err(_) => self.no_answer("no answer to a read within two seconds"),
        }
    }

    fn no_answer(&mut self, why: &str) {
        let now = self.now();
        self.report.wrong += 1;
        self.report.tell(now, "", why);
    }

    fn take(&mut self, snapshot: &Snapshot) {
        for target in &snapshot.targets {
            let published = Published {
                standing: (target.state, target.reason),
                address: target.address.to_string(),
            };
            self.judge(&Target::path(target), published);
        }
    }

    fn hear(&mut self, signal: &Signal) {
        let Content::Changed { values, .. } = &signal.content else {
            return;
        };
        let text = |property: &str| values.get(property).map(ToString::to_string);
        let known = self.expected.get(&signal.path);
        let Some(mut published) = known.and_then(|expected| expected.published.clone()) else {
            // What it says is a change of what was not read yet.
            return;
        };
        if let Some(state) = text("State") {
            published.standing.0 = TargetState::from_word(&state);
        }
        if let Some(reason) = text("Reason") {
            published.standing.1 = Reason::from_word(&reason);
        }
        if let Some(address) = text("Address") {
            published.address = address;
        }
        self.judge(&signal.path, published);
    }

    fn judge(&mut self, path: &str, published: Published) {
        let now = self.now();
        let Some(expected) = self.expected.get_mut(path) else {
            return;
        };
        self.report.samples += 1;
        let words = format!("{} at {}", tell(&published.standing), published.address);
        let label = expected.label.clone();
        if expected.published.as_ref() != Some(&published) {
            let line = format!("{label}: published {words}");
            self.report.happened(now, line);
        }
        let shows = expected.truth.judge(now, &published);
        expected.published = Some(published);
        match shows {
            Shows::Nothing => {}
            Shows::News(latency) => self.report.took(expected.cause, latency),
            Shows::Wrong { first } => {
                self.report.wrong += 1;
                if first {
                    let truth = expected.truth.tell();
                    let what = format!("{label} is published as {words}; the truth: {truth}");
                    self.report.tell(now, &label, &what);
                }
            }
        }
    }
}

async fn connect(bus: &str) -> Result<Connection> {
    let connection = Builder::address(bus).build().await;
    connection.map_err(std::io::Error::other).context(bus)
}
