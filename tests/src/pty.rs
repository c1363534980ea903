//! A program on a terminal of its own, and what stands there.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    num::NonZero,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};

use crate::{Result, error::Context, eventually};

/// A terminal with a program on it, which is killed when this is dropped.
pub struct Terminal {
    child: Child,
    /// Our end of it.
    keyboard: File,
    /// The program's, kept open so that there is something to look at after its end.
    line: File,
    screen: vt100::Parser,
    before: Termios,
    /// How many bytes the program has written.
    written: usize,
}

impl Terminal {
    /// Starts `program` on a terminal of so many rows and columns; `adjust` adds arguments and environment.
    ///
    /// # Errors
    /// When there is no terminal to be had, or it can't be started.
    pub fn start(
        program: &Path,
        (rows, columns): (u16, u16),
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("a terminal")?;
        grantpt(&keyboard).context("a terminal")?;
        unlockpt(&keyboard).context("a terminal")?;
        let name = ptsname(&keyboard, Vec::new()).context("a terminal")?;
        let name = name.to_string_lossy().into_owned();
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&name)
                .context(&name)
        };
        let line = open()?;
        tcsetwinsize(&line, size(rows, columns)).context(&name)?;
        fcntl_setfl(&keyboard, OFlags::NONBLOCK).context(&name)?;
        let before = tcgetattr(&line).context(&name)?;
        let stdio = || open().map(|file| Stdio::from(OwnedFd::from(file)));
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .stdin(stdio()?)
            .stdout(stdio()?)
            .stderr(stdio()?);
        adjust(&mut command);
        Ok(Self {
            child: command.spawn().context("can't start setsid")?,
            keyboard: keyboard.into(),
            line,
            screen: vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0),
            before,
            written: 0,
        })
    }

    /// The program's process id: `setsid` and `setpriv` become it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What stands on it now, a line for each row.
    pub fn look(&mut self) -> String {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = self.keyboard.read(&mut bytes) {
            let new = bytes.get(..count).unwrap_or_default();
            self.written += new.len();
            self.screen.process(new);
        }
        self.screen.screen().contents()
    }

    /// How many bytes the program has written so far.
    pub fn written(&mut self) -> usize {
        self.look();
        self.written
    }

    /// Waits until `part` stands there; what stands there then.
    ///
    /// # Errors
    /// When it does not in time, with what does.
    pub async fn shows(&mut self, within: Duration, part: &str) -> Result<String> {
        let shown = eventually(within, part, async || {
            Some(self.look()).filter(|screen| screen.contains(part))
        });
        let shown = shown.await;
        shown.inspect_err(|_| eprintln!("instead of {part}:\n{}", self.look()))
    }

    /// Presses keys, as bytes.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("a key")
    }

    /// Makes it of another size, which the program is told.
    ///
    /// # Errors
    /// When it can't be.
    pub fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.look();
        self.screen
            .screen_mut()
            .set_size(at_least_one(rows), at_least_one(columns));
        tcsetwinsize(&self.line, size(rows, columns)).context("another size")
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("a signal")
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        eventually(within, "the end of the program", async || {
            self.look();
            self.child.try_wait().ok().flatten()
        })
        .await
    }

    /// What a program has left behind on it that was not there before: nothing, of one that is well-behaved.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn left_behind(&mut self) -> Result<Vec<&'static str>> {
        self.look();
        let now = tcgetattr(&self.line).context("the terminal")?;
        let screen = self.screen.screen();
        let modes = |termios: &Termios| {
            (
                termios.input_modes,
                termios.output_modes,
                termios.control_modes,
                termios.local_modes,
            )
        };
        let left = [
            (modes(&now) != modes(&self.before), "settings of the line"),
            (screen.alternate_screen(), "its own screen"),
            (screen.hide_cursor(), "no cursor"),
        ];
        let left = left.into_iter().filter(|(is_left, _)| *is_left);
        Ok(left.map(|(_, what)| what).collect())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at_least_one(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap_or(NonZero::<u16>::MIN)
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
