//! Where the log goes: to the journal with its fields under systemd, else to standard error. Whoever
//! does not read holds up nothing: what is lost by that is counted, and told once there is room.

mod entry;
mod native;
mod standard_error;

use std::{env, io::IsTerminal, path::Path};

use rustix::fs::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::SubscriberExt,
    registry,
    reload::{self, Handle},
};

pub(crate) use self::entry::IDENTIFIER;
use self::{native::Journal, standard_error::StandardError};

/// Names the environment variable that sets what is logged: a level, or `target=level` pairs.
pub const LOG_VARIABLE: &str = "OFFLOADD_LOG";

/// The log of this process while it runs, as `org.freedesktop.LogControl1` shows it.
#[derive(Clone, Debug)]
pub struct Log {
    filter: Handle<Targets, Registry>,
    target: LogTarget,
}

/// Where the log goes, in the words of `org.freedesktop.LogControl1(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To standard error.
    Console,
    /// To the journal, with fields.
    Journal,
}

/// A level that is none of syslog's (syslog(3)).
#[derive(Debug, thiserror::Error)]
#[error("log level {0:?} is none of emerg, alert, crit, err, warning, notice, info, debug")]
pub struct NoLevel(String);

/// Starts logging for the process. Later calls change nothing of where it goes.
pub fn start() -> Log {
    let (filter, complaint) = filter(env::var(LOG_VARIABLE).ok().as_deref());
    let (filter, handle) = reload::Layer::new(filter);
    let (output, target) = output();
    let subscriber = registry().with(output.with_filter(filter));
    if tracing::subscriber::set_global_default(subscriber).is_ok()
        && let Some(complaint) = complaint
    {
        tracing::warn!("{complaint}");
    }
    Log {
        filter: handle,
        target,
    }
}

impl Log {
    /// Where it goes.
    pub fn target(&self) -> LogTarget {
        self.target
    }

    /// What is logged at the least, in syslog's word: of a filter with several parts the most talkative.
    pub fn level(&self) -> &'static str {
        let most = |filter: &Targets| filter.iter().map(|(_, level)| level).max();
        let default = |filter: &Targets| filter.default_level();
        let level = self.filter.with_current(|now| most(now).max(default(now)));
        match level.ok().flatten() {
            None | Some(LevelFilter::OFF) => "emerg",
            Some(LevelFilter::ERROR) => "err",
            Some(LevelFilter::WARN) => "warning",
            Some(LevelFilter::INFO) => "info",
            Some(_) => "debug",
        }
    }

    /// Logs `level` (a word of syslog) and what is more urgent, from now on.
    ///
    /// # Errors
    /// There is no such level.
    pub fn set_level(&self, level: &str) -> Result<(), NoLevel> {
        let filter = match level {
            "emerg" | "alert" | "crit" | "err" => LevelFilter::ERROR,
            "warning" => LevelFilter::WARN,
            "notice" | "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            _ => return Err(NoLevel(level.to_owned())),
        };
        // It is gone only where another log was there first, and then there is nothing to set.
        let _ = self.filter.reload(Targets::new().with_default(filter));
        Ok(())
    }
}

impl LogTarget {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Journal => "journal",
        }
    }
}

type Output = Box<dyn Layer<Registry> + Send + Sync>;

fn output() -> (Output, LogTarget) {
    if standard_error_is_the_journal()
        && let Ok(journal) = Journal::new(Path::new(native::SOCKET))
    {
        return (Box::new(journal), LogTarget::Journal);
    }
    let error = StandardError::default();
    let terminal = std::io::stderr().is_terminal();
    let colour = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = tracing_subscriber::fmt::layer()
        .with_writer(move || error.clone())
        .with_ansi(colour)
        .with_target(false)
        .fmt_fields(tracing_subscriber::fmt::format::debug_fn(
            write_message_only,
        ));
    let text: Output = if terminal {
        Box::new(text)
    } else {
        Box::new(text.without_time())
    };
    (text, LogTarget::Console)
}

/// The message carries in words what the fields carry for machines.
fn write_message_only(
    writer: &mut tracing_subscriber::fmt::format::Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn std::fmt::Debug,
) -> std::fmt::Result {
    if field.name() == "message" {
        write!(writer, "{value:?}")
    } else {
        Ok(())
    }
}

/// systemd says in `JOURNAL_STREAM` which file is its stream: `device:inode` (systemd.exec(5)).
fn standard_error_is_the_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn filter(wanted: Option<&str>) -> (Targets, Option<String>) {
    let default = Targets::new().with_default(LevelFilter::INFO);
    match wanted
        .filter(|wanted| !wanted.is_empty())
        .map(str::parse::<Targets>)
    {
        None => (default, None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => {
            let hint = "use error, warn, info, debug, trace or target=level,…";
            (default, Some(format!("{LOG_VARIABLE}: {error}; {hint}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_told_and_the_default_holds() {
        let (filter, complaint) = filter(Some("a=b=c"));
        assert!(filter.would_enable("offloadd", &tracing::Level::INFO));
        assert!(complaint.unwrap().starts_with("OFFLOADD_LOG: "));
    }

    #[test]
    fn a_level_that_is_set_is_read_back_and_another_changes_nothing() {
        let log = start();
        assert_eq!((log.level(), log.target()), ("info", LogTarget::Console));
        for (set, read) in [("debug", "debug"), ("notice", "info"), ("crit", "err")] {
            log.set_level(set).unwrap();
            assert_eq!(log.level(), read);
        }
        let refused = log.set_level("loud").unwrap_err().to_string();
        assert!(
            refused.starts_with("log level \"loud\" is none of emerg"),
            "{refused}"
        );
        assert_eq!(log.level(), "err");
    }

    #[test]
    fn debug_can_be_asked_for() {
        let (filter, complaint) = filter(Some("debug"));
        assert!(filter.would_enable("offloadd", &tracing::Level::DEBUG));
        assert_eq!(complaint, None);
    }
}
