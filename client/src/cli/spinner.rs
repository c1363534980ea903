//! A sign of life on standard error while something takes longer than a second.

use std::{
    convert::Infallible,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const DELAY: Duration = Duration::from_secs(1);
const FRAME: Duration = Duration::from_millis(100);

/// Turns on a terminal; anywhere else it writes nothing. Its line is gone when it is dropped.
pub(super) struct Spinner {
    text: String,
    frame: usize,
    from: Instant,
    terminal: bool,
}

/// Awaits `future` with a spinner beside it.
pub(super) async fn beside<T>(text: &str, future: impl Future<Output = T>) -> T {
    let mut spinner = Spinner::new(text);
    tokio::select! {
        done = future => done,
        never = spinner.turn() => match never {},
    }
}

impl Spinner {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            frame: 0,
            from: Instant::now() + DELAY,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Changes what stands beside it.
    pub(super) fn say(&mut self, text: String) {
        self.text = text;
    }

    /// Takes its line away; the next turn begins anew.
    pub(super) fn clear(&mut self) {
        if self.frame > 0 {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        self.frame = 0;
        self.from = Instant::now() + DELAY;
    }

    /// Turns until it is dropped; may be cancelled and called again.
    pub(super) async fn turn(&mut self) -> Infallible {
        if !self.terminal {
            return std::future::pending().await;
        }
        sleep_until(self.from).await;
        loop {
            let sign = FRAMES.get(self.frame % FRAMES.len()).unwrap_or(&"");
            // \x1b[K clears the rest of the line: the last text may have been longer.
            let _ = write!(io::stderr(), "\r{sign} {}\x1b[K", self.text);
            self.frame += 1;
            sleep(FRAME).await;
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.clear();
    }
}
