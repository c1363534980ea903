//! The command line of `offloadd`.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
};

use clap::{ArgGroup, CommandFactory, Parser};
use offload_client::language::{self, help};

use crate::{
    config::{Flags, Sources},
    exit,
};

/// Watches the caches and builders this machine's Nix is configured to use, and publishes their
/// health on the bus.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "offloadd", version, group = ArgGroup::new("one_off").args(["check_config", "once"]))]
pub struct Cli {
    /// Configuration file; drop-ins are read from the folder config.d beside it [default:
    /// /etc/offloadd/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Bus to publish on: system, session, embedded, or a D-Bus address
    #[arg(long, value_name = "BUS", default_value = "system")]
    pub bus: BusChoice,

    /// Watch this cache as well, under its host's name (can be given several times)
    #[arg(long = "cache", value_name = "URL")]
    pub caches: Vec<String>,

    /// Watch this builder as well, under its host's name (can be given several times)
    #[arg(long = "builder", value_name = "URI")]
    pub builders: Vec<String>,

    /// Check the configuration, show what holds, where it comes from and what would be watched, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Run one round without any bus, print the status and exit with 0 (all ready) or 3
    #[arg(long)]
    pub once: bool,

    /// With --once: print the JSON of Describe. With --check-config: print that as JSON
    #[arg(long, requires = "one_off")]
    pub json: bool,
}

/// The bus to publish on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BusChoice {
    /// The system's.
    #[default]
    System,
    /// The user's session's.
    Session,
    /// One inside this process.
    Embedded,
    /// The one at this D-Bus address (`unix:path=/run/…`).
    Address(String),
}

/// Why a text is no [`BusChoice`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Neither one of the words nor an address.
    #[error(
        "it is system, session, embedded or a D-Bus address such as unix:path=/run/user/1000/bus"
    )]
    Unknown,
    /// It has the form of an address but is none; zbus says why.
    #[error("not a D-Bus address: {0}")]
    Address(String),
    /// Built without it.
    #[error(
        "this offloadd was built without the embedded bus (feature embedded-bus); use system or session"
    )]
    NoEmbedded,
}

/// What to print instead of running: help, version, or what is wrong with the command line.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Usage {
    error: clap::Error,
    args: Vec<OsString>,
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// The command line is wrong, or asks for help or the version.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let args: Vec<OsString> = args.into_iter().collect();
        Self::try_parse_from(&args).map_err(|error| Usage { error, args })
    }

    /// What the configuration is to be read from. `env` is [`Sources::process_env`], but in tests.
    pub fn sources(&self, env: Vec<(String, String)>) -> Sources {
        Sources {
            file: self.config.clone(),
            env,
            overrides: Flags {
                caches: self.caches.clone(),
                builders: self.builders.clone(),
            },
        }
    }
}

impl Usage {
    /// 0 for help and version, 64 for a mistake.
    pub fn exit_code(&self) -> u8 {
        if self.error.use_stderr() {
            exit::USAGE
        } else {
            exit::OK
        }
    }

    /// Prints it, in the language that the locale asks for: help and version to standard output, a mistake to standard
    /// error.
    ///
    /// # Errors
    /// The stream can't be written to.
    pub fn print(&self) -> io::Result<()> {
        // Only now: a daemon that runs is read by programs and by its journal.
        language::follow(|name| std::env::var(name).ok());
        let spoken = help::spoken(Cli::command()).try_get_matches_from(&self.args);
        let error = spoken.as_ref().err().unwrap_or(&self.error);
        if error.use_stderr() && !language::is_english() {
            return io::stderr().write_all(help::error(error).as_bytes());
        }
        error.print()
    }
}

impl FromStr for BusChoice {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Self, BusError> {
        match text {
            "system" => Ok(Self::System),
            "session" => Ok(Self::Session),
            "embedded" if cfg!(feature = "embedded-bus") => Ok(Self::Embedded),
            "embedded" => Err(BusError::NoEmbedded),
            address if address.contains(':') => match address.parse::<zbus::Address>() {
                Ok(_) => Ok(Self::Address(address.to_owned())),
                Err(error) => Err(BusError::Address(error.to_string())),
            },
            _ => Err(BusError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Cli, Usage> {
        let args = ["offloadd"].iter().chain(args);
        Cli::read(args.map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_has_a_default() {
        let cli = read(&[]).unwrap();
        assert_eq!(cli.bus, BusChoice::System);
        assert_eq!(cli.sources(vec![]), Sources::default());
        assert!(!cli.check_config && !cli.once && !cli.json);
    }

    #[test]
    fn flags_reach_the_configuration() {
        let args = [
            "--config",
            "a.toml",
            "--cache",
            "http://a",
            "--builder",
            "ssh://b",
        ];
        let cli = read(
            &[
                args.as_slice(),
                &["--cache", "http://c", "--bus", "session"],
            ]
            .concat(),
        );
        let cli = cli.unwrap();
        assert_eq!(cli.bus, BusChoice::Session);
        let sources = cli.sources(vec![]);
        assert_eq!(sources.file, Some("a.toml".into()));
        assert_eq!(sources.overrides.caches, ["http://a", "http://c"]);
        assert_eq!(sources.overrides.builders, ["ssh://b"]);
    }

    #[test]
    fn mistakes_exit_with_64_and_say_what_is_wrong() {
        for (args, told) in [
            (&["--json"][..], "--once"),
            (&["--check-config", "--once"], "cannot be used with"),
            (&["--frobnicate"], "--frobnicate"),
            (&["--cahce", "http://a"], "--cache"),
            (&["--config"], "--config"),
            (&["extra"], "extra"),
            (&["--bus", "sytem"], "system, session, embedded"),
            (&["--bus", ""], "--bus"),
            (&["--bus", "nonsense:"], "not a D-Bus address"),
        ] {
            let usage = read(args).unwrap_err();
            assert_eq!(usage.exit_code(), 64, "{args:?}");
            assert!(usage.to_string().contains(told), "{args:?}: {usage}");
        }
    }

    #[test]
    fn help_and_version_are_no_mistakes() {
        for flag in ["--help", "-h", "--version", "-V"] {
            assert_eq!(read(&[flag]).unwrap_err().exit_code(), 0, "{flag}");
        }
        let version = read(&["--version"]).unwrap_err().to_string();
        assert_eq!(
            version.trim(),
            format!("offloadd {}", env!("CARGO_PKG_VERSION"))
        );
    }

    #[test]
    fn a_bus_is_a_word_or_an_address() {
        let address = "unix:path=/run/user/1000/bus";
        assert_eq!(address.parse(), Ok(BusChoice::Address(address.into())));
        assert_eq!("system".parse(), Ok(BusChoice::System));
        assert_eq!("/run/bus".parse::<BusChoice>(), Err(BusError::Unknown));
    }

    #[cfg(feature = "embedded-bus")]
    #[test]
    fn the_embedded_bus_can_be_chosen() {
        assert_eq!("embedded".parse(), Ok(BusChoice::Embedded));
    }

    #[cfg(not(feature = "embedded-bus"))]
    #[test]
    fn without_the_embedded_bus_choosing_it_is_a_clear_mistake() {
        let usage = read(&["--bus", "embedded"]).unwrap_err();
        assert_eq!(usage.exit_code(), 64);
        assert!(
            usage.to_string().contains("built without the embedded bus"),
            "{usage}"
        );
    }
}
