//! Standard output: where it goes decides how it looks.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    termios::tcgetwinsize,
};
use tokio::sync::oneshot;

use super::{
    args::{Cli, Color},
    failure::Failure,
    pager,
};
use crate::page::{Style, columns};

/// Standard output.
pub(super) struct Output {
    /// How to write for it; the time in it is the time of the command's start.
    pub(super) style: Style,
    /// Whether a person reads it as it comes.
    pub(super) terminal: bool,
    /// How many lines fit; nothing where nobody counts them.
    rows: Option<usize>,
    pager: bool,
}

impl Output {
    pub(super) fn new(cli: &Cli) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let size = terminal.then(|| tcgetwinsize(&stdout).ok()).flatten();
        let known = |count: u16| Some(usize::from(count)).filter(|count| *count > 0);
        let width = size.and_then(|size| known(size.ws_col));
        let style = Style {
            colour: colour(cli.color, terminal, &|name| std::env::var_os(name)),
            now_realtime_usec: now_realtime_usec(),
            verbose: cli.verbose,
            ..Style::default()
        };
        Self {
            style: Style {
                width: width.unwrap_or(style.width),
                ..style
            },
            terminal,
            rows: size.and_then(|size| known(size.ws_row)),
            pager: !cli.no_pager,
        }
    }

    /// Writes a page whose first line is the verdict. Where it is longer than the screen it is for a pager; without
    /// one the verdict stands below too, where it is seen.
    pub(super) fn page(&self, page: &str) -> Result<(), Failure> {
        if self.is_paged(page) {
            return Ok(());
        }
        self.begin(page)
    }

    /// Writes what has no verdict; where it is longer than the screen through a pager.
    pub(super) fn list(&self, text: &str) -> Result<(), Failure> {
        if self.is_paged(text) {
            return Ok(());
        }
        self.print(text)
    }

    fn is_paged(&self, text: &str) -> bool {
        self.pager && self.is_too_long(text) && pager::show(text)
    }

    /// As [`Self::page`], without a pager: of what goes on below it.
    pub(super) fn begin(&self, page: &str) -> Result<(), Failure> {
        if self.is_too_long(page) {
            self.print(&with_verdict_below(page))
        } else {
            self.print(page)
        }
    }

    /// Whether its first line is out of sight when the last one is written, the prompt below it.
    fn is_too_long(&self, page: &str) -> bool {
        let lines = page
            .lines()
            .map(|line| columns(line).div_ceil(self.style.width.max(1)).max(1));
        self.rows.is_some_and(|rows| lines.sum::<usize>() >= rows)
    }

    /// Writes at once, so that a pipe's reader sees it now.
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Failure::Output)
    }

    /// The style with the time as it is now.
    pub(super) fn style_now(&self) -> Style {
        Style {
            now_realtime_usec: now_realtime_usec(),
            ..self.style
        }
    }

    /// Ends when nobody reads any more: a bar that went away would otherwise leave its `watch` behind
    /// until the next change, which on a good day does not come. Never ends for a file.
    pub(super) fn closed() -> impl Future<Output = ()> {
        let (sender, receiver) = oneshot::channel();
        // A thread of its own: a standard stream can't be given to the reactor without making it
        // non-blocking for everybody who shares it.
        let watcher = std::thread::Builder::new().name("reader".to_owned());
        let watched = watcher.spawn(move || {
            if wait_for_hangup() {
                let _ = sender.send(());
            }
        });
        async move {
            // Without a thread, or where there is nothing to wait for, the next write will tell.
            if watched.is_err() || receiver.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn with_verdict_below(page: &str) -> String {
    let verdict = page.lines().next().unwrap_or_default();
    format!("{page}\n{verdict}\n")
}

/// Blocks until standard output's other end is closed; whether it was.
fn wait_for_hangup() -> bool {
    let stdout = io::stdout();
    loop {
        // Errors and hang-ups are always reported, whatever is asked for.
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut polled, None) {
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Whether to use colours. NO_COLOR counts where it is set to anything but nothing:
/// <https://no-color.org>.
fn colour(asked: Color, terminal: bool, env: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| env(name).filter(|value| !value.is_empty());
    match asked {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Whether this process's locale is one that names no other characters (locale(7)). What was started without any
/// shows what its font can.
pub(super) fn is_ascii() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| matches!(&*locale, "C" | "POSIX"))
}

/// The one place where the program reads the clock: "for 3 h" is counted from here.
#[allow(clippy::disallowed_methods)]
pub(super) fn now_realtime_usec() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_user_wants_them() {
        let with = |asked, terminal, name: &str, value: &str| {
            colour(asked, terminal, &|wanted| {
                (wanted == name).then(|| OsString::from(value))
            })
        };
        assert!(with(Color::Auto, true, "TERM", "xterm"));
        assert!(with(Color::Auto, true, "NO_COLOR", ""));
        assert!(!with(Color::Auto, true, "NO_COLOR", "1"));
        assert!(!with(Color::Auto, true, "TERM", "dumb"));
        assert!(!with(Color::Auto, false, "TERM", "xterm"));
        assert!(with(Color::Always, false, "NO_COLOR", "1"));
        assert!(!with(Color::Never, true, "TERM", "xterm"));
    }
}
