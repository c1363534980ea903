//! What this machine's own ssh makes of a case.

use std::process::{Command, Stdio};

use data_encoding::BASE64;

use super::{
    ground::{Ground, SYSTEM_PATH},
    ssh::Input,
};
use crate::{Result, error::Context};

/// Whether this machine's ssh runs a command there, called as Nix calls it.
pub(super) fn gets_in(ground: &Ground, input: &Input) -> Result<bool> {
    let (before, query) = input.uri.split_once('?').unwrap_or((&input.uri, ""));
    let (_, authority) = before.split_once("://").unwrap_or(("", before));
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found.map(|(_, value)| value.replace("%3D", "=").replace("%2B", "+"))
    };
    let port = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok());
    let (host, port) = port.map_or((authority, None), |(host, port)| (host, Some(port)));
    let or_parameter = |field: &String, name| match field.as_str() {
        "" => parameter(name),
        field => Some(field.to_owned()),
    };
    let mut arguments = Vec::new();
    if let Some(key) = or_parameter(&input.key, "ssh-key") {
        arguments.extend(["-i".to_owned(), key]);
    }
    if let Some(key) = or_parameter(&input.field8, "base64-ssh-public-host-key") {
        let padded = format!(
            "{}{}",
            key.trim_end_matches('='),
            "=".repeat(key.trim_end_matches('=').len().wrapping_neg() % 4)
        );
        let name = host.rsplit('@').next().unwrap_or(host);
        let mut line = format!("{name} ").into_bytes();
        line.extend(BASE64.decode(padded.as_bytes()).unwrap_or_default());
        line.push(b'\n');
        let file = ground.write("hostkey", line, 0o644)?;
        arguments.push(format!("-oUserKnownHostsFile={}", file.display()));
    }
    arguments.extend(port.map(|port| format!("-p{port}")));
    // NIX_SSHOPTS is split as a shell does it.
    let script = "host=$1; shift; eval \"exec timeout 12 setsid -w ssh \\\"\\$host\\\" -x $OPTIONS \\\"\\$@\\\"\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", host]).args(arguments);
    command.args([
        "-oPermitLocalCommand=yes",
        "-oLocalCommand=echo started",
        "--",
        "echo",
        "NIXOK",
    ]);
    command
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .env("HOME", "/root");
    command.env("SHELL", "/bin/sh").env("OPTIONS", &input.opts);
    let output = command.stdin(Stdio::null()).output().context("ssh")?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("NIXOK"))
}
