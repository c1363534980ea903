//! What a shell says that is asked who this machine is and what its Nix is configured to.

use serde_json::{Value, json};

use super::{End, Fault, Point, Stream};

/// As the kernel has it: the same until the machine starts again.
const BOOT_ID: &str = "6c0c8ff0-2f0b-4e0c-9f5d-7d0e2d5b6a10";
const HOSTNAME: &str = "practice-desktop";

pub(super) async fn show(stream: &mut Stream<'_>, fault: Fault) -> Result<(), End> {
    stream.reached(Point::Handshake).await?;
    stream
        .write(format!("{BOOT_ID}\n{HOSTNAME}\n").as_bytes())
        .await?;
    if fault == Fault::NoNix {
        return Err(End::not_found("nix"));
    }
    stream
        .write(format!("{}\n", settings(fault)).as_bytes())
        .await
}

/// What a shell says that is asked how many builders a desktop has that has no machines file, as
/// most have: `builders` names that file whether it is there or not.
pub(super) async fn no_machines(stream: &mut Stream<'_>) -> Result<(), End> {
    stream.write(b"0\n").await?;
    let complaint = "grep: /etc/nix/machines: No such file or directory\n";
    Err(End::Failed(2, complaint.into()))
}

/// A few of the settings, each with all that Nix says of one (src/libutil/configuration.cc, toJSON).
fn settings(fault: Fault) -> Value {
    let all = json!(["benchmark", "big-parallel", "kvm", "nixos-test"]);
    let (system, features) = match fault {
        Fault::SystemMissing => ("aarch64-linux", all.clone()),
        Fault::FeatureMissing => ("x86_64-linux", json!(["benchmark", "big-parallel"])),
        _ => ("x86_64-linux", all.clone()),
    };
    let builders = json!("@/etc/nix/machines");
    json!({
        "builders": setting(builders.clone(), builders),
        "extra-platforms": setting(json!([]), json!([])),
        "max-jobs": setting(json!(8), json!(1)),
        "system": setting(json!(system), json!(system)),
        "system-features": setting(features, all),
        "trusted-users": setting(json!(["root", "nix-builder"]), json!(["root"])),
    })
}

fn setting(value: Value, default: Value) -> Value {
    json!({
        "aliases": [],
        "defaultValue": default,
        "description": "\nA setting of the practice desktop.\n",
        "documentDefault": true,
        "experimentalFeature": null,
        "value": value,
    })
}
