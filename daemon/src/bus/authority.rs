//! Who may do what only an administrator may.

use zbus::{Connection, fdo::DBusProxy, message::Header};

use offload_client::errors::BusError;

/// Lets the call through if its caller is root or the user that the daemon runs as.
pub(super) async fn require_owner(
    connection: &Connection,
    header: &Header<'_>,
) -> Result<(), BusError> {
    let caller = caller(connection, header).await?;
    let own = rustix::process::geteuid().as_raw();
    if caller == 0 || caller == own {
        return Ok(());
    }
    let text = format!("uid {caller} may not do that: only root may");
    Err(BusError::NotAuthorized(text))
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
