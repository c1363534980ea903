//! Whether this machine can afford what nobody has asked for: not on battery, nor where the network costs by the byte.

use std::{
    fs,
    path::{Path, PathBuf},
};

use zbus::{
    Connection,
    fdo::{DBusProxy, PropertiesProxy},
    names::{BusName, InterfaceName},
};

const POWER_SUPPLIES: &str = "/sys/class/power_supply";
const NETWORK_MANAGER: &str = "org.freedesktop.NetworkManager";

/// Asks the kernel and NetworkManager.
#[derive(Debug)]
pub(super) struct Thrift {
    power_supplies: PathBuf,
    bus: Option<Connection>,
}

impl Thrift {
    pub(super) fn new(bus: Option<Connection>) -> Self {
        Self {
            power_supplies: POWER_SUPPLIES.into(),
            bus,
        }
    }

    /// Why it is to be put off, where it is.
    pub(super) async fn asks_to_wait(&self) -> Option<&'static str> {
        if is_on_battery(&self.power_supplies) {
            return Some("on battery");
        }
        let metered = match &self.bus {
            Some(bus) => is_metered(bus).await.unwrap_or_default(),
            None => false,
        };
        metered.then_some("the connection is metered")
    }
}

/// As systemd's `on_ac_power` has it (src/shared/battery-util.c): a battery of this machine's gives current, and nothing
/// else does.
fn is_on_battery(supplies: &Path) -> bool {
    let read = |supply: &Path, name: &str| {
        let text = fs::read_to_string(supply.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let supplies = fs::read_dir(supplies).into_iter().flatten().flatten();
    let mut discharges = false;
    for supply in supplies.map(|supply| supply.path()) {
        match &*read(&supply, "type") {
            // A mouse's.
            _ if read(&supply, "scope") == "Device" => {}
            "Battery" => discharges |= read(&supply, "status") == "Discharging",
            "Mains" | "USB" if read(&supply, "online") == "1" => return false,
            _ => {}
        }
    }
    discharges
}

/// What NetworkManager says or guesses (NMMetered in its D-Bus types), where it is running.
async fn is_metered(bus: &Connection) -> zbus::Result<bool> {
    const YES: u32 = 1;
    const GUESS_YES: u32 = 3;
    let names = DBusProxy::new(bus).await?;
    if !names
        .name_has_owner(BusName::try_from(NETWORK_MANAGER)?)
        .await?
    {
        return Ok(false);
    }
    let properties = PropertiesProxy::builder(bus)
        .destination(NETWORK_MANAGER)
        .path("/org/freedesktop/NetworkManager")
        .build()
        .await?;
    let interface = InterfaceName::try_from(NETWORK_MANAGER)?;
    let metered = properties.get(interface, "Metered").await?;
    Ok(u32::try_from(metered).is_ok_and(|metered| [YES, GUESS_YES].contains(&metered)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_on_battery_where_that_alone_gives_current() {
        let directory = tempfile::tempdir().unwrap();
        let is_on_battery = || super::is_on_battery(directory.path());
        let supply = |name: &str, files: &[(&str, &str)]| {
            let supply = directory.path().join(name);
            fs::create_dir_all(&supply).unwrap();
            for (file, text) in files {
                fs::write(supply.join(file), format!("{text}\n")).unwrap();
            }
        };
        assert!(!is_on_battery(), "a desktop");
        supply(
            "hid-mouse",
            &[
                ("type", "Battery"),
                ("scope", "Device"),
                ("status", "Discharging"),
            ],
        );
        assert!(!is_on_battery(), "a desktop with a mouse");
        supply("AC", &[("type", "Mains"), ("online", "0")]);
        supply("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        assert!(is_on_battery());
        supply("BAT1", &[("type", "Battery"), ("status", "Full")]);
        assert!(is_on_battery());
        supply("AC", &[("online", "1")]);
        assert!(!is_on_battery(), "a charger too weak to charge");
        assert!(!super::is_on_battery(&directory.path().join("none")));
    }
}
