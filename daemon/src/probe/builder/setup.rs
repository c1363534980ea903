//! What ssh goes by for a builder, as a digest: with another the builder is to prove itself anew.

use std::os::unix::fs::MetadataExt;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use crate::{nix::ssh_config::SshOptions, target::BuilderSpec};

/// Of ssh's answer, and of which keys lie where it looks.
pub(super) fn digest(spec: &BuilderSpec, options: &SshOptions) -> String {
    let mut digest = Context::new(&SHA256);
    digest.update(format!("{options:?}").as_bytes());
    for key in spec.ssh_key.iter().chain(&options.identity_files) {
        // What may not be looked at is root's, and told by ssh's answer alone.
        if let Ok(found) = key.metadata() {
            let found = (found.ino(), found.len(), found.mtime(), found.mtime_nsec());
            digest.update(format!("{found:?}").as_bytes());
        }
    }
    let digest = digest.finish();
    HEXLOWER.encode(digest.as_ref().get(..8).unwrap_or_default())
}
