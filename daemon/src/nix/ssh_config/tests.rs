use super::query::{Query, check_name, shell_split};
use super::*;
use proptest::prelude::*;
use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const PLAIN: &str = "host desktop\nuser nix-builder\nhostname 192.0.2.6\nport 22\n\
    gssapiauthentication yes\npubkeyauthentication true\nstricthostkeychecking ask\n\
    checkhostip no\nsecuritykeyprovider internal\nidentityfile ~/.ssh/id_rsa\n\
    identityfile ~/.ssh/id_ed25519\nglobalknownhostsfile /etc/ssh/ssh_known_hosts\n\
    userknownhostsfile /root/.ssh/known_hosts /root/.ssh/known_hosts2\nconnecttimeout none\n\
    ciphers chacha20-poly1305@openssh.com,aes128-ctr\nmacs umac-64@openssh.com\n";

fn account() -> Account {
    Account {
        uid: 61,
        name: "offloadd".into(),
        home: "/var/lib/offloadd".into(),
        machine: "laptop.lan".into(),
    }
}

/// Ours and Nix's are one.
fn accounts() -> Accounts {
    Accounts {
        own: account(),
        nix: account(),
    }
}

fn asked(accounts: &Accounts) -> Asked<'_> {
    Asked {
        host: "desktop",
        user: None,
        key: None,
        config: None,
        accounts,
    }
}

fn options(text: &str) -> Result<SshOptions, SshConfigError> {
    parse(text, &asked(&accounts()))
}

fn with(lines: &str) -> SshOptions {
    options(&format!("{lines}\n{PLAIN}")).unwrap()
}

async fn ask_real(config: &str, port: Option<u16>, key: Option<&Path>) -> Option<SshOptions> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let query = Query {
        program: OsStr::new("ssh"),
        options: &format!("-F '{}'", file.path().display()),
        accounts: &accounts(),
        credentials: None,
        timeout: Duration::from_secs(20),
    };
    let answer = query
        .ask("desktop", Some("nix-builder"), port, key, false)
        .await
        .unwrap();
    if answer.host_key_algorithms.is_empty() {
        eprintln!("skipped: no ssh");
        return None;
    }
    Some(answer)
}

fn script(text: &str) -> tempfile::TempPath {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o700)).unwrap();
    file.into_temp_path()
}

async fn ask_script(text: &str, timeout: Duration) -> Result<SshOptions, SshConfigError> {
    let program = script(text);
    Query {
        program: program.as_os_str(),
        options: "",
        accounts: &accounts(),
        credentials: None,
        timeout,
    }
    .ask("desktop", None, None, None, false)
    .await
}

#[test]
fn a_plain_answer_is_read_and_nothing_in_it_is_unsupported() {
    let found = options(PLAIN).unwrap();
    assert_eq!((found.hostname.as_str(), found.port), ("192.0.2.6", 22));
    assert_eq!(found.user, "nix-builder");
    let home = Path::new("/var/lib/offloadd/.ssh");
    assert_eq!(
        found.identity_files,
        [home.join("id_rsa"), home.join("id_ed25519")]
    );
    assert_eq!(found.user_known_hosts_files.len(), 2);
    assert_eq!(found.strict_host_key_checking, StrictHostKeyChecking::Ask);
    assert_eq!(found.unsupported, Vec::<String>::new());
    assert_eq!(found.known_hosts_name(), ("192.0.2.6", Some(22)));
}

#[test]
fn what_would_change_the_outcome_is_named() {
    let found = with(
        "identityagent /run/agent\nbindaddress desk.lan\nknownhostscommand /bin/keys\ncheckhostip yes\n\
         securitykeyprovider /lib/sk.so",
    );
    assert_eq!(
        found.unsupported,
        [
            "identityagent /run/agent",
            "knownhostscommand /bin/keys",
            "bindaddress desk.lan",
            "securitykeyprovider /lib/sk.so",
            "checkhostip yes",
        ]
    );
}

#[test]
fn what_ssh_is_to_do_beside_or_instead_is_read() {
    let demands = |lines: &str| with(lines).demands;
    assert_eq!(options(PLAIN).unwrap().demands, Demands::default());
    assert_eq!(
        demands("remotecommand tmux new -A")
            .bars_connection
            .unwrap(),
        "remotecommand tmux new -A"
    );
    assert_eq!(demands("remotecommand none"), Demands::default());
    for kind in ["none", "subsystem"] {
        let line = format!("sessiontype {kind}");
        assert_eq!(demands(&line).bars_command, Some(line));
    }
    assert_eq!(
        demands("stdinnull yes").bars_conversation.unwrap(),
        "stdinnull yes"
    );
    assert_eq!(
        demands("requesttty force").bars_conversation.unwrap(),
        "requesttty force"
    );
    assert_eq!(demands("requesttty yes").bars_conversation, None);

    let forwards = "localforward [127.0.0.1]:80 [desk]:80\nlocalforward /run/x /run/y\n\
                    dynamicforward 1080\nremoteforward 99 [a]:1";
    assert_eq!(demands(forwards), Demands::default());
    let must = format!("exitonforwardfailure yes\n{forwards}");
    let found = demands(&must);
    let places: Vec<_> = found
        .listens
        .iter()
        .map(|listen| (listen.host.as_deref(), listen.port))
        .collect();
    let expected = [
        (Some("127.0.0.1"), Some(80)),
        (Some("/run/x"), None),
        (None, Some(1080)),
    ];
    assert_eq!(places, expected);
    assert!(found.has_remote_forwards);
    assert_eq!(found.listens[2].option, "dynamicforward 1080");
    assert_eq!(
        demands(&format!("clearallforwardings yes\n{must}")),
        Demands::default()
    );
}

#[test]
fn what_is_offered_follows_the_answer() {
    let found = options(PLAIN).unwrap();
    assert!(found.offers_keys && !found.reads_ed25519_in_pkcs8);
    let found = with(
        "certificatefile ~/k-cert.pub\npubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512\n\
         channeltimeout none",
    );
    let certificate = Path::new("/var/lib/offloadd/k-cert.pub");
    assert_eq!(found.certificate_files, [certificate]);
    assert_eq!(found.key_algorithms, ["ssh-ed25519", "rsa-sha2-512"]);
    assert!(found.reads_ed25519_in_pkcs8);
    for lines in [
        "pubkeyauthentication false",
        "preferredauthentications password,hostbased",
    ] {
        assert!(!with(lines).offers_keys, "{lines}");
    }
    assert!(with("preferredauthentications gssapi-with-mic,publickey").offers_keys);
    assert!(with("pubkeyauthentication unbound").offers_keys);
}

#[test]
fn files_of_known_hosts_are_told_apart_without_their_quotes() {
    let files = |line: &str| {
        let plain = PLAIN.replace("userknownhostsfile", "otherfile");
        let found = options(&format!("userknownhostsfile {line}\n{plain}")).unwrap();
        found.user_known_hosts_files
    };
    assert_eq!(files("/a /b"), [Path::new("/a"), Path::new("/b")]);
    assert_eq!(files("/k h /b  c"), [Path::new("/k h"), Path::new("/b  c")]);
    assert_eq!(files("known hosts"), [Path::new("known hosts")]);
    assert!(files("none").is_empty());
}

#[tokio::test]
async fn the_entrys_host_key_counts_unless_nix_sshopts_names_other_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "UserKnownHostsFile /etc/hosts-of-config\n").unwrap();
    let config = format!("-F '{}'", file.path().display());
    for (options, has_host_key, counts) in [
        ("", true, true),
        ("", false, false),
        ("-o UserKnownHostsFile=/b", true, false),
        ("-oUserKnownHostsFile=/b", false, false),
    ] {
        let options = format!("{config} {options}");
        let query = Query {
            program: OsStr::new("ssh"),
            options: &options,
            accounts: &accounts(),
            credentials: None,
            timeout: Duration::from_secs(20),
        };
        let found = query
            .ask("desktop", None, None, None, has_host_key)
            .await
            .unwrap();
        if found.host_key_algorithms.is_empty() {
            eprintln!("skipped: no ssh");
            return;
        }
        assert_eq!(
            found.entry_host_key_counts, counts,
            "{options} {has_host_key}"
        );
        if !counts {
            assert_eq!(found.user_known_hosts_files.len(), 1);
        }
    }
}

#[test]
fn our_own_proxy_command_is_known_where_ssh_takes_its_socket() {
    let command = "proxycommand /usr/bin/offloadctl connect %h %p";
    let found = with(&format!(
        "{command}\nproxyusefdpass yes\nbindaddress desk.lan"
    ));
    assert_eq!((found.steered, found.proxy_command), (true, None));
    assert_eq!(found.unsupported, Vec::<String>::new());

    let found = with(command);
    assert!(!found.steered);
    assert!(found.proxy_command.is_some());
    let found = with("proxycommand nc %h %p\nproxyusefdpass yes");
    assert_eq!((found.steered, found.unsupported.len()), (false, 1));
}

#[test]
fn commands_and_paths_are_expanded() {
    let found =
        with("proxycommand nc -u %u %h %p %r %n 100%%\nidentityfile ~/k_%h_%L\nidentityfile none");
    assert_eq!(
        found.proxy_command.as_deref(),
        Some("nc -u offloadd 192.0.2.6 22 nix-builder desktop 100%")
    );
    assert_eq!(
        found.identity_files[0],
        PathBuf::from("/var/lib/offloadd/k_192.0.2.6_laptop")
    );
    assert_eq!(found.identity_files.len(), 3);
    assert_eq!(
        with("identityfile ~root/key").unsupported,
        ["identityfile ~root/key"]
    );
    assert!(matches!(
        options(&format!("proxycommand nc %y\n{PLAIN}")),
        Err(SshConfigError::UnknownToken {
            option: "proxycommand",
            ..
        })
    ));
}

#[test]
fn a_jump_becomes_the_command_that_openssh_makes_of_it() {
    let command = |jump: &str| with(&format!("proxyjump {jump}")).proxy_command.unwrap();
    assert_eq!(
        command("gate"),
        "ssh -o BatchMode=yes -W '[192.0.2.6]:22' gate"
    );
    assert_eq!(
        command("a@first:22,me@[192.0.2.9]:2222"),
        "ssh -l me -p 2222 -J a@first:22 -o BatchMode=yes -W '[192.0.2.6]:22' 192.0.2.9"
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
        "ssh -F '/a b%c' -o BatchMode=yes -W '[192.0.2.6]:22' gate"
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

#[test]
fn a_name_that_means_something_to_a_shell_never_gets_there() {
    for name in [
        "",
        "-oProxyCommand=x",
        "a b",
        "a;b",
        "$(x)",
        "`x`",
        "a|b",
        "a\nb",
        "a'b",
    ] {
        assert!(check_name(name).is_err(), "{name}");
    }
    for name in [
        "desktop",
        "192.0.2.6",
        "fe80::1%wlan0",
        "nix-builder",
        "nix@lan",
    ] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    let evil = PLAIN.replace("192.0.2.6", "$(reboot)");
    let answer = options(&format!("proxycommand nc %h\n{evil}"));
    assert!(matches!(answer, Err(SshConfigError::BadName(_))));
}

#[test]
fn an_answer_without_the_essentials_is_unreadable() {
    for text in [
        "",
        "hostname a\nuser b\n",
        "hostname a\nport x\nuser b\n",
        "port 22\nuser b",
    ] {
        assert!(
            matches!(options(text), Err(SshConfigError::Unreadable)),
            "{text}"
        );
    }
}

#[test]
fn nix_sshopts_is_split_as_nix_splits_it() {
    let words = shell_split(r#"-o "A=b c" '-F/x y'  a\ b "\x\"" ''"#).unwrap();
    assert_eq!(words, ["-o", "A=b c", "-F/x y", "a b", "\\x\"", ""]);
    for text in ["'a", "\"a", "\"a\\"] {
        assert!(
            matches!(shell_split(text), Err(SshConfigError::UnclosedQuote)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn openssh_itself_is_asked_with_the_arguments_of_nix() {
    let config = "Host desktop\n HostName 192.0.2.6\n Port 2200\n User somebody\n HostKeyAlias key\n\
        StrictHostKeyChecking yes\n IdentityFile ~/mine\n ConnectTimeout 7\n";
    let Some(found) = ask_real(config, None, None).await else {
        return;
    };
    assert_eq!((found.hostname.as_str(), found.port), ("192.0.2.6", 2200));
    assert_eq!(found.user, "nix-builder");
    assert_eq!(found.known_hosts_name(), ("key", None));
    assert_eq!(found.strict_host_key_checking, StrictHostKeyChecking::Yes);
    assert_eq!(found.identity_files, [Path::new("/var/lib/offloadd/mine")]);
    assert_eq!(found.unsupported, Vec::<String>::new());
    assert!(!found.host_key_algorithms.is_empty() && !found.user_known_hosts_files.is_empty());

    let key = tempfile::Builder::new().prefix("a key").tempfile().unwrap();
    let Some(found) = ask_real(config, Some(2222), Some(key.path())).await else {
        return;
    };
    assert_eq!(found.port, 2222);
    assert_eq!(
        found.identity_files,
        [key.path(), Path::new("/var/lib/offloadd/mine")]
    );
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
        command.ends_with(" -o BatchMode=yes -W '[desktop]:22' gate"),
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
    let ask = async |host: &'static str| query.ask(host, None, None, None, false).await.unwrap();
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

#[tokio::test]
async fn the_defaults_without_openssh_are_those_of_openssh() {
    let query = Query {
        program: OsStr::new("/nonexistent/ssh"),
        options: "",
        accounts: &accounts(),
        credentials: None,
        timeout: Duration::from_secs(20),
    };
    let found = query
        .ask("Desktop", None, Some(2222), None, false)
        .await
        .unwrap();
    assert!(found.host_key_algorithms.is_empty());
    assert_eq!(
        (found.hostname.as_str(), found.port, found.user.as_str()),
        ("desktop", 2222, "offloadd")
    );
    let Some(asked) = ask_real("", None, None).await else {
        return;
    };
    let defaults = SshOptions::defaults_of("desktop", Some("nix-builder"), None, None, &account());
    assert_eq!(
        defaults.global_known_hosts_files,
        asked.global_known_hosts_files
    );
    assert_eq!(
        defaults.strict_host_key_checking,
        asked.strict_host_key_checking
    );
    for file in defaults.identity_files {
        assert!(asked.identity_files.contains(&file), "{file:?}");
    }
}

/// What ssh, run as `uid`, says to this process, which is then taken for one of `own`.
async fn ask_as(uid: u32, own: Account) -> Option<Result<SshOptions, SshConfigError>> {
    let runs = |program: &str, args: &[&str]| {
        let ran = std::process::Command::new(program).args(args).output();
        ran.is_ok_and(|output| output.status.success())
    };
    let uid_text = uid.to_string();
    let may = runs("setpriv", &["--reuid", &uid_text, "--clear-groups", "true"]);
    if !may || !runs("ssh", &["-V"]) {
        eprintln!("skipped: not root, or no setpriv or ssh");
        return None;
    }
    let program = script(&format!(
        "exec setpriv --reuid {uid} --clear-groups ssh \"$@\""
    ));
    let accounts = Accounts {
        own,
        nix: Account {
            uid: 0,
            name: "root".into(),
            home: "/root".into(),
            machine: "laptop".into(),
        },
    };
    let query = Query {
        program: program.as_os_str(),
        options: "",
        accounts: &accounts,
        credentials: None,
        timeout: Duration::from_secs(20),
    };
    Some(query.ask("desktop", None, None, None, false).await)
}

#[tokio::test]
async fn what_follows_from_the_account_is_roots_where_we_are_not() {
    let nobody = Account {
        uid: 65534,
        name: "nobody".into(),
        home: "/nonexistent".into(),
        machine: "laptop".into(),
    };
    let Some(answer) = ask_as(65534, nobody).await else {
        return;
    };
    let found = answer.unwrap();
    assert!(!found.host_key_algorithms.is_empty(), "ssh was not asked");
    assert_eq!(found.user, "root");
    let home = Path::new("/root/.ssh");
    assert!(found.identity_files.contains(&home.join("id_ed25519")));
    assert_eq!(
        found.user_known_hosts_files,
        [home.join("known_hosts"), home.join("known_hosts2")]
    );
}

#[tokio::test]
async fn an_account_without_a_name_is_answered_with_the_defaults_of_root() {
    let nameless = Account {
        uid: 4242,
        ..Account::default()
    };
    let Some(answer) = ask_as(4242, nameless).await else {
        return;
    };
    let found = answer.unwrap();
    assert!(found.host_key_algorithms.is_empty());
    assert_eq!(
        found.user_known_hosts_files[0],
        Path::new("/root/.ssh/known_hosts")
    );
}

#[test]
fn a_key_and_a_user_that_nix_names_stay_as_they_are() {
    let accounts = Accounts {
        own: account(),
        nix: Account {
            uid: 0,
            name: "root".into(),
            home: "/root".into(),
            machine: "laptop.lan".into(),
        },
    };
    let key = Path::new("/var/lib/offloadd/key");
    let text = format!(
        "user offloadd\nidentityfile {0}\nidentityfile {0}2\n{PLAIN}",
        key.display()
    );
    let named = Asked {
        user: Some("offloadd"),
        key: Some(key),
        ..asked(&accounts)
    };
    let found = parse(&text, &named).unwrap();
    assert_eq!(found.user, "offloadd");
    assert_eq!(found.identity_files[..2], [key, Path::new("/root/key2")]);
    let unnamed = parse(&text, &asked(&accounts)).unwrap();
    assert_eq!(unnamed.user, "root");
}

#[tokio::test]
async fn a_refusal_carries_the_last_thing_ssh_said() {
    let answer = ask_script(
        "echo first >&2; echo 'line 3: Bad option: x' >&2; exit 255",
        Duration::from_secs(20),
    )
    .await;
    assert_eq!(
        answer.unwrap_err().to_string(),
        "ssh -G: line 3: Bad option: x"
    );
}

#[tokio::test]
async fn an_ssh_that_hangs_or_floods_is_given_up() {
    let answer = ask_script("exec sleep 600", Duration::from_millis(50)).await;
    assert!(
        matches!(answer, Err(SshConfigError::TimedOut(_))),
        "{answer:?}"
    );
    let answer = ask_script("head -c 1000000 /dev/zero", Duration::from_secs(20)).await;
    assert!(
        matches!(answer, Err(SshConfigError::Unreadable)),
        "{answer:?}"
    );
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(text in "(\\PC|[\n %~])*") {
        let _ = options(&text);
        let _ = options(&format!("{PLAIN}{text}"));
    }

    #[test]
    fn any_value_is_read_or_refused(
        option in "(identityfile|proxycommand|proxyjump|hostname|user|ciphers|userknownhostsfile)",
        value in "\\PC{0,40}",
    ) {
        if let Ok(found) = options(&format!("{option} {value}\n{PLAIN}")) {
            prop_assert!(found.identity_files.len() <= MAX_IDENTITIES);
        }
    }

    #[test]
    fn quoted_words_are_split_back(words in proptest::collection::vec("[^\0']{1,12}", 0..6)) {
        let text = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        prop_assert_eq!(shell_split(&text).unwrap(), words);
    }

    #[test]
    fn any_options_are_split_or_refused(text in "\\PC*") {
        let _ = shell_split(&text);
    }
}

#[test]
fn what_only_ssh_does_is_left_to_ssh() {
    let beyond = |lines: &str| with(lines).demands.is_beyond_us;
    for option in [
        "knownhostscommand /bin/keys %H",
        "bindaddress desk.lan",
        "forkafterauthentication yes",
    ] {
        assert_eq!(beyond(option).as_deref(), Some(option));
    }
    for lines in [
        "forkafterauthentication no",
        "bindaddress 192.0.2.2",
        "bindaddress desk.lan\nproxycommand nc desk 22",
    ] {
        assert_eq!(beyond(lines), None, "{lines}");
    }
}
