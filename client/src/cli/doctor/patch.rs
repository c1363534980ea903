//! A change of one file as `diff -u` writes it, for `patch -p1`.
//!
//! Only words within lines change, so that both sides have the same lines.

use super::occurrences::Occurrence;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// The patch that writes what is right at each occurrence; nothing where there is none, or where the file's
/// name can't stand in a patch.
pub(super) fn of_file(path: &str, text: &str, occurrences: &[&Occurrence<'_>]) -> Option<String> {
    // GNU diff would quote it, and not every patch reads that.
    let plain = |c: char| !c.is_control() && !matches!(c, '"' | '\\');
    if occurrences.is_empty() || !path.chars().all(plain) {
        return None;
    }
    let lines = changed(text, occurrences);
    // A name with a space in it ends at a tab.
    let end = if path.contains(' ') { "\t" } else { "" };
    let mut patch = format!("--- a/{path}{end}\n+++ b/{path}{end}\n");
    for hunk in hunks(&lines) {
        let (first, count) = (hunk.start + 1, hunk.len());
        patch.push_str(&format!("@@ -{first},{count} +{first},{count} @@\n"));
        let mut new = String::new();
        for (old, now) in lines.get(hunk).unwrap_or_default() {
            match now {
                None => {
                    patch.push_str(&std::mem::take(&mut new));
                    put(&mut patch, ' ', old);
                }
                Some(now) => {
                    put(&mut patch, '-', old);
                    put(&mut new, '+', now);
                }
            }
        }
        patch.push_str(&new);
    }
    Some(patch)
}

/// Each line as it is, and as it should be where that is different.
fn changed<'a>(text: &'a str, occurrences: &[&Occurrence<'_>]) -> Vec<(&'a str, Option<String>)> {
    let mut occurrences = occurrences.iter().peekable();
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut now: Option<String> = None;
        let mut kept = 0;
        while let Some(occurrence) =
            occurrences.next_if(|occurrence| occurrence.range.start < start + line.len())
        {
            let now = now.get_or_insert_default();
            let before = line.get(kept..occurrence.range.start - start);
            now.push_str(before.unwrap_or_default());
            now.push_str(&occurrence.right);
            kept = occurrence.range.end - start;
        }
        if let Some(now) = &mut now {
            now.push_str(line.get(kept..).unwrap_or_default());
        }
        lines.push((line, now));
        start += line.len();
    }
    lines
}

/// Which lines go into one hunk each.
fn hunks(lines: &[(&str, Option<String>)]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, (_, now)) in lines.iter().enumerate() {
        if now.is_none() {
            continue;
        }
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(lines.len());
        match hunks.last_mut() {
            Some(last) if last.end >= around.start => last.end = around.end,
            _ => hunks.push(around),
        }
    }
    hunks
}

fn put(patch: &mut String, sign: char, line: &str) {
    patch.push(sign);
    patch.push_str(line);
    if !line.ends_with('\n') {
        patch.push_str("\n\\ No newline at end of file\n");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, process::Command, process::Stdio};

    use proptest::prelude::*;

    use super::super::{correction::Correction, occurrences};
    use super::*;

    fn corrections() -> [Correction; 1] {
        [Correction {
            wrong: "127.0.15.7".into(),
            right: "127.0.15.66".into(),
        }]
    }

    fn patch(path: &str, text: &str) -> Option<String> {
        let corrections = corrections();
        let occurrences = occurrences::all(text, &corrections);
        of_file(path, text, &occurrences.iter().collect::<Vec<_>>())
    }

    /// What the real `patch -p1` makes of `text`.
    fn applied(path: &str, text: &str, patch: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        let mut child = Command::new("patch")
            .args(["-p1", "--binary", "--fuzz=0", "-d"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need patch (Debian: patch, nixpkgs: gnupatch)");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(patch.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}\n{patch}");
        fs::read_to_string(&file).unwrap()
    }

    #[test]
    fn it_looks_as_diff_writes_it() {
        let text = "1\n2\n3\n4\nip = \"127.0.15.7\";\nx 127.0.15.7 127.0.15.7\n7\n8\n9\n10\n";
        assert_eq!(
            patch("hosts/laptop.nix", text).unwrap(),
            "\
--- a/hosts/laptop.nix
+++ b/hosts/laptop.nix
@@ -2,8 +2,8 @@
 2
 3
 4
-ip = \"127.0.15.7\";
-x 127.0.15.7 127.0.15.7
+ip = \"127.0.15.66\";
+x 127.0.15.66 127.0.15.66
 7
 8
 9
"
        );
        assert_eq!(patch("a.nix", "127.0.15.70\n"), None);
        assert_eq!(patch("a\nb.nix", "127.0.15.7\n"), None);
    }

    #[test]
    fn the_real_patch_applies_it() {
        for (path, text) in [
            ("a.nix", "127.0.15.7"),
            ("with space/ä.nix", "127.0.15.7\r\nx\r\n"),
            (
                "a.nix",
                "\n\n\n\n\n\n\n127.0.15.7\n\n\n\n\n\n\n\nx\n127.0.15.7",
            ),
        ] {
            let patch = patch(path, text).unwrap();
            let right = text.replace("127.0.15.7", "127.0.15.66");
            assert_eq!(applied(path, text, &patch), right);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_real_patch_applies_any(lines in prop::collection::vec("(x|127\\.0\\.15\\.7|  a b| )", 1..30)) {
            let text = lines.join("\n");
            if let Some(patch) = patch("f.nix", &text) {
                let right = text.replace("127.0.15.7", "127.0.15.66");
                prop_assert_eq!(applied("f.nix", &text, &patch), right);
            }
        }
    }
}
