//! Standard error, which is never waited for either: a pipe may lead to somebody who does not read.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::entry::lost_line;

/// As much fits into a pipe that has room (`PIPE_BUF`, pipe(7)).
const CHUNK: usize = 4096;

/// Writes what there is room for; what is left of a line is lost, and the line is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct StandardError {
    lost: Arc<AtomicUsize>,
}

impl StandardError {
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        for chunk in line.chunks(CHUNK) {
            if !has_room() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            io::stderr().write_all(chunk)?;
        }
        Ok(())
    }
}

impl Write for StandardError {
    /// Takes a line, whatever becomes of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let lost = self.lost.load(Relaxed);
        if lost > 0 {
            let told = format!("{}\n", lost_line(lost));
            if self.write_line(told.as_bytes()).is_ok() {
                self.lost.fetch_sub(lost, Relaxed);
            }
        }
        if self.write_line(line).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a write would not wait. The descriptor may be shared with other programs, so that it can't
/// be made one that never waits.
fn has_room() -> bool {
    let error = io::stderr();
    let mut descriptors = [PollFd::new(&error, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // What can't be waited for is no pipe.
    poll(&mut descriptors, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
