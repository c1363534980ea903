//! What ssh_config says of a builder.

use std::{sync::Arc, time::Duration};

use offload_client::{Printable, Reason, Stage};

use super::MAX_DETAIL;
use crate::{
    clock::Stopwatch,
    nix::ssh_config::{self, SshConfigError, SshOptions},
    probe::fault::reason_of_start,
    report::Failure,
    target::{BuilderSpec, HostKeyRule},
};

/// How long ssh_config's answer holds while all is well.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// What ssh_config said, and when.
pub(super) struct Asked {
    pub(super) options: Arc<SshOptions>,
    pub(super) at: Stopwatch,
}

/// What ssh_config says of the builder, as far as possible from memory.
pub(super) async fn ask(
    asked: &mut Option<Asked>,
    spec: &BuilderSpec,
) -> Result<Arc<SshOptions>, Failure> {
    if let Some(asked) = asked
        .as_ref()
        .filter(|asked| asked.at.elapsed() < ASK_AGAIN_AFTER)
    {
        return Ok(asked.options.clone());
    }
    let (user, key) = (spec.user.as_deref(), spec.ssh_key.as_deref());
    let has_host_key = matches!(spec.host_keys, HostKeyRule::Written(_));
    let (given, store) = (&spec.ssh_options, spec.store());
    let options = ssh_config::ask(given, store, &spec.host, user, spec.port, key, has_host_key)
        .await
        .map_err(|error| Failure {
            stage: Stage::Resolve,
            reason: match &error {
                SshConfigError::Io(error) => reason_of_start(error, Reason::SshConfigUnsupported),
                // Without a command, and it is only asked for its answer.
                SshConfigError::Refused(why) if why.contains("fork into background") => {
                    Reason::SshConfigUnsupported
                }
                SshConfigError::BadName(_)
                | SshConfigError::UnclosedQuote
                | SshConfigError::Refused(_)
                | SshConfigError::UnknownToken { .. } => Reason::SshConfigPrevents,
                SshConfigError::NotAsked(_)
                | SshConfigError::TimedOut(_)
                | SshConfigError::Unreadable
                | SshConfigError::JumpNotVisible(_)
                | SshConfigError::BadJump(_) => Reason::SshConfigUnsupported,
            },
            detail: Printable::excerpt(error.to_string().as_bytes(), MAX_DETAIL),
        })?;
    let options = Arc::new(options);
    *asked = Some(Asked {
        options: options.clone(),
        at: Stopwatch::start(),
    });
    Ok(options)
}
