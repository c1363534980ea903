//! offloadd's own configuration.
//!
//! Defaults, then `config.toml`, then `config.d/*.toml`, then `OFFLOADD_…`, then flags; entries of
//! `[[cache]]` and `[[builder]]` with the same name are one entry, field by field. On the way there
//! are three types: a raw `raw::Fragment` of each source, `merge::Merged` of all of them, and the
//! validated [`Settings`] that the rest of the daemon reads. What may be written at all is the table
//! `keys`.

mod env;
mod error;
mod example;
mod files;
mod flags;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod keys;
mod merge;
mod nearest;
mod raw;
mod report;
mod settings;
mod shape;
#[cfg(test)]
mod tests;
mod toml;
mod validate;
mod values;

use std::path::{Path, PathBuf};

pub use error::{ConfigErrors, Location, Problem};
pub use example::{INTRODUCTION, example};
pub use files::{DEFAULT_FILE, Files};
pub use flags::Flags;
pub use keys::{Key, SECTIONS, Section};
pub use report::{Held, Report};
pub use settings::{
    BuilderEntry, Builds, CacheEntry, Connection, Discover, Metrics, NixImport, Poll, Settings,
    Steer, Wake,
};
pub use values::exclude::exclude_matches;

use error::Problems;

/// What the configuration is read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// `--config FILE`; [`DEFAULT_FILE`] where it is not given, and that may be missing.
    pub file: Option<PathBuf>,
    /// The environment: what does not begin with `OFFLOADD_` is ignored, but for
    /// `CREDENTIALS_DIRECTORY`.
    pub env: Vec<(String, String)>,
    /// The command line.
    pub overrides: Flags,
}

impl Sources {
    /// The environment of this process, as far as it concerns the configuration. What is not UTF-8
    /// keeps replacement characters, and [`load`] refuses it.
    pub fn process_env() -> Vec<(String, String)> {
        std::env::vars_os()
            .map(|(variable, value)| {
                let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
                (text(variable), text(value))
            })
            .filter(|(variable, _)| variable.starts_with(env::PREFIX) || variable == CREDENTIALS)
            .collect()
    }

    /// The files that a change of the configuration may concern, whether they exist or not: a last part that begins with
    /// `*` stands for all whose names end so.
    pub fn to_watch(&self) -> Vec<PathBuf> {
        Files::to_watch(self.main_file())
    }

    fn main_file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }
}

/// Reads and validates the configuration.
///
/// # Errors
/// All that is wrong with it. Nothing is clamped or ignored.
pub fn load(sources: &Sources) -> Result<Settings, ConfigErrors> {
    read(sources).map(|(settings, _)| settings)
}

/// As [`load`], with each value that holds and where it came from.
///
/// # Errors
/// As [`load`].
pub fn describe(sources: &Sources) -> Result<(Settings, Report), ConfigErrors> {
    let (settings, merged) = read(sources)?;
    let report = report::report(&settings, &merged);
    Ok((settings, report))
}

/// Where systemd puts the credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

fn read(sources: &Sources) -> Result<(Settings, merge::Merged), ConfigErrors> {
    let mut problems = Problems::default();
    let file = sources.main_file();
    let (fragments, read) = files::read(file, sources.file.is_some(), &mut problems);
    let names = |section: &str| {
        let orders = fragments
            .iter()
            .filter_map(|fragment| fragment.order.get(section));
        orders.flatten().map(String::as_str).collect()
    };
    let env = env::read(&sources.env, names, &mut problems);
    let flags = flags::read(&sources.overrides, &mut problems);
    let mut all = vec![merge::defaults()];
    all.extend(fragments);
    all.extend([env, flags]);
    let merged = match merge::merge(&all) {
        Ok(merged) => merged,
        // `shape` lets nothing through that does not merge.
        Err(error) => {
            let place = Location::File(file.to_owned(), None);
            problems.source(place, error.kind.to_string());
            return Err(problems.into_errors(file, sources.file.is_some()));
        }
    };
    let files = Files { read };
    let credentials = sources
        .env
        .iter()
        .find(|(variable, _)| variable == CREDENTIALS);
    let credentials = credentials.map(|(_, folder)| folder.as_str());
    let settings = validate::validate(&merged, files, credentials, &mut problems);
    if problems.is_empty() {
        Ok((settings, merged))
    } else {
        Err(problems.into_errors(file, sources.file.is_some()))
    }
}
