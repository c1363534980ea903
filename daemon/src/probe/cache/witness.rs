//! Nix as the second witness: what this machine's nix-daemon says of a cache that passes.

use std::time::Duration;

use offload_client::{Reason, Stage};

use super::{Deep, Session, remembered};
use crate::{
    clock::Now,
    health::Depth,
    nix::{
        narinfo::StorePath,
        witness::{self, Testimony},
    },
    probe::{NixDaemon, Trace},
    report::Failure,
    target::CacheSpec,
};

/// How long what Nix has said is taken for its word of now, where nobody asks.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So long Nix is waited for: it tries four times more what fails at once, for four seconds or five.
const PATIENCE: Duration = Duration::from_secs(6);

/// What Nix has said.
#[derive(Clone, Debug)]
pub(super) struct Witnessed {
    /// Who said it.
    by: NixDaemon,
    /// When, on the clock that goes on during suspend.
    at: Duration,
    /// What; silence is nobody's fault.
    testimony: Option<Testimony>,
}

impl Session {
    /// Asks nix-daemon whether it gets to the cache, of which this process' own check has passed: when it has not been
    /// asked yet, when another one runs than then, a day later, and where somebody asks. What it denies it is asked again
    /// at each deep check.
    ///
    /// # Errors
    /// [`Reason::NixDeclines`], with Nix's own words.
    pub(super) async fn witness(
        &mut self,
        cache: &CacheSpec,
        deep: &Deep,
        depth: Depth,
    ) -> Result<(), Failure> {
        let daemon = self.context.nix_daemon.borrow().clone();
        let (Some(daemon), Some(url)) = (daemon, &cache.substituter) else {
            return Ok(());
        };
        let now = Now::read().boot;
        let is_known = self.witnessed.as_ref().is_some_and(|last| {
            let denies = matches!(last.testimony, Some(Testimony::Lacks | Testimony::Fails(_)));
            last.by == daemon && now.saturating_sub(last.at) < DAY && !denies
        });
        // Where it is not where Nix goes, that is the reason.
        if self.elsewhere || is_known && depth != Depth::Asked {
            return Ok(());
        }
        let sample = self
            .sample
            .as_deref()
            .filter(|_| deep.stage == Stage::Signature);
        // Whom Nix does not trust it answers from what it remembers.
        let is_missed = sample.and_then(|path| {
            let path = StorePath::parse(path, &cache.store_dir).ok()?;
            remembered::is_missed(cache, path.hash())
        });
        let last = self.witnessed.take().and_then(|last| last.testimony);
        let testimony = match (sample, last) {
            // Of what it does not ask for again this still is its word.
            (Some(_), Some(Testimony::Lacks)) if is_missed == Some(true) => Some(Testimony::Lacks),
            (sample, _) => {
                let path = sample.filter(|_| is_missed == Some(false));
                let trace = Trace::new();
                let asked = witness::ask(&daemon.socket, url, &cache.store_dir, path);
                trace.within(PATIENCE, asked).await.flatten()
            }
        };
        self.witnessed = Some(Witnessed {
            by: daemon,
            at: now,
            testimony: testimony.clone(),
        });
        let said = match testimony {
            Some(Testimony::Fails(said)) => said,
            Some(Testimony::Lacks) => {
                format!("it does not find {} there", sample.unwrap_or("the path"))
            }
            Some(Testimony::Reaches) | None => return Ok(()),
        };
        Err(Failure {
            stage: Stage::Signature,
            reason: Reason::NixDeclines,
            detail: said.into(),
        })
    }
}
