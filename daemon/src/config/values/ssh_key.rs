//! Where the SSH key is.

use std::path::{Component, Path, PathBuf};

/// The key is a credential that systemd hands the service (`LoadCredential=NAME:PATH`).
const CREDENTIAL: &str = "credential:";
/// Where systemd puts the credentials of our unit, for a person who checks the configuration
/// outside of it (systemd.exec(5), `$CREDENTIALS_DIRECTORY`).
const UNIT_CREDENTIALS: &str = "/run/credentials/offloadd.service";

/// Reads an absolute path, or `credential:NAME`. The text is never repeated: it may be the key
/// itself by mistake.
pub(in crate::config) fn parse(text: &str, credentials: Option<&str>) -> Result<PathBuf, String> {
    if text.contains("PRIVATE KEY") || text.contains('\n') {
        return Err(
            "is the key itself; take it out of here, keep it in a file that only root can read, \
             and write that file's path"
                .into(),
        );
    }
    if let Some(name) = text.strip_prefix(CREDENTIAL) {
        let mut components = Path::new(name).components();
        return match (components.next(), components.next()) {
            (Some(Component::Normal(_)), None) if !name.ends_with('/') => {
                Ok(Path::new(credentials.unwrap_or(UNIT_CREDENTIALS)).join(name))
            }
            _ => Err(
                "names no credential; write \"credential:NAME\" with the NAME of LoadCredential="
                    .into(),
            ),
        };
    }
    if text.is_empty() {
        return Err("is empty; remove it, or write the path of the private key".into());
    }
    if text.contains('\0') || !text.starts_with('/') {
        return Err(
            "must be an absolute path such as \"/etc/nix/builder_ed25519\", or \"credential:NAME\""
                .into(),
        );
    }
    Ok(text.into())
}

/// As [`parse`], wherever credentials are.
pub(in crate::config) fn check(text: &str) -> Result<(), String> {
    parse(text, None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths_or_credentials() {
        for (text, credentials, path) in [
            ("/etc/nix/key", None, "/etc/nix/key"),
            ("credential:key", Some("/run/c"), "/run/c/key"),
            (
                "credential:key",
                None,
                "/run/credentials/offloadd.service/key",
            ),
        ] {
            assert_eq!(parse(text, credentials), Ok(path.into()), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_without_repeating_it() {
        for text in [
            "",
            "secret",
            "~/.ssh/secret",
            "secret/\0",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret",
            "credential:",
            "credential:../secret",
            "credential:a/secret",
            "credential:secret/",
        ] {
            let error = parse(text, None).unwrap_err();
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }
}
