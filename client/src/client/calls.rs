//! What may be asked of the daemon, typed.

use std::{collections::HashMap, time::Duration};

use zbus::proxy::CacheProperties;

use super::{CALL, Client, ClientError, within};
use crate::{
    Kind, OverallState, Reason, Snapshot, TargetState,
    explain::{Explanation, Question},
    job::{self, Job},
    names,
    proxy::{CacheProxy, ManagerProxy, TargetProxy},
    snapshot::{HistoryEntry, Target},
    words::words,
};

words! {
    /// What becomes of a desktop that is to be woken.
    pub enum Waking {
        /// Something that this reader does not know.
        Unknown = "unknown",
        /// It has been sent a magic packet.
        Sent = "waking",
        /// It is awake: nothing was sent.
        Awake = "awake",
        /// Nobody wants it to be woken on demand: nothing was sent.
        NotWanted = "not-wanted",
    }
}

/// The answer to who would have a desktop woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// What was done.
    pub waking: Waking,
    /// For how long whoever would use it is to wait for it.
    pub wait: Duration,
}

/// All of these fail with a [`ClientError`]: the daemon's own are [`crate::errors::BusError`]'s. What polkit decides
/// about may ask the user for a password, and take as long as that.
impl Client {
    /// Checks every target now; what they amount to then.
    ///
    /// # Errors
    /// It was asked only just now.
    pub async fn check(&self) -> Result<OverallState, ClientError> {
        let state = async { Ok(self.manager().await?.check().await?) };
        Ok(OverallState::from_word(&within(CALL, state).await?))
    }

    /// Checks one target now; its state then.
    ///
    /// # Errors
    /// It was asked only just now, or is not watched any more.
    pub async fn check_target(&self, target: &Target) -> Result<TargetState, ClientError> {
        let state = async { Ok(self.target(target).await?.check().await?) };
        Ok(TargetState::from_word(&within(CALL, state).await?))
    }

    /// Stops all checks for so long, or until [`Self::resume`]. polkit's to allow.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn pause(&self, duration: Option<Duration>) -> Result<(), ClientError> {
        // 0 on the bus: for good.
        let usec = duration.map_or(0, microseconds);
        let done = async { Ok(self.manager().await?.pause(usec).await?) };
        within(CALL, done).await
    }

    /// Ends a pause. polkit's to allow.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn resume(&self) -> Result<(), ClientError> {
        let done = async { Ok(self.manager().await?.resume().await?) };
        within(CALL, done).await
    }

    /// Looks on the local network for every target that is at none of its addresses, which may take half a minute. What
    /// is known then, and the [paths](Target::path) of those that were found. polkit's to allow.
    ///
    /// # Errors
    /// It was asked only just now, or may not.
    pub async fn discover(&self) -> Result<(Snapshot, Vec<String>), ClientError> {
        let found = async { Ok(self.manager().await?.discover().await?) };
        let found = within(CALL, found).await?;
        let paths = found.iter().map(|path| path.as_str().to_owned());
        Ok((self.snapshot().await?, paths.collect()))
    }

    /// Sends the desktop that `target` is on a magic packet. polkit's to allow.
    ///
    /// # Errors
    /// Its hardware address is not known, or the caller may not.
    pub async fn wake(&self, target: &Target) -> Result<Woken, ClientError> {
        let woken = async { Ok(self.target(target).await?.wake(HashMap::new()).await?) };
        let (waking, wait) = within(CALL, woken).await?;
        Ok(Woken {
            waking: Waking::from_word(&waking),
            wait: Duration::from_micros(wait),
        })
    }

    /// The last changes of a target, the newest first, at most `max`.
    ///
    /// # Errors
    /// It is not watched any more.
    pub async fn history(
        &self,
        target: &Target,
        max: u32,
    ) -> Result<Vec<HistoryEntry>, ClientError> {
        let told = async { Ok(self.target(target).await?.get_history(max).await?) };
        let entries = within(CALL, told).await?.into_iter();
        let entry =
            |(timestamp, state, reason, latency_usec): (u64, String, String, u64)| HistoryEntry {
                timestamp,
                state: TargetState::from_word(&state),
                reason: Reason::from_word(&reason),
                latency_usec,
            };
        Ok(entries.map(entry).collect())
    }

    /// Has Nix ask a cache again for what it lacked: how many paths. polkit's to allow.
    ///
    /// # Errors
    /// It is no cache, or the caller may not.
    pub async fn forget_misses(&self, cache: &Target) -> Result<u64, ClientError> {
        let forgotten = async {
            let proxy = CacheProxy::builder(&self.connection().await?)
                .path(cache.path())
                .cache_properties(CacheProperties::No)
                .build();
            Ok(proxy.await?.forget_misses().await?)
        };
        within(CALL, forgotten).await
    }

    /// Starts a test build on a builder, and follows it; `limit` may cut it short. polkit's to allow.
    ///
    /// # Errors
    /// One is running there already, or the caller may not.
    pub async fn test_build(
        &self,
        builder: &Target,
        limit: Option<Duration>,
    ) -> Result<Job, ClientError> {
        let path = names::target_path(Kind::Builder, &builder.name);
        let job = async {
            let connection = self.connection().await?;
            Ok(job::test_build(&connection, &path, limit.map(microseconds)).await?)
        };
        within(CALL, job).await
    }

    /// Where Nix would send a build, and why not elsewhere.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain(&self, question: &Question) -> Result<Explanation, ClientError> {
        Ok(serde_json::from_str(&self.explain_json(question).await?)?)
    }

    /// The same as JSON, words of newer daemons included.
    pub(crate) async fn explain_json(&self, question: &Question) -> Result<String, ClientError> {
        let Question {
            system,
            features,
            prefer_local_build,
        } = question;
        let features: Vec<&str> = features.iter().map(String::as_str).collect();
        let option = (
            "prefer-local-build".to_owned(),
            (*prefer_local_build).into(),
        );
        let told = async {
            let manager = self.manager().await?;
            let options = HashMap::from([option]);
            Ok(manager.explain(system, &features, options).await?)
        };
        within(CALL, told).await
    }

    async fn manager(&self) -> Result<ManagerProxy<'static>, ClientError> {
        let proxy = ManagerProxy::builder(&self.connection().await?)
            .cache_properties(CacheProperties::No)
            .build();
        Ok(proxy.await?)
    }

    async fn target(&self, target: &Target) -> Result<TargetProxy<'static>, ClientError> {
        let proxy = TargetProxy::builder(&self.connection().await?)
            .path(target.path())
            .cache_properties(CacheProperties::No)
            .build();
        Ok(proxy.await?)
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
