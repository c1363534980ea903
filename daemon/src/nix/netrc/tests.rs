use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
};

use super::*;
use crate::files::{Direct, Fake};

/// What is in the file, and the login for `h` that curl 8.14.1 sends; `None` for none.
const BOTH: [(&str, Option<&str>); 42] = [
    ("machine h login a password b\n", Some("a:b")),
    ("machine h login a password b", Some("a:b")),
    (
        "machine x login a password b\nmachine h login c password d\n",
        Some("c:d"),
    ),
    ("machine h password b login a\n", Some("a:b")),
    ("machine h login a\n", Some("a:")),
    ("machine h password b\n", Some(":b")),
    ("machine h\n", None),
    ("", None),
    ("default login a password b\n", Some("a:b")),
    // The first that fits, whichever it is.
    (
        "default login a password b\nmachine h login c password d\n",
        Some("a:b"),
    ),
    ("MACHINE H LOGIN a PASSWORD b\n", Some("a:b")),
    ("machine h:5000 login a password b\n", None),
    ("machine\nh\nlogin\na\n\n\npassword\nb\n", Some("a:b")),
    ("machine h\r\n login a\r\n password b\r\n", Some("a:b")),
    ("\tmachine\th\tlogin\ta\tpassword\tb\n", Some("a:b")),
    (
        r#"machine "h" login "a b" password "c\"d\n\q\\""#,
        Some("a b:c\"d\nq\\"),
    ),
    (r"machine h login a\b password c\n", Some(r"a\b:c\n")),
    ("machine h login a password b\"c\n", Some("a:b\"c")),
    ("machine h login a password 'b c'\n", Some("a:'b")),
    (
        "machine h login \"a\"b password \"\"machine x\n",
        Some("a:"),
    ),
    ("machine h login a password b#c\n", Some("a:b#c")),
    (
        "  # machine h login a password b\nmachine h login c password d\n",
        Some("c:d"),
    ),
    (
        "machine h account x login a port 1 password b\n",
        Some("a:b"),
    ),
    ("machine h passwd b login a\n", Some("a:")),
    // A macro goes to the next empty line.
    (
        "macdef m\nmachine h login a password b\n\nmachine h login c password d\n",
        Some("c:d"),
    ),
    (
        "machine x macdef m\nmachine h login a password b\n\nmachine h login c password d\n",
        Some("c:d"),
    ),
    ("macdef m\nmachine h login a password b\n", None),
    (
        "machine h macdef m login z\n\nlogin a password b\n",
        Some("a:b"),
    ),
    ("machine x default login c password d\n", Some("c:d")),
    ("machine x machine h login c password d\n", Some("c:d")),
    ("machine h machine h login c password d\n", Some("c:d")),
    (
        "machine h login a\nmachine h login c password d\n",
        Some("c:d"),
    ),
    (
        "machine h login a password b login c password d\n",
        Some("a:b"),
    ),
    ("machine h login a default password d\n", Some(":d")),
    (
        "machine h password b default login c password d\n",
        Some("c:"),
    ),
    ("machine h login machine password h\n", Some("machine:h")),
    ("machine login login a password b\n", None),
    ("login a password b\n", None),
    ("machine h. login a password b\n", None),
    ("machine h login a:b password c\n", Some("a:b:c")),
    (
        "machine h login a password b\nmachine x login \"open\n",
        Some("a:b"),
    ),
    ("\u{feff}machine h login a password b\n", None),
];

/// The same where curl 7.88 reads otherwise.
const NEWER: [(&str, Option<&str>); 10] = [
    ("machine h login a password #b\n", Some("a:#b")),
    (
        "machine h login \"a\nb\" password \"c\\\nd\"\n",
        Some("a\nb:c\nd"),
    ),
    // What can't be read spoils all that is not known yet.
    (
        "machine x login \"open\nmachine h login c password d\n",
        None,
    ),
    ("machine h login a\nmachine x login \"open\n", None),
    ("machine h\r\r\n login a password b\n", None),
    (
        "macdef m\nx\n \nmachine h login c password d\n",
        Some("c:d"),
    ),
    ("macdef m\nx\n\r\nmachine h login c password d\n", None),
    (
        "machine h password b machine h login c password d\n",
        Some(":b"),
    ),
    ("default password a machine h login c\n", Some(":a")),
    ("machine h\0\n login a password b\n", Some("a:b")),
];

fn found(text: &str) -> Option<String> {
    match Netrc::Text(text.into()).login("h") {
        Login::None => None,
        Login::Basic(Basic { user, password }) => {
            Some(String::from_utf8([&*user, b":", &*password].concat()).unwrap())
        }
        Login::NotVisible => panic!("{text}"),
    }
}

#[test]
fn logins_are_found_as_curl_finds_them() {
    for (text, expected) in BOTH.iter().chain(&NEWER) {
        assert_eq!(found(text).as_deref(), *expected, "{text:?}");
    }
}

#[test]
fn no_word_and_no_file_is_longer_than_curl_takes() {
    let long = |length| format!("machine h login a password {}\n", "p".repeat(length));
    assert!(found(&long(4096)).is_some());
    assert_eq!(found(&long(4097)), None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("netrc");
    fs::write(&file, "machine x\n".repeat(13_108)).unwrap();
    assert_eq!(Netrc::read(&Direct, &file), Netrc::None);
}

/// What this machine's curl sends to `h` with each of the files.
#[test]
fn this_machines_curl_finds_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("netrc");
    for (text, expected) in BOTH {
        fs::write(&file, text).unwrap();
        let curl = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "--netrc-optional",
                "--netrc-file",
            ])
            .arg(&file)
            .args([
                "--noproxy",
                "*",
                "--resolve",
                &format!("h:{port}:127.0.0.1"),
            ])
            .arg(format!("http://h:{port}/"))
            .spawn();
        let Ok(mut curl) = curl else {
            return; // No curl is here; the words above are of one.
        };
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        assert!(curl.wait().unwrap().success());
        let head = String::from_utf8(head).unwrap();
        let sent = head
            .lines()
            .find_map(|line| line.strip_prefix("Authorization: Basic "));
        let sent = sent.map(|sent| String::from_utf8(BASE64.decode(sent.as_bytes()).unwrap()));
        assert_eq!(sent.transpose().unwrap().as_deref(), expected, "{text:?}");
    }
}

#[test]
fn a_host_is_its_name_whatever_the_zone() {
    let netrc = Netrc::Text(b"machine fe80::6 login a password b machine a%b login c".to_vec());
    assert_ne!(netrc.login("fe80::6%wlan0"), Login::None);
    assert_ne!(netrc.login("FE80::6"), Login::None);
    assert_ne!(netrc.login("a%b"), Login::None);
    assert_eq!(netrc.login("a"), Login::None);
}

#[test]
fn what_is_in_it_is_shown_to_nobody() {
    let netrc = Netrc::Text(b"machine h login us3r password s3cret".to_vec());
    let login = netrc.login("h");
    let shown = format!("{netrc:?} {login:?}");
    assert!(
        !shown.contains("us3r") && !shown.contains("s3cret"),
        "{shown}"
    );
    let Login::Basic(basic) = login else { panic!() };
    assert_eq!(basic.authorization(), "Basic dXMzcjpzM2NyZXQ=");
}

#[test]
fn a_file_that_is_not_for_this_process_is_told_from_one_that_is_not_there() {
    let read = |refused: ErrorKind| {
        Netrc::read(
            &Fake(|_: &Path| Err(refused.into())),
            Path::new("/etc/nix/netrc"),
        )
    };
    assert_eq!(read(ErrorKind::NotFound), Netrc::None);
    assert_eq!(read(ErrorKind::PermissionDenied), Netrc::NotVisible);
    assert_eq!(read(ErrorKind::IsADirectory), Netrc::None);
}
