//! The keys of the cases, made anew each time.

use std::{
    fs,
    os::unix::fs::{chown, symlink},
    path::Path,
    process::Command,
};

use super::ground::{Ground, USER};
use crate::{Result, error::Context, process::run_command};

/// Users' keys by what `ssh-keygen` is told of them.
const USERS: [(&str, &[&str]); 12] = [
    ("k_ed25519", &["-t", "ed25519", "-N", ""]),
    ("k_rsa", &["-t", "rsa", "-b", "3072", "-N", ""]),
    ("k_ecdsa", &["-t", "ecdsa", "-b", "256", "-N", ""]),
    ("k_ecdsa521", &["-t", "ecdsa", "-b", "521", "-N", ""]),
    (
        "k_rsapem",
        &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""],
    ),
    (
        "k_rsapkcs8",
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""],
    ),
    ("k_ecpem", &["-t", "ecdsa", "-m", "PEM", "-N", ""]),
    ("k_ecpkcs8", &["-t", "ecdsa", "-m", "PKCS8", "-N", ""]),
    ("k_enc", &["-t", "ed25519", "-N", "secret"]),
    (
        "k_encpem",
        &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"],
    ),
    ("k_rsa1024", &["-t", "rsa", "-b", "1024", "-N", ""]),
    ("k_cert", &["-t", "ed25519", "-N", ""]),
];

/// Makes them in `keys`: of hosts, of users, of authorities; and in `keys/modes` files that ssh may not take for
/// keys.
pub(super) fn make(ground: &Ground, keys: &Path) -> Result<()> {
    fs::create_dir_all(keys.join("modes")).context("keys")?;
    fs::create_dir_all(keys.join("inc")).context("keys")?;
    let generate = |name: &str, arguments: &[&str]| {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-C", "root@desk", "-f"])
            .arg(keys.join(name));
        run_command(command.args(arguments))
    };
    for host in ["hk", "hk2"] {
        for kind in ["ed25519", "rsa", "ecdsa"] {
            generate(&format!("{host}_{kind}"), &["-t", kind, "-N", ""])?;
        }
    }
    for authority in ["ca", "uca"] {
        generate(authority, &["-t", "ed25519", "-N", ""])?;
    }
    for (name, arguments) in USERS {
        generate(name, arguments)?;
    }
    // Not every ssh-keygen makes them still.
    let _ = generate("k_dsa", &["-t", "dsa", "-N", ""]);
    let copy = |from: &str, to: &str| {
        let copied = fs::copy(keys.join(from), keys.join(to));
        copied.context(to).map(drop)
    };
    copy("hk_ed25519", "hkc_ed25519")?;
    copy("hk_ed25519.pub", "hkc_ed25519.pub")?;
    let sign = |authority: &str, arguments: &[&str], key: &str| {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-s"])
            .arg(keys.join(authority))
            .args(arguments);
        run_command(command.arg(keys.join(key)))
    };
    let host = ["-I", "desk", "-h", "-n", "127.0.42.4,desk,desk.lan"];
    sign("ca", &host, "hkc_ed25519.pub")?;
    let user = ["-I", "u", "-n", "root,parityoff,paritynix"];
    sign("uca", &user, "k_cert.pub")?;
    authorise(ground, keys)?;
    spoil(ground, keys)?;
    copy("k_cert.pub", "modes/cb.pub")?;
    copy("k_cert-cert.pub", "modes/cb-cert.pub")?;
    for number in 0..7 {
        generate(&format!("modes/bad{number}"), &["-t", "ed25519", "-N", ""])?;
    }
    Ok(())
}

/// All of the users' keys but the one that has a certificate.
fn authorise(ground: &Ground, keys: &Path) -> Result<()> {
    let mut authorised = String::new();
    let names = USERS.iter().map(|(name, _)| *name);
    for name in names.filter(|name| *name != "k_cert").chain(["k_dsa"]) {
        let line = fs::read_to_string(keys.join(format!("{name}.pub")));
        authorised += &line.unwrap_or_default();
    }
    ground.write(keys.join("authorized_keys"), authorised, 0o644)?;
    Ok(())
}

/// One good key, as people's editors and tools leave it.
fn spoil(ground: &Ground, keys: &Path) -> Result<()> {
    let read = |name: &str| fs::read_to_string(keys.join(name)).context(name);
    let (key, pem) = (read("k_ed25519")?, read("k_rsapem")?);
    let crlf = |text: &str| text.replace('\n', "\r\n");
    for (name, text) in [
        ("kcrlf", crlf(&key)),
        ("knonl", key.trim_end().to_owned()),
        ("klead", format!("\n{key}")),
        ("kcomment", format!("# my key\n{key}")),
        ("ktrail", format!("{key}trailing words\n")),
        ("kpemcrlf", crlf(&pem)),
        ("kempty", String::new()),
        ("id-127.0.42.2", key.clone()),
        ("id-root-root", key.clone()),
        ("with space", key.clone()),
        ("cb", read("k_cert")?),
        ("onlypub.pub", read("k_ed25519.pub")?),
    ] {
        ground.write(keys.join("modes").join(name), text, 0o600)?;
    }
    for (name, mode) in [
        ("k0644", 0o644),
        ("k0640", 0o640),
        ("k0400", 0o400),
        ("k0440", 0o440),
        ("kowner0644", 0o644),
    ] {
        ground.write(keys.join("modes").join(name), &key, mode)?;
    }
    chown(keys.join("modes/kowner0644"), Some(USER), Some(USER)).context("kowner0644")?;
    symlink("../k_ed25519", keys.join("modes/klink")).context("klink")
}
