//! The real ssh is asked, and what follows from who asks it.

use super::*;

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
async fn the_defaults_without_openssh_are_those_of_openssh() {
    let query = Query {
        program: OsStr::new("/nonexistent/ssh"),
        options: "",
        accounts: &accounts(),
        credentials: None,
        timeout: Duration::from_secs(20),
    };
    let found = query
        .ask(Question::new("Desktop", None, Some(2222), None, false))
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
    Some(
        query
            .ask(Question::new("desktop", None, None, None, false))
            .await,
    )
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
