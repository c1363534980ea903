//! A tree that may be written to, over one that may not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Result, error::Context, process::run};

/// A mounted overlay: reads come from the base, writes stay above it and go with it.
#[derive(Debug)]
pub(super) struct Overlay {
    root: PathBuf,
}

impl Overlay {
    /// Mounts one over `base`, with all that is its own in `directory`.
    ///
    /// # Errors
    /// What mount(8) said.
    pub(super) fn mount(base: &Path, directory: &Path) -> Result<Self> {
        let part = |name: &str| -> Result<PathBuf> {
            let part = directory.join(name);
            fs::create_dir(&part).context(part.display())?;
            Ok(part)
        };
        let base = base.canonicalize().context(base.display())?;
        let (upper, work, root) = (part("upper")?, part("work")?, part("root")?);
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            base.display(),
            upper.display(),
            work.display()
        );
        let point = root.to_string_lossy().into_owned();
        run(
            "mount",
            ["-t", "overlay", "-o", &options, "overlay", &point],
        )?;
        Ok(Self { root })
    }

    /// Where it is mounted.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Lazily: whoever still looks into it keeps it, and nobody new finds it.
        let _ = run("umount", [Path::new("--lazy"), &self.root]);
    }
}
