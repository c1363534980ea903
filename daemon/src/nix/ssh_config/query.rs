//! `ssh -G`, asked as Nix would run ssh.

use std::{
    ffi::{OsStr, OsString},
    io::ErrorKind,
    ops::ControlFlow,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::Command;

use super::{
    SshConfigError, SshOptions,
    answer::Answer,
    jump::{self, Jump},
    parse::{Asked, parse},
    roots,
    shell::shell_split,
};
use crate::{
    credential,
    files::Reachable,
    helper::Helper,
    nix::{Machine, account::Accounts, text, uri::SshUri},
    program::{self, End, Lines, Stream},
};

const TIMEOUT: Duration = Duration::from_secs(2);
/// Each host on the way has half of what the one behind it has: less is none.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
/// The answer has 4 to 8 KiB, most of it lists of algorithms.
const USUAL_ANSWER: usize = 8 << 10;
const MAX_ANSWER: usize = 256 << 10;
/// What ssh ends with, before it reads a single line of configuration, where its user has no name
/// (ssh.c, `main`). Root, as which Nix runs it, has one.
const NAMELESS: &str = "No user exists for uid";
/// How many characters of a complaint are told.
const MAX_TOLD: usize = 200;
/// Stands for the file in which Nix has an entry's host key written down.
pub(super) const ENTRY_HOST_KEY: &str = "/nonexistent/host-key-of-nix";
/// How many bytes of one are kept for that.
const MAX_COMPLAINT: usize = 4 * MAX_TOLD;

/// Asks OpenSSH what it would do for `host`, with the arguments that Nix gives it
/// (`SSHMaster::addCommonSSHOpts`, src/libstore/ssh.cc) as far as they change the answer:
/// `NIX_SSHOPTS`, which are `options`, `-i key`, the file of the entry's host key where it has one, `-pPORT`. Root's ssh
/// is asked through `offload-helper` (which has `NIX_SSHOPTS` of its own unit: set both alike) where it is there and `store` is not empty: the builder's URI in Nix's list. A `key` that is not there, or in a folder that
/// this account may not enter, is left out by ssh. Where OpenSSH is not installed, or won't answer an account without a name, its defaults
/// are returned. Takes no longer than two seconds, four with jumps.
///
/// # Errors
/// [`SshConfigError`]: Nix would hardly come further.
pub async fn ask(
    options: &str,
    store: &str,
    host: &str,
    user: Option<&str>,
    port: Option<u16>,
    key: Option<&Path>,
    has_host_key: bool,
) -> Result<SshOptions, SshConfigError> {
    let (accounts, credentials) = (Accounts::current(), credential::directory());
    let query = Query {
        program: OsStr::new("ssh"),
        options,
        accounts: &accounts,
        credentials: credentials.as_deref(),
        timeout: TIMEOUT,
    };
    let question = Question::new(host, user, port, key, has_host_key);
    let helper = Helper::of_this_machine().filter(|_| !store.is_empty());
    if let Some(helper) = helper
        && let Some(answer) = roots_answer(&helper, store).await?
    {
        let mut options = question.read_roots(&answer, options)?;
        // The helper asks it.
        let is_agent = |option: &String| option.starts_with("identityagent ");
        options.unsupported.retain(|option| !is_agent(option));
        options.proxy_is_roots = options.proxy_command.is_some();
        return Ok(options);
    }
    query.ask(question).await
}

/// What root's ssh answers; `None` where there is no helper for us, or it says that the builder is not Nix's: there our own
/// ssh is as good. A helper that fails says nothing of what root's ssh would do, and ours knows no alias of root's.
pub(super) async fn roots_answer(
    helper: &Helper,
    store: &str,
) -> Result<Option<String>, SshConfigError> {
    match helper.resolve(store).await {
        Ok(answer) => Ok(Some(text::of(answer))),
        Err(error) if error.kind() == ErrorKind::Other => {
            Err(SshConfigError::Refused(error.to_string()))
        }
        Err(error) => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                tracing::debug!(%error, "offload-helper");
                Ok(None)
            }
            _ => Err(SshConfigError::NotAsked(error)),
        },
    }
}

/// The same with other `options` in place of `NIX_SSHOPTS`.
#[cfg(test)]
pub(crate) async fn ask_with(
    options: &str,
    host: &str,
    user: Option<&str>,
    port: Option<u16>,
    key: Option<&Path>,
    has_host_key: bool,
) -> Result<SshOptions, SshConfigError> {
    Query {
        program: OsStr::new("ssh"),
        options,
        accounts: &Accounts::current(),
        credentials: credential::directory().as_deref(),
        timeout: TIMEOUT,
    }
    .ask(Question::new(host, user, port, key, has_host_key))
    .await
}

/// Whom ssh is asked about, as Nix names it on ssh's command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    host: &'a str,
    user: Option<&'a str>,
    port: Option<u16>,
    key: Option<&'a Path>,
    has_host_key: bool,
}

impl<'a> Question<'a> {
    pub(super) const fn new(
        host: &'a str,
        user: Option<&'a str>,
        port: Option<u16>,
        key: Option<&'a Path>,
        has_host_key: bool,
    ) -> Self {
        Self {
            host,
            user,
            port,
            key,
            has_host_key,
        }
    }

    /// `uri` is that of `machine`; a builder of Nix's list has no other.
    pub(crate) fn of(machine: &'a Machine, uri: &'a SshUri) -> Self {
        let key = uri.params.get("ssh-key").map(Path::new);
        let has_host_key =
            machine.host_key.is_some() || uri.params.contains_key("base64-ssh-public-host-key");
        let key = machine.ssh_key.as_deref().or(key);
        Self::new(&uri.host, uri.user.as_deref(), uri.port, key, has_host_key)
    }

    /// The key that Nix gives it.
    pub(crate) fn key(&self) -> Option<&'a Path> {
        self.key
    }

    /// The arguments of `ssh -G`, `options` those of `NIX_SSHOPTS`.
    ///
    /// # Errors
    /// A name that ssh would refuse; a quote that is not closed.
    pub(crate) fn arguments(&self, options: &str) -> Result<Vec<OsString>, SshConfigError> {
        self.arguments_behind(None, &shell_split(options)?)
    }

    fn arguments_behind(
        &self,
        jumps: Option<&str>,
        options: &[String],
    ) -> Result<Vec<OsString>, SshConfigError> {
        let (host, user) = (self.host, self.user);
        check_name(host)?;
        user.map_or(Ok(()), check_name)?;
        let mut arguments: Vec<OsString> = vec!["-G".into()];
        arguments.push(user.map_or_else(|| host.into(), |user| format!("{user}@{host}").into()));
        arguments.push("-x".into());
        arguments.extend(jumps.map(|jumps| format!("-J{jumps}").into()));
        arguments.extend(options.iter().map(OsString::from));
        if let Some(key) = self.key {
            arguments.extend(["-i".into(), key.into()]);
        }
        if self.has_host_key {
            arguments.push(format!("-oUserKnownHostsFile={ENTRY_HOST_KEY}").into());
        }
        arguments.extend(self.port.map(|port| format!("-p{port}").into()));
        Ok(arguments)
    }

    /// Reads what root's ssh has answered, `options` as it had them.
    ///
    /// # Errors
    /// It can't be read, or asks for what can't be done.
    pub(crate) fn read_roots(
        &self,
        answer: &str,
        options: &str,
    ) -> Result<SshOptions, SshConfigError> {
        let options = shell_split(options)?;
        let asked = Asked {
            host: self.host,
            user: self.user,
            key: self.key,
            config: config_file(&options),
            accounts: &Accounts::of_root(),
        };
        parse(answer, &asked)
    }
}

/// The surroundings of a question.
pub(super) struct Query<'a> {
    pub(super) program: &'a OsStr,
    pub(super) options: &'a str,
    pub(super) accounts: &'a Accounts,
    /// What systemd hands over.
    pub(super) credentials: Option<&'a Path>,
    pub(super) timeout: Duration,
}

impl Query<'_> {
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<SshOptions, SshConfigError> {
        self.ask_behind(None, question).await
    }

    /// The same for a host behind those jumps.
    async fn ask_behind(
        &self,
        jumps: Option<&str>,
        question: Question<'_>,
    ) -> Result<SshOptions, SshConfigError> {
        let Question {
            host,
            user,
            port,
            key,
            ..
        } = question;
        let options = shell_split(self.options)?;
        let mut arguments = question.arguments_behind(jumps, &options)?;
        let config = config_file(&options);
        let mut stdin = Stdio::null();
        if config.is_none()
            && let Some(roots) = roots::config(self.accounts, self.credentials)?
        {
            arguments.extend(["-F".into(), roots::PATH.into()]);
            stdin = roots.into();
        }

        let asked = Asked {
            host,
            user,
            key,
            config,
            accounts: self.accounts,
        };
        match self.run(&arguments, stdin).await {
            Ok(answer) => {
                let mut options = parse(&answer, &asked)?;
                if self.accounts.own != self.accounts.nix
                    && let Some(jump) = Answer::of(&answer).get("proxyjump")
                {
                    options.proxy_command = Some(self.through(jump, &options).await?);
                }
                Ok(options)
            }
            Err(error) if nobody_answers(&error) => {
                let (key, nix) = (key.map(Path::to_owned), &self.accounts.nix);
                Ok(SshOptions::defaults_of(host, user, port, key, nix))
            }
            Err(error) => Err(error),
        }
    }

    /// The way through `jump` for an account that can't read what root's ssh goes by there.
    async fn through(&self, jump: &str, to: &SshOptions) -> Result<String, SshConfigError> {
        let Jump {
            before,
            user,
            host,
            port,
        } = Jump::parse(jump)?;
        // As ssh has it for jumps: of Nix's arguments they have none, and no end of them is told.
        let own = Query {
            options: "",
            timeout: self.timeout / 2,
            ..*self
        };
        if self.timeout < LEAST_TIMEOUT {
            return Err(SshConfigError::BadJump(jump.to_owned()));
        }
        let asking = own.ask_behind(before, Question::new(host, user, port, None, false));
        let options = Box::pin(asking).await?;
        check_name(&to.hostname)?;
        if let Some(file) = jump::closed(&options, &Reachable::without_helper(self.credentials)) {
            return Err(SshConfigError::JumpNotVisible(file));
        }
        Ok(jump::command_of(
            &options,
            (&to.hostname, to.port),
            self.credentials,
        ))
    }

    async fn run(&self, arguments: &[OsString], stdin: Stdio) -> Result<String, SshConfigError> {
        let mut command = Command::new(self.program);
        // As in Nix's build hook, for what `Match exec` runs.
        command.args(arguments).env("SHELL", "/bin/sh");
        let mut answer = Vec::with_capacity(USUAL_ANSWER);
        let (mut complaints, mut last) = (Lines::new(MAX_COMPLAINT), Vec::new());
        let mut complain = |line: &[u8]| {
            if !line.trim_ascii().is_empty() {
                last.clear();
                last.extend_from_slice(line);
            }
        };
        let end = program::run(&mut command, stdin, self.timeout, |stream, chunk| {
            match stream {
                Stream::Error => complaints.take(chunk, &mut complain),
                Stream::Output if answer.len() + chunk.len() > MAX_ANSWER => {
                    return ControlFlow::Break(());
                }
                Stream::Output => answer.extend_from_slice(chunk),
            }
            ControlFlow::Continue(())
        });
        let end = end.await?;
        complaints.finish(complain);
        match end {
            End::Ended(status) if status.success() => Ok(text::of(answer)),
            End::Ended(status) => Err(SshConfigError::refused(&last, status)),
            End::Enough => Err(SshConfigError::Unreadable),
            End::TimedOut => Err(SshConfigError::TimedOut(self.timeout)),
        }
    }
}

/// Whether ssh is not there, or not for this account, which says nothing of Nix's.
fn nobody_answers(error: &SshConfigError) -> bool {
    match error {
        SshConfigError::Io(error) => error.kind() == ErrorKind::NotFound,
        SshConfigError::Refused(complaint) => complaint.starts_with(NAMELESS),
        _ => false,
    }
}

impl SshConfigError {
    /// The last line of what it complains of; how ssh ended where it has nothing to say.
    pub(crate) fn refused(complaints: &[u8], status: ExitStatus) -> Self {
        let complaints = String::from_utf8_lossy(complaints);
        let mut lines = complaints.lines().map(str::trim);
        let last = lines.rfind(|line| !line.is_empty());
        Self::Refused(last.map_or_else(
            || status.to_string(),
            |line| {
                let line = line.chars().filter(|c| !c.is_control());
                line.take(MAX_TOLD).collect()
            },
        ))
    }
}

/// `valid_hostname` and `valid_ruser` of ssh.c (OpenSSH 9.6 and later, here for all): what a shell
/// gives a meaning to is in no name, because the names end up in `ProxyCommand`.
pub(super) fn check_name(name: &str) -> Result<(), SshConfigError> {
    let is_bad =
        |c: char| c.is_whitespace() || c.is_control() || "'`\"$\\;&<>|(){},*?!~#".contains(c);
    if name.is_empty() || name.starts_with('-') || name.contains(is_bad) {
        return Err(SshConfigError::BadName(name.escape_debug().to_string()));
    }
    Ok(())
}

/// The file of `-F`, which OpenSSH hands on to its jumps.
fn config_file(options: &[String]) -> Option<&str> {
    options.iter().enumerate().find_map(|(i, option)| {
        let file = option.strip_prefix("-F")?;
        if file.is_empty() {
            options.get(i + 1).map(String::as_str)
        } else {
            Some(file)
        }
    })
}
