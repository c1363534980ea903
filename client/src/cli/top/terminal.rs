//! The terminal, which is its own again however this ends.

use std::io::{self, IsTerminal, Stdout, stdin, stdout};

use crossterm::{
    cursor::{Hide, Show},
    execute,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{backend::CrosstermBackend, buffer::Buffer, layout::Rect};
use rustix::process::{Signal, getpid, kill_process};

/// A screen of our own on the terminal, until it is dropped.
pub(super) struct Terminal(ratatui::Terminal<CrosstermBackend<Stdout>>);

/// Whether keys can be read.
pub(super) fn is_read() -> bool {
    stdin().is_terminal()
}

impl Terminal {
    pub(super) fn open() -> io::Result<Self> {
        restore_on_panic();
        enter()?;
        ratatui::Terminal::new(CrosstermBackend::new(stdout()))
            .map(Self)
            .inspect_err(|_| restore())
    }

    /// Draws what differs from what is there, in one go where the terminal knows how to.
    pub(super) fn draw(&mut self, view: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        execute!(stdout(), BeginSynchronizedUpdate)?;
        let drawn = self
            .0
            .draw(|frame| view(frame.area(), frame.buffer_mut()))
            .map(|_| ());
        execute!(stdout(), EndSynchronizedUpdate)?;
        drawn
    }

    /// Ctrl-Z: gives the terminal back, stops, and takes it again when the shell says so.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore();
        kill_process(getpid(), Signal::STOP)?;
        enter()?;
        self.0.clear()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// As it was before; where that can't be written nobody would see it.
fn restore() {
    let _ = execute!(stdout(), EndSynchronizedUpdate, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// A message of a panic is for the terminal as it was: where panics abort nothing is dropped.
fn restore_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        tell(panic);
    }));
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    #[ignore = "what the next test runs on a terminal of its own"]
    fn panics() {
        let _terminal = Terminal::open().unwrap();
        panic!("a fault");
    }

    #[test]
    fn the_terminal_is_its_own_again_after_a_panic() {
        let this = std::env::current_exe().unwrap();
        let module = module_path!().split_once("::").unwrap().1;
        let run = format!(
            "stty -a; {} --ignored --exact {module}::panics; stty -a",
            this.display()
        );
        let output = Command::new("script")
            .args(["-qec", &run, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let settings: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("icanon"))
            .collect();
        assert_eq!(settings.len(), 2, "{told}");
        assert_eq!(settings[0], settings[1], "{told}");
        let last = |sequence: &str| told.rfind(sequence).unwrap_or_else(|| panic!("{told}"));
        assert!(last("\x1b[?1049l") > last("\x1b[?1049h") && last("\x1b[?25h") > last("\x1b[?25l"));
        // Told where it can be read: on the terminal as it was.
        assert!(last("a fault") > last("\x1b[?1049l"), "{told}");
    }
}
