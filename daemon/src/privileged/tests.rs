mod build;
mod dial;
mod forget;
mod login;
mod watch;

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use russh::keys::{Certificate, PublicKey, ssh_key::Signature};
use tempfile::TempDir;

use super::{
    environment::Environment,
    open::{OpenError, open},
    roots::Nix,
    serve::serve,
};
use crate::{
    clock::Stopwatch,
    helper::{Agent, Helper},
};

/// Longer than any test leaves it alone.
const IDLE: Duration = Duration::from_secs(5);

/// A machine whose root has configured Nix in `etc`, and the helper at `socket`.
struct Machine {
    directory: TempDir,
    service: Option<JoinHandle<io::Result<()>>>,
}

impl Machine {
    /// Each file of `etc` has the mode 0600.
    fn with(files: &[(&str, &str)]) -> Self {
        Self::idle_for(IDLE, files)
    }

    fn idle_for(idle: Duration, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let machine = Self {
            directory,
            service: None,
        };
        fs::create_dir(machine.path("etc")).unwrap();
        for (name, text) in files {
            machine.write(name, text);
        }
        let listener = UnixListener::bind(machine.path("socket")).unwrap();
        let (agent, file) = (machine.path("agent"), machine.path("etc/environment"));
        let environment = format!(
            "Environment=SSH_AUTH_SOCK={}\nEnvironmentFiles={} (ignore_errors=yes)\n\
             ExecStart={{ path={} ; argv[]=nix-daemon --daemon ; pid=0 }}\n",
            agent.display(),
            file.display(),
            machine.path("bin/nix-daemon").display(),
        );
        let nix = Nix::at(machine.path("etc/nix.conf"))
            .with_environment(Environment::said(environment))
            .with_programs(&machine.path("bin"))
            .with_disk_cache(&machine.path("cache"));
        let service = thread::spawn(move || serve(&listener, &nix, idle));
        Self {
            service: Some(service),
            ..machine
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path("etc").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn helper(&self) -> Helper {
        Helper::at(&self.path("socket"))
    }

    /// What the helper opens at a path.
    fn opened(&self, path: &Path) -> io::Result<String> {
        let mut file = Helper::at(&self.path("socket")).open(path, "")?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // It can be read and nothing else.
        assert!(file.write_all(b"x").is_err());
        Ok(text)
    }

    fn in_etc(&self, name: &str) -> io::Result<String> {
        self.opened(&self.path("etc").join(name))
    }

    fn refuses(&self, path: &Path) {
        let error = self.opened(path).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::PermissionDenied,
            "{}: {error}",
            path.display()
        );
    }
}

#[test]
fn what_nix_conf_names_is_opened_and_nothing_else() {
    let machine = Machine::with(&[
        (
            "nix.conf",
            "builders = @/nonexistent/machines\ninclude more.conf\n",
        ),
        ("more.conf", "fallback = true\n"),
        ("netrc", "machine cache login a password b\n"),
        ("machines", "ssh-ng://nix@desktop\n"),
        ("secret", "a\n"),
    ]);
    assert_eq!(machine.in_etc("more.conf").unwrap(), "fallback = true\n");
    assert!(
        machine
            .in_etc("netrc")
            .unwrap()
            .starts_with("machine cache")
    );
    let gone = machine
        .opened(Path::new("/nonexistent/machines"))
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    // Nobody names it any more.
    machine.refuses(&machine.path("etc/machines"));
    machine.refuses(&machine.path("etc/secret"));
    for other in [
        "/etc/shadow",
        "/proc/self/environ",
        "etc/nix.conf",
        "",
        "/",
        "/dev/mem",
    ] {
        machine.refuses(Path::new(other));
    }
    // Another name of a file that may be read is not what Nix reads.
    machine.refuses(&machine.path("etc/../etc/nix.conf"));
    machine.refuses(&machine.path("etc/./../../../../../../etc/shadow"));
    // What is named from now on is opened from now on.
    machine.write(
        "nix.conf",
        "netrc-file = /nonexistent/netrc\ninclude secret\n",
    );
    assert_eq!(machine.in_etc("secret").unwrap(), "a\n");
    machine.refuses(&machine.path("etc/netrc"));
}

#[test]
fn a_private_key_is_never_handed_over_whatever_names_it() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    let machine = Machine::with(&[("nix.conf", ""), ("machines", ""), ("netrc", key)]);
    machine.refuses(&machine.path("etc/netrc"));
    machine.write(
        "machines",
        &format!("ssh://desktop - {}\n", machine.path("etc/key").display()),
    );
    for (name, text) in [
        ("key", "no more of a key than this"),
        ("key.pub", "public"),
        ("key-cert.pub", "certificate"),
    ] {
        machine.write(name, text);
    }
    let asked = |name: &str| {
        let helper = Helper::at(&machine.path("socket"));
        helper
            .open(&machine.path("etc").join(name), "ssh://desktop")
            .map_err(|error| error.kind())
    };
    assert_eq!(asked("key").unwrap_err(), ErrorKind::PermissionDenied);
    assert!(asked("key.pub").is_ok() && asked("key-cert.pub").is_ok());
    // It is that builder's alone.
    machine.refuses(&machine.path("etc/key.pub"));
}

#[test]
fn what_others_than_root_may_exchange_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mode = |name: &str, mode| {
        fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    fs::create_dir(path("open")).unwrap();
    fs::create_dir(path("closed")).unwrap();
    fs::write(path("open/file"), "a").unwrap();
    fs::write(path("closed/file"), "a").unwrap();
    symlink("../closed/file", path("open/link")).unwrap();
    symlink("../open/link", path("closed/link")).unwrap();
    symlink("loop", path("closed/loop")).unwrap();
    let is_open = |name: &str| open(&path(name)).is_ok();
    assert!(is_open("open/file") && is_open("open/link") && is_open("closed/link"));
    mode("open", 0o777);
    for name in ["open/file", "open/link", "closed/link"] {
        assert!(
            matches!(open(&path(name)), Err(OpenError::NotRoots(_))),
            "{name}"
        );
    }
    assert!(is_open("closed/file"));
    // As in /tmp and in /nix/store: what is root's stays root's.
    mode("open", 0o1777);
    assert!(is_open("open/file") && is_open("closed/link"));
    for name in ["closed", "closed/loop", "closed/file/more", "closed/none"] {
        assert!(matches!(open(&path(name)), Err(OpenError::Io(_))), "{name}");
    }
    if rustix::process::geteuid().is_root() {
        for name in ["open/file", "open/link"] {
            std::os::unix::fs::lchown(path(name), Some(65534), None).unwrap();
            assert!(
                matches!(open(&path(name)), Err(OpenError::NotRoots(_))),
                "{name}"
            );
        }
        assert!(!is_open("closed/link"));
    }
}

#[test]
fn what_others_may_write_names_nothing() {
    let machine = Machine::with(&[("nix.conf", "")]);
    fs::create_dir(machine.path("home")).unwrap();
    fs::write(machine.path("home/nix.conf"), "netrc-file = /etc/shadow\n").unwrap();
    machine.write(
        "nix.conf",
        &format!("include {}\n", machine.path("home/nix.conf").display()),
    );
    let mode =
        |mode| fs::set_permissions(machine.path("home"), PermissionsExt::from_mode(mode)).unwrap();
    mode(0o777);
    machine.refuses(Path::new("/etc/shadow"));
}

#[test]
fn what_is_no_question_is_hung_up_on_within_a_second_or_two() {
    let machine = Machine::with(&[("nix.conf", "")]);
    let connect = || {
        let stream = UnixStream::connect(machine.path("socket")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    };
    for said in [
        &b"\xff\xff\xff\xff"[..],
        b"\x00\x00\x00\x01\x09",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x05\x01\x00\x00\xff\xff",
        // Half of a frame, and silence.
        b"\x00\x00\x00\x05\x01",
        b"",
    ] {
        let mut stream = connect();
        stream.write_all(said).unwrap();
        let since = Stopwatch::start();
        let mut answer = Vec::new();
        // What it has not read is a reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() && since.elapsed() < Duration::from_secs(5),
            "{said:?}"
        );
    }
    assert_eq!(machine.in_etc("nix.conf").unwrap(), "");
}

#[test]
fn a_thousand_connections_end_and_others_are_answered() {
    let machine = Machine::with(&[("nix.conf", "fallback = true\n")]);
    let connect = || UnixStream::connect(machine.path("socket")).unwrap();
    // As many as are answered at once say nothing and stay.
    let silent: Vec<_> = (0..16).map(|_| connect()).collect();
    for _ in 0..1000 {
        connect().write_all(b"\x00\x00").unwrap();
    }
    let answered = (0..10).find_map(|_| machine.in_etc("nix.conf").ok());
    assert_eq!(answered.unwrap(), "fallback = true\n");
    drop(silent);
}

#[test]
fn it_ends_when_nobody_has_asked_for_a_while() {
    let mut machine = Machine::idle_for(Duration::from_millis(200), &[("nix.conf", "")]);
    assert!(machine.in_etc("nix.conf").is_ok());
    machine.service.take().unwrap().join().unwrap().unwrap();
}

#[test]
fn root_answers_for_its_ssh_and_only_about_builders_of_nix() {
    let machine = Machine::with(&[("nix.conf", ""), ("machines", "ssh://nix@desktop:2222\n")]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let helper = Helper::at(&machine.path("socket"));
    let resolve = |store: &str| runtime.block_on(helper.resolve(store));
    for other in [
        "ssh://nix@laptop",
        "",
        "-oProxyCommand=id",
        "ssh://nix@desktop",
    ] {
        assert_eq!(
            resolve(other).unwrap_err().kind(),
            ErrorKind::PermissionDenied,
            "{other}"
        );
    }
    if std::process::Command::new("ssh")
        .arg("-V")
        .output()
        .is_err()
    {
        println!("skipped: no ssh");
        return;
    }
    // What the nix-daemon's unit gives Nix's ssh.
    machine.write(
        "environment",
        "NIX_SSHOPTS=\"-o HostName=192.0.2.6 -p 2223\"\n",
    );
    let answer = String::from_utf8(resolve("ssh://nix@desktop:2222").unwrap()).unwrap();
    assert!(answer.contains("\nhostname 192.0.2.6\n"), "{answer}");
    // Before 2.26 it has no quotes.
    machine.write("environment", "NIX_SSHOPTS=\"-o 'HostName=192.0.2.7'\"\n");
    fs::create_dir(machine.path("bin")).unwrap();
    for (version, taken) in [("2.26.0", true), ("2.25.5", false)] {
        let daemon = machine.path("bin/nix-daemon");
        fs::write(
            &daemon,
            format!("#!/bin/sh\necho 'nix-daemon (Nix) {version}'\n"),
        )
        .unwrap();
        fs::set_permissions(&daemon, PermissionsExt::from_mode(0o755)).unwrap();
        let answer = resolve("ssh://nix@desktop:2222").map(|text| String::from_utf8(text).unwrap());
        let is_taken = answer
            .as_ref()
            .is_ok_and(|text| text.contains("\nhostname 192.0.2.7\n"));
        assert_eq!(is_taken, taken, "{version}: {answer:?}");
    }
    fs::remove_file(machine.path("etc/environment")).unwrap();
    let answer = String::from_utf8(resolve("ssh://nix@desktop:2222").unwrap()).unwrap();
    assert!(
        answer.contains("\nhostname desktop\n") && answer.contains("\nport 2222\n"),
        "{answer}"
    );
}
