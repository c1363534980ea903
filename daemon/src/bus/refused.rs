//! The errors of our methods, as they are answered.

use offload_client::{Printable, errors::BusError};
use zbus::{DBusError, Message, message::Header, names::ErrorName};

const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
const INTERACTIVE: &str = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";

/// An error whose text passes the gate as all text does that we put on the bus: a caller's own words
/// may be in it, as long as the bus lets them be.
#[derive(Debug)]
pub(super) enum Refused {
    /// One of ours.
    Error(BusError),
    /// Arguments of the right types that mean nothing; said as any service says it.
    InvalidArgs(String),
    /// polkit would ask a person, and the message did not let it (D-Bus specification, ALLOW_INTERACTIVE_AUTHORIZATION).
    InteractiveAuthorizationRequired(String),
}

impl<E: Into<BusError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl DBusError for Refused {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let text = Printable::from(self.description().unwrap_or_default());
        Message::error(call, self.name()).build(&text)
    }

    fn name(&self) -> ErrorName<'_> {
        match self {
            Self::Error(error) => error.name(),
            Self::InvalidArgs(_) => ErrorName::from_static_str_unchecked(INVALID_ARGS),
            Self::InteractiveAuthorizationRequired(_) => {
                ErrorName::from_static_str_unchecked(INTERACTIVE)
            }
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Error(error) => error.description(),
            Self::InvalidArgs(text) | Self::InteractiveAuthorizationRequired(text) => Some(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_words_come_back_short_and_printable() {
        let call = Message::method_call("/", "Check");
        let call = call.build(&()).unwrap();
        let words = format!("option \u{1b}[2J\u{202e}{}: not known", "x".repeat(1 << 20));
        let refused = Refused::from(BusError::Failed(words));
        let reply = refused.create_reply(&call.header()).unwrap();
        let name = reply.header().error_name().unwrap().to_string();
        assert_eq!(name, "org.offloadd.Offload1.Error.Failed");
        let body = reply.body();
        let text: &str = body.deserialize().unwrap();
        assert!(text.starts_with(r"option \x1b[2J\u{202e}xxx"), "{text}");
        assert_eq!(text.len(), Printable::MAX);
    }
}
