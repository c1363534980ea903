//! The Debian package of this tree, as `make deb` makes it.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    Error, Result,
    error::Context,
    eventually,
    process::{run_command, system_program},
};

/// What goes into the package, relative to the repository.
const SOURCES: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "client/Cargo.toml",
    "client/man",
    "client/src",
    "daemon/Cargo.toml",
    "daemon/build.rs",
    "daemon/man",
    "daemon/src",
    "dbus",
    "systemd",
];
/// Somebody else makes it: a release build takes minutes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// `offloadd_VERSION-REVISION_ARCH.deb`, made now where there is none or where a source is newer. It has the
/// release programs: what is tested is what users get.
///
/// # Errors
/// [`Error::Unsupported`] where cargo-deb or dpkg is missing; otherwise what `make deb` said.
pub async fn package(revision: u32) -> Result<PathBuf> {
    let tools = tools()?;
    let directory = root().join("target/debian");
    fs::create_dir_all(&directory).context(directory.display())?;
    let lock = File::create(directory.join("lock")).context(directory.display())?;
    eventually(PATIENCE, "the package is made", async || {
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()
    })
    .await?;
    let sources = newest(SOURCES.iter().map(|source| root().join(source)))?;
    if let Some((package, made)) = find(&directory, revision)?
        && made > sources
    {
        return Ok(package);
    }
    let mut make = Command::new(system_program("make", "make")?);
    make.current_dir(root())
        .env("PATH", tools)
        .args(["deb", &format!("DEB_REVISION={revision}")]);
    // cargo tells a test of its own package: build scripts that look there would run again, and so would all
    // that comes after them.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "NEXTEST"]
            .iter()
            .any(|its| text.starts_with(its))
        {
            make.env_remove(&name);
        }
    }
    run_command(&mut make)?;
    let made = find(&directory, revision)?;
    made.map(|(package, _)| package).ok_or(Error::Program {
        program: "make deb".into(),
        output: format!("nothing in {}", directory.display()),
    })
}

/// The repository.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A `PATH` that leads to cargo-deb.
fn tools() -> Result<std::ffi::OsString> {
    system_program("dpkg-deb", "dpkg")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let own = root().join("target/tools/bin");
    let places: Vec<_> = [own].into_iter().chain(env::split_paths(&path)).collect();
    if places.iter().any(|place| place.join("cargo-deb").is_file()) {
        env::join_paths(places).map_err(|error| Error::Unsupported(format!("PATH: {error}")))
    } else {
        Err(Error::Unsupported(
            "no Debian package: `make deb` says how to install cargo-deb".into(),
        ))
    }
}

fn find(directory: &Path, revision: u32) -> Result<Option<(PathBuf, SystemTime)>> {
    let start = format!("offloadd_{}-{revision}_", env!("CARGO_PKG_VERSION"));
    for entry in fs::read_dir(directory).context(directory.display())? {
        let entry = entry.context(directory.display())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&start) && name.ends_with(".deb") {
            let made = entry.metadata().and_then(|found| found.modified());
            return Ok(Some((entry.path(), made.context(&name)?)));
        }
    }
    Ok(None)
}

/// The newest change among `paths` and all that is below them. One that is not there counts for nothing.
fn newest(paths: impl IntoIterator<Item = PathBuf>) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in paths.into_iter().filter(|path| path.exists()) {
        let metadata = path.metadata().context(path.display())?;
        newest = newest.max(metadata.modified().context(path.display())?);
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).context(path.display())?;
            let below: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            newest = newest.max(self::newest(below)?);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_there() {
        for source in SOURCES {
            assert!(root().join(source).exists(), "{source}");
        }
    }

    #[test]
    fn a_change_deep_below_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let file = File::create(deep.join("c")).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(8_000_000_000);
        file.set_modified(then).unwrap();
        assert_eq!(newest([directory.path().to_owned()]).unwrap(), then);
    }
}
