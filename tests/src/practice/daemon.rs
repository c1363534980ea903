//! The seam to the daemon: the one function of the practice program that needs it.

use offload_client::Snapshot;
use tokio::sync::mpsc;

use crate::{Error, Result, fake::Desktop};

/// Runs the daemon on a bus inside of this process, watching `desktop`, and sends each snapshot.
///
/// # Errors
/// When the daemon can't run.
pub async fn daemon(_desktop: &Desktop, _news: mpsc::Sender<Snapshot>) -> Result<()> {
    Err(Error::Unsupported(
        "this crate of offloadd has no entry point to run it from".into(),
    ))
}
