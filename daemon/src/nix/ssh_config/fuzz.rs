//! What must hold of what OpenSSH answers, and of the options that Nix gives it.

use std::path::Path;

use super::{
    AddressFamily, MAX_IDENTITIES, SshOptions, StrictHostKeyChecking,
    parse::{Asked, parse},
    shell::shell_split,
};
use crate::nix::account::{Account, Accounts};

/// What is read of an answer of `ssh -G` is what is read of the same, written out.
pub(crate) fn answer(bytes: &[u8]) {
    let account = |uid, name: &str, home: &str| Account {
        uid,
        name: name.to_owned(),
        home: home.into(),
        machine: "laptop.lan".to_owned(),
    };
    let accounts = Accounts {
        own: account(61, "offloadd", "/var/lib/offloadd"),
        nix: account(0, "root", "/root"),
    };
    let asked = Asked {
        host: "desktop",
        user: None,
        key: Some(Path::new("/etc/nix/key")),
        config: Some("/etc/nix/ssh_config"),
        accounts: &accounts,
    };
    let text = String::from_utf8_lossy(bytes);
    let Ok(options) = parse(&text, &asked) else {
        return;
    };
    assert!(options.identity_files.len() <= MAX_IDENTITIES);
    let SshOptions { unsupported, .. } = &options;
    assert!(unsupported.iter().all(|option| !option.contains('\n')));
    let text = written(&options);
    let again = parse(&text, &asked).map(|again| SshOptions {
        // Of what is not followed the names are told, which are not asked for again.
        unsupported: unsupported.clone(),
        demands: options.demands.clone(),
        ..again
    });
    match again {
        Ok(again) => assert_eq!(again, options, "{text}"),
        Err(error) => unreachable!("{error}: {text}"),
    }
}

/// What is split can be put together again.
pub(crate) fn options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(words) = shell_split(&text) else {
        return;
    };
    assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    let quoted = quoted.collect::<Vec<_>>().join("\t ");
    assert_eq!(shell_split(&quoted).ok(), Some(words));
}

/// As `ssh -G` prints it.
fn written(options: &SshOptions) -> String {
    let mut lines = vec![
        format!("hostname {}", options.hostname),
        format!("port {}", options.port),
        format!("user {}", options.user),
    ];
    for file in &options.identity_files {
        lines.push(format!("identityfile {}", escaped(&file.to_string_lossy())));
    }
    for file in &options.certificate_files {
        lines.push(format!(
            "certificatefile {}",
            escaped(&file.to_string_lossy())
        ));
    }
    match options.address_family {
        Some(AddressFamily::Inet) => lines.push("addressfamily inet".to_owned()),
        Some(AddressFamily::Inet6) => lines.push("addressfamily inet6".to_owned()),
        None => {}
    }
    let bind = options.bind_address.iter();
    lines.extend(bind.map(|address| format!("bindaddress {address}")));
    lines.push(format!("pubkeyauthentication {}", options.offers_keys));
    if options.reads_ed25519_in_pkcs8 {
        lines.push("channeltimeout none".to_owned());
    }
    for (option, files) in [
        ("userknownhostsfile", &options.user_known_hosts_files),
        ("globalknownhostsfile", &options.global_known_hosts_files),
        ("revokedhostkeys", &options.revoked_host_keys),
    ] {
        let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        lines.push(format!("{option} {}", files.join(" ")));
    }
    let strictness = match options.strict_host_key_checking {
        StrictHostKeyChecking::Yes => "true",
        StrictHostKeyChecking::Ask => "ask",
        StrictHostKeyChecking::AcceptNew => "accept-new",
        StrictHostKeyChecking::No => "false",
    };
    lines.push(format!("stricthostkeychecking {strictness}"));
    for (option, names) in [
        ("hostkeyalgorithms", &options.host_key_algorithms),
        ("casignaturealgorithms", &options.authority_algorithms),
        ("pubkeyacceptedalgorithms", &options.key_algorithms),
        ("kexalgorithms", &options.algorithms.kex),
        ("ciphers", &options.algorithms.ciphers),
        ("macs", &options.algorithms.macs),
    ] {
        lines.push(format!("{option} {}", names.join(",")));
    }
    lines.push(format!("requiredrsasize {}", options.required_rsa_bits));
    let is_unchecked = options.no_host_authentication_for_localhost;
    lines.push(format!("nohostauthenticationforlocalhost {is_unchecked}"));
    let alias = options.host_key_alias.iter();
    lines.extend(alias.map(|alias| format!("hostkeyalias {alias}")));
    let command = options.proxy_command.iter();
    lines.extend(command.map(|command| format!("proxycommand {}", escaped(command))));
    lines.join("\n")
}

/// Nothing of it is to be expanded, nor is white space around it left out: `%j` stands for no jump host.
fn escaped(text: &str) -> String {
    format!("%j{}%j", text.replace('%', "%%"))
}
