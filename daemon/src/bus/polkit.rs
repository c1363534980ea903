//! polkit's answer to whether somebody may do something (polkit(8), the D-Bus interface of its authority).

use std::{collections::HashMap, time::Duration};

use zbus::{Connection, DBusError, Variant, fdo, fdo::DBusProxy, names::WellKnownName};

use crate::nonce::nonce;

/// polkit's bus name and its interface.
const POLKIT: &str = "org.freedesktop.PolicyKit1";
const AUTHORITY_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
/// What the bus says of a call to a service that does not run and can't be started, because there is none, or an
/// administrator has turned it off.
const IS_AWAY: [&str; 3] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.systemd1.NoSuchUnit",
    "org.freedesktop.systemd1.UnitMasked",
];
/// What the bus says where one too many waits for an answer, and where it comes too late.
const OVERLOAD: [&str; 3] = [
    "org.freedesktop.DBus.Error.LimitsExceeded",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Timeout",
];
/// `AllowUserInteraction` of `CheckAuthorizationFlags`.
const ALLOW_USER_INTERACTION: u32 = 1;

/// How long a person may take to type a password.
const PERSON: Duration = Duration::from_secs(120);
/// How long polkit may take where it asks nobody.
const PROGRAM: Duration = Duration::from_secs(5);

/// What polkit can be asked about: the actions of `dbus/org.offloadd.Offload1.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Checking now.
    Check,
    /// Starting a test build.
    TestBuild,
    /// Pausing the checks, and ending a pause.
    Pause,
    /// Looking for what is not where it should be.
    Discover,
    /// Waking a desktop.
    Wake,
    /// Having forgotten what Nix remembers as missing.
    ForgetMisses,
}

impl Action {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Check => "org.offloadd.Offload1.check",
            Self::TestBuild => "org.offloadd.Offload1.test-build",
            Self::Pause => "org.offloadd.Offload1.pause",
            Self::Discover => "org.offloadd.Offload1.discover",
            Self::Wake => "org.offloadd.Offload1.wake",
            Self::ForgetMisses => "org.offloadd.Offload1.forget-misses",
        }
    }
}

/// What polkit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Only after a password, which the message did not allow to ask for.
    Challenge,
}

/// Why polkit has not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    /// Nobody is asked.
    #[error("it is not on the bus")]
    NotThere,
    /// Too much is asked of it, or of the bus, or it takes too long.
    #[error("{0}")]
    Busy(String),
    /// The question, the answer or the way failed.
    #[error("{0}")]
    Failed(String),
}

/// Asks polkit whether the owner of the bus name `sender` may do `action`; where it is neither on
/// the bus nor started by it, nobody is asked. A person is only where it `is_interactive`. (Not every bus answers a call to a name that nobody
/// owns.)
pub(super) async fn ask(
    connection: &Connection,
    sender: &str,
    action: Action,
    is_interactive: bool,
) -> Result<Answer, Silence> {
    let (flags, patience) = if is_interactive {
        (ALLOW_USER_INTERACTION, PERSON)
    } else {
        (0, PROGRAM)
    };
    match tokio::time::timeout(PROGRAM, is_there(connection)).await {
        Ok(Ok(true)) => question(connection, sender, action, flags, patience).await,
        Ok(Ok(false)) => Err(Silence::NotThere),
        Ok(Err(fdo::Error::ZBus(error))) => Err(silence(error)),
        Ok(Err(error)) => Err(silence(error.into())),
        Err(_) => Err(Silence::Busy("the bus does not answer".to_owned())),
    }
}

/// Whether polkit is on the bus, or would be started by a call.
async fn is_there(connection: &Connection) -> fdo::Result<bool> {
    let bus = DBusProxy::new(connection).await?;
    let name = WellKnownName::from_static_str_unchecked(POLKIT);
    if bus.name_has_owner(name.into()).await? {
        return Ok(true);
    }
    let activatable = bus.list_activatable_names().await?;
    Ok(activatable.iter().any(|name| name.as_str() == POLKIT))
}

async fn question(
    connection: &Connection,
    sender: &str,
    action: Action,
    flags: u32,
    patience: Duration,
) -> Result<Answer, Silence> {
    let subject = HashMap::from([("name", Variant::from(sender))]);
    // Unique among the calls of this connection: a caller may wait for two answers at once.
    // Empty, which polkit takes for a question that can't be taken back, where there is none.
    let cancellation = nonce().unwrap_or_default();
    let details = HashMap::<&str, &str>::new();
    let question = (
        ("system-bus-name", subject),
        action.id(),
        details,
        flags,
        &*cancellation,
    );
    let asking = connection.call_method(
        Some(POLKIT),
        AUTHORITY_PATH,
        Some(AUTHORITY),
        "CheckAuthorization",
        &question,
    );
    let Ok(answer) = tokio::time::timeout(patience, asking).await else {
        withdraw(connection, &cancellation).await;
        return Err(Silence::Busy("it does not answer".to_owned()));
    };
    let answer = answer.map_err(silence)?;
    let body = answer.body();
    let read: Result<(bool, bool, HashMap<String, String>), _> = body.deserialize();
    match read {
        Ok((true, _, _)) => Ok(Answer::Yes),
        Ok((false, true, _)) => Ok(Answer::Challenge),
        Ok((false, false, _)) => Ok(Answer::No),
        Err(error) => Err(Silence::Failed(format!(
            "its answer can't be read: {error}"
        ))),
    }
}

/// What a call that failed says of who was called.
fn silence(error: zbus::Error) -> Silence {
    let (name, text) = match &error {
        zbus::Error::MethodError(name, text, _) => (name.as_str().to_owned(), text.clone()),
        zbus::Error::FDO(error) => (
            error.name().as_str().to_owned(),
            error.description().map(str::to_owned),
        ),
        _ => return Silence::Failed(error.to_string()),
    };
    let text = text.unwrap_or_else(|| name.clone());
    if IS_AWAY.contains(&&*name) {
        // It went meanwhile, or systemd has no unit of it to start.
        Silence::NotThere
    } else if OVERLOAD.contains(&&*name) {
        Silence::Busy(text)
    } else {
        Silence::Failed(text)
    }
}

/// Takes the question back, so that no password dialogue stays open for an answer that nobody
/// waits for.
async fn withdraw(connection: &Connection, cancellation: &str) {
    let call = connection.call_method(
        Some(POLKIT),
        AUTHORITY_PATH,
        Some(AUTHORITY),
        "CancelCheckAuthorization",
        &cancellation,
    );
    let _ = tokio::time::timeout(Duration::from_secs(1), call).await;
}

#[cfg(test)]
#[cfg(feature = "embedded-bus")]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;
    use zbus::{connection, interface};

    use super::*;
    use crate::bus::embedded::EmbeddedBus;

    type Subject = (String, HashMap<String, zbus::OwnedVariant>);

    /// A polkit that says what a test wants; without an answer it says nothing.
    struct Polkit {
        answer: Option<(bool, bool)>,
        asked: mpsc::UnboundedSender<(&'static str, String)>,
    }

    #[interface(name = "org.freedesktop.PolicyKit1.Authority")]
    impl Polkit {
        async fn check_authorization(
            &self,
            subject: Subject,
            action: &str,
            _details: HashMap<String, String>,
            flags: u32,
            cancellation: &str,
        ) -> (bool, bool, HashMap<String, String>) {
            let (kind, who) = subject;
            assert_eq!((&*kind, who.len()), ("system-bus-name", 1));
            assert!(String::try_from(who["name"].clone()).is_ok_and(|name| name == ":1.99"));
            assert_eq!((action, flags), (Action::TestBuild.id(), 0));
            let _ = self.asked.send(("asked", cancellation.to_owned()));
            match self.answer {
                Some((yes, challenge)) => (yes, challenge, HashMap::new()),
                None => pending().await,
            }
        }

        async fn cancel_check_authorization(&self, cancellation: &str) {
            let _ = self.asked.send(("taken back", cancellation.to_owned()));
        }
    }

    /// A bus, with this polkit or none on it, and somebody who asks.
    struct Desk {
        client: Connection,
        asked: mpsc::UnboundedReceiver<(&'static str, String)>,
        _polkit: Option<Connection>,
        _bus: EmbeddedBus,
        _dir: tempfile::TempDir,
    }

    impl Desk {
        async fn start(answer: Option<Option<(bool, bool)>>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let bus = EmbeddedBus::start(&dir.path().join("bus/socket")).unwrap();
            let (sender, asked) = mpsc::unbounded_channel();
            let polkit = match answer {
                Some(answer) => {
                    let asked = sender;
                    let server = connection::Builder::address(bus.address())
                        .serve_at(AUTHORITY_PATH, Polkit { answer, asked })
                        .name(POLKIT);
                    Some(server.build().await.unwrap())
                }
                None => None,
            };
            let client = connection::Builder::address(bus.address()).build().await;
            Self {
                client: client.unwrap(),
                asked,
                _polkit: polkit,
                _bus: bus,
                _dir: dir,
            }
        }

        async fn ask(&self) -> Result<Answer, Silence> {
            ask(&self.client, ":1.99", Action::TestBuild, false).await
        }
    }

    #[tokio::test]
    async fn polkits_answers_are_told_apart() {
        for (said, expected) in [
            ((true, false), Answer::Yes),
            ((false, false), Answer::No),
            ((false, true), Answer::Challenge),
        ] {
            let desk = Desk::start(Some(Some(said))).await;
            assert_eq!(desk.ask().await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn a_polkit_that_is_not_there_allows_nothing() {
        let desk = Desk::start(None).await;
        assert_eq!(desk.ask().await, Err(Silence::NotThere));
    }

    #[tokio::test]
    async fn a_polkit_that_hangs_allows_nothing_and_the_question_is_taken_back() {
        let mut desk = Desk::start(Some(None)).await;
        let client = desk.client.clone();
        let asking = async move { ask(&client, ":1.99", Action::TestBuild, false).await };
        let asking = tokio::spawn(asking);
        let (asked, id) = desk.asked.recv().await.unwrap();
        assert_eq!(asked, "asked");
        assert!(!id.is_empty());
        // Only now: while the clock stands still, time would pass before another thread answers.
        tokio::time::pause();
        tokio::time::advance(PROGRAM).await;
        tokio::time::resume();
        let silence = Silence::Busy("it does not answer".to_owned());
        assert_eq!(asking.await.unwrap(), Err(silence));
        assert_eq!(desk.asked.recv().await, Some(("taken back", id)));
    }

    #[test]
    fn the_committed_policy_has_every_action() {
        let policy = include_str!("../../../dbus/org.offloadd.Offload1.policy");
        for action in [
            Action::Check,
            Action::TestBuild,
            Action::Pause,
            Action::Discover,
            Action::Wake,
            Action::ForgetMisses,
        ] {
            assert!(policy.contains(&format!("<action id=\"{}\">", action.id())));
        }
    }
}
