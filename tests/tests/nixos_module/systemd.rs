//! What the laptop's module adds to units, under a real systemd (257, in a container).

use std::time::Duration;

use offload_tests::{Namespace, container::Container, eventually, supported};
use serde_json::Value;

use crate::evaluated::evaluated;

const PATIENCE: Duration = Duration::from_secs(30);
const FLAG: &str = "/run/offloadd/ready";
/// As the real one is, with a service behind it that a test can hold.
const TARGET: &str = "[Unit]\nBindsTo=offload-hold.service\nAfter=offload-hold.service\n";
const HOLD: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
const WAIT: &str = "[Service]\nType=oneshot\nExecStart=/bin/test -e /run/offloadd/ready\n";

#[tokio::test]
async fn units_and_credentials_do_what_the_module_says_of_them() {
    let Some(evaluated) = evaluated() else { return };
    let Some(network) = supported(Namespace::new()) else {
        return;
    };
    let Some(mut laptop) = supported(Container::new("laptop").await) else {
        return;
    };
    let units = &evaluated["laptop"]["units"]["units"];
    let unit = |name: &str, text: &str| {
        let path = format!("/etc/systemd/system/{name}");
        laptop.write(&path, text).unwrap();
    };
    unit("offload-ready.target", TARGET);
    unit("offload-hold.service", HOLD);
    unit("offload-wait-ready.service", WAIT);
    for name in ["skips", "stops", "waits"] {
        unit(&format!("{name}.service"), HOLD);
        unit(
            &format!("{name}.service.d/overrides.conf"),
            &drop_in(&units[name]),
        );
    }
    laptop
        .write("/etc/own", "the unit's own condition\n")
        .unwrap();
    let service = &evaluated["laptop"]["ownEntries"]["units"]["offloadd"]["serviceConfig"];
    let shown = "cat ${CREDENTIALS_DIRECTORY}/etc-nix-other_key";
    unit(
        "keys.service",
        &format!(
            "[Service]\nType=oneshot\n{}ExecStart=/bin/{shown}\n",
            section(service)
        ),
    );
    laptop.boot(network.laptop()).await.unwrap();

    starts_only_with_the_flag(&laptop).await;
    stops_with_the_target(&laptop).await;
    gets_its_keys_or_empty_lines(&laptop);
}

async fn starts_only_with_the_flag(laptop: &Container) {
    start(laptop, "skips");
    assert_eq!(state(laptop, "skips"), "inactive", "it is no failure");
    let refused = laptop.run(&["systemctl", "start", "waits.service"]);
    assert!(refused.is_err(), "{refused:?}");
    laptop.run(&["mkdir", "-p", "/run/offloadd"]).unwrap();
    laptop.run(&["touch", FLAG]).unwrap();
    for name in ["skips", "waits"] {
        start(laptop, name);
        assert_eq!(state(laptop, name), "active", "{name}");
    }
}

async fn stops_with_the_target(laptop: &Container) {
    start(laptop, "stops");
    assert_eq!(state(laptop, "stops"), "active");
    let target = ["systemctl", "is-active", "offload-ready.target"];
    assert!(laptop.run(&target).is_err(), "nothing starts the target");
    laptop
        .run(&["systemctl", "start", "offload-ready.target"])
        .unwrap();
    // The last builder goes: what holds the target ends by itself.
    laptop
        .run(&["systemctl", "kill", "offload-hold.service"])
        .unwrap();
    let stopped = eventually(PATIENCE, "the unit is stopped", async || {
        (state(laptop, "stops") == "inactive").then_some(())
    });
    stopped.await.unwrap();
    assert_eq!(state(laptop, "skips"), "active", "it did not ask for that");
}

fn gets_its_keys_or_empty_lines(laptop: &Container) {
    let secret = "a private key\n";
    start(laptop, "keys");
    laptop.run(&["rm", "-f", "/etc/nix/other_key"]).unwrap();
    start(laptop, "keys");
    laptop.write("/etc/nix/other_key", secret).unwrap();
    start(laptop, "keys");
    let journal = ["journalctl", "-u", "keys.service", "-o", "cat", "-t", "cat"];
    let printed = laptop.run(&journal).unwrap();
    assert_eq!(printed.matches(secret.trim()).count(), 1, "{printed}");
}

fn start(laptop: &Container, name: &str) {
    let unit = format!("{name}.service");
    laptop.run(&["systemctl", "start", &unit]).unwrap();
}

fn state(laptop: &Container, name: &str) -> String {
    let unit = format!("{name}.service");
    let show = [
        "systemctl",
        "show",
        "--value",
        "--property=ActiveState",
        &unit,
    ];
    laptop.run(&show).unwrap().trim().to_owned()
}

/// As the systemd module of NixOS writes a unit's options.
fn drop_in(unit: &Value) -> String {
    let relation = |key: &str, option: &str| {
        let names = unit[option].as_array().unwrap().iter();
        names
            .map(|name| format!("{key}={}\n", name.as_str().unwrap()))
            .collect::<String>()
    };
    format!(
        "[Unit]\n{}{}{}",
        relation("After", "after"),
        relation("Requires", "requires"),
        section(&unit["unitConfig"])
    )
}

fn section(options: &Value) -> String {
    let mut text = String::new();
    for (key, values) in options.as_object().unwrap() {
        for value in values.as_array().unwrap() {
            text.push_str(&format!("{key}={}\n", value.as_str().unwrap()));
        }
    }
    text
}
