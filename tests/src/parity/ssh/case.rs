//! A case, as its file has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::parity::Case;

/// One builder, and whether ssh gets in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::parity) struct SshCase {
    pub(super) name: String,
    pub(super) differs: Option<String>,
    pub(super) input: Input,
    /// Whether OpenSSH runs the command there.
    pub(super) accept: bool,
    /// With which key.
    pub(super) identity: Option<String>,
    /// Which of the server's host keys it then looks at.
    pub(super) hostkey: Option<String>,
    /// What the daemon must say.
    pub(super) reason: Option<String>,
}

/// Files and options, in which keys are filled in.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(in crate::parity) struct Input {
    /// The builder's URI.
    pub uri: String,
    /// Field 3 of its line.
    pub key: String,
    /// Field 8.
    pub field8: String,
    /// /etc/ssh/ssh_config.
    pub(super) config: String,
    /// root's own.
    pub(super) uconfig: String,
    /// root's known_hosts; a line behind `HASH:` is hashed.
    pub(super) kh: String,
    /// The system's.
    pub(super) gkh: String,
    /// `NIX_SSHOPTS`.
    pub opts: String,
    /// Files in root's .ssh: a key's name, or a text.
    pub(super) home: BTreeMap<String, String>,
    /// Modes there.
    pub(super) home_mode: BTreeMap<String, u32>,
    /// Files among the keys, or anywhere.
    pub(super) files: BTreeMap<String, String>,
}

impl Case for SshCase {
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }
}
