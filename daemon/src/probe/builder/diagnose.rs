//! Why a program on the builder did not answer as Nix does.

use std::time::Duration;

use offload_client::{Printable, Reason, Stage};

use super::{
    Notes,
    command::Command,
    exec::{Exec, Exit},
    greet::{Noise, Then},
    handshake::end_of_login,
    link::Link,
};
use crate::{clock::within, nix::wire::ProtocolError, report::Failure, target::Protocol};

/// How much of another program's words is shown.
const MAX_EXCERPT: usize = 160;
/// How long a program that has closed its output may take to end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What a shell says by its exit status: the program can't be run, or is not there (POSIX, 2.8.2).
const NOT_RUN: [u32; 2] = [126, 127];

/// What shells say of a program that is not there; those that say it otherwise exit with 127.
const NOT_FOUND: [&str; 3] = ["not found", "unknown command", "no such file"];
/// What Nix says where it can't have its daemon: `connect` in src/libutil/unix-domain-socket.cc,
/// `initConnection` in src/libstore/remote-store.cc, `forwardStdioConnection` in
/// src/nix/unix/daemon.cc; and what it comes to where there is no socket, so that it takes the store
/// for its own user's (`openFromNonUri`, src/libstore/store-api.cc).
const NO_DAEMON: [&str; 8] = [
    "cannot connect to socket",
    "cannot connect to daemon",
    "cannot open connection to remote store",
    "Nix daemon disconnected",
    "daemon socket",
    "Permission denied",
    "Operation not permitted",
    "not allowed to connect to the Nix daemon",
];
/// What `nix-store --serve` says without `--write` (src/nix/nix-store/nix-store.cc).
const READ_ONLY: &str = "building paths is not allowed";
/// What only a `nix-daemon --stdio` says that hands on to a daemon.
const HANDED_ON: &str = "from daemon socket";

/// What Nix says of a nix.conf that it refuses, to whoever calls it (seen with 2.8 and 2.26): src/libutil/configuration.cc,
/// and `max-jobs` in src/libstore/globals.cc.
const CONF_REFUSED: [&str; 4] = [
    "configuration line '",
    "' included from '",
    "' has invalid value '",
    "configuration setting '",
];

/// What sshd says to whom it lets in, and sends away again (`do_nologin` and `do_pwchange` in OpenSSH's session.c).
const SENT_AWAY: [&str; 3] = [
    "not allowed because /etc/nologin exists",
    "Your password has expired",
    "Password change required but no TTY available",
];

/// How far a Nix comes that relays to a daemon which is not there, without a word on why: later
/// versions (seen with 2.26) hold the conversation themselves (`runDaemon` in src/nix/unix/daemon.cc),
/// ask the daemon only for what follows the protocol version (`processConnection` in
/// src/libstore/daemon.cc), and have nowhere to say that it is not there.
const BEFORE_DAEMON: &str = "version of Nix";

/// Where the conversation broke off.
#[derive(Debug)]
pub(super) enum Broken {
    /// Something else came than Nix's first bytes, or nothing.
    Noise(Noise),
    /// What followed them is not the protocol.
    Protocol(ProtocolError),
}

impl From<Noise> for Broken {
    fn from(noise: Noise) -> Self {
        Self::Noise(noise)
    }
}

impl From<ProtocolError> for Broken {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// The verdict, once the program has had the time for its last words.
pub(super) async fn diagnose(
    link: &Link,
    mut exec: Exec,
    command: &Command,
    protocol: Protocol,
    broken: Broken,
    notes: &mut Notes,
) -> Failure {
    let is_over = matches!(
        broken,
        Broken::Noise(Noise {
            then: Then::Eof,
            ..
        }) | Broken::Protocol(ProtocolError::Ended(_) | ProtocolError::Said(_))
    );
    if is_over {
        let _ = within(LAST_WORDS, exec.ending()).await;
        // Without a word on how the program ended it may be the connection that did.
        if exec.exit().is_none()
            && let Some(end) = within(LAST_WORDS, link.ended()).await
        {
            return match &broken {
                Broken::Noise(noise) if noise.heard.is_empty() => end_of_login(end),
                _ => failure(end.reason, end.detail),
            };
        }
    }
    if let Broken::Noise(noise) = &broken
        && !noise.heard.is_empty()
    {
        notes.note("noise", Printable::excerpt(&noise.heard, MAX_EXCERPT));
    }
    let stderr = String::from_utf8_lossy(exec.raw_stderr());
    if nix_error(&stderr).is_some_and(is_of_its_conf) {
        notes.note("nix_conf", "broken");
    }
    if stderr.contains(READ_ONLY) {
        notes.note("read_only", true);
    }
    let reason = reason(&broken, &stderr, exec.exit(), command, protocol);
    failure(reason, detail(&broken, &exec, command))
}

fn reason(
    broken: &Broken,
    stderr: &str,
    exit: Option<&Exit>,
    command: &Command,
    protocol: Protocol,
) -> Reason {
    let said = match broken {
        Broken::Protocol(ProtocolError::Said(error)) => Some(error.as_str()),
        Broken::Noise(_) | Broken::Protocol(_) => nix_error(stderr),
    };
    let is_noise = matches!(broken, Broken::Noise(_));
    let is_not_run = matches!(exit, Some(Exit::Status(status)) if NOT_RUN.contains(status));
    if let Broken::Noise(Noise {
        then: Then::Nix, ..
    }) = broken
    {
        Reason::ProfileOutput
    } else if is_noise && (is_not_run || is_missing(stderr, &command.program)) {
        Reason::NixMissing
    } else if is_noise && SENT_AWAY.iter().any(|words| stderr.contains(words)) {
        Reason::LoginRefused
    } else if let Some(said) = said {
        let is_other = protocol == Protocol::Ssh && said.contains(HANDED_ON);
        let lacks_daemon = NO_DAEMON.iter().any(|words| said.contains(words)) && !is_other;
        if said.contains(READ_ONLY) {
            Reason::NotTrusted
        } else if lacks_daemon || is_of_its_conf(said) {
            Reason::NixDaemonDown
        } else {
            Reason::ProtocolMismatch
        }
    } else if is_relay_without_daemon(broken, exit, protocol) {
        Reason::NixDaemonDown
    } else if is_noise && !matches!(exit, Some(Exit::Signal(_))) {
        Reason::NotNix
    } else {
        Reason::ProtocolMismatch
    }
}

/// Whether a Nix says that it refuses its own configuration.
fn is_of_its_conf(error: &str) -> bool {
    CONF_REFUSED.iter().any(|words| error.contains(words))
}

/// Whether a Nix gave up, by itself and of its own accord, where it needs its daemon.
fn is_relay_without_daemon(broken: &Broken, exit: Option<&Exit>, protocol: Protocol) -> bool {
    protocol == Protocol::SshNg
        && matches!(
            broken,
            Broken::Protocol(ProtocolError::Ended(BEFORE_DAEMON))
        )
        && matches!(exit, Some(Exit::Status(1)))
}

/// Whether a shell says that there is no such program.
fn is_missing(stderr: &str, program: &str) -> bool {
    stderr.lines().any(|line| {
        let line = line.to_lowercase();
        line.contains(program) && NOT_FOUND.iter().any(|words| line.contains(words))
    })
}

/// What Nix says is wrong: all from its first `error:` on.
fn nix_error(stderr: &str) -> Option<&str> {
    let mut start = 0;
    for line in stderr.split_inclusive('\n') {
        let plain = line.trim_start_matches(|c: char| c == '\x1b' || "[0123456789;m".contains(c));
        if plain.starts_with("error:") {
            return stderr.get(start..);
        }
        start += line.len();
    }
    None
}

fn detail(broken: &Broken, exec: &Exec, command: &Command) -> String {
    let mut parts = vec![match broken {
        Broken::Protocol(error) => {
            Printable::excerpt(error.to_string().as_bytes(), MAX_EXCERPT).to_string()
        }
        Broken::Noise(Noise { heard, then }) => {
            let heard = if heard.is_empty() {
                "no answer".to_owned()
            } else {
                format!("\"{}\"", Printable::excerpt(heard, MAX_EXCERPT))
            };
            match then {
                Then::Nix => format!("{heard} before Nix's answer"),
                Then::Eof => heard,
                Then::More => format!("{heard}, and no end of it"),
                Then::Silence => format!("{heard}, and then silence"),
            }
        }
    }];
    if let Some(exit) = exec.exit() {
        parts.push(exit.to_string());
    }
    let stderr = Printable::excerpt(exec.raw_stderr().trim_ascii(), 2 * MAX_EXCERPT);
    if !stderr.is_empty() {
        parts.push(stderr.to_string());
    }
    format!("{}: {}", command.shown, parts.join("; "))
}

fn failure(reason: Reason, detail: impl Into<Printable>) -> Failure {
    Failure {
        stage: Stage::Handshake,
        reason,
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eof(heard: &str) -> Broken {
        Broken::Noise(Noise {
            heard: heard.into(),
            then: Then::Eof,
        })
    }

    fn judged(broken: Broken, stderr: &str, status: u32) -> Reason {
        let command = Command {
            line: "nix-daemon --stdio".into(),
            shown: "nix-daemon --stdio".into(),
            program: "nix-daemon".into(),
        };
        let exit = Exit::Status(status);
        reason(&broken, stderr, Some(&exit), &command, Protocol::SshNg)
    }

    #[test]
    fn every_shell_has_its_words_for_a_missing_program() {
        for (stderr, status) in [
            ("bash: line 1: nix-daemon: command not found\n", 127),
            ("sh: 1: nix-daemon: not found\n", 127),
            ("zsh:1: command not found: nix-daemon\n", 127),
            ("fish: Unknown command: nix-daemon\n", 127),
            ("nix-daemon: Command not found.\n", 1),
            ("sh: /opt/nix-daemon: Permission denied\n", 126),
        ] {
            assert_eq!(
                judged(eof(""), stderr, status),
                Reason::NixMissing,
                "{stderr}"
            );
            assert_eq!(judged(eof("hello"), stderr, status), Reason::NixMissing);
        }
        // The profile's own trouble, and a shell that lets nobody in.
        let stderr = "bash: fortune: command not found\n";
        assert_eq!(judged(eof("hi\n"), stderr, 1), Reason::NotNix);
        assert_eq!(
            judged(eof("This account is currently not available.\n"), "", 1),
            Reason::NotNix
        );
        assert_eq!(judged(eof(""), "", 1), Reason::NotNix);
    }

    #[test]
    fn who_is_let_in_and_out_again_is_no_other_program() {
        for stderr in [
            "User bu not allowed because /etc/nologin exists\r\ngoing down\n",
            "WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
        ] {
            assert_eq!(judged(eof(""), stderr, 1), Reason::LoginRefused, "{stderr}");
        }
    }

    #[test]
    fn nix_itself_says_that_its_daemon_is_down() {
        for stderr in [
            "error: cannot connect to socket at '/nix/x': Connection refused\n",
            "\x1b[31;1merror:\x1b[0m cannot connect to daemon at '/nix/x': gone\n",
            "warning: odd\nerror:\n  … while opening\n  error: opening lock file '/nix/x': Permission denied\n",
            "error: unexpected EOF from daemon socket\n",
            "error: could not set permissions on '/nix/x' to 755: Operation not permitted\n",
        ] {
            assert_eq!(
                judged(eof(""), stderr, 1),
                Reason::NixDaemonDown,
                "{stderr}"
            );
            let broken = Broken::Protocol(ProtocolError::Ended("trust"));
            assert_eq!(judged(broken, stderr, 1), Reason::NixDaemonDown, "{stderr}");
        }
    }

    #[test]
    fn a_nix_that_gives_up_where_it_needs_its_daemon_has_none() {
        let gave_up = || Broken::Protocol(ProtocolError::Ended(BEFORE_DAEMON));
        assert_eq!(judged(gave_up(), "", 1), Reason::NixDaemonDown);
        // It has words of its own, was ended by somebody else, or came further.
        let stderr = "error: client protocol is too old\n";
        assert_eq!(judged(gave_up(), stderr, 1), Reason::ProtocolMismatch);
        assert_eq!(judged(gave_up(), "", 255), Reason::ProtocolMismatch);
        let later = Broken::Protocol(ProtocolError::Ended("messages"));
        assert_eq!(judged(later, "", 1), Reason::ProtocolMismatch);
    }

    #[test]
    fn a_nix_that_refuses_its_own_configuration_speaks_no_other_protocol() {
        for stderr in [
            "error: file '/nowhere' included from '/etc/nix/nix.conf' not found\n",
            "error: illegal configuration line 'substituters' in '/etc/nix/nix.conf'\n",
            "error: syntax error in configuration line 'include' in '/etc/nix/nix.conf'\n",
            "error: Boolean setting 'fallback' has invalid value 'maybe'\n",
            "error: configuration setting 'max-jobs' should be 'auto' or an integer\n",
        ] {
            assert_eq!(
                judged(eof(""), stderr, 1),
                Reason::NixDaemonDown,
                "{stderr}"
            );
        }
    }

    #[test]
    fn what_nix_says_otherwise_is_a_mismatch() {
        for stderr in [
            "error: protocol mismatch\n",
            "error: unrecognised flag '--stdio'\n",
        ] {
            assert_eq!(judged(eof(""), stderr, 1), Reason::ProtocolMismatch);
        }
        let broken = Broken::Protocol(ProtocolError::Ended("version"));
        assert_eq!(judged(broken, "", 0), Reason::ProtocolMismatch);
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(stderr in "(error:|\x1b\\[|nix-daemon|not found|.|\n){0,12}", status in 0u32..200) {
            let _ = judged(eof(&stderr), &stderr, status);
        }
    }
}
