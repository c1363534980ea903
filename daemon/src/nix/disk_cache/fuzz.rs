//! What must hold of Nix's disk cache, whatever is in the file.

use std::{io::Write, os::fd::AsRawFd, path::Path};

use rustix::fs::{MemfdFlags, memfd_create};

use super::{MAX_HITS, MAX_MISSES, hits_in, misses_in};
use crate::{files::Direct, nix::narinfo::StorePath};

/// Few misses are found, each of which is the hash of a path, and the same ones again; few hits, each of them a path.
pub(crate) fn disk_cache(bytes: &[u8]) {
    let file = memfd_create("disk cache", MemfdFlags::CLOEXEC);
    let Ok(mut file) = file.map(std::fs::File::from) else {
        return;
    };
    if file.write_all(bytes).is_err() {
        return;
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let hits = hits_in(&Direct, Path::new(&path), |url| url.contains("desktop"), 0);
    let hits = hits.unwrap_or_default();
    assert!(hits.len() <= MAX_HITS);
    for hit in &hits {
        assert!(StorePath::parse_base_name(&hit.path).is_ok());
    }
    let found = || misses_in(&Direct, Path::new(&path), |url| url.contains("desktop"), 0);
    let Ok(misses) = found() else { return };
    assert!(misses.len() <= MAX_MISSES);
    for miss in &misses {
        let path = format!("{miss}-x");
        let path = StorePath::parse_base_name(&path).map(|path| path.hash().to_owned());
        assert_eq!(path.as_ref(), Ok(miss));
    }
    assert_eq!(found().ok(), Some(misses));
}
