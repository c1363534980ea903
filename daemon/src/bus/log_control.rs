//! `org.freedesktop.LogControl1`: what systemctl's `service-log-level` and `service-log-target` speak to
//! (org.freedesktop.LogControl1(5)).

use zbus::{Connection, fdo, interface, message::Header};

use super::authority::Authority;
use crate::log::{IDENTIFIER, Log};

/// Where systemctl looks for it, of whatever service.
pub(super) const PATH: &str = "/org/freedesktop/LogControl1";

/// The log of this process, which root and the user that it runs as may set.
pub(super) struct LogControl(pub(super) Log, pub(super) Authority);

#[interface(name = "org.freedesktop.LogControl1", introspection_docs = false)]
impl LogControl {
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_level(&self) -> &str {
        self.0.level()
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        level: &str,
        #[zbus(header)] header: Option<Header<'_>>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.require_root(connection, header).await?;
        let set = self.0.set_level(level);
        set.map_err(|error| fdo::Error::InvalidArgs(error.to_string()))?;
        tracing::info!("the log level is {} now", self.0.level());
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn log_target(&self) -> &str {
        self.0.target().as_str()
    }

    #[zbus(property)]
    async fn set_log_target(
        &self,
        target: &str,
        #[zbus(header)] header: Option<Header<'_>>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.require_root(connection, header).await?;
        // `auto` is what it has done at its start.
        if ["auto", self.0.target().as_str()].contains(&target) {
            return Ok(());
        }
        let text = format!(
            "the log goes to the {}, and nowhere else",
            self.0.target().as_str()
        );
        Err(fdo::Error::InvalidArgs(text))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> &str {
        IDENTIFIER
    }
}

impl LogControl {
    /// The bus's policy lets nobody else set it; a bus of somebody's own has no policy.
    async fn require_root(
        &self,
        connection: &Connection,
        header: Option<Header<'_>>,
    ) -> fdo::Result<()> {
        let denied = |why: String| fdo::Error::AccessDenied(why);
        let header = header.ok_or_else(|| denied("the caller is not known".to_owned()))?;
        let asked = self.1.require_user(connection, &header, 0).await;
        asked.map_err(|error| denied(error.to_string()))
    }
}
