//! A test that can't run on this machine.
//!
//! It prints a line, `skipped: ` and why, and passes; `tests/run` counts and lists what was said like that, and holds
//! it against `tests/skips.txt`. The tests of the other packages print the same line.

use std::fmt::Display;

use crate::{Error, Result};

/// Says that the running test is skipped, and why. What is left of it is not to run.
pub fn skipped(why: impl Display) {
    println!("skipped: {why}");
}

/// What was made; `None`, with the reason said, where this machine can't make it.
///
/// # Panics
/// When it went wrong in any other way: that fails the test.
#[expect(clippy::panic, reason = "a test is what fails")]
pub fn supported<T>(made: Result<T>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(Error::Unsupported(why)) => {
            skipped(why);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Whether root runs the test; where not, it is skipped, because `what` needs root.
pub fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(format_args!("{what} needs root"));
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_not_skipped() {
        assert_eq!(supported(Ok(1)), Some(1));
        let broken = std::panic::catch_unwind(|| supported::<u8>(Err(Error::Gone("sshd"))));
        assert!(broken.is_err());
    }
}
