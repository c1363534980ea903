//! A test build on one builder of Nix's list, as root: Nix takes from root alone which builders it is to use. It goes
//! through the nix-daemon, and all that is built is written down here.
//!
//! A question names one of root's builders and says how long it may take. A builder that only offloadd's own
//! configuration has is built on as the user offloadd.

use std::{ops::ControlFlow, os::unix::net::UnixStream, time::Duration};

use super::{
    child::{self, ChildError},
    roots,
};
use crate::{
    build::{MAX_LINE, MAX_TIMEOUT},
    helper::wire::{Answer, Ended},
    nonce::nonce,
    program::{Lines, Stream},
};

/// So many run at once.
pub(super) const MAX_AT_ONCE: usize = 8;
/// So much of one build's log is handed over, in bytes: it has some hundred.
const MAX_TOLD: usize = 1 << 20;

/// Builds on the builder with the URI `store`, for `timeout` at the most and while `caller` is there. What there is to
/// be said before the answer goes to `tell`; it ends where that fails.
pub(super) fn build(
    nix: &roots::Nix,
    store: &str,
    timeout: Duration,
    caller: &UnixStream,
    mut tell: impl FnMut(Answer) -> bool,
) -> Answer {
    let timeout = timeout.min(MAX_TIMEOUT);
    let lines = nix.lines(store);
    if lines.is_empty() {
        return Answer::Refused(super::serve::NO_BUILDER.into());
    }
    let nonce = match nonce() {
        Ok(nonce) => nonce,
        Err(error) => return Answer::Failed(format!("no random number: {error}")),
    };
    let command = nix.programs().test_build(&lines, &nonce, timeout);
    let mut command = match command {
        Ok(command) => command,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let mut is_heard = tell(Answer::Begun(nonce));
    let (mut output, mut error) = (Lines::new(MAX_LINE), Lines::new(MAX_LINE));
    let mut left = MAX_TOLD;
    let mut line = |stream, line: &[u8]| {
        let told = left.checked_sub(line.len() + 1);
        left = told.unwrap_or_default();
        // Its path comes last: what is no log is told whatever went before.
        if is_heard && (told.is_some() || stream == Stream::Output) {
            is_heard = tell(Answer::line(stream, line));
        }
        is_heard
    };
    let ended = child::run(&mut command, timeout, Some(caller), |stream, chunk| {
        let lines = match stream {
            Stream::Output => &mut output,
            Stream::Error => &mut error,
        };
        let mut goes_on = true;
        lines.take(chunk, |text| goes_on &= line(stream, text));
        if goes_on {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    for (stream, rest) in [(Stream::Output, output), (Stream::Error, error)] {
        rest.finish(|text| {
            line(stream, text);
        });
    }
    let ended = match ended {
        Ok(status) if status.success() => Ended::Succeeded,
        Ok(status) => Ended::Failed(status.to_string()),
        Err(ChildError::TimedOut) => Ended::TimedOut,
        Err(error) => return Answer::Failed(format!("nix-build: {error}")),
    };
    Answer::Done(ended.encode())
}
