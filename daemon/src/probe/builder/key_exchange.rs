//! Who answers: the identification and the key exchange. Nothing more is sent before the host key
//! was proved, and to somebody else nothing more ever.

use std::sync::Arc;

use offload_client::{Printable, Reason, Stage};

use super::{
    DETAIL_MISPLACED, Notes,
    banner::{self, BannerError},
    host_key::HostKeys,
    link::{Link, Listener, OpenError},
    note_option,
    stream::Duplex,
};
use crate::{
    probe::Trace,
    reason::{Who, traits},
    report::{Failure, Stranger},
};

/// Whoever answered did not prove to be the builder.
#[derive(Debug)]
pub(super) struct Unidentified {
    /// How that showed.
    pub failure: Failure,
    /// What it showed of itself.
    shown: Printable,
}

/// Exchanges identification and keys over `stream`. What is learned is noted even where it fails.
pub(super) async fn exchange_keys(
    mut stream: Box<dyn Duplex>,
    host_keys: &Arc<HostKeys>,
    listener: Listener,
    trace: &Trace,
    notes: &mut Notes,
) -> Result<Link, Unidentified> {
    let banner = banner::exchange(&mut stream)
        .await
        .map_err(|error| Unidentified::without_banner(error, trace.stage()))?;
    let identification = Printable::excerpt(banner.identification.as_bytes(), super::MAX_DETAIL);
    notes.note("server_identification", identification);
    trace.enter(Stage::HostKey);
    Link::open(stream, banner, host_keys.clone(), listener)
        .await
        .map_err(|error| Unidentified::refused(error, notes))
}

impl Unidentified {
    /// As a stranger at `address`, where it is certain that it is one: not where no host key is known
    /// to us, nor where the connection broke off.
    pub(super) fn stranger(&self, address: String, host_keys: &HostKeys) -> Option<Stranger> {
        let is_certain = match self.failure.reason {
            Reason::HostKeyUnknown => host_keys.can_prove(),
            reason => traits(reason).who == Who::Another,
        };
        is_certain.then(|| Stranger {
            address: address.into(),
            reason: self.failure.reason,
            expected: host_keys.expected().join(", ").into(),
            actual: self.shown.clone(),
        })
    }

    /// It took the connection and did not come further than `stage` in the time it was given.
    pub(super) fn mute(stage: Stage) -> Self {
        Self {
            failure: Failure {
                stage,
                reason: Reason::TimedOut,
                detail: "no answer in time".into(),
            },
            shown: Printable::default(),
        }
    }

    /// `stage` is the one to blame where not a byte came.
    fn without_banner(error: BannerError, stage: Stage) -> Self {
        let stage = match &error {
            BannerError::Closed(_) => stage,
            _ => Stage::Banner,
        };
        let failure = Failure {
            stage,
            reason: error.reason(),
            detail: error.to_string().into(),
        };
        let shown = match error {
            BannerError::NotSsh(words) | BannerError::Unusable(words) => words,
            BannerError::Closed(_) | BannerError::TurnedAway(..) | BannerError::Lost(_) => {
                Printable::default()
            }
        };
        Self { failure, shown }
    }

    /// The key exchange failed; of a host key that is refused, both sides are noted.
    fn refused(error: OpenError, notes: &mut Notes) -> Self {
        let stage = Stage::HostKey;
        match error {
            OpenError::End(end) => Self {
                failure: Failure {
                    stage,
                    reason: end.reason,
                    detail: end.detail,
                },
                shown: Printable::default(),
            },
            OpenError::HostKey(refusal) => {
                if let Some(option) = refusal.option {
                    note_option(&mut notes.details, option);
                }
                notes.note("host_key_presented", refusal.presented.as_str());
                if !refusal.expected.is_empty() {
                    let expected = refusal.expected.clone();
                    notes.note("host_key_expected", expected);
                }
                if !refusal.unreadable.is_empty() {
                    let unreadable = refusal.unreadable.clone();
                    notes.note("known_hosts_unreadable", unreadable);
                }
                if refusal.is_misplaced {
                    notes.note(DETAIL_MISPLACED, "host key");
                }
                Self {
                    failure: Failure {
                        stage,
                        reason: refusal.reason,
                        detail: refusal.to_string().into(),
                    },
                    shown: refusal.presented.into(),
                }
            }
        }
    }
}
