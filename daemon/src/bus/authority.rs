//! Who may do what only an administrator may: root, the user that the daemon runs as, and whom
//! polkit lets.
//!
//! polkit is asked about the caller, never about this process, and asks for a password only where
//! the message allows that.

use std::{collections::HashMap, time::Duration};

use offload_client::errors::BusError;
use zbus::{
    Connection, Variant, fdo,
    fdo::DBusProxy,
    message::{Flags, Header},
};

/// polkit's bus name and its interface.
const POLKIT: &str = "org.freedesktop.PolicyKit1";
const AUTHORITY_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
/// `AllowUserInteraction` of `CheckAuthorizationFlags`.
const ALLOW_USER_INTERACTION: u32 = 1;

/// How long a person may take to type a password.
const PERSON: Duration = Duration::from_secs(120);
/// How long polkit may take where it asks nobody.
const PROGRAM: Duration = Duration::from_secs(5);

/// What polkit can be asked about: the actions of `dbus/org.offloadd.Offload1.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Starting a test build.
    TestBuild,
    /// Pausing the checks, and ending a pause.
    Pause,
}

impl Action {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::TestBuild => "org.offloadd.Offload1.test-build",
            Self::Pause => "org.offloadd.Offload1.pause",
        }
    }
}

/// Lets the call through if its caller is root, the user that the daemon runs as, or somebody whom
/// polkit lets do `action`; the caller's uid.
///
/// # Errors
///
/// `NotAuthorized`, and why: also where polkit is not there or does not answer.
pub(super) async fn require(
    connection: &Connection,
    header: &Header<'_>,
    action: Action,
) -> Result<u32, BusError> {
    let uid = caller(connection, header).await?;
    if is_owner(uid) {
        return Ok(uid);
    }
    let refused = |why: &str| BusError::NotAuthorized(format!("uid {uid} may not do that: {why}"));
    let Some(sender) = header.sender() else {
        return Err(refused("only root may"));
    };
    let flags = header.primary().flags();
    let interactive = flags.contains(Flags::ALLOW_INTERACTIVE_AUTH);
    let (flags, patience) = match interactive {
        true => (ALLOW_USER_INTERACTION, PERSON),
        false => (0, PROGRAM),
    };
    match ask(connection, sender.as_str(), action, flags, patience).await {
        Ok(Answer::Yes) => Ok(uid),
        Ok(Answer::No) => Err(refused("polkit refuses it")),
        Ok(Answer::Challenge) => Err(refused("polkit would ask for a password")),
        Err(why) => Err(refused(&format!("only root may without polkit: {why}"))),
    }
}

/// Lets the call through if its caller is `uid`, root, or the user that the daemon runs as.
pub(super) async fn require_user(
    connection: &Connection,
    header: &Header<'_>,
    uid: u32,
) -> Result<(), BusError> {
    let caller = caller(connection, header).await?;
    if caller == uid || is_owner(caller) {
        return Ok(());
    }
    let text = format!("uid {caller} may not do that: only uid {uid} or root may");
    Err(BusError::NotAuthorized(text))
}

fn is_owner(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// What polkit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// Only after a password, which the message did not allow to ask for.
    Challenge,
}

/// Asks polkit whether the owner of the bus name `sender` may do `action`.
async fn ask(
    connection: &Connection,
    sender: &str,
    action: Action,
    flags: u32,
    patience: Duration,
) -> Result<Answer, String> {
    let subject = HashMap::from([("name", Variant::from(sender))]);
    // Unique among the calls of this connection: a caller may wait for two answers at once.
    let cancellation = nonce();
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
        return Err("it does not answer".to_owned());
    };
    let answer = answer.map_err(|error| match error {
        zbus::Error::MethodError(name, text, _) => match text {
            Some(text) if name.as_str() != "org.freedesktop.DBus.Error.ServiceUnknown" => text,
            _ => "it is not on the bus".to_owned(),
        },
        zbus::Error::FDO(error) if matches!(*error, fdo::Error::ServiceUnknown(_)) => {
            "it is not on the bus".to_owned()
        }
        error => error.to_string(),
    })?;
    let body = answer.body();
    let read: Result<(bool, bool, HashMap<String, String>), _> = body.deserialize();
    match read {
        Ok((true, _, _)) => Ok(Answer::Yes),
        Ok((false, true, _)) => Ok(Answer::Challenge),
        Ok((false, false, _)) => Ok(Answer::No),
        Err(error) => Err(format!("its answer can't be read: {error}")),
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

/// A word that no other question has. Empty, which polkit takes for a question that can't be taken
/// back, where the kernel has none.
fn nonce() -> String {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid");
    uuid.map_or_else(|_| String::new(), |uuid| uuid.trim().to_owned())
}

async fn caller(connection: &Connection, header: &Header<'_>) -> Result<u32, BusError> {
    let refused =
        |text: String| BusError::NotAuthorized(format!("the caller is not known: {text}"));
    let Some(sender) = header.sender() else {
        // No bus in between: the peer is the caller.
        let peer = connection.peer_creds().await;
        let peer = peer.map_err(|error| refused(error.to_string()))?;
        return peer
            .unix_user_id()
            .ok_or_else(|| refused("no uid".to_owned()));
    };
    let bus = DBusProxy::new(connection).await?;
    let uid = bus.get_connection_unix_user(sender.clone().into()).await;
    uid.map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use zbus::{connection, interface};

    use super::*;
    use crate::bus::embedded::EmbeddedBus;

    type Subject = (String, HashMap<String, zbus::OwnedVariant>);

    /// A polkit that says what a test wants; without an answer it says nothing.
    struct Polkit(Option<(bool, bool)>);

    #[interface(name = "org.freedesktop.PolicyKit1.Authority")]
    impl Polkit {
        async fn check_authorization(
            &self,
            subject: Subject,
            action: &str,
            _details: HashMap<String, String>,
            flags: u32,
            _cancellation: &str,
        ) -> (bool, bool, HashMap<String, String>) {
            let (kind, who) = subject;
            assert_eq!((&*kind, who.len()), ("system-bus-name", 1));
            assert!(String::try_from(who["name"].clone()).is_ok_and(|name| name == ":1.99"));
            assert_eq!((action, flags), (Action::TestBuild.id(), 0));
            match self.0 {
                Some((yes, challenge)) => (yes, challenge, HashMap::new()),
                None => pending().await,
            }
        }
    }

    /// What is answered where this polkit, or none, is on the bus.
    async fn answer(polkit: Option<Polkit>, patience: Duration) -> Result<Answer, String> {
        let dir = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::start(&dir.path().join("bus/socket")).unwrap();
        let _polkit = match polkit {
            Some(polkit) => {
                let server = connection::Builder::address(bus.address())
                    .serve_at(AUTHORITY_PATH, polkit)
                    .name(POLKIT);
                Some(server.build().await.unwrap())
            }
            None => None,
        };
        let client = connection::Builder::address(bus.address()).build().await;
        ask(&client.unwrap(), ":1.99", Action::TestBuild, 0, patience).await
    }

    #[tokio::test]
    async fn polkits_answers_are_told_apart() {
        for (said, expected) in [
            ((true, false), Answer::Yes),
            ((false, false), Answer::No),
            ((false, true), Answer::Challenge),
        ] {
            assert_eq!(answer(Some(Polkit(Some(said))), PERSON).await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn a_polkit_that_is_not_there_allows_nothing() {
        assert_eq!(
            answer(None, PERSON).await,
            Err("it is not on the bus".to_owned())
        );
    }

    #[tokio::test]
    async fn a_polkit_that_hangs_allows_nothing() {
        let hung = answer(Some(Polkit(None)), Duration::from_millis(300)).await;
        assert_eq!(hung, Err("it does not answer".to_owned()));
    }

    #[test]
    fn the_committed_policy_has_every_action() {
        let policy = include_str!("../../../dbus/org.offloadd.Offload1.policy");
        for action in [Action::TestBuild, Action::Pause] {
            assert!(policy.contains(&format!("<action id=\"{}\">", action.id())));
        }
    }
}
