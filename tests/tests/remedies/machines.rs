//! The two machines, as they are before anything is spoiled.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Output, Stdio},
};

use offload_client::{Snapshot, page};
use offload_tests::{
    Namespace,
    container::{Cache, Container, Desktop},
    daemon::program,
    supported,
};

/// Who a person is there needs no password, and has this.
const SUDO: &str = "#!/bin/sh\nexec \"$@\"\n";
const KEY: &str = "/etc/nix/builder_ed25519";
/// What a row may change; put back before the next. systemd reads its units anew only where one was changed: it takes seconds.
const DIRECTORIES: &str = "/etc/nginx /etc/nix /etc/offloadd /etc/ssh /etc/systemd/system/nix-daemon.service.d /home /root/.ssh \
                           /srv /usr/local";
const FILES: &str = "/etc/bash.bashrc /etc/group /etc/gshadow /etc/passwd /etc/shadow";
const KEEP: &str = "mkdir -p DIRECTORIES && tar -cPpf /var/kept.tar DIRECTORIES FILES";
const PUT_BACK: &str = "\
mv /nix/var/nix/profiles/default/bin/nix* /usr/bin/ 2> /dev/null && reload=daemon-reload
rm -rf /etc/nologin; find DIRECTORIES -mindepth 1 -delete
tar -xPpf /var/kept.tar && systemctl ${reload:-list-jobs} > /dev/null && systemctl reset-failed && \
systemctl stop nix-daemon.service && systemctl restart UNITS";

/// Where something is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Laptop,
    Desktop,
}

pub(crate) struct Machines {
    laptop: Container,
    desktop: Desktop,
    _network: Namespace,
}

/// What a script printed, and whether it ended well.
pub(crate) struct Said {
    pub(crate) words: String,
    pub(crate) is_well: bool,
}

impl Machines {
    /// Both booted; `None`, with the reason said, where this machine can't.
    pub(crate) async fn start() -> Option<Self> {
        let network = supported(Namespace::new())?;
        let desktop = supported(Desktop::start(&network).await)?;
        let cache = desktop.serve_cache().unwrap();
        let mut laptop = Container::new("laptop").await.unwrap();
        furnish(&laptop, &desktop, &cache);
        laptop.boot(network.laptop()).await.unwrap();
        let machines = Self {
            laptop,
            desktop,
            _network: network,
        };
        machines.settle();
        Some(machines)
    }

    /// Runs a script at `place`, as root.
    pub(crate) fn run(&self, place: Machine, script: &str) -> Said {
        let machine = match place {
            Machine::Laptop => &self.laptop,
            Machine::Desktop => self.desktop.container(),
        };
        let mut command = machine.command("sh").unwrap();
        command.args(["-c", script]).stdin(Stdio::null());
        said(&command.output().unwrap())
    }

    /// The same, which must end well.
    pub(crate) fn must(&self, place: Machine, script: &str) -> String {
        let said = self.run(place, script);
        assert!(said.is_well, "{script}: {}", said.words);
        said.words
    }

    /// What a round of checks on the laptop comes to, and the page of it in one line.
    pub(crate) fn look(&self) -> (Snapshot, String) {
        let said = self.run(Machine::Laptop, "offloadd --once --json 2> /var/once.err");
        let snapshot: Snapshot = serde_json::from_str(&said.words).unwrap_or_else(|error| {
            let why = self.run(Machine::Laptop, "cat /var/once.err").words;
            panic!("{error}: {} {why}", said.words)
        });
        let style = page::Style {
            colour: false,
            width: 1_000,
            now_realtime_usec: 0,
            verbose: false,
        };
        let page = page::render(&snapshot, &style);
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        (snapshot, page)
    }

    /// Undoes all that was done to either.
    pub(crate) fn put_back(&self) {
        for (place, units) in [
            (
                Machine::Desktop,
                "ssh.service nix-daemon.socket nginx.service",
            ),
            (Machine::Laptop, "nix-daemon.socket"),
        ] {
            let script = filled(PUT_BACK).replace("UNITS", units);
            self.must(place, &script);
        }
    }

    /// From here on a row's changes count.
    fn settle(&self) {
        let home = "install -d -o nix-builder -m 700 /home/nix-builder/.ssh && \
                    install -o nix-builder -m 600 /etc/ssh/authorized_keys/nix-builder /home/nix-builder/.ssh/authorized_keys && \
                    sed -i '/^AuthorizedKeysFile/d' /etc/ssh/sshd_config.d/test.conf && \
                    echo 'PerSourcePenalties no' >> /etc/ssh/sshd_config.d/test.conf";
        self.must(Machine::Desktop, home);
        let sudo =
            format!("printf '{SUDO}' > /usr/local/bin/sudo && chmod 755 /usr/local/bin/sudo");
        for place in [Machine::Laptop, Machine::Desktop] {
            self.must(place, &sudo);
            self.must(place, &filled(KEEP));
        }
    }
}

/// The laptop's files: Nix's, ssh's and offloadd's.
fn furnish(laptop: &Container, desktop: &Desktop, cache: &Cache) {
    let address = Namespace::DESKTOP;
    let write = |path: &str, text: &str| laptop.write(path, text).unwrap();
    let key = fs::read_to_string(desktop.user_key()).unwrap();
    laptop.write_mode(KEY, &key, 0o600).unwrap();
    write(
        "/etc/ssh/ssh_known_hosts",
        &format!("{address} {}\n", desktop.host_key().unwrap()),
    );
    write("/etc/hosts", "127.0.0.1 localhost laptop\n");
    write(
        "/etc/nix/machines",
        &format!("ssh-ng://nix-builder@{address} x86_64-linux {KEY} 2 1 kvm\n"),
    );
    let url = cache.url(&address.to_string());
    write(
        "/etc/nix/nix.conf",
        &format!(
            "build-users-group = nixbld\nconnect-timeout = 5\nexperimental-features = nix-command\nfallback = true\n\
             sandbox = false\nsubstituters = {url}\ntrusted-public-keys = {}\n",
            cache.public_key()
        ),
    );
    let path = cache.store_path();
    write(
        "/etc/offloadd/config.toml",
        &format!("[[cache]]\nname = \"{address}\"\nurl = \"{url}\"\nsample = \"{path}\"\n"),
    );
    write("/etc/served", path);
    let to = laptop.path("/usr/local/bin/offloadd");
    fs::copy(program("offloadd").unwrap(), &to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
}

fn filled(script: &str) -> String {
    script
        .replace("DIRECTORIES", DIRECTORIES)
        .replace("FILES", FILES)
}

fn said(output: &Output) -> Said {
    let words = [&output.stdout[..], &output.stderr[..]].concat();
    Said {
        words: String::from_utf8_lossy(&words).into_owned(),
        is_well: output.status.success(),
    }
}
