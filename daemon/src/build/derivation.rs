//! What a test build builds: a derivation that nobody has ever built, with shell builtins alone.

use std::fmt::Write as _;

use crate::target::Dispatch;

/// What every store path of a test build is called; the nonce follows.
pub(super) const NAME: &str = "offload-test-build-";

/// The key of the nonce in the output.
pub(super) const NONCE: &str = "nonce";
/// The key of the kernel's boot id, which is another one for each machine and each boot.
pub(super) const BOOT_ID: &str = "boot_id";
/// The key of the host's name; `localhost` in Nix's sandbox.
pub(super) const HOSTNAME: &str = "hostname";

/// The builder's script. A file that is not there (a builder that is no Linux) leaves its value
/// empty; nothing but `/bin/sh` is needed, which Nix's sandbox has.
const SCRIPT: &str = "\
    read -r boot < /proc/sys/kernel/random/boot_id\n\
    read -r host < /proc/sys/kernel/hostname\n\
    echo \"a test build of offloadd runs here\"\n\
    echo \"nonce=$nonce\" > \"$out\"\n\
    echo \"boot_id=$boot\" >> \"$out\"\n\
    echo \"hostname=$host\" >> \"$out\"\n\
    echo \"its boot id is $boot\"\n";

/// The Nix expression of a test build on a builder of these lines, as `nix-build -E` takes it.
///
/// It asks for what one line of the machines file offers, or the build would go nowhere: for this
/// machine's own system where a line has it, and for the features that the line is reserved for.
/// `nonce` is a word of letters and digits: it is a part of the store path's name.
pub(super) fn expression(lines: &[Dispatch], nonce: &str) -> String {
    let lines = lines.iter();
    let line = lines.min_by_key(|line| (!line.is_native, line.mandatory_features.len()));
    let system = line.map_or("builtins.currentSystem".to_owned(), |line| {
        quoted(&line.system)
    });
    let mut features = String::new();
    for feature in line.map_or(&[][..], |line| &line.mandatory_features) {
        let _ = write!(features, "{} ", quoted(feature));
    }
    format!(
        "derivation {{ name = {name}; nonce = {nonce}; system = {system}; builder = \"/bin/sh\"; \
         args = [ \"-c\" {script} ]; requiredSystemFeatures = [ {features}]; \
         preferLocalBuild = false; allowSubstitutes = false; }}",
        name = quoted(&format!("{NAME}{nonce}")),
        nonce = quoted(nonce),
        script = quoted(SCRIPT),
    )
}

/// A string of the Nix language (src/libexpr/lexer.l): `"`, `\` and `${` are its own.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' | '$' => {
                quoted.push('\\');
                quoted.push(char);
            }
            // No string of Nix's holds one.
            '\0' => {}
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What the real Nix reads.
    fn evaluated(expression: &str) -> serde_json::Value {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new("nix-instantiate")
            .args(["--eval", "--strict", "--json", "-E", expression])
            .env("NIX_STORE_DIR", dir.path().join("store"))
            .env("NIX_STATE_DIR", dir.path().join("state"))
            .env("NIX_CONF_DIR", dir.path())
            .env("HOME", dir.path())
            .env("NIX_REMOTE", "dummy://")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{expression}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn nix_reads_back_what_was_quoted(text in "[^\0]*", nasty in "[\"\\\\$\\{\\}'\n\r\t ]{0,12}") {
            let text = text + &nasty;
            prop_assert_eq!(evaluated(&quoted(&text)), serde_json::Value::String(text));
        }
    }
}
