//! The command line, by whatever name the program is called.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::{CommandFactory, FromArgMatches};

use super::{Cli, NAME, help};

/// The names under which the program is installed too, because people know it by those from elsewhere; the command
/// that each is, and its usage.
pub(super) const OTHER_NAMES: [(&str, &str, &str); 2] = [
    (
        "offload-status",
        "status",
        "offload-status [OPTIONS] [TARGET]",
    ),
    (
        "offload-test-build",
        "test-build",
        "offload-test-build [OPTIONS] [BUILDER]",
    ),
];

/// Reads the command line.
pub(in crate::cli) fn read(mut args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut definition = Cli::command();
    let called = args.first().map(PathBuf::from);
    let called = called
        .as_deref()
        .and_then(Path::file_name)
        .and_then(OsStr::to_str);
    let other = OTHER_NAMES.iter().find(|(name, ..)| called == Some(name));
    let called = other.map_or(NAME, |(name, ..)| name);
    if let Some((name, command, usage)) = other {
        args.insert(1, command.into());
        definition = definition.mut_subcommand(*command, |command| {
            command.display_name(*name).override_usage(*usage)
        });
    }
    let matches = help::spoken(definition).try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?.checked()?;
    Ok(Cli {
        name: called,
        ..cli
    })
}
