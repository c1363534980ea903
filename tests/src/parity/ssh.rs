//! Builders as ssh reaches them: keys, known hosts, ssh_config.

mod case;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    os::unix::{fs::chown, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use data_encoding::BASE64;
use ring::hmac;

pub(super) use self::case::{Input, SshCase};
use super::{
    Judged,
    agreement::{Word, hold},
    fill::fill,
    ground::{Ground, USER},
    keys,
    nix::{Nix, Wants, with_a_store_of_its_own},
    targets,
    truth::gets_in,
};
use crate::{
    Result,
    error::Context,
    eventually,
    process::{Process, run_command, system_program},
};

/// The desktop's, whose store is its own.
const NIX_CONF: &str =
    "build-users-group =\nsandbox = false\nsubstituters =\nexperimental-features = nix-command\n";
/// A busy machine starts its sshd's in this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which servers there are: what they are called, where they listen, and what else sshd_config says. The host keys
/// stand in it as words of their own.
const SERVERS: [(&str, &str, &[&str]); 9] = [
    (
        "all",
        "127.0.42.2:22",
        &["hk_ed25519", "hk_rsa", "hk_ecdsa"],
    ),
    ("p2222", "127.0.42.2:2222", &["hk_ed25519"]),
    ("rsa", "127.0.42.3:22", &["hk_rsa"]),
    ("ecdsa", "127.0.42.5:22", &["hk_ecdsa"]),
    ("ed", "127.0.42.6:22", &["hk_ed25519"]),
    (
        "cert",
        "127.0.42.4:22",
        &["hkc_ed25519", "HostCertificate {D}hkc_ed25519-cert.pub"],
    ),
    ("jump", "127.0.42.7:22", &["hk2_ed25519"]),
    (
        "sha1",
        "127.0.42.8:22",
        &["hk_rsa", "HostKeyAlgorithms ssh-rsa"],
    ),
    // Behaves as it is told.
    (
        "told",
        "127.0.42.9:22",
        &["hk_ed25519", "ForceCommand /bin/sh {D}session"],
    ),
];

/// The servers.
pub(super) struct Desktop<'a> {
    ground: &'a Ground,
    keys: PathBuf,
    _servers: Vec<Process>,
}

impl<'a> Desktop<'a> {
    /// Makes the keys and starts sshd.
    ///
    /// Where builds are to be done, each of them has a store of its own.
    pub(super) async fn start(ground: &'a Ground, builds: bool) -> Result<Self> {
        let keys = ground.path("k");
        keys::make(ground, &keys)?;
        let program = system_program("sshd", "openssh-server")?;
        let unshare = system_program("unshare", "util-linux")?;
        ground.write("desktop/nix.conf", NIX_CONF, 0o644)?;
        let session = format!(
            ". {}/told\neval \"$SSH_ORIGINAL_COMMAND\"\n",
            keys.display()
        );
        ground.write(keys.join("session"), session, 0o644)?;
        ground.write(keys.join("told"), "", 0o644)?;
        fs::create_dir_all("/run/sshd").context("/run/sshd")?;
        let mut servers = Vec::new();
        for (name, address, lines) in SERVERS {
            let mut config = format!(
                "ListenAddress {address}\nPidFile none\nAuthorizedKeysFile {{D}}authorized_keys\nTrustedUserCAKeys {{D}}uca.pub\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
                 MaxStartups 100\nSetEnv HOME={run} PYENV_ROOT=/nonexistent NIX_CONF_DIR={run}\n",
                run = ground.path("desktop").display()
            );
            for line in lines {
                let is_key = !line.contains(' ');
                let before = if is_key { "HostKey {D}" } else { "" };
                config.push_str(&format!("{before}{line}\n"));
            }
            let config = ground.write(format!("sshd_{name}"), fill(&config, &keys), 0o644)?;
            let log = ground.path(format!("sshd_{name}.log"));
            let first = if builds { &unshare } else { &program };
            servers.push(Process::start(first, None, &log, |sshd| {
                if builds {
                    sshd.args(with_a_store_of_its_own(&program));
                }
                sshd.args(["-D", "-e", "-f"]).arg(config);
            })?);
        }
        for (_, address, _) in SERVERS {
            let listens = async || TcpStream::connect(address).ok();
            eventually(PATIENCE, address, listens).await?;
        }
        if builds {
            servers.push(agent(ground, &keys).await?);
        }
        Ok(Self {
            ground,
            keys,
            _servers: servers,
        })
    }

    /// Where the keys are.
    pub(super) fn keys(&self) -> &Path {
        &self.keys
    }

    /// Has the server that behaves as it is told do so, with this ssh_config here.
    pub(super) fn behave(&self, told: &str, config: &str) -> Result<()> {
        let config = fill(config, &self.keys);
        self.prepare(&Input {
            config,
            ..Input::default()
        })?;
        let told = fill(told, &self.keys) + "\n";
        self.ground.write(self.keys.join("told"), told, 0o644)?;
        Ok(())
    }

    /// Whether Nix builds there where the daemon says so.
    pub(super) fn hold(&self, case: &SshCase, nix: &Nix<'_>) -> Result<Judged> {
        let input = self.filled(&case.input);
        let mut environment = nix.environment();
        environment.insert("NIX_SSHOPTS", input.opts.clone());
        self.prepare(&input)?;
        let conf = self.configure(&input)?;
        let did = nix.builds(&self.ground.path(""), &environment, &Wants::default())?;
        // What ssh has noted of the server is not there yet for the daemon.
        self.prepare(&input)?;
        Ok(match self.ground.once(&conf, &environment, false)? {
            Ok(snapshot) => hold(&snapshot, Word::of(&snapshot, "builder"), &did),
            Err(error) => (false, error).into(),
        })
    }

    /// Writes the list of builders and nix.conf; the daemon's configuration for them.
    fn configure(&self, input: &Input) -> Result<String> {
        let or_dash = |field: &str| {
            if field.is_empty() {
                "-".to_owned()
            } else {
                field.to_owned()
            }
        };
        let line = format!(
            "{} x86_64-linux {} 1 1 - - {}\n",
            input.uri,
            or_dash(&input.key),
            or_dash(&input.field8)
        );
        let machines = self.ground.write("machines", line, 0o644)?;
        let conf = format!("substituters =\nbuilders = @{}\n", machines.display());
        let conf = self.ground.write("nix.conf", conf, 0o644)?;
        Ok(format!("[nix]\nconf = \"{}\"\n", conf.display()))
    }

    /// Whether the daemon gets in where ssh does, and by the same keys.
    pub(super) fn judge(&self, case: &SshCase, is_user: bool, truth: bool) -> Result<Judged> {
        let input = self.filled(&case.input);
        let mut said = String::new();
        if truth {
            self.prepare(&input)?;
            let here = gets_in(self.ground, &input)?;
            if here != case.accept {
                said = format!("; ssh here: {here}");
            }
        }
        self.prepare(&input)?;
        let configuration = self.configure(&input)?;
        let mut environment = BTreeMap::from([("NIX_SSHOPTS", input.opts.clone())]);
        if is_user {
            environment.extend(self.credentials(&input)?);
        }
        let snapshot = match self.ground.once(&configuration, &environment, is_user)? {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok((false, error + &said).into()),
        };
        let Some(target) = targets(&snapshot, "builder").first().copied() else {
            return Ok((false, format!("no builder{said}")).into());
        };
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (state, stage) = (text(&target["state"]), text(&target["stage"]));
        let reason = text(&target["reason"]);
        let is_in =
            ["handshake", "trust", "system", "build"].contains(&&*stage) || state == "ready";
        let verb = if case.accept { "accepts" } else { "refuses" };
        let said = format!("{state} {reason} at {stage}; ssh {verb}{said}");
        if is_in != case.accept {
            return Ok((false, said).into());
        }
        let identity = text(&target["details"]["identity"]);
        if let Some(expected) = &case.identity
            && is_in
            && !is_user
            && identity != fill(expected, &self.keys)
        {
            return Ok((false, format!("key {identity} instead of {expected}")).into());
        }
        let algorithm = text(&target["details"]["host_key_algorithm"]);
        if let Some(expected) = &case.hostkey
            && is_in
            && !algorithm.is_empty()
            && kind_of(&algorithm) != expected
        {
            return Ok((false, format!("host key {algorithm} instead of {expected}")).into());
        }
        match &case.reason {
            Some(expected) if *expected != reason => {
                Ok((false, format!("{reason} instead of {expected}")).into())
            }
            _ => Ok((true, said).into()),
        }
    }

    fn filled(&self, input: &Input) -> Input {
        let fill = |text: &String| fill(text, &self.keys);
        let all = |texts: &BTreeMap<String, String>| {
            let texts = texts.iter();
            texts
                .map(|(name, text)| (name.clone(), fill(text)))
                .collect()
        };
        Input {
            uri: fill(&input.uri),
            key: fill(&input.key),
            field8: fill(&input.field8),
            config: fill(&input.config),
            uconfig: fill(&input.uconfig),
            kh: fill(&input.kh),
            gkh: fill(&input.gkh),
            opts: fill(&input.opts),
            home: all(&input.home),
            home_mode: input.home_mode.clone(),
            files: all(&input.files),
        }
    }

    /// Lays the case's files out, and nothing else.
    fn prepare(&self, input: &Input) -> Result<()> {
        let (own, system) = (Path::new("/root/.ssh"), Path::new("/etc/ssh"));
        for directory in [own, system, &self.keys.join("inc")] {
            for entry in fs::read_dir(directory)
                .context(directory.display())?
                .flatten()
            {
                fs::remove_file(entry.path()).context(entry.path().display())?;
            }
        }
        let write = |path: PathBuf, text: &str, mode| self.ground.write(path, text, mode);
        write(system.join("ssh_config"), &input.config, 0o644)?;
        if !input.uconfig.is_empty() {
            let mode = input.home_mode.get("config").copied().unwrap_or(0o600);
            write(own.join("config"), &input.uconfig, mode)?;
        }
        if !input.kh.is_empty() {
            let lines = input
                .kh
                .split('\n')
                .map(|line| match line.strip_prefix("HASH:") {
                    Some(line) => hashed(line),
                    None => line.to_owned(),
                });
            let lines: Vec<_> = lines.collect();
            write(
                own.join("known_hosts"),
                &format!("{}\n", lines.join("\n")),
                0o600,
            )?;
        }
        if !input.gkh.is_empty() {
            write(
                system.join("ssh_known_hosts"),
                &format!("{}\n", input.gkh),
                0o644,
            )?;
        }
        for (name, text) in &input.home {
            let key = fs::read_to_string(self.keys.join(text));
            write(
                own.join(name),
                &key.unwrap_or_else(|_| format!("{text}\n")),
                0o600,
            )?;
        }
        for (name, text) in &input.files {
            write(self.keys.join(name), &format!("{text}\n"), 0o644)?;
        }
        Ok(())
    }

    /// What a service of an ordinary user has of root's: each file under the name of its path.
    fn credentials(&self, input: &Input) -> Result<BTreeMap<&'static str, String>> {
        let directory = self.ground.path("cred");
        if directory.exists() {
            fs::remove_dir_all(&directory).context("credentials")?;
        }
        let own = fs::read_dir("/root/.ssh").context("/root/.ssh")?.flatten();
        let mut files: Vec<_> = own.map(|entry| entry.path()).collect();
        files.push(input.key.clone().into());
        for file in files.iter().filter(|file| file.is_file()) {
            let name = file.display().to_string();
            let name = name.trim_start_matches('/').replace('/', "-");
            let text = fs::read(file).context(file.display())?;
            let written = self.ground.write(directory.join(name), text, 0o440)?;
            chown(&written, Some(0), Some(USER)).context(written.display())?;
        }
        Ok(BTreeMap::from([
            ("HOME", self.ground.path("home").display().to_string()),
            ("USER", "parityoff".to_owned()),
            ("CREDENTIALS_DIRECTORY", directory.display().to_string()),
        ]))
    }
}

/// An ssh-agent that has one of the keys.
async fn agent(ground: &Ground, keys: &Path) -> Result<Process> {
    let socket = keys.join("agent");
    let program = system_program("ssh-agent", "openssh-client")?;
    let agent = Process::start(&program, None, &ground.path("agent.log"), |agent| {
        agent.args(["-D", "-a"]).arg(&socket);
    })?;
    eventually(PATIENCE, "ssh-agent", async || {
        UnixStream::connect(&socket).ok()
    })
    .await?;
    let mut add = Command::new(system_program("ssh-add", "openssh-client")?);
    add.env("SSH_AUTH_SOCK", &socket).arg("-q");
    run_command(add.arg(keys.join("k_ed25519")))?;
    Ok(agent)
}

/// A line of known_hosts as `HashKnownHosts` writes it.
fn hashed(line: &str) -> String {
    let (host, rest) = line.split_once(' ').unwrap_or((line, ""));
    let salt = b"0123456789abcdefghij";
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    let tag = hmac::sign(&key, host.as_bytes());
    format!(
        "|1|{}|{} {rest}",
        BASE64.encode(salt),
        BASE64.encode(tag.as_ref())
    )
}

/// The kind of key that signs by this algorithm.
fn kind_of(algorithm: &str) -> &str {
    match algorithm {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}
