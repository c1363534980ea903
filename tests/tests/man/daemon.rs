//! offloadd(8), from the definition of its command line and its exit statuses.

use clap::CommandFactory;
use offloadd::{cli::Cli, exit};

use crate::{page::Page, words::Words};

pub(crate) fn page(words: &Words) -> String {
    let command = words.command(Cli::command());
    let mut page = Page::new(
        words,
        "offloadd",
        "8",
        "watch the desktop that Nix hands its builds to",
    );
    page.section("SYNOPSIS");
    page.synopsis("offloadd", &command);
    description(&mut page);
    page.section("OPTIONS");
    page.options(&command);
    units(&mut page);
    signals(&mut page);
    statuses(&mut page);
    environment(&mut page);
    files(&mut page);
    bus(&mut page);
    journal(&mut page);
    page.see_also(&[
        "offload-helper(8)",
        "offloadctl(1)",
        "offloadd.toml(5)",
        "org.offloadd.Offload1(5)",
        "nix.conf(5)",
        "systemd.exec(5)",
        "systemd.unit(5)",
        "polkit(8)",
        "busctl(1)",
    ])
}

fn description(page: &mut Page<'_>) {
    page.section("DESCRIPTION");
    page.prose(
        "`offloadd` watches the binary caches and the builders that this machine's Nix is configured to \
         use, with the SSH keys and the host keys that Nix would use, and publishes on the system bus \
         whether Nix could use them now: the state of each, and for what is not ready how far a check \
         came, and the one root cause. `offloadctl`(1) shows it, and says what to do.",
    );
    page.paragraph(
        "What is watched comes from nix.conf, its includes and the machines file, and is taken up anew \
         when they change. Nothing has to be configured; `offloadd.toml`(5) says what can be. Changes of \
         the network, and resuming from suspend, start the checks that they concern.",
    );
    page.paragraph(
        "It is a service: it is ready once it is on the bus, whether the desktop is there or not. It runs \
         as the user `offloadd`, who may use Nix as any user may, and needs no privileges.",
    );
}

fn units(page: &mut Page<'_>) {
    page.section("UNITS");
    page.item(
        "offloadd.service",
        "The daemon. `systemctl status` shows the state of the desktop in one line.",
    );
    page.item(
        "offload-ready.target",
        "Up exactly while at least one builder is ready; offload-ready.path starts it. To start \
         what is bound to it (BindsTo= and After=) is to wait until a builder is ready, for a minute at the most; it \
         is stopped when the last one goes. To be started with it a unit is wanted by it (WantedBy=).",
    );
    page.item(
        "offload-wait-ready.service",
        "Waits once, for at most five minutes and no longer than this machine is where one could be, until a builder is \
         ready: for Requires= or Wants=, and After=.",
    );
    page.item(
        "offload-hold.service",
        "What the target is bound to: `offloadctl hold`.",
    );
    page.paragraph(
        "A unit that starts only while a builder is ready, and is no failure otherwise, has",
    );
    page.literal("[Unit]\nConditionPathExists=/run/offloadd/ready");
}

fn signals(page: &mut Page<'_>) {
    page.section("SIGNALS");
    page.item(
        "SIGHUP",
        "Reads the configuration again, as `systemctl reload` does, and as happens by itself within a second of a change. \
         One that is broken is rejected, with the file and the key in the journal, and the one before it stays in force.",
    );
    page.item(
        "SIGTERM, SIGINT",
        "Ends it: what it kept open is closed, and test builds are cancelled.",
    );
}

fn statuses(page: &mut Page<'_>) {
    page.section("EXIT STATUS");
    for (status, meaning) in [
        (
            exit::OK,
            "Ended by a signal; what was asked for is done; `--once`: all ready.",
        ),
        (exit::NOT_READY, "`--once`: not everything is ready."),
        (exit::USAGE, "The command line is wrong."),
        (
            exit::BUS_GONE,
            "There is no bus, it is gone, or the name on it belongs to somebody else.",
        ),
        (exit::OS_ERROR, "The kernel refused something."),
        (exit::CONFIG, "The configuration is wrong."),
    ] {
        page.item(&status.to_string(), meaning);
    }
    page.item(
        &format!("{} + n", exit::INTERRUPTED),
        "`--once`: interrupted by the signal n.",
    );
    page.paragraph("They are those of `sysexits.h`(3head) where it has one. The unit is not restarted after 64 and 78.");
}

fn environment(page: &mut Page<'_>) {
    page.section("ENVIRONMENT");
    page.item(
        "OFFLOADD_SECTION__KEY, OFFLOADD_CACHE__NAME__KEY, OFFLOADD_BUILDER__NAME__KEY",
        "A key of the configuration, in capitals, with two underscores between its parts: \
         OFFLOADD_POLL__INTERVAL=10s. It overrides the files. A variable that begins with OFFLOADD_ and \
         is no key is a mistake.",
    );
    page.item(
        "OFFLOADD_LOG",
        "What is logged: off, error, warn, info (the default), debug or trace, or a list of such levels \
         for parts, as in info,offloadd::probe=debug.",
    );
    page.item(
        "OFFLOADD_RUNTIME_DIR",
        "The directory of the bus of `--bus embedded`. Without it root's is /run/offloadd, and that of \
         everybody else offloadd in XDG_RUNTIME_DIR or, without one, /tmp/offloadd-UID.",
    );
    page.item(
        "OFFLOADD_HELPER",
        "The socket of offload-helper, in place of /run/offload-helper.socket. Root needs none.",
    );
    page.item(
        "CREDENTIALS_DIRECTORY",
        "Where systemd has put the credentials of the unit.",
    );
    page.item(
        "RUNTIME_DIRECTORY",
        "Where the file ready is kept (RuntimeDirectory= of the unit). Without it there is none.",
    );
    page.item(
        "NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM",
        "Set by systemd: sd_notify(3), sd_watchdog_enabled(3), systemd.exec(5).",
    );
    page.item(
        "NO_COLOR",
        "No colours, where it is set to anything but nothing.",
    );
}

fn files(page: &mut Page<'_>) {
    page.section("FILES");
    page.item(
        "/etc/offloadd/config.toml, /etc/offloadd/config.d/*.toml",
        "The configuration: offloadd.toml(5).",
    );
    page.item(
        "/etc/nix/nix.conf, /etc/nix/machines, /etc/nix/netrc",
        "What Nix is configured to use. Read, never written.",
    );
    page.item(
        "/run/offloadd/ready",
        "There exactly while at least one builder is ready.",
    );
    page.item(
        "/run/offload-helper.socket",
        "Where `offload-helper` answers the user `offloadd` and root: it opens what root's Nix and ssh read and the user \
         `offloadd` cannot (nix.conf and what it includes, the list of builders, known_hosts, certificates, netrc, \
         Nix's disk cache), asks root's ssh where it would go for a builder, and signs with root's keys what logs in \
         there. It hands over no private key, nothing that root's own files do not name, and nothing that others than \
         root may exchange: `offload-helper`(8).",
    );
    page.item(
        "/run/credentials/offloadd.service/",
        "SSH keys that only offloadd.toml(5) names, and other files of root's, where there is no helper. A credential \
         that has the name of the file that Nix uses, without its first slash and with a dash for every \
         other, takes that file's place; any other is named by the key ssh_key of offloadd.toml(5). In \
         /etc/systemd/system/offloadd.service.d/keys.conf:",
    );
    page.literal(
        "[Service]\n\
         LoadCredential=etc-nix-builder_ed25519:/etc/nix/builder_ed25519",
    );
    page.item(
        "/var/lib/offloadd/state.json",
        "What offloadd has learnt and keeps over a restart: where a target was found that is at none of its own addresses, \
         and how builders have proved themselves. Nothing of it is believed: where a target was found is where it is looked \
         for first, and it has to prove who it is; a proof puts the next one off. It may be removed at any time.",
    );
    page.item(
        "/var/cache/offloadd/",
        "The home of the user `offloadd`: what Nix keeps there of its own.",
    );
}

fn bus(page: &mut Page<'_>) {
    page.section("BUS AND RIGHTS");
    page.prose(
        "The name on the bus is org.offloadd.Offload1; its interfaces are installed in \
         /usr/share/dbus-1/interfaces. Everybody may read, and ask for a check. The other actions are \
         polkit's to allow, who is asked about the caller; without polkit only root may:",
    );
    page.item(
        "org.offloadd.Offload1.check",
        "Everybody, as often as the daemon answers.",
    );
    page.item(
        "org.offloadd.Offload1.discover, org.offloadd.Offload1.test-build",
        "Users of the active session.",
    );
    page.item("org.offloadd.Offload1.pause", "Administrators.");
}

fn journal(page: &mut Page<'_>) {
    page.section("JOURNAL");
    page.prose(
        "Each change of a state is one entry with the fields OFFLOAD_TARGET=, OFFLOAD_KIND=, \
         OFFLOAD_STATE= and OFFLOAD_REASON=. With `-x` the journal adds what it means, and what mends it:",
    );
    page.literal("journalctl -x -u offloadd OFFLOAD_TARGET=desktop");
}
