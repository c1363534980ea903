//! `ssh -G`, asked as Nix would run ssh.

use std::{
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use super::{Asked, SshConfigError, SshOptions, parse};
use crate::nix::{account::Accounts, text};

const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer has 4 to 8 KiB, most of it lists of algorithms.
const USUAL_ANSWER: usize = 8 << 10;
const MAX_ANSWER: usize = 256 << 10;
/// That there is no terminal; where ssh is asked to be verbose, far more.
const USUAL_COMPLAINT: usize = 256;
const MAX_COMPLAINT: usize = 16 << 10;
/// What ssh ends with, before it reads a single line of configuration, where its user has no name
/// (ssh.c, `main`). Root, as which Nix runs it, has one.
const NAMELESS: &str = "No user exists for uid";
/// How much of a complaint is told.
const MAX_TOLD: usize = 200;

/// Asks OpenSSH what it would do for `host`, with the arguments that Nix gives it
/// (`SSHMaster::addCommonSSHOpts`, src/libstore/ssh.cc) as far as they change the answer:
/// `NIX_SSHOPTS` of this process' environment (nix-daemon has its own: set both alike), `-i key`,
/// `-pPORT`. A `key` that is not there, or in a folder that this account may not enter, is left out
/// by ssh. Where OpenSSH is not installed, or won't answer an account without a name, its defaults
/// are returned. Takes no longer than two seconds.
///
/// # Errors
/// [`SshConfigError`]: Nix would hardly come further.
pub async fn ask(
    host: &str,
    user: Option<&str>,
    port: Option<u16>,
    key: Option<&Path>,
) -> Result<SshOptions, SshConfigError> {
    let options = std::env::var("NIX_SSHOPTS").unwrap_or_default();
    Query {
        program: OsStr::new("ssh"),
        options: &options,
        accounts: &Accounts::current(),
        timeout: TIMEOUT,
    }
    .ask(host, user, port, key)
    .await
}

/// The surroundings of a question.
pub(super) struct Query<'a> {
    pub(super) program: &'a OsStr,
    pub(super) options: &'a str,
    pub(super) accounts: &'a Accounts,
    pub(super) timeout: Duration,
}

impl Query<'_> {
    pub(super) async fn ask(
        &self,
        host: &str,
        user: Option<&str>,
        port: Option<u16>,
        key: Option<&Path>,
    ) -> Result<SshOptions, SshConfigError> {
        check_name(host)?;
        user.map_or(Ok(()), check_name)?;
        let options = shell_split(self.options)?;
        let mut arguments: Vec<OsString> = vec!["-G".into()];
        arguments.push(user.map_or_else(|| host.into(), |user| format!("{user}@{host}").into()));
        arguments.push("-x".into());
        arguments.extend(options.iter().map(OsString::from));
        if let Some(key) = key {
            arguments.extend(["-i".into(), key.into()]);
        }
        arguments.extend(port.map(|port| format!("-p{port}").into()));

        let asked = Asked {
            host,
            user,
            key,
            config: config_file(&options),
            accounts: self.accounts,
        };
        match self.run(&arguments).await {
            Ok(answer) => parse(&answer, &asked),
            Err(error) if nobody_answers(&error) => {
                let (key, nix) = (key.map(Path::to_owned), &self.accounts.nix);
                Ok(SshOptions::defaults_of(host, user, port, key, nix))
            }
            Err(error) => Err(error),
        }
    }

    async fn run(&self, arguments: &[OsString]) -> Result<String, SshConfigError> {
        let mut child = Command::new(self.program)
            .args(arguments)
            // As in Nix's build hook, for what `Match exec` runs.
            .env("SHELL", "/bin/sh")
            .env_remove("DISPLAY")
            .env_remove("SSH_ASKPASS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let (answer, complaint) = tokio::try_join!(
                read_at_most(stdout, USUAL_ANSWER, MAX_ANSWER),
                read_at_most(stderr, USUAL_COMPLAINT, MAX_COMPLAINT)
            )?;
            Ok::<_, io::Error>((answer, complaint, child.wait().await?))
        };
        let (answer, complaint, status) = timeout(self.timeout, all)
            .await
            .map_err(|_| SshConfigError::TimedOut(self.timeout))??;
        if !status.success() {
            return Err(SshConfigError::Refused(last_line(&complaint, status)));
        }
        if answer.len() >= MAX_ANSWER {
            return Err(SshConfigError::Unreadable);
        }
        Ok(answer)
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

/// Reads to the end, of `usual` bytes where nothing is odd; keeps the first `most` and lets the rest
/// pass, so that the other side does not wait for a reader.
async fn read_at_most(
    pipe: Option<impl AsyncRead + Unpin>,
    usual: usize,
    most: usize,
) -> io::Result<String> {
    let Some(mut pipe) = pipe else {
        return Ok(String::new());
    };
    let mut bytes = Vec::with_capacity(usual);
    (&mut pipe)
        .take(most as u64)
        .read_to_end(&mut bytes)
        .await?;
    if bytes.len() == most {
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(text::of(bytes))
}

fn last_line(complaint: &str, status: std::process::ExitStatus) -> String {
    let line = complaint
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty());
    match line {
        Some(line) => line
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_TOLD)
            .collect(),
        None => status.to_string(),
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

/// Splits as Nix splits `NIX_SSHOPTS` (`shellSplitString`, src/libutil/strings.cc): quotes of both
/// kinds and backslashes, no expansion.
pub(super) fn shell_split(text: &str) -> Result<Vec<String>, SshConfigError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SshConfigError::UnclosedQuote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SshConfigError::UnclosedQuote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(SshConfigError::UnclosedQuote)? {
                            c @ ('$' | '`' | '"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}
