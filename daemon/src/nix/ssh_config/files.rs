//! The files that ssh reads. Those of its configuration it does not tell: they are known as far as can be seen from
//! outside.

use std::path::{Path, PathBuf};

use super::{SshOptions, shell::shell_split};
use crate::{
    files::Files,
    nix::{account::Accounts, text},
};

/// The machine's own (ssh_config(5)).
const SYSTEM: &str = "/etc/ssh";
/// So deep files are followed that include each other, as by ssh (`READCONF_MAX_DEPTH`).
const MAX_DEPTH: usize = 16;
/// So many are found at the most.
const MAX_FILES: usize = 128;

impl SshOptions {
    /// The files that ssh reads beside its configuration, existing or not: keys, what lies beside them, lists of hosts.
    pub fn files(&self) -> Vec<PathBuf> {
        let hosts = [
            &self.user_known_hosts_files,
            &self.global_known_hosts_files,
            &self.revoked_host_keys,
        ];
        let mut files: Vec<PathBuf> = hosts.into_iter().flatten().cloned().collect();
        let certificates = self.certificate_files.iter();
        files.extend(certificates.flat_map(|file| [with(file, ".pub"), file.clone()]));
        files.extend(self.identity_files.iter().flat_map(|key| beside(key)));
        files
    }
}

/// The file of a key, and what may lie beside it: its public half, a certificate and that one's public half.
pub fn beside(key: &Path) -> [PathBuf; 4] {
    ["", ".pub", "-cert", "-cert.pub"].map(|end| with(key, end))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The files that root's ssh is configured by, existing or not. A pattern in the last part of an `Include` stands as `*`
/// and what it ends with; one before that is not followed.
pub fn files(files: &dyn Files) -> Vec<PathBuf> {
    let home = Accounts::current().nix.home.join(".ssh");
    let mut found = Vec::new();
    for folder in [home.as_path(), Path::new(SYSTEM)] {
        let name = if folder == home {
            "config"
        } else {
            "ssh_config"
        };
        follow(folder.join(name), folder, files, MAX_DEPTH, &mut found);
    }
    found
}

/// `path`, and all that it includes: what is relative there is in `folder`.
fn follow(path: PathBuf, folder: &Path, files: &dyn Files, depth: usize, found: &mut Vec<PathBuf>) {
    if found.len() == MAX_FILES || found.contains(&path) {
        return;
    }
    let text = text::read(files, &path);
    found.push(path);
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    for included in text.iter().flat_map(|text| included(text, folder)) {
        match pattern(&included) {
            None => follow(included, folder, files, depth, found),
            Some((parent, end)) => {
                let names = std::fs::read_dir(parent).into_iter().flatten().flatten();
                let names = names.map(|entry| entry.file_name());
                let fits = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(end);
                for name in names.filter(fits).take(MAX_FILES) {
                    follow(parent.join(name), folder, files, depth, found);
                }
                found.push(parent.join(format!("*{end}")));
            }
        }
    }
}

/// What the `Include` lines of `text` name.
fn included(text: &str, folder: &Path) -> Vec<PathBuf> {
    let lines = text.lines().filter_map(|line| {
        let (option, value) = line.trim().split_once([' ', '\t', '='])?;
        option.eq_ignore_ascii_case("include").then_some(value)
    });
    let words =
        lines.filter_map(|value| shell_split(value.trim_start_matches([' ', '\t', '='])).ok());
    let home = Accounts::current().nix.home;
    let paths = words.flatten().map(|word| match word.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => folder.join(word),
    });
    paths.collect()
}

/// The folder of a pattern, and what all names that fit end with.
fn pattern(path: &Path) -> Option<(&Path, &str)> {
    let is_special = |c: char| "*?[]".contains(c);
    let name = path.file_name()?.to_str()?;
    let at = name.rfind(is_special)?;
    Some((path.parent()?, &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;
    use crate::files::Fake;

    #[test]
    fn what_is_included_is_named_and_so_are_patterns() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("more")).unwrap();
        fs::write(path("more/a.conf"), "Include inner\n").unwrap();
        fs::write(
            path("config"),
            "Host a\n  include \"more/*.conf\" /other\nInclude=config\n",
        )
        .unwrap();
        let files = Fake(|path: &Path| match fs::File::open(path) {
            Ok(file) => Ok(file),
            Err(error) => Err(io::Error::from(error.kind())),
        });
        let mut found = Vec::new();
        follow(
            path("config"),
            directory.path(),
            &files,
            MAX_DEPTH,
            &mut found,
        );
        let other = PathBuf::from("/other");
        assert_eq!(
            found,
            [
                path("config"),
                path("more/a.conf"),
                path("inner"),
                path("more/*.conf"),
                other
            ]
        );
    }
}
