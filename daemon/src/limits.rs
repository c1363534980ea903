//! How many files this process may have open.
//!
//! The soft limit is 1,024 for the sake of programs that call select(2), which knows no descriptor
//! beyond; the hard one is what the system has to give. Who does not call it raises the one to the
//! other, and gives what it starts the old one back (systemd.exec(5), "LimitNOFILE=").

use std::io;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// What select(2) can name: `FD_SETSIZE`.
const SELECTABLE: u64 = 1_024;

/// Raises the soft limit to the hard one.
///
/// # Errors
/// What the kernel says; then the limit is as it was.
pub fn raise_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// The soft limit; `None` where there is none.
pub fn files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Gives a program that was started just now the limit that it would have by itself: it may call
/// select(2), or close each descriptor that it could have.
pub fn give_back(child: u32) {
    let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw) else {
        return;
    };
    let limit = getrlimit(Resource::Nofile);
    let usual = Rlimit {
        current: Some(limit.current.map_or(SELECTABLE, |now| now.min(SELECTABLE))),
        ..limit
    };
    // One that has ended by now has no need of it.
    let _ = prlimit(Some(child), Resource::Nofile, usual);
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_soft_limit_is_raised_and_a_child_has_the_usual_one() {
        raise_files().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        give_back(child.id());
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let soft: u64 = files
            .unwrap()
            .split_whitespace()
            .nth(3)
            .unwrap()
            .parse()
            .unwrap();
        assert!(soft <= SELECTABLE, "{limits}");
    }
}
