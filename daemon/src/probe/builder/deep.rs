//! What a deep check does once it is let in, and what is remembered of it.
//!
//! A cheap check says again what the last deep one found, so that no widget sees facts come and go with the
//! connections.

use std::time::Duration;

use offload_client::{Printable, Reason, Stage, snapshot::Details};

use super::{
    Notes,
    handshake::{self, Remote},
    link::Link,
    system,
};
use crate::{nix::worker::Trust, probe::Trace, report::Failure, target::BuilderSpec};

/// What deep checks found, which cheap ones say again.
#[derive(Debug, Default)]
pub(super) struct LastDeep {
    /// What the Nix there last said of itself.
    remote: Remote,
    /// What the stages of the last deep check that passed noted.
    details: Details,
    /// As `Signs::scarce`.
    scarce: Option<Printable>,
}

impl LastDeep {
    /// Goes through the deep stages: the last that passed. What takes no answer for an end is given
    /// up after `patience`; silence is the caller's to bound.
    pub(super) async fn renew(
        &mut self,
        link: &Link,
        spec: &BuilderSpec,
        patience: Duration,
        trace: &Trace,
        notes: &mut Notes,
    ) -> Result<Stage, Failure> {
        // Said again at once: this check may be cut short.
        self.repeat(notes);
        let before = notes.details.clone();
        let stage = self.stages(link, spec, patience, trace, notes).await?;
        self.scarce.clone_from(&notes.signs.scarce);
        let fresh = notes.details.iter();
        self.details = fresh
            .filter(|(key, _)| !before.contains_key(*key))
            .map(|(key, detail)| (key.clone(), detail.clone()))
            .collect();
        Ok(stage)
    }

    /// Adds what the last handshake told to what was learned of the builder.
    pub(super) fn repeat(&self, notes: &mut Notes) {
        if let Some(facts) = &mut notes.learned {
            facts.nix_version.clone_from(&self.remote.version);
            facts.trusted = self.remote.trust.as_str().into();
        }
    }

    /// Adds the details of the deep stages as well.
    pub(super) fn repeat_all(&self, notes: &mut Notes) {
        self.repeat(notes);
        notes.details.extend(self.details.clone());
        notes.signs.scarce.clone_from(&self.scarce);
    }

    async fn stages(
        &mut self,
        link: &Link,
        spec: &BuilderSpec,
        patience: Duration,
        trace: &Trace,
        notes: &mut Notes,
    ) -> Result<Stage, Failure> {
        trace.enter(Stage::Handshake);
        match handshake::check(link, spec, patience, notes).await {
            Ok(Some(remote)) => self.remote = remote,
            Ok(None) => {}
            Err(failure) => {
                // What Nix said of itself holds as long as it is only the network that is gone.
                if is_nixs(failure.reason) {
                    self.remote = Remote::default();
                    self.repeat(notes);
                }
                return Err(failure);
            }
        }
        self.repeat(notes);

        trace.enter(Stage::Trust);
        trusts_us(&self.remote)?;

        trace.enter(Stage::System);
        let known = system::check(link, spec, notes).await?;
        Ok(if known { Stage::System } else { Stage::Trust })
    }
}

/// Whether the other side, or what answers in its place, is the cause and not the way to it.
fn is_nixs(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NixMissing
            | Reason::NixDaemonDown
            | Reason::ProfileOutput
            | Reason::NotNix
            | Reason::ProtocolMismatch
    )
}

/// A Nix that does not say passes: a build may well go.
fn trusts_us(remote: &Remote) -> Result<(), Failure> {
    match remote.trust {
        Trust::Yes | Trust::Unknown => Ok(()),
        Trust::No => Err(Failure {
            stage: Stage::Trust,
            reason: Reason::NotTrusted,
            detail: match remote.version.as_str() {
                "" => "Nix there does not trust the user who logs in".into(),
                version => {
                    format!("Nix {version} there does not trust the user who logs in").into()
                }
            },
        }),
    }
}
