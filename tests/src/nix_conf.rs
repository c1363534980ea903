//! What `/etc/nix` of the laptop says: written for one test, changed by it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use offloadd::config::{BuilderEntry, Sources};
use tempfile::TempDir;

use crate::{Nginx, Result, Sshd, error::Context};

/// A directory with `nix.conf`, `extra.conf` (which it includes), `machines` and the builder's key.
///
/// Each change rewrites its file at once, by renaming, as NixOS and careful editors do.
#[derive(Debug)]
pub struct NixConf {
    directory: TempDir,
}

/// One line of the machines file.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Column 1.
    pub uri: String,
    /// Column 2.
    pub systems: String,
    /// Column 3.
    pub ssh_key: Option<PathBuf>,
    /// Column 4.
    pub max_jobs: u32,
    /// Column 5.
    pub speed_factor: u32,
    /// Column 6, comma-separated.
    pub features: String,
    /// Column 8, as the public line; it is encoded when written.
    pub host_key: Option<String>,
}

impl NixConf {
    /// Nothing remote configured.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn new() -> Result<Self> {
        let conf = Self {
            directory: tempfile::tempdir().context("a directory for nix.conf")?,
        };
        let machines = conf.machines_path();
        conf.write("machines", "")?;
        conf.write("extra.conf", "# Nothing.\n")?;
        conf.write(
            "nix.conf",
            &format!(
                "# As NixOS writes it.\n\
                 builders = @{}\n\
                 substituters = https://cache.nixos.org/\n\
                 trusted-public-keys = \
                 cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=\n\
                 fallback = true\n\
                 include extra.conf\n\
                 !include declared.conf\n\
                 !include not-there.conf\n",
                machines.display()
            ),
        )?;
        Ok(conf)
    }

    /// The test desktop as cache and builder.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn for_desktop(cache: &Nginx, builder: &Sshd) -> Result<Self> {
        let conf = Self::new()?;
        conf.set_caches(&[(&cache.url(), cache.public_key())])?;
        conf.set_machines(&[Machine::of(builder)?])?;
        Ok(conf)
    }

    /// Nix uses, too, what `config`, a configuration of offloadd, declares with its URL or URI: as on a
    /// laptop where both come from one place. The keys of its caches are trusted.
    ///
    /// # Errors
    /// When `config` is none, or the files can't be written.
    pub fn deploy(&self, config: &str) -> Result<()> {
        self.write("declared.toml", config)?;
        let sources = Sources {
            file: Some(self.directory.path().join("declared.toml")),
            ..Sources::default()
        };
        let settings = offloadd::config::load(&sources).map_err(io::Error::other);
        let settings = settings.context("the configuration")?;
        let (mut urls, mut keys) = (String::new(), String::new());
        for cache in &settings.caches {
            let Some(url) = &cache.url else { continue };
            urls.push_str(&format!(" {url}"));
            for key in &cache.public_keys {
                keys.push_str(&format!(" {key}"));
            }
        }
        let text = format!("extra-substituters ={urls}\nextra-trusted-public-keys ={keys}\n");
        self.write("declared.conf", &text)?;
        let machines: Vec<Machine> = settings
            .builders
            .into_iter()
            .filter_map(Machine::declared)
            .collect();
        self.set_machines(&machines)
    }

    /// `nix.conf`.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("nix.conf")
    }

    /// The directory: what `NIX_CONF_DIR` names.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The machines file that `nix.conf` names.
    pub fn machines_path(&self) -> PathBuf {
        self.directory.path().join("machines")
    }

    /// Replaces the extra substituters and their keys, in the included file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_caches(&self, caches: &[(&str, &str)]) -> Result<()> {
        let list = |of: fn(&(&str, &str)) -> String| -> String {
            caches
                .iter()
                .map(|cache| format!(" {}", of(cache)))
                .collect()
        };
        self.write(
            "extra.conf",
            &format!(
                "extra-substituters ={}\nextra-trusted-public-keys ={}\n",
                list(|(url, _)| (*url).to_owned()),
                list(|(_, key)| (*key).to_owned()),
            ),
        )
    }

    /// Replaces the machines file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_machines(&self, machines: &[Machine]) -> Result<()> {
        let lines: String = machines
            .iter()
            .map(|machine| machine.line() + "\n")
            .collect();
        self.write("machines", &lines)
    }

    /// Replaces a file of the directory.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.path().join(name);
        let temporary = self.directory.path().join(format!(".{name}.new"));
        fs::write(&temporary, text).context(temporary.display())?;
        fs::rename(&temporary, &path).context(path.display())
    }
}

impl Machine {
    /// The line that leads to `builder`.
    ///
    /// # Errors
    /// When its host key can't be read.
    pub fn of(builder: &Sshd) -> Result<Self> {
        Ok(Self {
            uri: builder.uri(),
            systems: "x86_64-linux".into(),
            ssh_key: Some(builder.user_key().to_owned()),
            max_jobs: 4,
            speed_factor: 2,
            features: "kvm,big-parallel".into(),
            host_key: Some(builder.host_key()?),
        })
    }

    /// The line that leads where `entry` does; none where it has no URI.
    fn declared(entry: BuilderEntry) -> Option<Self> {
        let host_key = entry.host_keys.first();
        let or = |own: Vec<String>, default: &str| {
            if own.is_empty() {
                default.to_owned()
            } else {
                own.join(",")
            }
        };
        Some(Self {
            uri: entry.uri?,
            systems: or(entry.systems, "x86_64-linux"),
            ssh_key: entry.ssh_key,
            max_jobs: 1,
            speed_factor: 1,
            features: or(entry.features, ""),
            host_key: host_key.and_then(|key| key.to_openssh().ok()),
        })
    }

    /// As Nix's manual has it ("Remote Builds"): eight columns, `-` where nothing is said; the last
    /// is the whole public line in base64.
    pub fn line(&self) -> String {
        let dash = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.to_owned()
            }
        };
        let key = self
            .ssh_key
            .as_ref()
            .map(|key| key.display().to_string())
            .unwrap_or_default();
        let host_key = self.host_key.as_deref().unwrap_or_default();
        format!(
            "{} {} {} {} {} {} - {}",
            self.uri,
            dash(&self.systems),
            dash(&key),
            self.max_jobs,
            self.speed_factor,
            dash(&self.features),
            dash(&data_encoding::BASE64.encode(host_key.as_bytes())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_written_as_nix_reads_it() {
        let machine = Machine {
            uri: "ssh-ng://nix-builder@127.0.15.6".into(),
            systems: "x86_64-linux".into(),
            ssh_key: None,
            max_jobs: 4,
            speed_factor: 1,
            features: String::new(),
            host_key: Some("ssh-ed25519 AAAA".into()),
        };
        assert_eq!(
            machine.line(),
            "ssh-ng://nix-builder@127.0.15.6 x86_64-linux - 4 1 - - c3NoLWVkMjU1MTkgQUFBQQ=="
        );
    }
}
