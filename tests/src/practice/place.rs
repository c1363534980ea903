//! Where the practice program listens: beside the embedded bus.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::{Error, Result, error::Context};

/// The runtime directory: `$OFFLOADD_RUNTIME_DIR`, else root's `/run/offloadd`, else
/// `$XDG_RUNTIME_DIR/offloadd`, else `/tmp/offloadd-UID`.
pub fn runtime_dir() -> PathBuf {
    choose(
        |name| std::env::var_os(name),
        rustix::process::geteuid().as_raw(),
    )
}

/// The socket that takes words.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("practice")
}

/// Makes the directory where it is not there, and insists that it is one's own.
///
/// # Errors
/// When it belongs to somebody else (who could then send words, or read them).
pub fn prepare(runtime_dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    // Others may look for the bus in it, as they do in /run/offloadd; they may not write.
    builder.recursive(true).mode(0o755);
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

fn choose(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(directory) = set("OFFLOADD_RUNTIME_DIR") {
        return directory;
    }
    if uid == 0 {
        return "/run/offloadd".into();
    }
    match set("XDG_RUNTIME_DIR") {
        Some(directory) => directory.join("offloadd"),
        None => format!("/tmp/offloadd-{uid}").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_directory_is_the_embedded_buss() {
        let none = |_: &str| None;
        let xdg = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/7".into());
        let both = |name: &str| match name {
            "OFFLOADD_RUNTIME_DIR" => Some("/elsewhere".into()),
            other => xdg(other),
        };
        assert_eq!(choose(none, 0), Path::new("/run/offloadd"));
        assert_eq!(choose(xdg, 0), Path::new("/run/offloadd"));
        assert_eq!(choose(xdg, 7), Path::new("/run/user/7/offloadd"));
        assert_eq!(choose(none, 7), Path::new("/tmp/offloadd-7"));
        assert_eq!(choose(both, 0), Path::new("/elsewhere"));
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
