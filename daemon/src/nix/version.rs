//! The version of this machine's Nix, and what it reads differently from others.
//!
//! The differences were measured with 2.8.0, 2.26.3 and 2.34.8; where each begins was read off the
//! tags of NixOS/nix.

mod ask;

use std::fmt;

pub use self::ask::ask;

/// A version of Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NixVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl NixVersion {
    /// `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads `2.26.3`, `2.34pre20260101_abcdef`, or the line of `nix --version`. `None` for what is no
    /// version of Nix's own line: of its forks nobody has measured what they read.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let version = match text.rsplit_once(' ') {
            Some((program, version)) => program.ends_with("(Nix)").then_some(version)?,
            None => text,
        };
        let mut numbers = version.splitn(3, '.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            part.get(..end.unwrap_or(part.len()))?.parse().ok()
        });
        let (major, minor) = (numbers.next()??, numbers.next()??);
        Some(Self::new(
            major,
            minor,
            numbers.next().flatten().unwrap_or(0),
        ))
    }

    /// Whether a `;` separates entries before a `#` begins a comment, and blanks are an entry
    /// (`expandBuilderLines`, src/libstore/machines.cc).
    pub(super) fn splits_before_comments(self) -> bool {
        self < Self::new(2, 28, 2)
    }

    /// Whether `uid-range` is among the features that this machine has unless it is told otherwise
    /// (`getDefaultSystemFeatures`, src/libstore/globals.cc).
    pub(super) fn has_uid_range(self) -> bool {
        self >= Self::new(2, 12, 0)
    }

    /// Whether the speed factors of machines are whole numbers, and so is what is divided by them
    /// (src/libstore/machines.hh).
    pub(super) fn has_whole_speed_factors(self) -> bool {
        self < Self::new(2, 20, 0)
    }

    /// Whether a store of the machines file that can't be parsed fails the whole list.
    pub(super) fn parses_stores_of_machines(self) -> bool {
        self >= Self::new(2, 23, 0)
    }

    /// Whether numbers in nix.conf may end with K, M, G or T.
    pub(super) fn takes_units(self) -> bool {
        self >= Self::new(2, 23, 0)
    }

    /// Whether the speed factor may have a fraction.
    pub(super) fn takes_fractions_of_speed(self) -> bool {
        self >= Self::new(2, 20, 0)
    }

    /// Whether what stands before the host and behind it in `ssh://user:password@host:port` is read, and
    /// not all of it handed to ssh.
    pub fn takes_ports_of_ssh(self) -> bool {
        self >= Self::new(2, 31, 0)
    }

    /// Whether it waits for itself for ever where a builder of `ssh-ng` may have several connections, which one ssh would
    /// carry (`SSHMaster::addCommonSSHOpts`, src/libstore/ssh.cc).
    pub fn hangs_with_several_connections(self) -> bool {
        self < Self::new(2, 32, 0)
    }

    /// Whether `NIX_SSHOPTS` is split as a shell does it, and not at blanks alone (src/libstore/ssh.cc).
    pub(super) fn unquotes_ssh_options(self) -> bool {
        self >= Self::new(2, 26, 0)
    }

    /// Whether URLs are read by RFC 3986, and not by regular expressions.
    pub(super) fn reads_urls_by_rfc(self) -> bool {
        self >= Self::new(2, 31, 0)
    }

    /// Whether the path of an SSH key must be absolute.
    pub fn wants_absolute_keys(self) -> bool {
        self >= Self::new(2, 34, 0)
    }

    /// Whether a narinfo is refused for one signature that is none, whoever it names.
    pub(super) fn parses_signatures(self) -> bool {
        self >= Self::new(2, 34, 0)
    }

    /// Whether a NAR's compression must be one that it knows by name, and not whatever the file turns out to be.
    pub fn goes_by_name_of_compression(self) -> bool {
        self >= Self::new(2, 22, 0)
    }

    /// Whether it takes `identity` for no compression.
    pub fn takes_identity(self) -> bool {
        self >= Self::new(2, 31, 0)
    }

    /// Whether `build-hook` of nix.conf is in force, and not overwritten with its own.
    pub(super) fn takes_build_hook(self) -> bool {
        self < Self::new(2, 25, 0) || self >= Self::new(2, 34, 0)
    }

    /// Whether `ssl-cert-file` is a setting.
    pub(super) fn has_ssl_cert_file(self) -> bool {
        self >= Self::new(2, 15, 0)
    }
}

/// The newest that was measured: what is assumed where nothing tells.
impl Default for NixVersion {
    fn default() -> Self {
        Self::new(2, 34, 8)
    }
}

impl fmt::Display for NixVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
        } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_nix_prints_them() {
        for (text, version) in [
            ("2.26.3", Some((2, 26, 3))),
            ("nix (Nix) 2.34.8\n", Some((2, 34, 8))),
            ("nix-daemon (Nix) 2.8.0", Some((2, 8, 0))),
            ("2.35pre20260101_0a1b2c3", Some((2, 35, 0))),
            ("2.31.2+1", Some((2, 31, 2))),
            ("nix (Lix, like Nix) 2.91.1", None),
            ("nix (Determinate Nix 3.6.0) 2.29.0", None),
            ("", None),
            ("nix", None),
        ] {
            let version = version.map(|(major, minor, patch)| NixVersion::new(major, minor, patch));
            assert_eq!(NixVersion::parse(text), version, "{text}");
        }
    }

    #[test]
    fn the_releases_that_were_measured_differ() {
        let [old, middle, new] = [(8, 0), (26, 3), (34, 8)].map(|(minor, patch)| {
            let version = NixVersion::new(2, minor, patch);
            (
                version.splits_before_comments(),
                version.parses_stores_of_machines(),
                version.takes_fractions_of_speed(),
                version.takes_ports_of_ssh(),
                version.wants_absolute_keys(),
                version.takes_units(),
                version.parses_signatures(),
                version.goes_by_name_of_compression(),
                version.has_ssl_cert_file(),
                version.takes_build_hook(),
            )
        });
        assert_eq!(
            old,
            (
                true, false, false, false, false, false, false, false, false, true
            )
        );
        assert_eq!(
            middle,
            (
                true, true, true, false, false, true, false, true, true, false
            )
        );
        assert_eq!(
            new,
            (false, true, true, true, true, true, true, true, true, true)
        );
    }
}
