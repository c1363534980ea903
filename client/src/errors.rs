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
    match error {
        zbus::Error::FDO(error) => {
            matches!(
                **error,
                fdo::Error::ServiceUnknown(_)
                    | fdo::Error::NameHasNoOwner(_)
                    | fdo::Error::NoReply(_)
            ) || is_activation(&error.name())
        }
        zbus::Error::MethodError(name, ..) => is_activation(name),
        _ => false,
    }
}

/// Whether an error of this name says that a service could not be started: the bus's own word, or systemd's, which
/// the bus hands on (a unit that is masked, or whose alias is not there because it is disabled).
pub(crate) fn is_activation(name: &str) -> bool {
    name.starts_with("org.freedesktop.DBus.Error.Spawn.")
        || name.starts_with("org.freedesktop.systemd1.")
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
        for name in ["UnitMasked", "NoSuchUnit"] {
            assert!(is_activation(&format!("org.freedesktop.systemd1.{name}")));
        }
        assert!(!is_activation("org.freedesktop.DBus.Error.AccessDenied"));
    }

    #[test]
    fn an_unowned_name_is_no_daemon() {
        let error = zbus::fdo::Error::ServiceUnknown("not provided".into());
        assert!(BusError::from(zbus::Error::FDO(Box::new(error))).is_no_daemon());
        assert!(!BusError::Busy(String::new()).is_no_daemon());
    }
}
