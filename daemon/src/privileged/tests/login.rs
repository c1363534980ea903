//! Root's keys.

use super::*;

/// What a client signs to log in (RFC 4252, 7).
fn login(user: &str, algorithm: &str, key: &[u8]) -> Vec<u8> {
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    [
        string(&[7; 32]),
        vec![50],
        string(user.as_bytes()),
        string(b"ssh-connection"),
        string(b"publickey"),
        vec![1],
        string(algorithm.as_bytes()),
        string(key),
    ]
    .concat()
}

fn keygen(arguments: &[&str]) -> bool {
    let made = std::process::Command::new("ssh-keygen")
        .arg("-q")
        .args(arguments)
        .output();
    made.is_ok_and(|made| made.status.success())
}

#[test]
fn what_logs_in_as_root_ssh_would_is_signed_and_nothing_else() {
    use signature::Verifier;
    const STORE: &str = "ssh://nix@desktop";
    let machine = Machine::with(&[("nix.conf", "")]);
    let at = |name: &str| machine.path("etc").join(name).display().to_string();
    for (name, kind) in [("key", "ed25519"), ("rsa", "rsa"), ("other", "ed25519")] {
        if !keygen(&["-N", "", "-t", kind, "-f", &at(name)]) {
            println!("skipped: no ssh-keygen");
            return;
        }
    }
    assert!(keygen(&[
        "-s",
        &at("other"),
        "-I",
        "id",
        "-n",
        "nix",
        &at("key.pub")
    ]));
    let list = format!(
        "{STORE} - {}\nssh://nix@laptop - {}\n",
        at("key"),
        at("rsa")
    );
    machine.write("machines", &list);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let agent = |store: &str| Agent {
        helper: Helper::at(&machine.path("socket")),
        store: store.to_owned(),
    };
    let sign = |store: &str, data: &[u8]| runtime.block_on(agent(store).sign(data.to_vec()));
    let public = |name: &str| {
        let line = fs::read_to_string(at(&format!("{name}.pub"))).unwrap();
        PublicKey::from_openssh(&line).unwrap()
    };
    let (key, rsa) = (public("key"), public("rsa"));
    let [key_bytes, rsa_bytes] = [&key, &rsa].map(|key| key.to_bytes().unwrap());

    let offered = runtime.block_on(agent(STORE).identities()).unwrap();
    assert_eq!(
        (&offered[0].file, &offered[0].key),
        (&at("key").into(), &Ok(key_bytes.clone()))
    );

    let certificate = fs::read_to_string(at("key-cert.pub")).unwrap();
    let certificate = Certificate::from_openssh(&certificate)
        .unwrap()
        .to_bytes()
        .unwrap();
    for (store, key, data) in [
        (STORE, &key, login("nix", "ssh-ed25519", &key_bytes)),
        (
            STORE,
            &key,
            login("nix", "ssh-ed25519-cert-v01@openssh.com", &certificate),
        ),
        (
            "ssh://nix@laptop",
            &rsa,
            login("nix", "rsa-sha2-512", &rsa_bytes),
        ),
        (
            "ssh://nix@laptop",
            &rsa,
            login("nix", "rsa-sha2-256", &rsa_bytes),
        ),
    ] {
        let signature = Signature::try_from(&*sign(store, &data).unwrap()).unwrap();
        key.key_data().verify(&data, &signature).unwrap();
    }

    let good = login("nix", "ssh-ed25519", &key_bytes);
    let mut asks_first = good.clone();
    // The byte that says whether a signature follows.
    asks_first[4 + 32 + 1 + 4 + 3 + 4 + 14 + 4 + 9] = 0;
    let mut other_service = good.clone();
    other_service[4 + 32 + 1 + 4 + 3 + 4] = b'x';
    for (what, store, data) in [
        (
            "another user",
            STORE,
            login("root", "ssh-ed25519", &key_bytes),
        ),
        ("no user", STORE, login("", "ssh-ed25519", &key_bytes)),
        ("a question", STORE, asks_first),
        ("another service", STORE, other_service),
        ("no login", STORE, b"a document".to_vec()),
        ("nothing", STORE, Vec::new()),
        ("more than a login", STORE, [&*good, b"x"].concat()),
        ("another message", STORE, {
            let mut data = good.clone();
            data[36] = 51;
            data
        }),
        ("no session", STORE, [&[0; 4], &good[36..]].concat()),
        (
            "a key of another builder",
            STORE,
            login("nix", "rsa-sha2-512", &rsa_bytes),
        ),
        (
            "a key that is nobody's",
            STORE,
            login("nix", "ssh-ed25519", &public("other").to_bytes().unwrap()),
        ),
        (
            "another algorithm",
            STORE,
            login("nix", "rsa-sha2-512", &key_bytes),
        ),
        (
            "SHA-1",
            "ssh://nix@laptop",
            login("nix", "ssh-rsa", &rsa_bytes),
        ),
        (
            "a host that Nix does not have",
            "ssh://nix@other",
            good.clone(),
        ),
    ] {
        let refused = sign(store, &data).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::PermissionDenied,
            "{what}: {refused}"
        );
    }
}

/// A real agent.
struct SshAgent(std::process::Child);

impl SshAgent {
    fn start(machine: &Machine) -> Option<Self> {
        let mut command = std::process::Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(machine.path("agent"));
        let Ok(child) = command.stdout(std::process::Stdio::null()).spawn() else {
            println!("skipped: no ssh-agent");
            return None;
        };
        let agent = Self(child);
        let since = Stopwatch::start();
        while !machine.path("agent").exists() && since.elapsed() < Duration::from_secs(20) {
            thread::yield_now();
        }
        Some(agent)
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_root_s_agent_has_is_offered_and_signed_with_and_nothing_else() {
    use signature::Verifier;
    const STORE: &str = "ssh://nix@desktop";
    let machine = Machine::with(&[("nix.conf", "")]);
    let at = |name: &str| machine.path("etc").join(name).display().to_string();
    for name in ["sealed", "agents", "nobodys"] {
        if !keygen(&["-N", "", "-t", "ed25519", "-f", &at(name)]) {
            println!("skipped: no ssh-keygen");
            return;
        }
    }
    let Some(_agent) = SshAgent::start(&machine) else {
        return;
    };
    for name in ["agents", "sealed"] {
        let added = std::process::Command::new("ssh-add")
            .arg(at(name))
            .env("SSH_AUTH_SOCK", machine.path("agent"))
            .output();
        assert!(added.unwrap().status.success());
    }
    // The agent alone has the one, and the only one who can open the other.
    fs::remove_file(at("agents")).unwrap();
    assert!(keygen(&[
        "-p",
        "-P",
        "",
        "-N",
        "secret",
        "-f",
        &at("sealed")
    ]));
    machine.write("machines", &format!("{STORE} - {}\n", at("sealed")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let agent = Agent {
        helper: machine.helper(),
        store: STORE.to_owned(),
    };
    let public = |name: &str| {
        let line = fs::read_to_string(at(&format!("{name}.pub"))).unwrap();
        PublicKey::from_openssh(&line).unwrap()
    };
    let offered = || {
        let offered = runtime.block_on(agent.identities()).unwrap();
        let agents = offered.into_iter().filter(|offered| offered.is_agents);
        agents
            .map(|offered| offered.key.unwrap())
            .collect::<Vec<_>>()
    };
    let bytes = |name: &str| public(name).to_bytes().unwrap();
    // What ssh_config names comes first.
    assert_eq!(offered(), [bytes("sealed"), bytes("agents")]);
    let sign = |name: &str, user: &str| {
        let data = login(user, "ssh-ed25519", &bytes(name));
        let signed = runtime.block_on(agent.sign(data.clone()));
        signed.map(|signature| {
            let signature = Signature::try_from(&*signature).unwrap();
            public(name).key_data().verify(&data, &signature).unwrap();
        })
    };
    for name in ["sealed", "agents"] {
        sign(name, "nix").unwrap();
        let other = sign(name, "root").unwrap_err();
        assert_eq!(other.kind(), ErrorKind::PermissionDenied, "{other}");
    }
    let nobodys = sign("nobodys", "nix").unwrap_err();
    assert_eq!(nobodys.kind(), ErrorKind::PermissionDenied, "{nobodys}");

    machine.write("environment", "NIX_SSHOPTS=-oIdentitiesOnly=yes\n");
    assert_eq!(offered(), [bytes("sealed")]);
    assert!(sign("agents", "nix").is_err() && sign("sealed", "nix").is_ok());
    machine.write("environment", "NIX_SSHOPTS=-oIdentityAgent=none\n");
    assert_eq!(offered(), [[0_u8; 0]; 0]);
    assert!(sign("sealed", "nix").is_err());
}
