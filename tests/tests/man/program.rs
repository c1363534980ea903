//! offloadctl(1), from the definition of its command line.

use clap::Command;

use crate::{page::Page, words::Words};

pub(crate) fn page(words: &Words) -> String {
    let command = words.command(offload_client::cli::command().disable_help_subcommand(true));
    let mut page = Page::new(
        words,
        "offloadctl",
        "1",
        "whether Nix can use the desktop it hands its builds to",
    );
    page.section("SYNOPSIS");
    page.synopsis("offloadctl", &command);
    for (name, short) in [
        ("status", "offload-status"),
        ("test-build", "offload-test-build"),
    ] {
        page.line_break();
        page.synopsis(short, command.find_subcommand(name).unwrap());
    }
    description(&mut page);
    page.section("OPTIONS");
    page.options(&command);
    page.section("COMMANDS");
    page.prose(
        "Without one it is `status`. `offloadctl help` COMMAND shows the options of each; \
         the ones above can stand before and behind it.",
    );
    for command in command.get_subcommands() {
        subcommand(&mut page, command);
    }
    statuses(&mut page);
    environment(&mut page);
    examples(&mut page);
    page.see_also(&[
        "offloadd(8)",
        "offloadd.toml(5)",
        "nix.conf(5)",
        "journalctl(1)",
        "systemd.unit(5)",
    ])
}

fn description(page: &mut Page<'_>) {
    page.section("DESCRIPTION");
    page.prose(
        "`offloadctl` asks `offloadd`(8) on the system bus for the state of every cache and builder \
         that this machine's Nix is configured to use, and shows it: one line for each, and for what is \
         not ready how far a check came, the cause, and what mends it.",
    );
    page.paragraph(
        "A TARGET is a name, such as desktop, which means its cache and its builder; cache/NAME and \
         builder/NAME mean one of the two. Called as `offload-status` or `offload-test-build` the program \
         is its command of that name.",
    );
    page.paragraph("The states of a target:");
    for (state, meaning) in [
        (
            "unknown",
            "Not judged since the start, or nothing to watch.",
        ),
        (
            "ready",
            "Nix would go there now, by the way it is configured to take.",
        ),
        (
            "degraded",
            "It answers, but Nix could not make full use of it, or does not go there: a person must mend something.",
        ),
        ("down", "It does not answer."),
        ("away", "This machine is on no network that reaches it."),
        ("paused", "Nobody looks, because somebody asked for that."),
    ] {
        page.item(state, meaning);
    }
    page.paragraph(
        "Over all targets `degraded` means that some are ready, and `offline` that none is.",
    );
}

fn subcommand(page: &mut Page<'_>, command: &Command) {
    let name = command.get_name();
    page.subsection(name);
    page.synopsis(&format!("offloadctl {name}"), command);
    let about = command.get_about().unwrap().to_string();
    page.told(&format!("{about}."));
    // Its own alone: the others are above.
    page.options(&command.clone().disable_help_flag(true));
    page.notes(command);
}

/// A test of the program holds its codes to these.
fn statuses(page: &mut Page<'_>) {
    page.section("EXIT STATUS");
    for (status, meaning) in [
        ("0", "Ready, or done."),
        ("3", "Not ready. `hold`: it was ready, and is not any more."),
        ("4", "No daemon answers."),
        (
            "64",
            "The command line is wrong, or no target has that name.",
        ),
        (
            "69",
            "The bus is gone, or `offloadd --once` could not do it.",
        ),
        ("70", "What the daemon said makes no sense, or it failed."),
        ("71", "The kernel refused something."),
        ("74", "Standard output can't be written."),
        (
            "75",
            "Try again later: too often, busy (a test build runs there already), or not in time.",
        ),
        (
            "77",
            "Neither root nor, by polkit's rules, anybody who may.",
        ),
        (
            "130",
            "A second Ctrl-C did not wait for the end of a test build.",
        ),
    ] {
        page.item(status, meaning);
    }
}

fn environment(page: &mut Page<'_>) {
    page.section("ENVIRONMENT");
    page.item(
        "LANGUAGE, LC_ALL, LC_MESSAGES, LANG",
        "The language of what people read, as locale(7) and gettext have it: English, or Portuguese of Brazil. Codes, states and \
         exit statuses are the same in each.",
    );
    page.item(
        "NO_COLOR",
        "No colours, where it is set to anything but nothing and --color says nothing else.",
    );
    page.item(
        "SYSTEMD_PAGER, PAGER",
        "The pager for a page that is longer than the screen, as systemctl(1) has it; nothing, or cat, for none. \
         Without either it is pager(1), less(1) or more(1), less with the options of SYSTEMD_LESS, else `FRSXMK`, and without \
         ways to start anything (LESSSECURE).",
    );
    page.item(
        "OFFLOADD_RUNTIME_DIR, XDG_RUNTIME_DIR",
        "Where the socket of a daemon with `--bus embedded` is looked for, as offloadd(8) places it.",
    );
    page.item(
        "DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS",
        "Where those buses are.",
    );
    page.item(
        "NOTIFY_SOCKET",
        "`hold` tells systemd there when it is ready, and what it waits for (sd_notify(3)).",
    );
}

fn examples(page: &mut Page<'_>) {
    page.section("EXAMPLES");
    for (why, how) in [
        (
            "Something big, only while the desktop is there for it:",
            "offloadctl is-ready desktop && nix flake check",
        ),
        (
            "A build that waits for the desktop for up to five minutes:",
            "offloadctl wait --any-builder --timeout 5m && nix build",
        ),
        (
            "The patch that corrects a wrong address in the configuration:",
            "offloadctl doctor --patch | sudo patch -p1 -d /etc/nixos",
        ),
        (
            "What happened to the desktop, and what mends it, from the journal:",
            "journalctl -x OFFLOAD_TARGET=desktop",
        ),
    ] {
        page.paragraph(why);
        page.literal(how);
    }
}
