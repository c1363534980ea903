//! Control groups for one container.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use offloadd::clock::Stopwatch;

use crate::{Result, error::Context};

/// For the processes of a killed container to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// A group in each hierarchy that systemd uses. Without it two containers would share one:
/// `systemd-nspawn --keep-unit` puts its container into the group that it was started in, and each
/// of their systemds would take the other's processes for its own.
#[derive(Debug)]
pub(super) struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// Makes `name` beside this process in each of them.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(name: &str) -> Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").context("/proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        let mut cgroup = Self(Vec::new());
        for (mount, own) in hierarchies(&mounts, &own) {
            let group = Path::new(mount)
                .join(own.trim_start_matches('/'))
                .join(name);
            fs::create_dir(&group).context(group.display())?;
            cgroup.0.push(group);
        }
        Ok(cgroup)
    }

    /// The files that a process writes its id to, to become a member.
    pub(super) fn members(&self) -> impl Iterator<Item = PathBuf> {
        self.0.iter().map(|group| group.join("cgroup.procs"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Only the unified hierarchy has this file; the members of the other are the same.
        for group in &self.0 {
            let _ = fs::write(group.join("cgroup.kill"), "1");
        }
        // What was killed is a member until its parent, or init, has heard of it.
        let watch = Stopwatch::start();
        while !self.0.iter().all(|group| remove(group)) && watch.elapsed() < PATIENCE {
            #[expect(
                clippy::disallowed_methods,
                reason = "a drop can't await, and must be done"
            )]
            std::thread::sleep(LOOK);
        }
    }
}

/// Mount point and this process's place in it, of the unified hierarchy and of systemd's own in
/// the older layout (cgroups(7), `/proc/[pid]/cgroup`).
fn hierarchies<'a>(mounts: &'a str, own: &'a str) -> Vec<(&'a str, &'a str)> {
    let of = |id: &str| {
        let mut lines = own
            .lines()
            .map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        lines.find_map(|fields| (fields.get(1) == Some(&id)).then(|| fields.get(2).copied())?)
    };
    let mut found: Vec<(&str, &str)> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let &[_, mount, kind, options, ..] = fields.as_slice() else {
            continue;
        };
        let named = options.split(',').any(|option| option == "name=systemd");
        let place = match kind {
            "cgroup2" => of(""),
            "cgroup" if named => of("name=systemd"),
            _ => None,
        };
        // The same hierarchy may be mounted at more places than one.
        found.extend(place.map(|place| (mount, place)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A group is a directory whose files are not for removal, and whose processes have ended. Says
/// whether it is gone.
fn remove(group: &Path) -> bool {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    for inner in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&inner.path());
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_read() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let own = "3:cpu:/a\n1:name=systemd:/b\n0::/c\n";
        assert_eq!(
            hierarchies(mounts, own),
            [
                ("/sys/fs/cgroup/systemd", "/b"),
                ("/sys/fs/cgroup/unified", "/c")
            ]
        );
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let own = "0::/user.slice/session-1.scope\n";
        assert_eq!(
            hierarchies(mounts, own),
            [("/sys/fs/cgroup", "/user.slice/session-1.scope")]
        );
    }
}
