//! Store paths that the cache may have, because Nix remembers that it had them, or this machine has them.

use std::{fs, iter};

use super::remembered;
use crate::{nix::narinfo::StorePath, target::CacheSpec};

/// So many are tried.
const MAX_SAMPLES: usize = 64;

/// So many entries of the store directory are looked at: it may have a hundred thousand.
const MAX_ENTRIES: usize = 256;

/// What leads into the store on NixOS, and where Nix was installed on another system.
const ROOTS: [&str; 6] = [
    "/run/current-system/sw",
    "/run/current-system/kernel",
    "/run/current-system",
    "/run/current-system/initrd",
    "/nix/var/nix/profiles/system",
    "/nix/var/nix/profiles/default",
];

/// What Nix keeps beside the paths in its store while it builds.
const NO_PATHS: [&str; 4] = [".lock", ".chroot", ".check", ".tmp"];

/// Store paths to ask `cache` for, at most [`MAX_SAMPLES`], the likeliest first: the configured one,
/// the one it had the `last` time, those that Nix remembers it to have, what this machine runs, and some of what is in its
/// store. Those that no cache for this store directory can have are left out.
///
/// It reads Nix's disk cache, a few links and the beginning of a directory of the local disk, but only as far as it
/// is gone through: most often the first does.
pub(super) fn samples(cache: &CacheSpec, last: Option<String>) -> impl Iterator<Item = String> {
    let remembered = || {
        let hits = remembered::hits(cache).into_iter();
        let paths = hits.map(|hit| format!("{}/{}", cache.store_dir, hit.path));
        // Some are left for what is here.
        paths.take(MAX_SAMPLES / 2).collect()
    };
    likeliest(cache, last, remembered, &ROOTS)
}

fn likeliest(
    cache: &CacheSpec,
    last: Option<String>,
    remembered: impl FnOnce() -> Vec<String>,
    roots: &[&str],
) -> impl Iterator<Item = String> {
    let store_dir = cache.store_dir.as_str();
    let mut known = Vec::new();
    let chosen = cache.sample.clone().into_iter();
    let running = roots.iter().filter_map(|root| led_to(root, store_dir));
    chosen
        .chain(last)
        .chain(iter::once_with(remembered).flatten())
        .chain(running)
        .chain(iter::once_with(|| stored(store_dir)).flatten())
        .filter(|path| is_sample(path, store_dir))
        .filter(move |path| {
            let is_new = !known.contains(path);
            if is_new {
                known.push(path.clone());
            }
            is_new
        })
        .take(MAX_SAMPLES)
}

/// The store path that `root` leads to.
fn led_to(root: &str, store_dir: &str) -> Option<String> {
    let target = fs::canonicalize(root).ok()?;
    store_path_of(target.to_str()?, store_dir).map(str::to_owned)
}

/// The beginning of the store directory.
fn stored(store_dir: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(store_dir).into_iter().flatten();
    let entries = entries.take(MAX_ENTRIES).filter_map(Result::ok);
    entries.filter_map(move |entry| Some(format!("{store_dir}/{}", entry.file_name().to_str()?)))
}

/// The store path that `path` is, or is inside of.
fn store_path_of<'a>(path: &'a str, store_dir: &str) -> Option<&'a str> {
    let below = path.strip_prefix(store_dir)?.strip_prefix('/')?;
    let inside = below.find('/').map_or(0, |end| below.len() - end);
    Some(&path[..path.len() - inside])
}

/// Whether a cache for this store directory can have `path`.
fn is_sample(path: &str, store_dir: &str) -> bool {
    StorePath::parse(path, store_dir).is_ok_and(|path| {
        let name = path.as_str();
        !path.is_derivation() && !NO_PATHS.iter().any(|end| name.ends_with(end))
    })
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, os::unix::fs::symlink};

    use super::{likeliest, *};
    use crate::probe::cache::tests::cache_spec;

    fn samples(cache: &CacheSpec, last: Option<String>, roots: &[&str]) -> Vec<String> {
        likeliest(cache, last, Vec::new, roots).collect()
    }

    fn hashed(first: char, name: &str) -> String {
        format!("{first}{}-{name}", "0".repeat(31))
    }

    #[test]
    fn the_likeliest_come_first_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().canonicalize().unwrap().join("store");
        let path = |first, name| format!("{}/{}", store.display(), hashed(first, name));
        fs::create_dir_all(path('a', "system")).unwrap();
        fs::create_dir_all(path('b', "linux")).unwrap();
        fs::write(format!("{}/bzImage", path('b', "linux")), "").unwrap();
        for (first, name) in [('c', "x.drv"), ('d', "x.lock"), ('f', "hello")] {
            fs::write(path(first, name), "").unwrap();
        }
        fs::create_dir(store.join(".links")).unwrap();
        let root = |name: &str, target: String| {
            let link = dir.path().join(name);
            symlink(target, &link).unwrap();
            link.to_str().unwrap().to_owned()
        };
        let roots = [
            root("kernel", format!("{}/bzImage", path('b', "linux"))),
            root("gone", path('g', "gone")),
            root("outside", dir.path().display().to_string()),
            root("system", path('a', "system")),
        ];
        let roots = roots.each_ref().map(String::as_str);
        let cache = cache_spec(|cache| {
            cache.store_dir = store.display().to_string();
            cache.sample = Some(path('h', "chosen"));
        });
        let last = path('f', "hello");
        assert_eq!(
            samples(&cache, Some(last), &roots),
            [
                path('h', "chosen"),
                path('f', "hello"),
                path('b', "linux"),
                path('a', "system")
            ]
        );
    }

    #[test]
    fn nothing_is_looked_up_before_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let cache = cache_spec(|cache| {
            cache.store_dir = dir.join("store").display().to_string();
            cache.sample = Some(format!("{}/{}", cache.store_dir, hashed('h', "chosen")));
        });
        let system = format!("{}/{}", cache.store_dir, hashed('a', "system"));
        let link = dir.join("link");
        let roots = [link.to_str().unwrap()];
        let remembered = Cell::new(false);
        let recall = || {
            remembered.set(true);
            vec![format!("{}/{}", cache.store_dir, hashed('m', "remembered"))]
        };
        let mut samples = likeliest(&cache, None, recall, &roots);
        assert_eq!(samples.next(), cache.sample);
        assert!(!remembered.get());
        assert!(samples.next().unwrap().ends_with("-remembered"));

        fs::create_dir_all(&system).unwrap();
        symlink(&system, &link).unwrap();
        assert_eq!(samples.next(), Some(system));
    }

    #[test]
    fn a_large_store_is_not_read_to_its_end() {
        let store = tempfile::tempdir().unwrap();
        for number in 0..2 * MAX_SAMPLES {
            fs::write(store.path().join(hashed('0', &number.to_string())), "").unwrap();
        }
        let cache = cache_spec(|cache| cache.store_dir = store.path().display().to_string());
        assert_eq!(samples(&cache, None, &[]).len(), MAX_SAMPLES);
    }

    #[test]
    fn a_store_that_is_not_there_has_no_samples() {
        let cache = cache_spec(|cache| {
            cache.store_dir = "/nonexistent/store".to_owned();
            cache.sample = Some(format!("/nix/store/{}", hashed('0', "elsewhere")));
        });
        assert_eq!(samples(&cache, None, &ROOTS), [""; 0]);
    }
}
