//! What systemd gives the nix-daemon as its environment, and of what version that is. Its own in /proc is read by nobody who has less capabilities
//! than it, and systemd tells.

use std::{
    ffi::OsStr, ops::ControlFlow, path::Path, process::Command, sync::OnceLock, time::Duration,
};

use super::{child, open::Roots};
use crate::{
    files::Files,
    nix::{
        NixVersion,
        environment::{self, variables},
        ssh_config::shell_split,
    },
    program::Stream,
};

/// So long systemd may take, and Nix to tell its version.
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
        let of_unit = || value(name, self.said_by_systemd(), &Roots);
        own.or_else(of_unit).filter(|value| !value.is_empty())
    }

    /// `NIX_SSHOPTS`, written as a shell would read what the nix-daemon reads.
    pub(super) fn ssh_options(&self) -> String {
        let options = self.get("NIX_SSHOPTS").unwrap_or_default();
        // All versions read the rest alike.
        if options.contains(['\'', '"', '\\']) {
            environment::ssh_options(&options, self.version())
        } else {
            options
        }
    }

    /// That of the nix-daemon which systemd would start.
    fn version(&self) -> NixVersion {
        let daemon = program(self.said_by_systemd()).unwrap_or("nix");
        NixVersion::parse(&output(daemon, &["--version"])).unwrap_or_default()
    }

    fn said_by_systemd(&self) -> &str {
        self.0.get_or_init(|| {
            let properties = "--property=Environment,EnvironmentFiles,ExecStart";
            output("systemctl", &["show", properties, "nix-daemon.service"])
        })
    }
}

/// What a program says, where it ends well.
fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
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

/// The nix-daemon that the unit starts, where it starts one.
fn program(answer: &str) -> Option<&str> {
    let mut lines = answer.lines();
    let path = lines.find_map(|line| line.strip_prefix("ExecStart={ path="))?;
    let path = path.split(" ;").next()?;
    (Path::new(path).file_name() == Some(OsStr::new("nix-daemon"))).then_some(path)
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
    fn the_program_of_the_unit_is_found_where_it_is_nix_s() {
        let start = |path: &str| {
            format!("ExecStart={{ path={path} ; argv[]=nix-daemon --daemon ; pid=0 }}\n")
        };
        let said = format!("Environment=\n{}", start("/nix/store/a-nix/bin/nix-daemon"));
        assert_eq!(program(&said), Some("/nix/store/a-nix/bin/nix-daemon"));
        assert_eq!(program(&start("/bin/sh")), None);
        assert_eq!(program("ExecStart=\n"), None);
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
