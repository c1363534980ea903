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
