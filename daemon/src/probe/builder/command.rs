//! The command that Nix runs on a builder.
//!
//! Source: `SSHStore::openConnection` in src/libstore/ssh-store.cc, `LegacySSHStore::openConnection`
//! in src/libstore/legacy-ssh-store.cc, the parameters in
//! src/libstore/include/nix/store/{ssh-store,legacy-ssh-store,common-ssh-store-config}.hh.
//!
//! Of a URI's parameters only `remote-program` and `remote-store` have a say in it. `ssh-key` and
//! `base64-ssh-public-host-key` are those of the machines entry; `compress` and `max-connections`
//! change how Nix's ssh carries it, and no server refuses either.

use crate::{
    nix::uri,
    target::{BuilderSpec, Protocol},
};

/// What is run, as ssh hands it to the shell on the builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The whole line: `nix-daemon --stdio`.
    pub line: String,
    /// The line as it may be shown, without what may be a secret of a store's URL.
    pub shown: String,
    /// The program's name, without the folder it is in: `nix-daemon`.
    pub program: String,
}

impl Command {
    /// What Nix runs on this builder.
    pub(super) fn of(spec: &BuilderSpec) -> Self {
        let words = program(spec);
        match spec.protocol {
            Protocol::SshNg => Self::new(&words, &["--stdio"], spec),
            Protocol::Ssh => Self::new(&words, &["--serve", "--write"], spec),
        }
    }

    /// The `nix-daemon` that goes with the `nix-store` of an `ssh://` builder: in its folder where
    /// the URI names one.
    pub(super) fn daemon_beside(spec: &BuilderSpec) -> Self {
        let mut words = program(spec);
        match words.last_mut() {
            Some(last) if name(last) == "nix-store" => {
                let folder = last.len() - "nix-store".len();
                last.replace_range(folder.., "nix-daemon");
            }
            _ => words = vec!["nix-daemon".to_owned()],
        }
        Self::new(&words, &["--stdio"], spec)
    }

    fn new(program: &[String], arguments: &[&str], spec: &BuilderSpec) -> Self {
        let mut line = program.join(" ");
        for argument in arguments {
            line.push(' ');
            line.push_str(argument);
        }
        let mut shown = line.clone();
        if let Some(store) = spec.params.get("remote-store").filter(|s| !s.is_empty()) {
            for (line, store) in [(&mut line, store), (&mut shown, &uri::redacted(store))] {
                line.push_str(" --store ");
                line.push_str(&quoted(store));
            }
        }
        let program = program.last().map(|last| name(last)).unwrap_or_default();
        Self {
            line,
            shown,
            program: program.to_owned(),
        }
    }
}

/// `remote-program`: words since 2.20, before that a path into which people wrote words too.
fn program(spec: &BuilderSpec) -> Vec<String> {
    let default = match spec.protocol {
        Protocol::SshNg => "nix-daemon",
        Protocol::Ssh => "nix-store",
    };
    let program = spec.params.get("remote-program");
    let program = program.map_or(default, String::as_str);
    program
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
}

/// `shellEscape` of src/libutil/strings.cc, but what needs no quotes gets none: a forced command may
/// compare what it is asked for. (Since 2.20 Nix does not quote at all, so that a store with `?` or
/// `&` in it is at the mercy of the shell there.)
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:_-+=,@%".contains(&byte);
    if word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::spec, *};

    fn command(protocol: Protocol, params: &[(&str, &str)]) -> (Command, Command) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let spec = BuilderSpec {
            protocol,
            params: params.iter().map(owned).collect(),
            ..spec(22)
        };
        (Command::of(&spec), Command::daemon_beside(&spec))
    }

    #[test]
    fn each_protocol_has_its_program() {
        let (command, _) = command(Protocol::SshNg, &[("compress", "true")]);
        assert_eq!(command.line, "nix-daemon --stdio");
        assert_eq!(command.program, "nix-daemon");
        let (command, beside) = self::command(Protocol::Ssh, &[("max-connections", "4")]);
        assert_eq!(command.line, "nix-store --serve --write");
        assert_eq!(command.program, "nix-store");
        assert_eq!(beside.line, "nix-daemon --stdio");
    }

    #[test]
    fn the_uri_may_name_another_program_and_another_store() {
        let params = [
            ("remote-program", " sudo  /opt/nix/bin/nix-store "),
            ("remote-store", "/srv/build"),
        ];
        let (command, beside) = command(Protocol::Ssh, &params);
        let line = "sudo /opt/nix/bin/nix-store --serve --write --store /srv/build";
        assert_eq!(
            (command.line.as_str(), command.program.as_str()),
            (line, "nix-store")
        );
        let line = "sudo /opt/nix/bin/nix-daemon --stdio --store /srv/build";
        assert_eq!(beside.line, line);
        let (_, beside) = self::command(Protocol::Ssh, &[("remote-program", "/opt/wrapper")]);
        assert_eq!(
            beside.line, "nix-daemon --stdio",
            "what lies there is not known"
        );
    }

    #[test]
    fn a_store_is_one_word_for_the_shell() {
        let (command, _) = command(
            Protocol::SshNg,
            &[("remote-store", "local?root=/it's & more")],
        );
        assert_eq!(
            command.line,
            r"nix-daemon --stdio --store 'local?root=/it'\''s & more'"
        );
        let (command, _) = self::command(Protocol::SshNg, &[("remote-store", "")]);
        assert_eq!(command.line, "nix-daemon --stdio");
    }

    #[test]
    fn a_password_of_the_store_is_run_and_not_shown() {
        let params = [("remote-store", "https://me:secret@cache")];
        let (command, _) = command(Protocol::SshNg, &params);
        assert!(command.line.contains("secret"), "{}", command.line);
        assert!(!command.shown.contains("secret"), "{}", command.shown);
    }

    #[test]
    fn the_real_shell_reads_it_back_as_one_word() {
        for word in ["a b", "it's", "local?root=/x&y", "$HOME", "a\\b", "*", ""] {
            let script = format!("printf %s {}", quoted(word));
            let shell = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            assert_eq!(String::from_utf8(shell.unwrap().stdout).unwrap(), word);
        }
    }
}
