//! Which directories a path leads through, and the name in each that decides where it leads.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// As many symlinks as Linux follows in one path.
const MAX_LINKS: usize = 40;
/// What is in the store never changes, and what is put there is none of our business: a watch on it
/// would wake the daemon with every path that Nix builds.
const STORE: &str = "/nix/store";

/// For each directory to watch the names that matter in it. A directory that only has to stay where
/// it is has none.
///
/// A plain directory on the way is watched itself, for being moved or removed; where a symlink or
/// nothing is, the directory around it is watched for that name. Busy directories, such as `/` and
/// `/run`, are left alone that way as far as possible.
pub(crate) fn directories(files: &[PathBuf]) -> Directories {
    let mut found = Directories::new();
    for file in files {
        walk(file, &mut found);
    }
    found.retain(|directory, _| !directory.starts_with(STORE));
    found
}

/// Directories and the names that matter in each.
pub(super) type Directories = BTreeMap<PathBuf, BTreeSet<OsString>>;

fn walk(file: &Path, found: &mut Directories) {
    let mut rest = parts(file);
    let mut directory = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            directory.pop();
            continue;
        }
        let path = directory.join(&name);
        match kind(&path) {
            Kind::Directory if !rest.is_empty() => {
                found.entry(path.clone()).or_default();
                directory = path;
            }
            Kind::Link(target) if links < MAX_LINKS => {
                links += 1;
                found.entry(directory.clone()).or_default().insert(name);
                if target.is_absolute() {
                    directory = PathBuf::from("/");
                }
                let mut target = parts(&target);
                target.append(&mut rest);
                rest = target;
            }
            _ => {
                found.entry(directory).or_default().insert(name);
                return;
            }
        }
    }
}

enum Kind {
    Directory,
    Link(PathBuf),
    /// A file, nothing, or what may not be looked at.
    Other,
}

fn kind(path: &Path) -> Kind {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Kind::Directory,
        Ok(metadata) if metadata.is_symlink() => {
            fs::read_link(path).map_or(Kind::Other, Kind::Link)
        }
        _ => Kind::Other,
    }
}

/// The names of a path; a relative one starts from the root.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    fn names(found: &Directories, directory: &Path) -> Option<Vec<OsString>> {
        let names = found.get(directory)?;
        Some(names.iter().cloned().collect())
    }

    #[test]
    fn a_plain_path_is_watched_where_the_file_is_and_else_for_being_moved() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("etc/nix")).unwrap();
        let found = directories(&[root.join("etc/nix/nix.conf")]);
        assert_eq!(
            names(&found, &root.join("etc/nix")),
            Some(vec!["nix.conf".into()])
        );
        assert_eq!(names(&found, &root.join("etc")), Some(vec![]));
        assert_eq!(names(&found, Path::new("/")), None);
    }

    #[test]
    fn every_hop_of_a_chain_of_links_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("etc/nix")).unwrap();
        fs::create_dir_all(root.join("gen1/nix")).unwrap();
        symlink(root.join("gen1"), root.join("etc/static")).unwrap();
        symlink("../static/nix/nix.conf", root.join("etc/nix/nix.conf")).unwrap();
        let found = directories(&[root.join("etc/nix/nix.conf")]);
        assert_eq!(
            names(&found, &root.join("etc/nix")),
            Some(vec!["nix.conf".into()])
        );
        assert_eq!(
            names(&found, &root.join("etc")),
            Some(vec!["static".into()])
        );
        assert_eq!(
            names(&found, &root.join("gen1/nix")),
            Some(vec!["nix.conf".into()])
        );
    }

    #[test]
    fn what_does_not_exist_is_awaited_in_the_last_directory_that_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let found = directories(&[root.join("run/offloadd/machines")]);
        assert_eq!(names(&found, &root), Some(vec!["run".into()]));
    }

    #[test]
    fn links_that_go_in_circles_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let found = directories(&[root.join("a/x")]);
        assert_eq!(names(&found, &root), Some(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn the_store_is_not_watched() {
        let found = directories(&["/nix/store/abc-etc/nix.conf".into()]);
        assert!(!found.keys().any(|directory| directory.starts_with(STORE)));
    }

    proptest! {
        #[test]
        fn any_path_is_walked(path in "[a-z./]{0,60}") {
            let _ = directories(&[PathBuf::from(path)]);
        }
    }
}
