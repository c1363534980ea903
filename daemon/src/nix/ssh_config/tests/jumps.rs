//! Jumps and proxies.

use super::*;

#[test]
fn a_jump_becomes_the_command_that_openssh_makes_of_it() {
    let command = |jump: &str| with(&format!("proxyjump {jump}")).proxy_command.unwrap();
    assert_eq!(
        command("gate"),
        "ssh -o BatchMode=yes -o ControlPath=none -W '[192.0.2.6]:22' gate"
    );
    assert_eq!(
        command("a@first:22,me@[192.0.2.9]:2222"),
        "ssh -l me -p 2222 -J a@first:22 -o BatchMode=yes -o ControlPath=none -W '[192.0.2.6]:22' 192.0.2.9"
    );
    let config = parse(
        &format!("proxyjump gate\n{PLAIN}"),
        &Asked {
            config: Some("/a b%c"),
            ..asked(&accounts())
        },
    );
    assert_eq!(
        config.unwrap().proxy_command.unwrap(),
        "ssh -F '/a b%c' -o BatchMode=yes -o ControlPath=none -W '[192.0.2.6]:22' gate"
    );
    for jump in [
        "-oProxyCommand=x",
        "a@-x",
        "gate;reboot",
        "$(x)",
        "gate:x",
        "gate:99999",
        "[gate",
        "-J,gate",
    ] {
        let answer = options(&format!("proxyjump {jump}\n{PLAIN}"));
        assert!(
            matches!(answer, Err(SshConfigError::BadJump(_))),
            "{jump}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn proxies_of_a_real_configuration_become_commands() {
    let Some(found) = ask_real("ProxyCommand nc %h %p\n", None, None).await else {
        return;
    };
    assert_eq!(found.proxy_command.as_deref(), Some("nc desktop 22"));
    let Some(found) = ask_real("ProxyJump me@gate:2222\n", None, None).await else {
        return;
    };
    let command = found.proxy_command.unwrap();
    assert!(command.starts_with("ssh -l me -p 2222 -F '/"), "{command}");
    assert!(
        command.ends_with(" -o BatchMode=yes -o ControlPath=none -W '[desktop]:22' gate"),
        "{command}"
    );
}

/// As the daemon's own account, whose root has other files.
#[test]
fn a_jump_that_hangs_on_what_only_root_may_read_is_not_tried() {
    use crate::files::Fake;
    let key = PathBuf::from("/root/.ssh/key");
    let jump = SshOptions::defaults("gate", None, None, Some(key.clone()));
    let hosts = jump.user_known_hosts_files[0].clone();
    let global = jump.global_known_hosts_files[0].clone();
    let known = tempfile::NamedTempFile::new().unwrap();
    let closed = |jump: &SshOptions, own: &[&Path]| {
        let open = |path: &Path| {
            if own.contains(&path) {
                return std::fs::File::open(known.path());
            }
            let is_closed = path.starts_with("/root") || path == hosts;
            Err(if is_closed {
                io::ErrorKind::PermissionDenied.into()
            } else {
                io::ErrorKind::NotFound.into()
            })
        };
        jump::closed(jump, &Fake(open))
    };
    assert_eq!(closed(&jump, &[]), Some(key.clone()));
    assert_eq!(closed(&jump, &[&key]), Some(hosts.clone()));
    assert_eq!(closed(&jump, &[&key, &hosts]), None);
    let lenient = SshOptions {
        strict_host_key_checking: StrictHostKeyChecking::AcceptNew,
        ..jump.clone()
    };
    assert_eq!(closed(&lenient, &[&key]), None);
    let line =
        "gate ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcbCzAVQ26aLrR4QxsMSSkTDnMGGn7+YeEr2Zqp2Gv3\n";
    std::fs::write(known.path(), line).unwrap();
    assert_eq!(closed(&jump, &[&key, &global]), None);
}

#[tokio::test]
async fn roots_own_configuration_counts_where_it_is_handed_over_and_leads_through_jumps() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let accounts = Accounts {
        nix: Account {
            uid: 0,
            name: "root".into(),
            home: "/nonexistent/root".into(),
            machine: "laptop.lan".into(),
        },
        own: account(),
    };
    let query = Query {
        program: OsStr::new("ssh"),
        options: "",
        accounts: &accounts,
        credentials: Some(dir.path()),
        timeout: Duration::from_secs(20),
    };
    let ask = async |host: &'static str| {
        query
            .ask(Question::new(host, None, None, None, false))
            .await
            .unwrap()
    };
    write("nonexistent-root-.ssh-config", "\n");
    let blank = ask("desktop").await;
    if blank.host_key_algorithms.is_empty() {
        eprintln!("skipped: no ssh");
        return;
    }
    assert_eq!(blank.hostname, "desktop");

    write(
        "nonexistent-root-.ssh-config",
        "Host gate\n HostName 192.0.2.9\n User guard\n IdentityFile \"/nonexistent/root/.ssh/a key\"\n\
         Host outer\n HostName 192.0.2.8\n\
         Host desktop\n HostName 192.0.2.6\n Port 2222\n ProxyJump outer,gate\n",
    );
    write("nonexistent-root-.ssh-a key", "a key");
    let found = ask("desktop").await;
    assert_eq!((found.hostname.as_str(), found.port), ("192.0.2.6", 2222));
    let command = found.proxy_command.unwrap();
    let split = shell_split(&command).unwrap();
    assert_eq!(split[..3], ["ssh", "-F", "none"]);
    assert_eq!(
        split[split.len() - 3..],
        ["-W", "[192.0.2.6]:2222", "192.0.2.9"]
    );
    assert!(split.contains(&"User=guard".to_owned()), "{command}");
    let key = dir.path().join("nonexistent-root-.ssh-a key");
    assert!(
        split.contains(&format!("IdentityFile=\"{}\"", key.display())),
        "{command}"
    );
    let before = split
        .iter()
        .find_map(|word| word.strip_prefix("ProxyCommand="));
    let before = shell_split(before.unwrap()).unwrap();
    assert_eq!(
        before[before.len() - 3..],
        ["-W", "[192.0.2.9]:22", "192.0.2.8"]
    );
    assert!(before.contains(&"User=root".to_owned()), "{before:?}");
}
