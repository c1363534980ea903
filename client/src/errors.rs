//! The errors of the bus: `org.offloadd.Offload1.Error.*`.

use zbus::{DBusError, fdo};

/// What the daemon answers to a call that it can't or won't do.
///
/// The text of a variant is a machine's particulars, never needed to tell the cases apart.
#[derive(Clone, Debug, PartialEq, zbus::DBusError)]
#[zbus(prefix = "org.offloadd.Offload1.Error")]
pub enum BusError {
    /// Not the daemon's answer: the bus, the connection or the reply failed.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// There is nothing to watch.
    NotConfigured(String),
    /// No target has that name.
    NoSuchTarget(String),
    /// It was asked too often.
    RateLimited(String),
    /// It is doing something that excludes this.
    Busy(String),
    /// What was asked for did not end in time.
    TimedOut(String),
    /// The caller may not do this.
    NotAuthorized(String),
    /// Anything else.
    Failed(String),
}

impl BusError {
    /// Whether the bus says that nobody there is the daemon.
    pub fn is_no_daemon(&self) -> bool {
        matches!(self, Self::ZBus(error) if is_no_daemon(error))
    }
}

/// Whether `error` means that no daemon owns the name, that the bus could not start one, or that it
/// left while it was asked.
pub(crate) fn is_no_daemon(error: &zbus::Error) -> bool {
    let is_nobody = match error {
        zbus::Error::FDO(error) => matches!(
            **error,
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) | fdo::Error::NoReply(_)
        ),
        _ => false,
    };
    is_nobody || not_started(error).is_some()
}

/// Why the bus could not start the daemon, in its words, where that is what `error` says: the bus's own error, or one
/// of systemd, which the bus hands on (a unit that is disabled, so that its alias is not there, or is masked).
pub(crate) fn not_started(error: &zbus::Error) -> Option<String> {
    const ITS_OWN: [&str; 2] = [
        "org.freedesktop.DBus.Error.Spawn.",
        "org.freedesktop.systemd1.",
    ];
    /// Of a unit that is masked while its alias is there systemd says that a file exists.
    const OF_THE_UNIT: &str = "Unit dbus-org.offloadd.Offload1.service ";
    let (name, text) = match error {
        zbus::Error::FDO(error) => (error.name().to_string(), error.description()?.to_owned()),
        zbus::Error::MethodError(name, text, _) => {
            (name.to_string(), text.clone().unwrap_or_default())
        }
        _ => return None,
    };
    let is_it = ITS_OWN.iter().any(|own| name.starts_with(own)) || text.starts_with(OF_THE_UNIT);
    is_it.then_some(if text.is_empty() { name } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_of_the_contract() {
        let error = BusError::RateLimited(String::new());
        assert_eq!(
            error.name().as_str(),
            format!("{}.RateLimited", crate::names::ERROR_PREFIX)
        );
    }

    #[test]
    fn a_daemon_that_is_masked_or_disabled_is_no_daemon() {
        let unit = "Unit dbus-org.offloadd.Offload1.service";
        let masked = fdo::Error::FileExists(format!("{unit} failed to load properly"));
        let masked = zbus::Error::FDO(Box::new(masked));
        assert!(not_started(&masked).unwrap().starts_with(unit));
        assert!(BusError::from(masked).is_no_daemon());
        let denied = fdo::Error::AccessDenied("by policy".to_owned());
        assert!(!BusError::from(zbus::Error::FDO(Box::new(denied))).is_no_daemon());
    }

    #[test]
    fn an_unowned_name_is_no_daemon() {
        let error = zbus::fdo::Error::ServiceUnknown("not provided".into());
        assert!(BusError::from(zbus::Error::FDO(Box::new(error))).is_no_daemon());
        assert!(!BusError::Busy(String::new()).is_no_daemon());
    }
}
