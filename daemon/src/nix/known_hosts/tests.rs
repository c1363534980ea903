use super::*;
use crate::files::Direct;
use crate::nix::fixtures::{ECDSA, ED25519, RSA};
use proptest::prelude::*;
use std::{os::unix::fs::PermissionsExt, process::Command};

fn ed25519() -> PublicKey {
    parse_type_and_key("ssh-ed25519", ED25519).unwrap()
}

fn ecdsa() -> PublicKey {
    parse_type_and_key("ecdsa-sha2-nistp256", ECDSA).unwrap()
}

fn known(text: &str, host: &str, port: u16) -> Known {
    lookup_in([text].into_iter(), host, Some(port))
}

fn has(hosts: &str, host: &str, port: u16) -> bool {
    let found = known(
        &format!("{hosts} ssh-ed25519 {ED25519} comment\n"),
        host,
        port,
    );
    let keys = [found.named.keys, found.without_port.keys].concat();
    assert!(keys.is_empty() || keys == [ed25519()]);
    !keys.is_empty()
}

#[test]
fn names_are_patterns() {
    assert!(has("desktop", "desktop", 22));
    assert!(has("Desktop", "DESKTOP", 22));
    assert!(has("other,desktop,192.0.2.6", "192.0.2.6", 22));
    assert!(has("*.local", "desktop.local", 22));
    assert!(has("desk?op", "desktop", 22));
    assert!(!has("*.local,!desktop.local", "desktop.local", 22));
    assert!(!has("!desktop.local,*.local", "desktop.local", 22));
    assert!(!has("desktop", "desktop.local", 22));
    assert!(!has("!laptop", "desktop", 22));
}

#[test]
fn another_port_has_keys_of_its_own_and_else_those_of_the_name() {
    assert!(has("[desktop]:2222", "desktop", 2222));
    assert!(!has("[desktop]:2222", "desktop", 22));
    assert!(!has("[desktop]:2222", "desktop", 2223));
    let text =
        format!("desktop ssh-ed25519 {ED25519}\n[desktop]:2222 ecdsa-sha2-nistp256 {ECDSA}\n");
    for (port, named) in [(2222, vec![ecdsa()]), (2223, vec![])] {
        let found = known(&text, "desktop", port);
        assert_eq!(found.named.keys, named);
        assert_eq!(found.without_port.keys, [ed25519()]);
    }
    assert_eq!(known(&text, "desktop", 22).without_port, Lines::default());
}

#[test]
fn an_alias_is_looked_up_without_port_and_as_written() {
    let text = format!("desktop-key ssh-ed25519 {ED25519}");
    assert_eq!(
        lookup_in([text.as_str()].into_iter(), "desktop-key", None)
            .named
            .keys
            .len(),
        1
    );
}

#[test]
fn revoked_keys_and_authorities_are_told_apart() {
    let text = format!(
        "@revoked * ssh-ed25519 {ED25519}\n@cert-authority *.local ssh-rsa {RSA}\n\
         desktop.local ecdsa-sha2-nistp256 {ECDSA}\n@unknown desktop.local ssh-rsa {RSA}\n"
    );
    let found = known(&text, "desktop.local", 22);
    let rsa = parse_type_and_key("ssh-rsa", RSA).unwrap();
    assert_eq!(found.named.keys, [ecdsa()]);
    assert_eq!(found.named.revoked, [ed25519()]);
    assert_eq!(found.named.authorities, [rsa]);
    assert_eq!(known(&text, "desktop", 22).named.authorities, []);
}

#[test]
fn comments_and_bad_lines_are_skipped() {
    let text = format!(
        "# desktop ssh-rsa {RSA}\n\ndesktop\ndesktop ssh-ed25519\ndesktop ssh-ed25519 AAAA\n\
         desktop ssh-rsa {ED25519}\n\t desktop\tssh-ed25519\t{ED25519}\t# why\r\n\
         desktop ssh-ed25519 {ED25519} again\n"
    );
    assert_eq!(known(&text, "desktop", 22).named.keys, [ed25519()]);
}

#[test]
fn names_hashed_by_openssh_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    let text = format!(
        "desktop.local ssh-ed25519 {ED25519}\n[192.0.2.6]:2222 ecdsa-sha2-nistp256 {ECDSA}\n"
    );
    std::fs::write(&file, text).unwrap();
    let hash = Command::new("ssh-keygen")
        .args(["-q", "-H", "-f"])
        .arg(&file)
        .output();
    let Ok(output) = hash else {
        eprintln!("skipped: no ssh-keygen");
        return;
    };
    assert!(output.status.success());
    let hashed = std::fs::read_to_string(&file).unwrap();
    assert!(
        hashed.starts_with("|1|") && !hashed.contains("desktop"),
        "{hashed}"
    );
    let files = [dir.path().join("missing"), file];
    assert_eq!(
        lookup(&Direct, None, &files, "Desktop.local", Some(22))
            .named
            .keys,
        [ed25519()]
    );
    assert_eq!(
        lookup(&Direct, None, &files, "192.0.2.6", Some(2222))
            .named
            .keys,
        [ecdsa()]
    );
    assert_eq!(
        lookup(&Direct, None, &files, "192.0.2.6", Some(22)),
        Known::default()
    );
}

/// Started anew as nobody, since root may read everything.
#[test]
fn files_that_may_not_be_read_are_told_from_missing_ones() {
    const DIR: &str = "OFFLOADD_TEST_DIR";
    if let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) {
        let files = ["closed/hosts", "missing", "secret", "open"].map(|name| dir.join(name));
        let found = lookup(&Direct, None, &files, "desktop", Some(22));
        assert_eq!(found.unreadable, [files[0].clone(), files[2].clone()]);
        assert_eq!(found.named.keys, [ed25519()]);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str, mode| {
        let path = dir.path().join(name);
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    std::fs::create_dir(dir.path().join("closed")).unwrap();
    for name in ["closed/hosts", "secret", "open"] {
        let line = format!("desktop ssh-ed25519 {ED25519}\n");
        std::fs::write(dir.path().join(name), line).unwrap();
    }
    mode("closed", 0o700);
    mode("secret", 0o600);
    mode("open", 0o644);
    mode(".", 0o755);
    let name = "nix::known_hosts::tests::files_that_may_not_be_read_are_told_from_missing_ones";
    let exe = std::env::current_exe().unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command
    };
    let may = as_nobody().args(["test", "-x"]).arg(&exe).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("skipped: not root, no setpriv, or nobody may not start this test");
        return;
    }
    let ran = as_nobody()
        .arg(&exe)
        .args(["--exact", name, "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{ran:?}");
}

#[test]
fn who_hands_over_known_hosts_has_no_second_one() {
    let directory = tempfile::tempdir().unwrap();
    let is_of_old = |file: &str| super::is_of_old(Path::new(file), Some(directory.path()));
    assert!(!is_of_old("/root/.ssh/known_hosts2"));
    std::fs::write(directory.path().join("root-.ssh-known_hosts"), "\n").unwrap();
    assert!(is_of_old("/root/.ssh/known_hosts2"));
    for other in [
        "/root/.ssh/known_hosts",
        "/home/a/.ssh/known_hosts2",
        "/root/.ssh/other2",
    ] {
        assert!(!is_of_old(other), "{other}");
    }
}

#[test]
fn a_hash_that_is_none_matches_nothing() {
    for hosts in [
        "|1|",
        "|1||",
        "|1|!|!",
        "|1|AAAA",
        "|2|AAAA|AAAA",
        "|1|AAAA|AAAA|AAAA",
    ] {
        assert!(!has(hosts, "desktop", 22), "{hosts}");
    }
}

/// ssh-keygen -F asks OpenSSH's own matcher.
#[test]
fn patterns_match_as_openssh_matches_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    for (hosts, name) in [
        ("*", "desktop"),
        ("d*k*p", "desktop"),
        ("d*x*p", "desktop"),
        ("!*top,*", "desktop"),
        ("[*]:22??", "[desktop]:2222"),
        ("[a-z]*", "desktop"),
        ("desktop,", "desktop"),
    ] {
        std::fs::write(&file, format!("{hosts} ssh-ed25519 {ED25519}\n")).unwrap();
        let found = Command::new("ssh-keygen")
            .args(["-F", name, "-f"])
            .arg(&file)
            .output();
        let Ok(output) = found else {
            eprintln!("skipped: no ssh-keygen");
            return;
        };
        assert_eq!(
            hosts_match(hosts, name),
            output.status.success(),
            "{hosts} {name}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_skipped(text in "(\\PC|[\n\t @|!*,])*", host in "\\PC*", port: u16) {
        let _ = known(&text, &host, port);
    }

    #[test]
    fn a_pattern_of_stars_ends_quickly(pattern in "[*a]{0,200}", name in "a{0,200}b?") {
        let _ = glob(&pattern, &name);
    }

    #[test]
    fn a_name_matches_itself_with_any_part_starred(name in "[a-z0-9.:-]{1,30}", at in 0usize..30, len in 0usize..30) {
        let start = at.min(name.len());
        let end = (start + len).min(name.len());
        let pattern = format!("{}*{}", &name[..start], &name[end..]);
        prop_assert!(glob(&pattern, &name));
        prop_assert!(hosts_match(&name, &name));
    }
}
