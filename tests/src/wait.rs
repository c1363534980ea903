//! Waiting for facts, with a deadline: never for luck.

use std::time::Duration;

use offloadd::clock::Stopwatch;

use crate::{Error, Result};

/// How often a fact outside of this process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `fact` is `Some`, and returns what it holds.
///
/// For facts that nobody announces: another process's log, a port, a file. What announces itself
/// (a channel, a signal of the bus, a datagram of sd_notify) is awaited instead.
///
/// # Errors
/// [`Error::Late`], naming `what`, when `deadline` has passed.
pub async fn eventually<T, F: AsyncFnMut() -> Option<T>>(
    deadline: Duration,
    what: &str,
    mut fact: F,
) -> Result<T> {
    let watch = Stopwatch::start();
    let late = || Error::Late {
        what: what.to_owned(),
        within: deadline,
    };
    loop {
        let left = deadline.saturating_sub(watch.elapsed());
        let found = tokio::time::timeout(left, fact()).await;
        match found {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if !left.is_zero() => tokio::time::sleep(LOOK.min(left)).await,
            Ok(None) | Err(_) => return Err(late()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fact_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_fact_that_never_comes_true_is_named() {
        let late = eventually(
            Duration::from_millis(30),
            "the sky falls",
            async || None::<()>,
        );
        let said = late.await.unwrap_err().to_string();
        assert!(said.contains("the sky falls"), "{said}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off() {
        let hung = eventually(
            Duration::from_millis(30),
            "an answer",
            std::future::pending::<Option<()>>,
        );
        assert!(matches!(hung.await, Err(Error::Late { .. })));
    }
}
