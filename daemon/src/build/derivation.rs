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

/// So many derivations beside the first: what more lines promise more is not asked for.
const MAX_PROMISES: usize = 7;

/// The Nix expression of a test build on a builder of these lines, as `nix-build -E` takes it.
///
/// The first derivation asks for what one line of the machines file offers, or the build would go nowhere: for this
/// machine's own system where a line has it, and for the features that the line is reserved for. One for all features
/// that the line promises follows, and one for each other system that is promised: a builder that has them not refuses
/// by name. Each begins when the one before it has come back, so that one slot is enough; the first is printed last.
/// `nonce` is a word of letters and digits: it is a part of the store path's name.
pub(super) fn expression(lines: &[Dispatch], nonce: &str) -> String {
    let wanted = wanted(lines);
    let mut bindings = String::new();
    for (number, (system, features)) in wanted.iter().enumerate() {
        let mut required = String::new();
        for feature in features {
            let _ = write!(required, "{} ", quoted(feature));
        }
        let (name, after) = match number.checked_sub(1) {
            None => (format!("{NAME}{nonce}"), "\"\"".to_owned()),
            Some(before) => (format!("{NAME}{nonce}-{number}"), format!("d{before}")),
        };
        let _ = write!(
            bindings,
            "d{number} = derivation {{ name = {name}; nonce = {nonce}; after = {after}; system = {system}; \
             builder = \"/bin/sh\"; args = [ \"-c\" {script} ]; requiredSystemFeatures = [ {required}]; \
             preferLocalBuild = false; allowSubstitutes = false; }}; ",
            name = quoted(&name),
            nonce = quoted(nonce),
            script = quoted(SCRIPT),
        );
    }
    let last = wanted.len() - 1;
    format!("let {bindings}in [ d{last} d0 ]")
}

/// What each derivation asks for: a system, as it stands in the expression, and features. Never empty.
fn wanted(lines: &[Dispatch]) -> Vec<(String, Vec<&str>)> {
    fn texts(features: &[String]) -> Vec<&str> {
        features.iter().map(String::as_str).collect()
    }
    let first = lines
        .iter()
        .min_by_key(|line| (!line.is_native, line.mandatory_features.len()));
    let Some(first) = first else {
        return vec![("builtins.currentSystem".to_owned(), Vec::new())];
    };
    let mut wanted = vec![(quoted(&first.system), texts(&first.mandatory_features))];
    if first.features.len() > first.mandatory_features.len() {
        wanted.push((quoted(&first.system), texts(&first.features)));
    }
    for line in lines {
        for system in line.systems.iter().map(|system| quoted(system)) {
            let is_asked = wanted.iter().any(|(asked, _)| *asked == system);
            if !is_asked && wanted.len() <= MAX_PROMISES {
                wanted.push((system, texts(&line.mandatory_features)));
            }
        }
    }
    wanted
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

    /// What is asked for of a builder with these fields of the machines line, in the order in which it is built.
    fn asked(lines: &[(&[&str], &[&str], &[&str])]) -> Vec<String> {
        let owned =
            |words: &[&str]| -> Vec<String> { words.iter().map(|it| (*it).into()).collect() };
        let lines = lines
            .iter()
            .map(|(systems, supported, mandatory)| Dispatch {
                store_uri: String::new(),
                max_jobs: 1,
                slots: Vec::new(),
                is_nixs: true,
                line: String::new(),
                system: systems[0].into(),
                is_native: systems.contains(&"x86_64-linux"),
                systems: owned(systems),
                features: [owned(supported), owned(mandatory)].concat(),
                mandatory_features: owned(mandatory),
            });
        let lines: Vec<_> = lines.collect();
        let wanted = wanted(&lines).into_iter();
        let all: Vec<_> = wanted
            .map(|(system, features)| {
                format!("{} {}", system.trim_matches('"'), features.join(","))
            })
            .collect();
        let built = evaluated(&format!("map (it: it.name) ({})", expression(&lines, "n")));
        let last = all.len() - 1;
        let last = match last {
            0 => format!("{NAME}n"),
            last => format!("{NAME}n-{last}"),
        };
        assert_eq!(built, serde_json::json!([last, format!("{NAME}n")]));
        all
    }

    #[test]
    fn each_promised_system_is_asked_for_and_all_features_at_once() {
        let plain: &[&str] = &["x86_64-linux"];
        assert_eq!(asked(&[(plain, &[], &[])]), ["x86_64-linux "]);
        assert_eq!(
            asked(&[(
                &["x86_64-linux", "i686-linux"],
                &["kvm", "big-parallel"],
                &[]
            )]),
            [
                "x86_64-linux ",
                "x86_64-linux kvm,big-parallel",
                "i686-linux "
            ]
        );
        // Of what is reserved each build asks for that.
        assert_eq!(
            asked(&[
                (&["aarch64-linux"], &["kvm"], &["big"]),
                (plain, &[], &["gpu"])
            ]),
            ["x86_64-linux gpu", "aarch64-linux big"]
        );
        let many: Vec<String> = (0..20).map(|it| format!("{it}-linux")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(asked(&[(&many, &[], &[])]).len(), 8);
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
