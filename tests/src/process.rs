//! A child process that does not outlive its fixture.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result, error::Context, eventually};

/// A running program.
///
/// Dropping it kills it. The kernel kills it too when the thread that started it ends, so that an
/// aborted test leaves nothing behind.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `program`, with stdout and stderr going to `log`, in the network namespace `netns`
    /// where one is named. `adjust` adds arguments and environment.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(
        program: &Path,
        netns: Option<&str>,
        log: &Path,
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str());
        let name = name.to_string_lossy().into_owned();
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .context(log.display())?;
        let err = out.try_clone().context(log.display())?;

        let mut command = match netns {
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns, "setpriv"]);
                command
            }
            None => Command::new("setpriv"),
        };
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        adjust(&mut command);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        Ok(Self {
            child: child.context(format!("can't start {name} through setpriv"))?,
            name,
        })
    }

    /// Its process id; `setpriv` and `ip netns exec` become the program, so it is the program's.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context(&self.name)
    }

    /// Whether it still runs, seen from outside: for those who may not reap it.
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()));
        // The state follows the name in parentheses; Z is dead and not reaped (proc(5)).
        stat.is_ok_and(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| !rest.starts_with('Z'))
        })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context(&self.name)
    }

    /// Sends a signal to it and to everything it started.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal_tree(&self, signal: Signal) -> Result<()> {
        for child in descendants(self.id()) {
            // One that has ended by itself meanwhile needs no signal.
            let _ = kill_process(child, signal);
        }
        self.signal(signal)
    }

    /// Kills everything it started, but not itself.
    pub fn kill_children(&self) {
        for child in descendants(self.id()) {
            let _ = kill_process(child, Signal::KILL);
        }
    }

    /// Kills it and everything it started, and waits until it is gone.
    pub fn kill_tree(&mut self) {
        // Stopped first, so that it starts no more while its children are looked up.
        let _ = self.signal(Signal::STOP);
        self.kill_children();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ended by itself.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        let child = &mut self.child;
        eventually(deadline, &what, async || child.try_wait().transpose())
            .await?
            .context(&what)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill_tree();
        }
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// When it can't be started, or its exit status is not 0.
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String> {
    run_command(Command::new(program).args(arguments))
}

/// The same for a command that needs more than arguments.
///
/// # Errors
/// When it can't be started, or its exit status is not 0.
pub fn run_command(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().context(&program)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Program {
            program: format!("{command:?}"),
            output: format!("{}: {}", output.status, stderr.trim()),
        })
    }
}

/// Finds a system program, also where `PATH` lacks the administrator's directories.
///
/// # Errors
/// When it is not installed, with its Debian package.
pub fn system_program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            Error::Unsupported(format!(
                "{name} is not installed (Debian package {package})"
            ))
        })
}

/// Everything that `ancestor` started and that is still its descendant.
pub(crate) fn descendants(ancestor: u32) -> Vec<Pid> {
    let parents = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = parents
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id: u32| Some((id, parent_of(id)?)))
        .collect();
    let mut family = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(id, _)| *id),
        );
        next += 1;
    }
    let pid = |id: &u32| Pid::from_raw(i32::try_from(*id).ok()?);
    family.iter().skip(1).filter_map(pid).collect()
}

/// The fourth field of `/proc/PID/stat` (proc(5)); the second is in parentheses and may hold any.
fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, directory: &Path) -> Process {
        let log = directory.join("log");
        Process::start(Path::new("/bin/sh"), None, &log, |command| {
            command.args(["-c", script]);
        })
        .unwrap()
    }

    #[tokio::test]
    async fn dropping_a_process_ends_its_whole_family() {
        let directory = tempfile::tempdir().unwrap();
        let process = start("sleep 1000 & sleep 1000", directory.path());
        let family = eventually(Duration::from_secs(5), "two children", async || {
            Some(descendants(process.id())).filter(|family| family.len() == 2)
        });
        let family = family.await.unwrap();
        drop(process);
        for child in family {
            let gone = eventually(Duration::from_secs(5), "the child ends", async || {
                let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
                let zombie = |stat: String| stat.contains(") Z ");
                stat.map_or(true, zombie).then_some(())
            });
            gone.await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_exit_code_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = start("exit 78", directory.path());
        let status = process.wait_exit(Duration::from_secs(5)).await.unwrap();
        assert_eq!(status.code(), Some(78));
    }

    #[tokio::test]
    async fn a_dead_process_does_not_run_even_before_it_is_reaped() {
        let directory = tempfile::tempdir().unwrap();
        let process = start("read -r line < /dev/null; sleep 1000", directory.path());
        assert!(process.is_running());
        process.signal_tree(Signal::KILL).unwrap();
        let dead = eventually(Duration::from_secs(5), "it is dead", async || {
            (!process.is_running()).then_some(())
        });
        dead.await.unwrap();
    }

    #[test]
    fn a_failed_program_says_what_it_said() {
        let failed = run("sh", ["-c", "echo no such luck >&2; exit 3"]).unwrap_err();
        assert!(failed.to_string().contains("no such luck"), "{failed}");
    }
}
