//! What OpenSSH takes for a private key of its own format, which is stricter than its readers elsewhere
//! (`private2_uudecode` in OpenSSH's sshkey.c). The others it leaves to OpenSSL, which is lenient.

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const BEGIN_PKCS8: &str = "-----BEGIN PRIVATE KEY-----";

/// Why ssh would not read `text`, which holds a private key. `lacks_pkcs8` is for a key that this version of it
/// does not read in PKCS8.
pub(super) fn check(text: &str, lacks_pkcs8: bool) -> Result<(), &'static str> {
    if lacks_pkcs8 && text.contains(BEGIN_PKCS8) {
        return Err("an Ed25519 key in PKCS8, which ssh reads since OpenSSH 9.6");
    }
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return Ok(());
    };
    if !before.is_empty() {
        return Err("invalid format: something stands before its first line");
    }
    if !rest.starts_with('\n') {
        return Err("invalid format: its lines end in CRLF (`dos2unix` mends that)");
    }
    match rest.split_once(&format!("\n{END}")) {
        Some((_, after)) if after.starts_with('\n') => Ok(()),
        Some((_, "")) => Err("invalid format: the newline after its last line is missing"),
        Some((_, after)) if after.starts_with('\r') => {
            Err("invalid format: its lines end in CRLF (`dos2unix` mends that)")
        }
        _ => Err("invalid format: its last line is not as it must be"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    /// `ssh-keygen -y` reads a key as ssh does.
    #[test]
    fn what_ssh_reads_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let keygen = |args: &[&str]| {
            let output = Command::new("ssh-keygen").args(args).output().unwrap();
            output.status.success()
        };
        let key = |name: &str, format: &[&str]| {
            let file = dir.path().join(name);
            let file = file.to_str().unwrap();
            let args = [&["-q", "-t", "ecdsa", "-N", "", "-f", file], format].concat();
            assert!(keygen(&args));
            fs::read_to_string(file).unwrap()
        };
        let own = key("own", &[]);
        let others = [key("pem", &["-m", "PEM"]), key("pkcs8", &["-m", "PKCS8"])];
        let mut cases = Vec::new();
        for text in [&own, &others[0], &others[1]] {
            cases.extend([
                text.clone(),
                text.replace('\n', "\r\n"),
                text.trim_end().to_owned(),
                format!("\n{text}"),
                format!("# mine\n{text}"),
                format!("{text}\n\n"),
                format!("{text}more\n"),
                text.replacen("-----\n", "-----\r\n", 1),
                text.trim_end().to_owned() + "\r\n",
                text.trim_end().to_owned() + " \n",
                text.replacen("-----\n", "-----\n\n", 1),
            ]);
        }
        let lines: Vec<&str> = own.lines().collect();
        let middle = lines[1..lines.len() - 1].join("\r\n");
        cases.push(format!("{BEGIN}\n{middle}\r\n{END}\n"));
        for text in cases {
            let file = dir.path().join("case");
            fs::write(&file, &text).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            let reads = keygen(&["-y", "-P", "", "-f", file.to_str().unwrap()]);
            let ours = super::super::load(&file, true);
            assert_eq!(ours.is_ok(), reads, "{text:?}: {ours:?}");
        }
    }

    #[test]
    fn an_ed25519_key_in_pkcs8_hangs_on_the_version() {
        let text = format!("{BEGIN_PKCS8}\nMC4=\n");
        assert!(check(&text, true).is_err());
        assert!(check(&text, false).is_ok());
    }
}
