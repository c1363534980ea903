//! When this machine was last switched to another configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What runs.
const CURRENT: &str = "/run/current-system";
/// What was built last to be booted or switched to.
const PROFILE: &str = "/nix/var/nix/profiles/system";

/// The configuration that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switched {
    /// When it was made; where it is not the newest, since when it runs.
    pub(super) at: SystemTime,
    /// Whether none was made since: nobody rolled back, or waits for a reboot.
    pub(super) is_newest: bool,
}

impl Switched {
    /// Of this machine; `None` where it is no NixOS.
    pub(super) fn read() -> Option<Self> {
        Self::of(Path::new(CURRENT), Path::new(PROFILE))
    }

    fn of(current: &Path, profile: &Path) -> Option<Self> {
        let running = fs::canonicalize(current).ok()?;
        let is_newest = fs::canonicalize(profile).is_ok_and(|newest| newest == running);
        let link = if is_newest {
            generation(profile)?
        } else {
            current.to_owned()
        };
        let at = fs::symlink_metadata(link).ok()?.modified().ok()?;
        Some(Self { at, is_newest })
    }
}

/// The link `system-42-link` that the profile leads to, which is as old as its generation.
fn generation(profile: &Path) -> Option<PathBuf> {
    let link = fs::read_link(profile).ok()?;
    Some(profile.parent()?.join(link))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, time::Duration};

    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

    use super::*;

    /// Links that lead from `name` to `target`, and are so many seconds old.
    fn link(root: &Path, name: &str, target: &str, at: i64) {
        let path = root.join(name);
        symlink(target, &path).unwrap();
        let at = Timespec {
            tv_sec: at,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: at,
            last_modification: at,
        };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_time_is_the_generation_s_and_not_the_boot_s() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("six")).unwrap();
        fs::create_dir(root.join("seven")).unwrap();
        link(root, "system-6-link", "six", 6_000);
        link(root, "system-7-link", "seven", 7_000);
        link(root, "system", "system-7-link", 7_001);
        link(root, "current", "seven", 9_000);
        link(root, "back", "six", 8_000);
        let of = |name: &str| Switched::of(&root.join(name), &root.join("system"));
        let newest = Switched {
            at: at(7_000),
            is_newest: true,
        };
        assert_eq!(of("current"), Some(newest));
        let back = Switched {
            at: at(8_000),
            is_newest: false,
        };
        assert_eq!(of("back"), Some(back));
        assert_eq!(of("none"), None);
    }
}
