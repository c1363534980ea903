//! The command line.

use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};

use crate::connect::Bus;

/// Says whether Nix can use the desktop it hands its builds to, and if not, why and what to do.
#[derive(Debug, Parser)]
#[command(
    name = "offloadctl",
    version,
    after_help = "A TARGET is a name (desktop: its cache and its builder), cache/NAME or builder/NAME.\n\
                  Exit codes: 0 ready or done, 3 not ready, 4 no daemon, 64 usage."
)]
pub(super) struct Cli {
    /// Where the daemon is: system, session, embedded, or a D-Bus address [default: find it]
    #[arg(long, global = true, value_name = "BUS")]
    pub(super) bus: Option<Bus>,

    /// Whether to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(super) color: Color,

    /// Write JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Show everything that is known
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    // Not doc comments: clap would spread them over the help of every command.
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the status page (the default)
    Status,
    /// Check now, and show what came of it
    Check {
        /// Only this one
        target: Option<String>,
    },
    /// Show each change as it happens
    Watch,
    /// Wait until ready
    Wait {
        /// Only for this one
        target: Option<String>,
        /// Give up after so long, as in 90s or 5m
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
    },
    /// Say by the exit code alone whether it is ready
    IsReady {
        /// Only this one
        target: Option<String>,
    },
    /// Show what changed, and when
    History {
        /// Only this one's
        target: Option<String>,
        /// The most entries of each target
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u32).range(1..))]
        max: u32,
    },
    /// Stop checking for a while
    Pause {
        /// For how long, as in 30m or 2h [default: until resumed]
        #[arg(value_parser = pause_duration)]
        duration: Option<Duration>,
    },
    /// Start checking again
    Resume,
}

impl Cli {
    /// What clap's attributes can't say.
    pub(super) fn checked(self) -> Result<Self, clap::Error> {
        if self.json && matches!(self.command, Some(Command::IsReady { .. })) {
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                "is-ready writes nothing: its exit code is the answer",
            ));
        }
        Ok(self)
    }
}

/// On the bus 0 is "until resumed", which nobody means who writes `0s`.
fn pause_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.as_micros() == 0 {
        return Err("a pause takes some time; `offloadctl resume` ends one".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_as_people_write_them() {
        assert_eq!(pause_duration("30m"), Ok(Duration::from_secs(1800)));
        for wrong in ["0s", "30", "soon", ""] {
            pause_duration(wrong).unwrap_err();
        }
    }
}
