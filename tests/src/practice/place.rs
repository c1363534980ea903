//! Where the practice program listens: beside the embedded bus.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use offload_client::embedded;

use crate::{Error, Result, error::Context};

/// The directory of the embedded bus's socket; [`offload_client::embedded`] has the rule.
pub fn runtime_dir() -> PathBuf {
    let bus = embedded::socket_for_server();
    bus.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The socket that takes words.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("practice")
}

/// The directory of the laptop's files.
pub fn laptop(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("laptop")
}

/// Makes the directory where it is not there, and insists that it is one's own.
///
/// # Errors
/// When it belongs to somebody else (who could then send words, or read them).
pub fn prepare(runtime_dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    // As the daemon makes it for its bus.
    builder.recursive(true).mode(0o700);
    builder.create(runtime_dir).context(runtime_dir.display())?;
    let found = fs::symlink_metadata(runtime_dir).context(runtime_dir.display())?;
    let own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if own && found.mode() & 0o022 == 0 {
        Ok(())
    } else {
        let path = runtime_dir.display();
        Err(Error::Unsupported(format!(
            "{path} is not a directory that only you can write: set OFFLOADD_RUNTIME_DIR to one"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn words_go_where_the_bus_is() {
        let directory = runtime_dir();
        assert_eq!(directory.join("bus"), embedded::socket_for_server());
        assert_eq!(socket(&directory), directory.join("practice"));
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("a/b");
        prepare(&inside).unwrap();
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).unwrap();
        prepare(&inside).unwrap_err();
    }
}
