//! What systemd says of nix-daemon's environment.
//!
//! Source: org.freedesktop.systemd1(5), the properties `LoadState`, `Environment` and `EnvironmentFiles`. Anybody may
//! read them.

use std::{io::ErrorKind, path::PathBuf, time::Duration};

use tokio::time::timeout;
use zbus::{Connection, OwnedVariant, fdo::PropertiesProxy, names::InterfaceName};

use super::{Environment, file};
use crate::{files::Files, nix::text};

/// How long systemd is waited for.
const BOUND: Duration = Duration::from_secs(2);
const SYSTEMD: &str = "org.freedesktop.systemd1";
/// A unit that is not loaded yet is loaded for who asks.
const UNIT: &str = "/org/freedesktop/systemd1/unit/nix_2ddaemon_2eservice";

/// The environment of nix-daemon.service, as systemd on the system bus has it, its files read through `files`; `None`
/// where there is no systemd, or it has no such unit.
pub async fn of_nix_daemon(files: &dyn Files) -> Option<Environment> {
    let (variables, named) = timeout(BOUND, ask()).await.ok()??;
    let mut environment = Environment::default();
    for variable in &variables {
        if let Some((name, value)) = variable.split_once('=') {
            let (name, value) = (name.to_owned(), value.to_owned());
            environment.variables.insert(name, value);
        }
    }
    // What stands in a file prevails.
    for (path, _) in named {
        let path = PathBuf::from(path);
        match text::read(files, &path) {
            Ok(text) => environment.variables.extend(file::variables(&text)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                environment.hidden = Some(path);
            }
            // The unit would not have started without one that it needs.
            Err(_) => {}
        }
    }
    Some(environment)
}

/// `Environment`, and of `EnvironmentFiles` each path and whether it may be missing.
async fn ask() -> Option<(Vec<String>, Vec<(String, bool)>)> {
    let bus = Connection::system().await.ok()?;
    let unit = PropertiesProxy::builder(&bus).destination(SYSTEMD);
    let unit = unit.path(UNIT).build().await.ok()?;
    let get = async |interface: &'static str, name| -> Option<OwnedVariant> {
        let interface = InterfaceName::try_from(interface).ok()?;
        unit.get(interface, name).await.ok()
    };
    let state = get("org.freedesktop.systemd1.Unit", "LoadState").await?;
    if String::try_from(state).ok()? != "loaded" {
        return None;
    }
    let service = "org.freedesktop.systemd1.Service";
    let variables = get(service, "Environment").await?;
    let files = get(service, "EnvironmentFiles").await?;
    Some((variables.try_into().ok()?, files.try_into().ok()?))
}
