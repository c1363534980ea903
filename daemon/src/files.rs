//! The one way to the files that root's Nix and ssh read, whoever this process is.
//!
//! The helper is asked without turning to others meanwhile: a configuration is read in one go, a dozen files that
//! name each other, and it is silent for no more than a second. ssh, which may take its time, is waited for as
//! everything is.

use std::{
    fs::File,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{
    credential, file,
    helper::{Agent, Helper},
};

/// Opens what root's Nix and ssh read.
pub trait Files {
    /// Opens the file at `path`, without waiting for anybody.
    ///
    /// # Errors
    /// What the system says; `PermissionDenied` where only root may read it, which says nothing of what is there.
    fn open(&self, path: &Path) -> io::Result<File>;

    /// Whether root's home is among what can be read: what is not found there then is not there.
    fn has_roots_home(&self) -> bool;

    /// Reads a file whole.
    ///
    /// # Errors
    /// As [`Files::open`]; `FileTooLarge` beyond `most` bytes.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        file::contents(self.open(path)?, most)
    }
}

/// What this process may read itself, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

impl Files for Direct {
    fn open(&self, path: &Path) -> io::Result<File> {
        file::open(path)
    }

    fn has_roots_home(&self) -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// What this process may read itself, else what systemd hands over in its place as a credential, else what
/// `offload-helper` opens.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    credentials: Option<PathBuf>,
    helper: Option<Helper>,
    store: String,
}

impl Reachable {
    /// Of this process: what Nix reads, and what ssh reads whatever it connects to.
    pub fn by_this_process() -> Self {
        Self::for_store("")
    }

    /// The same, and what ssh reads for the builder with this URI in the list of builders.
    pub fn for_store(store: &str) -> Self {
        Self {
            credentials: credential::directory(),
            helper: Helper::of_this_machine(),
            store: store.to_owned(),
        }
    }
}

impl Reachable {
    /// Only what this process may read itself, or has as a credential: what it can name to others.
    pub(crate) fn without_helper(credentials: Option<&Path>) -> Self {
        Self {
            credentials: credentials.map(Path::to_owned),
            ..Self::default()
        }
    }

    /// The URI of that builder in Nix's list; empty where there is none.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    /// Root's keys for that builder; `None` where there is no helper, or Nix does not have the builder.
    pub(crate) fn agent(&self) -> Option<Agent> {
        let helper = self.helper.clone().filter(|_| !self.store.is_empty())?;
        let store = self.store.clone();
        Some(Agent { helper, store })
    }
}

impl Files for Reachable {
    fn open(&self, path: &Path) -> io::Result<File> {
        let error = match file::open(path) {
            Err(error) if credential::is_out_of_reach(&error) => error,
            opened => return opened,
        };
        let own = self.credentials.as_deref();
        let handed_over = own.and_then(|own| credential::instead_of(path, own));
        if let Some(Ok(file)) = handed_over.map(|path| file::open(&path)) {
            return Ok(file);
        }
        match &self.helper {
            Some(helper) if error.kind() == ErrorKind::PermissionDenied => {
                helper
                    .open(path, &self.store)
                    .map_err(|why| match why.kind() {
                        ErrorKind::NotFound => why,
                        // What keeps the helper from it need not keep root's programs from it.
                        _ => {
                            tracing::debug!(path = %path.display(), %why, "offload-helper");
                            error
                        }
                    })
            }
            _ => Err(error),
        }
    }

    fn has_roots_home(&self) -> bool {
        self.helper.is_some() || Direct.has_roots_home()
    }
}

/// What a test says instead.
#[cfg(test)]
pub(crate) struct Fake<F>(pub(crate) F);

#[cfg(test)]
impl<F: Fn(&Path) -> io::Result<File>> Files for Fake<F> {
    fn open(&self, path: &Path) -> io::Result<File> {
        self.0(path)
    }

    fn has_roots_home(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_out_of_reach_is_read_from_the_credential_that_stands_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = Path::new("/root/.ssh/none/known_hosts");
        let with = |credentials| Reachable {
            credentials,
            ..Reachable::default()
        };
        let own = with(Some(directory.path().to_owned()));
        let read = |files: &Reachable| files.read(path, 100).map_err(|error| error.kind());
        assert_eq!(read(&own), Err(ErrorKind::NotFound));
        let credential = directory.path().join("root-.ssh-none-known_hosts");
        fs::write(credential, "desktop").unwrap();
        assert_eq!(read(&own), Ok(b"desktop".to_vec()));
        assert_eq!(read(&with(None)), Err(ErrorKind::NotFound));
        let folder = own.open(directory.path()).unwrap_err();
        assert_eq!(folder.kind(), ErrorKind::IsADirectory);
    }
}
