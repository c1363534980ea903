//! `--once`: one round without any bus.

use std::sync::Arc;

use offload_client::{Snapshot, language, page};

use crate::{
    RunError,
    config::Settings,
    exit,
    monitor::{CheckError, Monitor},
    net,
    page::style,
    reload::Reloader,
    run::stop_signal,
};

/// What one round has to say.
#[derive(Clone, Debug)]
pub struct Round {
    /// The page that `offloadctl` shows too, or the JSON of `Describe()`; a newline at its end.
    pub text: String,
    /// Whether everything is ready.
    pub ready: bool,
}

impl Round {
    /// 0 or 3.
    pub fn exit_code(&self) -> u8 {
        if self.ready {
            exit::OK
        } else {
            exit::NOT_READY
        }
    }
}

/// Checks everything once, without any bus. SIGTERM and SIGINT end it in an orderly way, so that the
/// programs it runs end too: they are in no process group of a terminal's.
pub async fn round(settings: Settings, json: bool) -> Result<Round, RunError> {
    let stop = stop_signal()?;
    let snapshot = tokio::select! {
        snapshot = check(settings) => snapshot?,
        signal = stop => return Err(RunError::Interrupted(signal)),
    };
    let text = if json {
        serde_json::to_string(&snapshot)? + "\n"
    } else {
        // What was logged until now is English, as ever.
        language::follow(|name| std::env::var(name).ok());
        page::render(&snapshot, &style())
    };
    let ready = snapshot.state.is_ready();
    Ok(Round { text, ready })
}

async fn check(settings: Settings) -> Result<Snapshot, RunError> {
    let poll = settings.poll.clone();
    let mut reloader = Reloader::new(None, settings)?;
    let (monitor, handle) = Monitor::new(reloader.plan().await, poll, None)?;
    match net::read_now() {
        Ok(network) => handle.network(Arc::new(network)).await,
        Err(error) => tracing::warn!("this machine's networks can't be read: {error}"),
    }
    let monitor = tokio::spawn(monitor.run());
    match handle.check(None).await {
        Ok(()) | Err(CheckError::NotConfigured) => {}
        // None of the others can come from a monitor that nobody else asks.
        Err(error) => tracing::error!("{error}"),
    }
    // Where discovery is configured, what is missing is being looked for by now.
    handle.searched().await;
    let snapshot = handle.snapshot();
    monitor.abort();
    Ok(Snapshot::clone(&snapshot))
}
