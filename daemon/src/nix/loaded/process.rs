//! Finds the running nix-daemon in proc(5).

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use rustix::process::Pid;

use crate::{clock::Now, nix::DEFAULT_CONF};

/// So many processes are looked at.
const MAX_PROCESSES: usize = 65_536;
/// The most that is read of a file about a process, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// What the kernel counts a process's start in, in microseconds: `sysconf(_SC_CLK_TCK)` is 100 on
/// every architecture that NixOS runs on.
const TICK_USEC: u64 = 10_000;

/// A nix-daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Its number, which another may get after it.
    pub pid: Pid,
    /// When it had surely started, in microseconds of `CLOCK_REALTIME`, exact to a hundredth of a second.
    pub started: u64,
    /// The same as the kernel has it: since boot.
    ticks: u64,
}

impl Process {
    /// Whether it has not ended.
    pub(super) fn is_there(&self, proc: &Path) -> bool {
        let stat = Stat::read(proc, self.pid.as_raw_nonzero().get());
        stat.is_some_and(|stat| stat.ticks == self.ticks && !stat.is_dead)
    }
}

/// The nix-daemon that reads `conf`: the newest, because those that it forked for its clients may
/// outlive it (`KillMode=process`).
///
/// One in a container is another machine's. Which nix.conf one reads is in its environment, that
/// root alone and its own user can read; for all others it is the default one.
pub(super) fn find(proc: &Path, conf: &Path, now: &Now) -> Option<Process> {
    let entries = fs::read_dir(proc).ok()?.take(MAX_PROCESSES);
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let stats = numbers.filter_map(|pid: i32| Stat::read(proc, pid));
    let named: Vec<Stat> = stats
        .filter(|stat| stat.is_named && !stat.is_dead)
        .collect();
    let daemons = named.iter().filter(|stat| {
        let is_forked = named.iter().any(|other| other.pid == stat.parent);
        !is_forked
            && is_daemon(&read(proc, stat.pid, "cmdline"))
            && !is_contained(&read(proc, stat.pid, "status"))
            && reads(proc, stat.pid, conf)
    });
    let newest = daemons.max_by_key(|stat| stat.ticks)?;
    let up = u64::try_from(now.boot.as_micros()).ok()?;
    // The count is rounded down.
    let since_boot = newest.ticks.saturating_add(1).saturating_mul(TICK_USEC);
    Some(Process {
        pid: Pid::from_raw(newest.pid)?,
        started: now
            .realtime_usec
            .saturating_sub(up.saturating_sub(since_boot)),
        ticks: newest.ticks,
    })
}

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    pid: i32,
    is_named: bool,
    is_dead: bool,
    parent: i32,
    ticks: u64,
}

impl Stat {
    fn read(proc: &Path, pid: i32) -> Option<Self> {
        Self::parse(pid, &read(proc, pid, "stat"))
    }

    /// The name, which may hold anything, is in parentheses.
    fn parse(pid: i32, text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (before, rest) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid,
            is_named: matches!(name, "nix-daemon" | "nix"),
            is_dead: matches!(state, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
            // The 22nd field; state is the third.
            ticks: fields.nth(17)?.parse().ok()?,
        })
    }
}

/// `nix-daemon --daemon` or `nix daemon`, but none that serves one client: on its standard input, or
/// forked, which it shows by the client's number in place of its first argument (src/nix/unix/daemon.cc).
fn is_daemon(cmdline: &[u8]) -> bool {
    let mut arguments = cmdline.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<&[u8]> = arguments.filter(|argument| !argument.is_empty()).collect();
    let is_forked = arguments
        .first()
        .is_some_and(|first| first.iter().all(u8::is_ascii_digit));
    let says = |word: &[u8]| arguments.contains(&word);
    let is_its_name = program.ends_with(b"nix-daemon");
    (is_its_name || says(b"daemon")) && !says(b"--stdio") && !is_forked
}

/// Whether it has numbers in more than one PID namespace (`NSpid`, proc_pid_status(5)).
fn is_contained(status: &[u8]) -> bool {
    let status = String::from_utf8_lossy(status);
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_ascii_whitespace().count() > 1)
}

/// `nixConfDir` in src/libstore/globals.cc.
fn reads(proc: &Path, pid: i32, conf: &Path) -> bool {
    let environment = read(proc, pid, "environ");
    let mut variables = environment.split(|byte| *byte == 0);
    let directory = variables.find_map(|variable| variable.strip_prefix(b"NIX_CONF_DIR="));
    match directory.map(String::from_utf8_lossy) {
        Some(directory) => Path::new(&*directory).join("nix.conf") == conf,
        None => conf == Path::new(DEFAULT_CONF),
    }
}

/// What must hold of what the kernel says of a process: nothing but the last parenthesis ends its name,
/// which is its own choice.
#[cfg(any(test, feature = "fuzz"))]
pub(in crate::nix) fn fuzz(text: &[u8]) {
    let _ = (is_daemon(text), is_contained(text));
    if let Some(stat) = Stat::parse(1, text) {
        let name = if stat.is_named { "nix" } else { ") S 2 (nix" };
        let state = if stat.is_dead { "Z" } else { "S" };
        let between = "0 ".repeat(17);
        let text = format!(
            "1 ({name}) {state} {} {between}{} 0",
            stat.parent, stat.ticks
        );
        assert_eq!(Stat::parse(1, text.as_bytes()), Some(stat));
    }
}

/// Empty where it can't be read.
fn read(proc: &Path, pid: i32, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let path = proc.join(pid.to_string()).join(name);
    if let Ok(file) = File::open(path) {
        // Of what ends half-way the beginning is taken.
        let _ = file.take(MAX_FILE).read_to_end(&mut bytes);
    }
    bytes
}
