//! The builder probe: resolve, connect, banner, host key, authentication, over russh; then Nix's own
//! handshake with what runs on the builder.
//!
//! It goes as `ssh`, started by Nix, would go, with the address, the identity and the host keys that
//! `ssh` would use; and where `ssh` would refuse, it refuses. Then it runs the command that Nix runs.

use std::{sync::Arc, time::Duration};

use offload_client::{
    Printable, Reason, Stage,
    snapshot::{BuilderFacts, Detail, Details},
};

use self::{
    deep::LastDeep,
    dial::Dial,
    link::{Link, Listener},
    options::{Asked, ask},
    proxy::Proxy,
};
use super::{Context, Trace};
use crate::{
    clock::Stopwatch,
    config::Connection,
    health::Depth,
    report::{Failure, Learned, Report, SSH_SETUP, Signs, Stranger},
    target::{BuilderSpec, SpecKind, TargetSpec},
};

mod auth;
mod banner;
mod command;
mod deep;
mod diagnose;
mod dial;
mod exec;
mod expected;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod greet;
mod handshake;
mod host_key;
mod identify;
pub(crate) mod identity;
mod key_exchange;
mod link;
mod options;
mod proposal;
mod proxy;
mod session;
mod setup;
mod slots;
mod stream;
mod system;
#[cfg(test)]
mod tests;

pub use self::identify::Identifier;
pub(crate) use self::slots::in_use as slots_in_use;

/// How much of another program's words is kept.
const MAX_DETAIL: usize = 256;
/// The detail of a host key that stands where nobody looks for one.
const DETAIL_MISPLACED: &str = "misplaced";

/// What is kept between two checks of one builder. Dropping it closes its connection.
pub struct Session {
    spec: Arc<TargetSpec>,
    context: Arc<Context>,
    asked: Option<Asked>,
    kept: Option<Kept>,
    /// How far the last deep check came, if it passed.
    reached: Option<Stage>,
    /// What deep checks found, which cheap ones say again.
    last_deep: LastDeep,
}

/// An authenticated connection, and what it was made with.
struct Kept {
    link: Link,
    /// Held for its end: the connection's bytes run through it.
    _proxy: Option<Proxy>,
    address: Option<String>,
    elsewhere: bool,
    details: Details,
    signs: Signs,
}

/// What a check found on its way, whether it came to its end or not.
#[derive(Default)]
struct Notes {
    details: Details,
    /// What the builder shows before anybody is logged in.
    shown: Printable,
    signs: Signs,
    learned: Option<BuilderFacts>,
    /// Whether anybody was connected to.
    dialled: bool,
    /// As [`Report::elsewhere`].
    elsewhere: bool,
    /// Who answered without being the builder.
    strangers: Vec<Stranger>,
    /// What was noted of the most telling one, until the builder is found.
    preferred: Option<(Details, Signs)>,
}

/// An authenticated connection of this check.
struct Dialled {
    link: Link,
    proxy: Option<Proxy>,
}

impl Session {
    /// A session that has not connected yet.
    pub fn new(spec: Arc<TargetSpec>, context: Arc<Context>) -> Self {
        Self {
            spec,
            context,
            asked: None,
            kept: None,
            reached: None,
            last_deep: LastDeep::default(),
        }
    }

    /// Closes the kept connection and forgets what ssh_config said and how far one came. What was
    /// found is as good as before until something else is.
    fn start_over(&mut self) {
        self.kept = None;
        self.asked = None;
        self.reached = None;
    }

    /// Checks the builder: a round trip on the kept connection or, where there is none or it is
    /// stale, a new one; a deep check goes on from a new one to what Nix does there.
    ///
    /// To be let in it takes no longer than the context's time-out, or its deep one where ssh_config
    /// names a proxy; with all deep stages no longer than the deep one. Before that comes what
    /// [`ssh_config::ask`](crate::nix::ssh_config::ask) takes. A check that is dropped leaves nothing behind.
    pub async fn check(&mut self, depth: Depth) -> Report {
        if depth.is_deep() {
            self.start_over();
        }
        let stopwatch = Stopwatch::start();
        let trace = Trace::new();
        let mut notes = Notes::default();
        let mut latency = None;
        let was_checked = self.kept.is_some() && self.reached.is_some();
        let outcome = if self.revive(&trace, &mut notes).await {
            Ok(())
        } else {
            // Who answers where a connection was lost is another one until it has proved itself.
            let depth = match depth {
                Depth::Cheap if was_checked => Depth::Deep,
                depth => depth,
            };
            let target = self.spec.clone();
            match self.renew(&target, &trace, &mut notes).await {
                Ok((dialled, spec, since)) => {
                    latency = Some(stopwatch.elapsed());
                    self.go_on(depth, dialled, spec, since, &trace, &mut notes)
                        .await
                }
                Err(failure) => Err(failure),
            }
        };
        if let Some(preferred) = notes.preferred.take().filter(|_| outcome.is_err()) {
            (notes.details, notes.signs) = preferred;
        }
        if let SpecKind::Builder(spec) = &self.spec.kind {
            slots::note(spec, &mut notes);
        }
        if outcome.is_err() {
            // It may be ssh_config that has changed.
            self.asked = None;
        }
        if outcome.is_err() && !notes.shown.is_empty() {
            let shown = std::mem::take(&mut notes.shown);
            notes.details.insert("auth_banner".into(), shown.into());
        }
        Report {
            outcome: outcome.map(|()| self.reached.unwrap_or(Stage::Auth)),
            // What Nix takes beyond is not the network's.
            latency: latency.unwrap_or_else(|| stopwatch.elapsed()),
            address: trace.address(),
            elsewhere: notes.elsewhere,
            facts: notes.learned.map(Learned::Builder),
            details: notes.details,
            signs: notes.signs,
            strangers: notes.dialled.then_some(notes.strangers),
        }
    }

    /// Whether the kept connection answers. Its silence proves little (it may have gone stale with a
    /// change of address): half of the time is left for a new one, whose stages tell what is wrong.
    async fn revive(&mut self, trace: &Trace, notes: &mut Notes) -> bool {
        // Taken out: where this check is given up half-way, the connection goes with it.
        let Some(mut kept) = self.kept.take() else {
            return false;
        };
        trace.enter(Stage::Auth);
        if let Some(address) = &kept.address {
            trace.at(address.clone());
        }
        let answers = trace.within(self.context.timeout / 2, kept.link.is_alive());
        if let Some(true) = answers.await {
            notes.details.clone_from(&kept.details);
            notes.signs.clone_from(&kept.signs);
            notes.elsewhere = kept.elsewhere;
            kept.link.rest();
            self.kept = Some(kept);
            return true;
        }
        false
    }

    /// Connects anew and is let in, in what is left of the check's time. Says what it connected to,
    /// and when it began with that ([`Trace::elapsed`]).
    async fn renew<'a>(
        &mut self,
        target: &'a TargetSpec,
        trace: &Trace,
        notes: &mut Notes,
    ) -> Result<(Dialled, &'a BuilderSpec, Duration), Failure> {
        trace.enter(Stage::Resolve);
        let SpecKind::Builder(spec) = &target.kind else {
            return Err(Failure {
                stage: Stage::None,
                reason: Reason::NotConfigured,
                detail: format!("{} is no builder", target.id).into(),
            });
        };
        let spent = trace.elapsed();
        let options = ask(&mut self.asked, spec).await?;
        let since = trace.elapsed();
        let bound = match options.proxy_command {
            // A jump host has a handshake of its own before ours begins.
            Some(_) => self.context.deep_timeout,
            None => self.context.timeout.saturating_sub(spent),
        };
        let mut dial = Dial {
            addresses: &target.addresses,
            spec,
            options: &options,
            lookups: &self.context.lookups,
            trace,
            bound,
        };
        let listener = Listener {
            target: target.id.clone(),
            closed: self.context.closed.clone(),
        };
        let setup = setup::digest(spec, &options);
        notes.details.insert(SSH_SETUP.into(), setup.into());
        session::before(&options.demands, notes)?;
        notes.dialled = true;
        match trace.within(bound, dial.run(listener, notes)).await {
            Some(Ok((link, proxy))) => Ok((Dialled { link, proxy }, spec, since)),
            Some(Err(failure)) => {
                self.last_deep.repeat(notes);
                Err(failure)
            }
            None => {
                self.last_deep.repeat(notes);
                Err(trace.expired())
            }
        }
    }

    /// Does on a new connection what is to be done there, and keeps it where it is to be kept.
    async fn go_on(
        &mut self,
        depth: Depth,
        Dialled { mut link, proxy }: Dialled,
        spec: &BuilderSpec,
        since: Duration,
        trace: &Trace,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        let left = |bound: Duration| bound.saturating_sub(trace.elapsed().saturating_sub(since));
        match depth {
            Depth::Cheap if self.reached.is_some() => self.last_deep.repeat_all(notes),
            Depth::Cheap => self.last_deep.repeat(notes),
            Depth::Deep | Depth::Asked => {
                let bound = left(self.context.deep_timeout);
                let stages = self.last_deep.renew(&link, spec, bound / 2, trace, notes);
                match trace.within(bound, stages).await {
                    Some(Ok(stage)) => self.reached = Some(stage),
                    Some(Err(failure)) => {
                        link.close().await;
                        return Err(failure);
                    }
                    // Nobody listens to a good-bye there.
                    None => return Err(trace.expired()),
                }
            }
        }
        match (self.context.connection, depth) {
            (Connection::Keep, _) => {
                link.rest();
                self.kept = Some(Kept {
                    link,
                    _proxy: proxy,
                    address: trace.address(),
                    elsewhere: notes.elsewhere,
                    details: notes.details.clone(),
                    signs: notes.signs.clone(),
                });
            }
            (Connection::PerCheck, Depth::Cheap) => {
                // An OpenSSH server has more to say once it has let us in: the answer comes after.
                let bound = left(self.context.timeout);
                match trace.within(bound, link.is_alive()).await {
                    Some(true) => link.close().await,
                    Some(false) => {
                        let end = link.ended().await;
                        return Err(Failure {
                            stage: Stage::Auth,
                            reason: end.reason,
                            detail: end.detail,
                        });
                    }
                    None => return Err(trace.expired()),
                }
            }
            (Connection::PerCheck, Depth::Deep | Depth::Asked) => link.close().await,
        }
        Ok(())
    }
}

impl Notes {
    fn note(&mut self, key: &str, value: impl Into<Detail>) {
        self.details.insert(key.into(), value.into());
    }

    /// Begins anew with the next address; `is_told` where what was noted is what would be told if
    /// the builder were at none.
    fn start_next(&mut self, is_told: bool) {
        let noted = (
            std::mem::take(&mut self.details),
            std::mem::take(&mut self.signs),
        );
        if is_told {
            self.preferred = Some(noted);
        }
    }
}

/// Notes what of ssh_config decides: an option, with its value where it has one to be told.
fn note_option(details: &mut Details, option: &str) {
    let keyword = option.split(' ').next().unwrap_or(option);
    details.insert("ssh_config_keyword".into(), keyword.into());
    details.insert("ssh_config_option".into(), option.into());
}
