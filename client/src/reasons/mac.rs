//! The words for a desktop that is a Mac, which has launchd and no systemd.

use crate::language::{tr, tr_later};

/// What is to be done on a desktop with systemd, and on a Mac; longer ones first.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    (
        "`sudo systemctl start nix-daemon.socket`; `systemctl status nix-daemon.socket nix-daemon.service`",
        "`sudo launchctl kickstart system/org.nixos.nix-daemon`; `sudo launchctl print system/org.nixos.nix-daemon`",
    ),
    (
        "systemctl status nix-daemon.service",
        "sudo launchctl print system/org.nixos.nix-daemon",
    ),
    (
        "sudo systemctl restart nix-daemon.service",
        "sudo launchctl kickstart -k system/org.nixos.nix-daemon",
    ),
    (
        "sudo systemctl restart nix-daemon",
        "sudo launchctl kickstart -k system/org.nixos.nix-daemon",
    ),
    (
        "journalctl -u nix-daemon -n 50",
        "tail -n 50 /var/log/nix-daemon.log",
    ),
    (
        tr_later(
            "`systemctl status {service}` says why it does not run, `sudo systemctl start` starts it",
        ),
        tr_later(
            "`sudo launchctl print system/com.openssh.sshd` says whether it is on, `sudo systemsetup -setremotelogin on` turns it on",
        ),
    ),
    (
        "systemctl status {service}",
        "sudo launchctl print system/com.openssh.sshd",
    ),
    (
        "sudo systemctl start {service}",
        "sudo systemsetup -setremotelogin on",
    ),
    (
        "sudo systemctl restart {service}",
        "sudo launchctl kickstart -k system/com.openssh.sshd",
    ),
    (
        "sudo systemctl reload sshd",
        "sudo launchctl kickstart -k system/com.openssh.sshd",
    ),
    (
        "journalctl {journal} -t nix-daemon -n 50",
        "log show --last 10m --predicate 'process BEGINSWITH \"sshd\" OR process == \"nix-daemon\"'",
    ),
    (
        "journalctl {journal} -n 50",
        "log show --last 10m --predicate 'process BEGINSWITH \"sshd\"'",
    ),
    (
        "journalctl -t sshd -t sshd-session -n 20",
        "log show --last 10m --predicate 'process BEGINSWITH \"sshd\"'",
    ),
    (
        "journalctl -t sshd -t sshd-session -n 50",
        "log show --last 10m --predicate 'process BEGINSWITH \"sshd\"'",
    ),
];

/// The remedy, a template, with what a Mac has for the commands in it.
pub(super) fn for_mac(remedy: &str) -> String {
    COMMANDS
        .iter()
        .fold(remedy.to_owned(), |remedy, (linux, mac)| {
            remedy.replace(tr(linux), tr(mac))
        })
}
