//! Where the log goes: to the journal with its fields under systemd, else to standard error. Whoever
//! does not read holds up nothing: what is lost by that is counted, and told once there is room.

mod entry;
mod native;
mod standard_error;

use std::{env, io::IsTerminal, path::Path};

use rustix::fs::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, Registry, filter::Targets, layer::SubscriberExt, registry};

use self::{native::Journal, standard_error::StandardError};

/// Names the environment variable that sets what is logged: a level, or `target=level` pairs.
pub const LOG_VARIABLE: &str = "OFFLOADD_LOG";

/// Starts logging for the process. Later calls change nothing.
pub fn start_logging() {
    let (filter, complaint) = filter(env::var(LOG_VARIABLE).ok().as_deref());
    let subscriber = registry().with(output().with_filter(filter));
    if tracing::subscriber::set_global_default(subscriber).is_ok()
        && let Some(complaint) = complaint
    {
        tracing::warn!("{complaint}");
    }
}

fn output() -> Box<dyn Layer<Registry> + Send + Sync> {
    if standard_error_is_the_journal()
        && let Ok(journal) = Journal::new(Path::new(native::SOCKET))
    {
        return Box::new(journal);
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
    if terminal {
        Box::new(text)
    } else {
        Box::new(text.without_time())
    }
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
    fn debug_can_be_asked_for() {
        let (filter, complaint) = filter(Some("debug"));
        assert!(filter.would_enable("offloadd", &tracing::Level::DEBUG));
        assert_eq!(complaint, None);
    }
}
