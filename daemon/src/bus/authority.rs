//! Who may do what only an administrator may: root, the user that the daemon runs as, and whom
//! polkit lets.
//!
//! polkit is asked about the caller, never about this process, and asks for a password only where
//! the message allows that.

use std::sync::Arc;

use offload_client::errors::BusError;
use tokio::sync::Semaphore;
use zbus::{
    Connection,
    message::{Flags, Header},
};

use super::{
    callers::Callers,
    polkit::{self, Action, Answer, Silence},
    refused::Refused,
};

/// How many questions to polkit are under way at most.
const QUESTIONS: usize = 100;

/// Who lets calls through.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) callers: Arc<Callers>,
    /// Questions to polkit that may be under way: fewer than dbus-daemon lets wait for an answer (128, and then it
    /// refuses them).
    questions: Arc<Semaphore>,
}

impl Authority {
    pub(super) fn new(callers: Arc<Callers>) -> Self {
        let questions = Arc::new(Semaphore::new(QUESTIONS));
        Self { callers, questions }
    }

    /// Lets the call through if its caller is root, the user that the daemon runs as, or somebody whom
    /// polkit lets do `action`; the caller's uid. Where polkit is not there everybody may check: that is
    /// what its policy says, and checks that are asked for often are gathered.
    ///
    /// # Errors
    ///
    /// `NotAuthorized`, and why, where it is denied: also where polkit is not there, but for a check.
    /// `InteractiveAuthorizationRequired` where polkit would have to ask for a password and may not. `Busy` where
    /// polkit or the bus is asked too much already, or does not answer in time; `Failed` where they fail.
    pub(super) async fn require(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        action: Action,
    ) -> Result<u32, Refused> {
        let uid = self.caller(connection, header).await?;
        if is_owner(uid) {
            return Ok(uid);
        }
        let refused = |why: &str| {
            Refused::from(BusError::NotAuthorized(format!(
                "uid {uid} may not do that: {why}"
            )))
        };
        let Some(sender) = header.sender() else {
            return Err(refused("only root may"));
        };
        let Ok(_question) = self.questions.try_acquire() else {
            return Err(BusError::Busy("polkit is asked too much already".to_owned()).into());
        };
        let flags = header.primary().flags();
        let is_interactive = flags.contains(Flags::ALLOW_INTERACTIVE_AUTH);
        let asking = self.callers.asking(connection);
        match polkit::ask(asking, sender, action, is_interactive).await {
            Ok(Answer::Yes) => Ok(uid),
            Ok(Answer::No) => Err(refused("polkit refuses it")),
            Ok(Answer::Challenge) if is_interactive => Err(refused(
                "polkit would ask for a password, and has nobody to ask",
            )),
            Ok(Answer::Challenge) => Err(Refused::InteractiveAuthorizationRequired(format!(
                "uid {uid} may do that after a password alone, and the call does not let polkit ask for it"
            ))),
            Err(Silence::NotThere) if action == Action::Check => Ok(uid),
            Err(why @ Silence::NotThere) => {
                Err(refused(&format!("only root may without polkit: {why}")))
            }
            Err(why @ Silence::Busy(_)) => Err(BusError::Busy(format!("polkit: {why}")).into()),
            Err(why @ Silence::Failed(_)) => Err(BusError::Failed(format!("polkit: {why}")).into()),
        }
    }

    /// Lets the call through if its caller is `uid`, root, or the user that the daemon runs as.
    ///
    /// # Errors
    ///
    /// `NotAuthorized` where it is somebody else; `Busy` where the bus does not say who it is.
    pub(super) async fn require_user(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        uid: u32,
    ) -> Result<(), BusError> {
        let caller = self.caller(connection, header).await?;
        if caller == uid || is_owner(caller) {
            return Ok(());
        }
        let text = format!("uid {caller} may not do that: only uid {uid} or root may");
        Err(BusError::NotAuthorized(text))
    }

    async fn caller(&self, connection: &Connection, header: &Header<'_>) -> Result<u32, BusError> {
        let unknown = |text: String| format!("the caller is not known: {text}");
        let Some(sender) = header.sender() else {
            // No bus in between: the peer is the caller.
            let peer = connection.peer_creds().await;
            let peer = peer.map_err(|error| BusError::Failed(unknown(error.to_string())))?;
            let refused = || BusError::NotAuthorized(unknown("no uid".to_owned()));
            return peer.unix_user_id().ok_or_else(refused);
        };
        let owner = self.callers.owner(connection, sender).await?;
        owner.ok_or_else(|| BusError::Failed(unknown("it has gone".to_owned())))
    }
}

fn is_owner(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}
