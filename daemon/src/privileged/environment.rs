//! What systemd gives the nix-daemon as its environment. Its own in /proc is read by nobody who has less capabilities
//! than it, and systemd tells.

use std::{ops::ControlFlow, path::Path, process::Command, sync::OnceLock, time::Duration};

use super::{child, open::Roots};
use crate::{
    files::Files,
    nix::{environment::variables, ssh_config::shell_split},
    program::Stream,
};

/// So long systemd may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// The longest file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The environment of root's ssh: this unit's own, and where that has nothing the nix-daemon's. systemd is asked once.
#[derive(Clone, Default)]
pub(super) struct Environment(OnceLock<String>);

impl Environment {
    /// Where systemd says that.
    #[cfg(test)]
    pub(super) fn said(answer: String) -> Self {
        Self(OnceLock::from(answer))
    }

    /// The value of a variable that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let own = std::env::var(name).ok();
        let of_unit = || value(name, self.0.get_or_init(ask), &Roots);
        own.or_else(of_unit).filter(|value| !value.is_empty())
    }
}

/// What systemd says; nothing where there is none.
fn ask() -> String {
    let mut command = Command::new("systemctl");
    command.args([
        "show",
        "--property=Environment,EnvironmentFiles",
        "nix-daemon.service",
    ]);
    let mut answer = Vec::new();
    let status = child::run(&mut command, PATIENCE, None, |stream, chunk| {
        if stream == Stream::Output {
            answer.extend_from_slice(chunk);
        }
        if answer.len() > MAX_ANSWER {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    if status.is_ok_and(|status| status.success()) {
        String::from_utf8_lossy(&answer).into_owned()
    } else {
        String::new()
    }
}

/// What `systemctl show` says of it. A file counts for more than a line of the unit, and a later one for more than an
/// earlier (systemd.exec(5), `EnvironmentFile=`).
fn value(name: &str, answer: &str, files: &dyn Files) -> Option<String> {
    let of = |property: &str| {
        let lines = answer.lines().rev().filter_map(|line| line.split_once('='));
        let values = lines.filter(|(found, _)| *found == property);
        values.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let of_file = |line: &&str| {
        let path = line.split(" (ignore_errors=").next()?;
        let text = files.read(Path::new(path), MAX_FILE).ok()?;
        let variables = variables(&String::from_utf8_lossy(&text)).into_iter();
        let mut last = variables.rev().filter(|(found, _)| found == name);
        last.next().map(|(_, value)| value)
    };
    let of_line = |line: &&str| {
        let words = shell_split(line).ok()?;
        words.iter().rev().find_map(|word| assigned(word, name))
    };
    let files = of("EnvironmentFiles").iter().find_map(of_file);
    files.or_else(|| of("Environment").iter().find_map(of_line))
}

fn assigned(text: &str, name: &str) -> Option<String> {
    let value = text.strip_prefix(name)?.strip_prefix('=')?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;
    use crate::files::Fake;

    const NONE: Fake<fn(&Path) -> io::Result<fs::File>> =
        Fake(|_| Err(io::ErrorKind::NotFound.into()));

    #[test]
    fn systemd_s_own_words_are_read() {
        let said = "Environment=A=b \"NIX_SSHOPTS=-p 2222 -i '/a b'\" NIX_SSHOPTSX=no\n";
        let value = |said: &str| value("NIX_SSHOPTS", said, &NONE);
        assert_eq!(value(said).as_deref(), Some("-p 2222 -i '/a b'"));
        let twice = "Environment=NIX_SSHOPTS=-1 NIX_SSHOPTS=-2\n";
        assert_eq!(value(twice).as_deref(), Some("-2"));
        assert_eq!(
            value("Environment=\nEnvironmentFiles=/none (ignore_errors=yes)\n"),
            None
        );
        assert_eq!(value(""), None);
    }

    #[test]
    fn a_file_of_the_unit_counts_for_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("environment");
        fs::write(
            &path,
            "# NIX_SSHOPTS=-1\nNIX_SSHOPTS=-2\n NIX_SSHOPTS=\"-p 2222\"\nA=b\n",
        )
        .unwrap();
        let said = format!(
            "EnvironmentFiles=/none (ignore_errors=yes)\nEnvironmentFiles={} (ignore_errors=no)\n",
            path.display()
        );
        let files = Fake(|path: &Path| fs::File::open(path));
        assert_eq!(
            value("NIX_SSHOPTS", &said, &files).as_deref(),
            Some("-p 2222")
        );
        let both = format!("Environment=NIX_SSHOPTS=-3\n{said}");
        assert_eq!(
            value("NIX_SSHOPTS", &both, &files).as_deref(),
            Some("-p 2222")
        );
    }
}
