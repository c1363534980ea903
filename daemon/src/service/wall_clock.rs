//! What depends on the time of day is checked again when that is set.

use offload_client::{Kind, Snapshot};

use crate::{clock::WallClock, monitor::Handle};

/// Has the certificates judged again whenever the wall clock is set. Never ends.
pub(crate) async fn follow_wall_clock(monitor: Handle) {
    match WallClock::watch() {
        Ok(mut clock) => {
            while clock.set().await.is_ok() {
                if has_certificates(&monitor.snapshot()) {
                    tracing::info!("the wall clock was set: certificates are checked again");
                    monitor.refresh().await;
                } else {
                    tracing::debug!("the wall clock was set");
                }
            }
        }
        Err(error) => tracing::debug!("changes of the wall clock will not be noticed: {error}"),
    }
    std::future::pending::<()>().await;
}

/// Whether there is a cache whose certificate is only good between two dates.
fn has_certificates(snapshot: &Snapshot) -> bool {
    let mut targets = snapshot.targets.iter();
    targets.any(|target| target.kind == Kind::Cache && target.uri.starts_with("https://"))
}

#[cfg(test)]
mod tests {
    use offload_client::snapshot::Target;

    use super::*;

    #[test]
    fn only_a_cache_over_tls_depends_on_the_time_of_day() {
        let snapshot = |kind, uri: &str| Snapshot {
            targets: vec![Target {
                kind,
                uri: uri.into(),
                ..Target::default()
            }]
            .into(),
            ..Snapshot::default()
        };
        assert!(has_certificates(&snapshot(Kind::Cache, "https://desktop")));
        assert!(!has_certificates(&snapshot(
            Kind::Cache,
            "http://desktop:5000"
        )));
        assert!(!has_certificates(&snapshot(
            Kind::Builder,
            "ssh-ng://nix-builder@desktop"
        )));
    }
}
