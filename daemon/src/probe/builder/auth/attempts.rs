//! What was offered to a server that lets nobody in, and what that amounts to.

use std::path::{Path, PathBuf};

use offload_client::{Reason, snapshot::Details};
use russh::{MethodSet, keys::Algorithm};

use super::super::{link::End, note_option};
use crate::{
    helper::{Agent, wire::Offered},
    nix::ssh_config::SshOptions,
};

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Fingerprints of the keys that were offered.
    pub(super) tried: Vec<String>,
    /// `path: cause` of the keys that could not be.
    pub(super) unusable: Vec<String>,
    /// Whether the machine entry's own key is among those.
    pub(super) entry_unusable: bool,
    /// The paths of those that only root may read.
    pub(super) not_visible: Vec<String>,
    /// What the helper has said of root's keys, once it was asked.
    pub(super) roots: Option<Vec<Offered>>,
    /// `path: cause` of the keys that ssh_config keeps ssh from offering.
    pub(super) barred: Vec<String>,
    /// What the server demands after it accepted a key.
    pub(super) demanded: Option<MethodSet>,
    /// Whether an ssh-agent may have more, which nobody here asks.
    pub(super) has_agent: bool,
}

impl Attempts {
    /// The verdict where the server did not let us in.
    pub(super) fn rejected(self, options: &SshOptions, details: &mut Details) -> End {
        let user = &options.user;
        let (reason, detail) = if let Some(demanded) = self.demanded {
            let words = words(&demanded);
            details.insert("demanded".into(), words.as_str().into());
            (
                Reason::AuthRejected,
                format!("user {user}: a key is accepted, but the server demands {words} as well"),
            )
        } else if !self.not_visible.is_empty() {
            let files = self.not_visible.join(", ");
            details.insert("keys_not_visible".into(), self.not_visible.into());
            (
                Reason::NotVisible,
                format!("user {user}: only root may read {files}"),
            )
        } else if self.has_agent {
            note_option(details, "identityagent");
            let why = "none of the files lets in, and an ssh-agent may have a key that does";
            (Reason::SshConfigUnsupported, format!("user {user}: {why}"))
        } else if self.tried.is_empty() && !self.barred.is_empty() {
            note_option(details, "pubkeyacceptedalgorithms");
            (Reason::SshConfigPrevents, self.barred.join("; "))
        } else if self.entry_unusable || self.tried.is_empty() {
            let why = if self.unusable.is_empty() {
                format!("none of the keys exists: {}", list(&options.identity_files))
            } else {
                self.unusable.join("; ")
            };
            (Reason::KeyUnreadable, why)
        } else {
            let keys = self.tried.join(", ");
            (
                Reason::AuthRejected,
                format!("user {user}: the server does not accept {keys}"),
            )
        };
        let detail = detail.into();
        End { reason, detail }
    }

    /// What root's ssh would offer, as the helper says; nothing where it does not.
    pub(super) async fn ask_roots(&mut self, agent: &Agent) -> &[Offered] {
        if self.roots.is_none() {
            let roots = agent.identities().await;
            let roots = roots.inspect_err(|error| tracing::debug!(%error, "offload-helper"));
            self.roots = Some(roots.unwrap_or_default());
        }
        self.roots.as_deref().unwrap_or_default()
    }

    pub(super) fn unusable(&mut self, file: &Path, is_entry: bool, why: &str) {
        self.unusable.push(format!("{}: {why}", file.display()));
        self.entry_unusable |= is_entry;
    }

    pub(super) fn barred(&mut self, file: &Path, algorithm: &Algorithm) {
        let file = file.display();
        self.barred.push(format!(
            "{file}: pubkeyacceptedalgorithms leaves out {algorithm}"
        ));
    }
}

pub(super) fn words(methods: &MethodSet) -> String {
    let words: Vec<String> = methods.iter().map(String::from).collect();
    words.join(", ")
}

fn list(files: &[PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(", ")
}
