//! `sd_notify`: what the service manager is told.

use sd_notify::NotifyState;

/// Tells the service manager; does nothing where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notifier;

impl Notifier {
    /// The objects are exported and the name is owned, or a reload has ended.
    pub(crate) fn ready(self, status: &str) {
        send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// One line for `systemctl status`.
    pub(crate) fn status(self, status: &str) {
        send(&[NotifyState::Status(status)]);
    }

    /// A reload begins: with its time in the same datagram, as `Type=notify-reload` asks.
    pub(crate) fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!("monotonic clock: {error}"),
        }
    }

    /// The daemon ends.
    pub(crate) fn stopping(self) {
        send(&[NotifyState::Stopping]);
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("service manager: {error}");
    }
}
