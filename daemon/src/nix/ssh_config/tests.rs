mod jumps;
mod openssh;
mod roots;

use super::{
    parse::{Asked, parse},
    query::{Query, Question, check_name},
    *,
};
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
        .ask(Question::new(
            "desktop",
            Some("nix-builder"),
            port,
            key,
            false,
        ))
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
    .ask(Question::new("desktop", None, None, None, false))
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
            .ask(Question::new("desktop", None, None, None, has_host_key))
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
}
