//! The command line.

mod called;

use std::{path::PathBuf, time::Duration};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};

pub(super) use self::called::read;
use super::{bar::Format, help};
use crate::{
    Bus,
    language::{say, tr},
};

/// Says whether Nix can use the desktop it hands its builds to, and if not, why and what to do.
#[derive(Debug, Parser)]
#[command(
    name = "offloadctl",
    version,
    after_help = "A TARGET is a name (desktop: its cache and its builder), cache/NAME or builder/NAME.\n\
                  Exit codes: 0 ready or done, 3 not ready, 4 no daemon, 64 usage.",
    propagate_version = true
)]
pub(super) struct Cli {
    /// Where the daemon is: system, session, embedded, or a D-Bus address [default: find it]
    #[arg(long, global = true, value_name = "BUS")]
    pub(super) bus: Option<Bus>,

    /// Whether to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(super) color: Color,

    /// Write JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Show everything that is known
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,

    /// Don't use a pager for what is longer than the screen
    #[arg(long, global = true)]
    pub(super) no_pager: bool,

    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// What it was called as.
    #[arg(skip = NAME)]
    pub(super) name: &'static str,
}

/// What the program is called by.
pub(super) const NAME: &str = "offloadctl";

const READY_OR_NOT: &str = "Exit codes: 0 ready, 3 not ready, 4 no daemon, 64 usage.";
const DONE: &str = "Exit codes: 0 done, 4 no daemon, 64 usage.";
/// What a test build may take at the most.
const MAX_BUILD: Duration = Duration::from_secs(600);

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    // Not doc comments: clap would spread them over the help of every command.
    Auto,
    Always,
    Never,
}

/// A shell whose completions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    // What these offer, a name a line: for the scripts themselves.
    #[value(hide = true)]
    Targets,
    #[value(hide = true)]
    Builders,
    #[value(hide = true)]
    Caches,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the status page (the default)
    #[command(after_help = READY_OR_NOT)]
    Status {
        /// Only this one
        target: Option<String>,
    },
    /// Check now, and show what came of it
    #[command(after_help = READY_OR_NOT)]
    Check {
        /// Only this one
        target: Option<String>,
    },
    /// Look on the local network for what is not where it should be
    #[command(
        after_help = "Asks by multicast DNS and tries the neighbours; also each address of `[discover] sweep` in\n\
                      /etc/offloadd/config.toml. Only the target's own host key or signing key counts.\n\
                      Exit codes: 0 everything is ready, 3 not, 4 no daemon, 64 usage."
    )]
    Discover,
    /// Show each change as it happens
    #[command(
        after_help = "It ends with Ctrl-C; without a daemon it waits for one.\n\
                      Exit codes: 4 no bus, 69 it went away, 64 usage."
    )]
    Watch,
    /// Show everything on one screen, and follow it
    #[command(
        after_help = "Targets with their latency, the slots that Nix uses, what it builds there now, warnings and changes. Keys:\n\
                      c checks, t has it build something trivial, p pauses, / filters, ? shows all keys, q quits.\n\
                      It waits for a daemon where there is none, and starts none.\n\
                      Exit codes: 0 quit, 64 usage, or no terminal."
    )]
    Top,
    /// Tell on the desktop when builds begin to stay on this machine, and when they go out again
    #[command(
        after_help = "One notice for each such change, with the cause and the remedy, in the place of the one before; none at its start,\n\
                      for what is soon over, while paused, or away from the desktop. As a user's service: \n\
                      systemctl --user enable --now offload-notify\n\
                      Exit codes: 0 the session is over, 4 no bus, 64 usage, 69 no session bus."
    )]
    Notify {
        /// Only of what has lasted so long
        #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
        after: Duration,
    },
    /// Show an icon in the desktop's tray, with the cause, the remedy and a menu
    #[command(
        after_help = "For desktops whose bar runs no programs: Plasma, Xfce, Cinnamon, LXQt, MATE, and GNOME with the extension AppIndicator\n\
                      (a StatusNotifierItem). A click checks. It starts no daemon, and outlives restarts of it. As a user's service:\n\
                      systemctl --user enable --now offload-tray\n\
                      Exit codes: 0 the session is over, 64 usage, 69 no session bus."
    )]
    Tray,
    /// Write a line for a status bar, and another one whenever it changes
    #[command(
        after_help = "Ready-made snippets for each bar are in /usr/share/doc/offloadd/bars. It starts no daemon, and outlives\n\
                      restarts of it and of the bus. genmon starts it anew each time, so it writes once there.\n\
                      Exit codes: 0 written or no longer read, 64 usage."
    )]
    Bar {
        /// Whose line
        #[arg(long, value_enum, value_name = "FORMAT")]
        format: Format,
        /// Write it once and end: for a prompt
        #[arg(long)]
        once: bool,
    },
    /// Wait until ready
    #[command(
        after_help = "It ends at once where this machine is away from what it waits for, and after 10 s on no network at all.\n\
                      Exit codes: 0 ready, 3 not in time or away, 4 no daemon, 64 usage."
    )]
    Wait {
        /// Only for this one
        target: Option<String>,
        /// Until at least one builder is ready, whatever else is
        #[arg(long, conflicts_with = "target")]
        any_builder: bool,
        /// Give up after so long, as in 90s or 5m
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
    },
    /// Stay exactly while at least one builder is ready: for units that are bound to that
    #[command(
        after_help = "As a service of Type=notify (offload-hold.service) it is starting until ready, and up from then on.\n\
                      A daemon that is away or has not judged yet ends it only after 10 s: a restart, a resume.\n\
                      Without --timeout it waits until ready for as long as that takes.\n\
                      Exit codes: 3 no longer ready, 0 stopped by SIGTERM or SIGINT, 4 no daemon, 64 usage."
    )]
    Hold {
        /// Instead of any builder: each target of this name
        target: Option<String>,
        /// Give up where it is not ready after so long, as in 90s or 5m, and wait for a daemon that long too
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
    },
    /// Say by the exit code alone whether it is ready; with --json also how it is
    #[command(after_help = READY_OR_NOT)]
    IsReady {
        /// Only this one
        target: Option<String>,
    },
    /// Build something trivial on a builder through this machine's Nix, and prove where it ran
    #[command(
        after_help = "Shows Nix's log as it comes; with --json one object on one line for each builder, at its end.\n\
                      Ctrl-C ends the build; a second one leaves it to itself.\n\
                      Exit codes: 0 built there, 3 not, 4 no daemon, 64 usage."
    )]
    TestBuild {
        /// Only this one [default: each, one after the other]
        builder: Option<String>,
        /// End it after so long, as in 90s or 5m [default: 2m; the most: 10m]
        #[arg(long, value_name = "DURATION", value_parser = limit)]
        timeout: Option<Duration>,
    },
    /// Say where Nix would send a build now, or fetch a path from, and why not elsewhere
    #[command(
        after_help = "As Nix itself chooses: systems, features, free slots, speed factors, the order of its list; and whom of\n\
                      those it would reach. Without anything: a build for this machine's own system.\n\
                      Of any other path of the store (./result too): which substituters have it, signed by whom, whether Nix\n\
                      trusts that, and what it remembers of having asked. This needs no daemon; what Nix remembers is root's\n\
                      to read.\n\
                      Exit codes: 0 something builds or has it, 3 nothing now, 4 no daemon, 64 usage, or no such path."
    )]
    Explain {
        /// A derivation, /nix/store/….drv, or another path of the store
        #[arg(value_name = "PATH", conflicts_with_all = ["system", "feature", "prefer_local"])]
        path: Option<PathBuf>,
        /// What it is for, as in aarch64-linux
        #[arg(short, long)]
        system: Option<String>,
        /// A feature that it requires; may be repeated
        #[arg(short, long)]
        feature: Vec<String>,
        /// It asks to be built on this machine (preferLocalBuild)
        #[arg(long)]
        prefer_local: bool,
    },
    /// Find the root cause of what is wrong, and what mends it
    #[command(
        after_help = "Compares what is declared, deployed, loaded and really there, after a fresh check; without a daemon\n\
                      `offloadd --once` makes it. It changes nothing.\n\
                      Exit codes: 0 nothing to mend, 3 something, 4 neither daemon nor offloadd, 64 usage."
    )]
    Doctor {
        /// Where a wrong address is looked for [default: /etc/nixos]
        #[arg(long, value_name = "DIR")]
        config_dir: Option<PathBuf>,
        /// Write the proposed patch alone, for `patch -p1`
        #[arg(long)]
        patch: bool,
    },
    /// Show what changed, and when
    #[command(after_help = DONE)]
    History {
        /// Only this one's
        target: Option<String>,
        /// The most entries of each target
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u32).range(1..))]
        max: u32,
    },
    /// Dial a builder where it is now, for Nix's ssh: its ProxyCommand
    #[command(
        after_help = "In ssh_config: `ProxyCommand offloadctl connect %h %p` and `ProxyUseFdpass yes` (`steer --print` writes it).\n\
                      It hands ssh the socket and is gone; whose host key it is, ssh decides as ever. A builder that is not there is refused at once.\n\
                      What offloadd does not watch is not dialled, unless no daemon answers within 50 ms: then it dials what\n\
                      ssh would have.\n\
                      Exit codes: 0 handed over, 3 not there, 64 usage, or no builder that is watched."
    )]
    Connect {
        /// What ssh would dial: its %h
        host: String,
        /// And on which port: its %p
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
    },
    /// Wake a desktop that sleeps: send it a magic packet
    #[command(
        after_help = "Its hardware address is learnt while its builder proves its host key; it is woken on the network where that was,\n\
                      and on no other. `offloadctl wait` waits for it. A build or a path that is asked for does it where\n\
                      `[wake] on_demand` in /etc/offloadd/config.toml says so.\n\
                      Exit codes: 0 sent, or it is awake, 3 its hardware address is not known, 4 no daemon, 64 usage."
    )]
    Wake {
        /// Only this one [default: each that is not there]
        desktop: Option<String>,
    },
    /// Have Nix ask a cache again for what it lacked
    #[command(
        after_help = "For an hour Nix does not ask a cache again for a path that it lacked, and builds it, though the cache may\n\
                      have it by now. This deletes what root's Nix remembers of that, through offload-helper and sqlite3.\n\
                      Exit codes: 0 done, 4 no daemon, 64 usage."
    )]
    ForgetMisses {
        /// Only of this one [default: of each]
        cache: Option<String>,
    },
    /// Write what ssh_config and nix.conf need, so that Nix follows the desktop
    #[command(
        after_help = "For the builders and caches that are watched. It changes nothing; on NixOS\n\
                      `services.offloadd.steer.enable = true;` does all of it.\n\
                      Exit codes: 0 written, 4 no daemon, 64 usage."
    )]
    Steer {
        /// Write it to standard output
        #[arg(long, required = true)]
        print: bool,
    },
    /// Stop checking for a while
    #[command(after_help = DONE)]
    Pause {
        /// For how long, as in 30m or 2h [default: until resumed]
        #[arg(value_parser = pause_duration)]
        duration: Option<Duration>,
    },
    /// Start checking again
    #[command(after_help = DONE)]
    Resume,
    /// Write the completions of a shell to standard output
    #[command(
        after_help = "bash: offloadctl completions bash > /usr/share/bash-completion/completions/offloadctl\n\
                      zsh:  offloadctl completions zsh > /usr/share/zsh/vendor-completions/_offloadctl\n\
                      fish: offloadctl completions fish > /usr/share/fish/vendor_completions.d/offloadctl.fish\n\
                      Exit codes: 0 written, 64 usage."
    )]
    Completions {
        /// Whose
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual page to standard output, as in `offloadctl man | man -l -`
    #[command(after_help = "Exit codes: 0 written, 64 usage.")]
    Man,
}

impl Cli {
    /// What clap's attributes can't say.
    fn checked(self) -> Result<Self, clap::Error> {
        if self.json && matches!(self.command, Some(Command::Hold { .. })) {
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                tr("hold says by its life how it is; `watch --json` writes it"),
            ));
        }
        if self.json
            && matches!(
                self.command,
                Some(
                    Command::Bar { .. }
                        | Command::Connect { .. }
                        | Command::Steer { .. }
                        | Command::Completions { .. }
                        | Command::Notify { .. }
                        | Command::Top
                        | Command::Tray
                        | Command::Man
                )
            )
        {
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                tr("what it writes has a form of its own"),
            ));
        }
        if self.json && matches!(self.command, Some(Command::Doctor { patch: true, .. })) {
            return Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                tr("--json has the patch in it: either that or --patch"),
            ));
        }
        Ok(self)
    }
}

/// A limit of nothing would end everything before it began.
fn limit(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.as_micros() == 0 {
        return Err(tr("a build takes some time").to_owned());
    }
    if duration > MAX_BUILD {
        return Err(say!(
            "the most is {duration}",
            duration = humantime::format_duration(MAX_BUILD)
        ));
    }
    Ok(duration)
}

/// On the bus 0 is "until resumed", which nobody means who writes `0s`.
fn pause_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.as_micros() == 0 {
        return Err(tr("a pause takes some time; `offloadctl resume` ends one").to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests;
