//! What the server proposes to exchange keys with (RFC 4253, 7.1), held against what ssh would propose.
//!
//! russh proposes what it can, which is neither all that ssh can nor only what ssh_config lets it use. The
//! server's proposal, which everybody may read, tells whether ssh would come to terms with it.

use russh::{Preferred, cipher, kex, mac};
use tokio::sync::watch;

use super::host_key::HostKeys;

/// The largest packet that a server may send (RFC 4253, 6.1).
const MAX_PACKET: usize = 35_000;
const KEXINIT: u8 = 20;
const COOKIE: usize = 16;

/// The server's lists, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proposal {
    kex: Vec<String>,
    host_keys: Vec<String>,
    ciphers: [Vec<String>; 2],
    macs: [Vec<String>; 2],
}

/// Listens for the proposal in what the server says, its identification first.
#[derive(Debug)]
pub(super) struct Tap {
    said: Vec<u8>,
    found: Option<watch::Sender<Option<Proposal>>>,
}

impl Tap {
    /// One that has heard nothing, and where it tells what it hears.
    pub(super) fn new() -> (Self, watch::Receiver<Option<Proposal>>) {
        let (sender, receiver) = watch::channel(None);
        let tap = Self {
            said: Vec::new(),
            found: Some(sender),
        };
        (tap, receiver)
    }

    /// Hears more.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let Some(found) = &self.found else {
            return;
        };
        self.said.extend_from_slice(bytes);
        match packet(&self.said) {
            Some(packet) => {
                found.send_replace(Proposal::read(packet));
            }
            None if self.said.len() < 2 * MAX_PACKET => return,
            None => {}
        }
        self.found = None;
        self.said = Vec::new();
    }
}

impl Proposal {
    fn read(packet: &[u8]) -> Option<Self> {
        let (padding, rest) = packet.split_first()?;
        let payload = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        let (kind, rest) = payload.split_first()?;
        let mut lists = rest.get(COOKIE..).filter(|_| *kind == KEXINIT)?;
        let mut next = || {
            let (length, rest) = lists.split_first_chunk()?;
            let (list, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            lists = rest;
            let names = std::str::from_utf8(list).ok()?.split(',');
            Some(names.map(str::to_owned).collect())
        };
        Some(Self {
            kex: next()?,
            host_keys: next()?,
            ciphers: [next()?, next()?],
            macs: [next()?, next()?],
        })
    }

    /// The algorithm of the host key that ssh would look at (`kex_choose_conf` in OpenSSH's kex.c), where ssh_config has a list
    /// of its own.
    pub(super) fn host_key(&self, ours: &HostKeys) -> Option<&str> {
        if ours.is_default_list() {
            return None;
        }
        let name = ours
            .accepted
            .iter()
            .find(|name| self.host_keys.contains(name))?;
        self.host_keys
            .iter()
            .find(|theirs| *theirs == name)
            .map(String::as_str)
    }

    /// What ssh, which proposes what `ours` has of ssh_config, would find no match for, in its own words
    /// (`kex_choose_conf` in OpenSSH's kex.c); `None` where it comes to terms.
    pub(super) fn unmatched(&self, ours: &HostKeys) -> Option<String> {
        let lists = &ours.algorithms;
        let none = |what: &str, theirs: &[String]| {
            Some(format!(
                "no matching {what} found, theirs: {}",
                theirs.join(",")
            ))
        };
        if matched(&lists.kex, &self.kex).is_none() {
            return none("key exchange method", &self.kex);
        }
        if matched(&ours.accepted, &self.host_keys).is_none() {
            return none("host key type", &self.host_keys);
        }
        for (ciphers, macs) in self.ciphers.iter().zip(&self.macs) {
            let Some(cipher) = matched(&lists.ciphers, ciphers) else {
                return none("cipher", ciphers);
            };
            // These authenticate by themselves.
            let needs_mac = !cipher.contains("gcm@") && !cipher.contains("poly1305");
            if needs_mac && matched(&lists.macs, macs).is_none() {
                return none("MAC", macs);
            }
        }
        None
    }
}

/// The first of `ours` that they have; where ours are not known, whatever they like best.
fn matched<'a>(ours: &'a [String], theirs: &'a [String]) -> Option<&'a str> {
    let name = match ours {
        [] => theirs.first(),
        _ => ours.iter().find(|name| theirs.contains(name)),
    };
    name.map(String::as_str)
}

/// The first packet after the identification, without its length; `None` until it is there.
fn packet(said: &[u8]) -> Option<&[u8]> {
    let start = said.iter().position(|byte| *byte == b'\n')? + 1;
    let (length, rest) = said.get(start..)?.split_first_chunk()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// What is proposed: russh's own choice, and what ssh proposes and russh knows beside that.
pub(super) fn preferred(ours: &HostKeys) -> Preferred {
    let lists = &ours.algorithms;
    let mut preferred = Preferred {
        key: ours.algorithms().into(),
        host_key_certificates: ours.certificate_algorithms().into(),
        ..Preferred::DEFAULT
    };
    for name in known(&lists.kex) {
        if let Ok(name) = kex::Name::try_from(name)
            && !preferred.kex.contains(&name)
        {
            preferred.kex.to_mut().push(name);
        }
    }
    for name in known(&lists.ciphers) {
        if let Ok(name) = cipher::Name::try_from(name)
            && !preferred.cipher.contains(&name)
        {
            preferred.cipher.to_mut().push(name);
        }
    }
    for name in known(&lists.macs) {
        if let Ok(name) = mac::Name::try_from(name)
            && !preferred.mac.contains(&name)
        {
            preferred.mac.to_mut().push(name);
        }
    }
    preferred
}

/// Names of a list that mean something; `none` would be no protection at all.
fn known(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter()
        .map(String::as_str)
        .filter(|name| *name != "none" && *name != "clear")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nix::ssh_config::Algorithms;

    fn names(list: &str) -> Vec<String> {
        list.split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// As a server sends it.
    fn sent(lists: [&str; 10]) -> Vec<u8> {
        let mut payload = vec![KEXINIT];
        payload.extend([7; COOKIE]);
        for list in lists {
            payload.extend((list.len() as u32).to_be_bytes());
            payload.extend(list.as_bytes());
        }
        payload.extend([0; 5]);
        let mut said = b"SSH-2.0-x\r\n".to_vec();
        said.extend((payload.len() as u32 + 5).to_be_bytes());
        said.push(4);
        said.extend(payload);
        said.extend([0; 4]);
        said
    }

    const LISTS: [&str; 10] = [
        "sntrup761x25519-sha512,kex-strict-s-v00@openssh.com",
        "ssh-ed25519",
        "aes128-ctr,aes256-gcm@openssh.com",
        "aes128-ctr,aes256-gcm@openssh.com",
        "umac-64@openssh.com",
        "umac-64@openssh.com",
        "none",
        "none",
        "",
        "",
    ];

    #[test]
    fn the_proposal_is_heard_in_pieces_of_any_size() {
        for size in [1, 7, 1000] {
            let (mut tap, heard) = Tap::new();
            let said = [sent(LISTS), b"and more".to_vec()].concat();
            said.chunks(size).for_each(|piece| tap.hear(piece));
            let proposal = heard.borrow().clone().unwrap();
            assert_eq!(proposal.host_keys, ["ssh-ed25519"]);
            assert_eq!(proposal.macs[1], ["umac-64@openssh.com"]);
            assert!(tap.said.is_empty());
        }
    }

    #[test]
    fn ssh_comes_to_terms_or_says_over_what_not() {
        let (mut tap, heard) = Tap::new();
        tap.hear(&sent(LISTS));
        let proposal = heard.borrow().clone().unwrap();
        let unmatched = |kex: &str, keys: &str, ciphers: &str, macs: &str| {
            let ours = HostKeys {
                accepted: names(keys),
                algorithms: Algorithms {
                    kex: names(kex),
                    ciphers: names(ciphers),
                    macs: names(macs),
                },
                ..HostKeys::default()
            };
            proposal.unmatched(&ours)
        };
        assert_eq!(unmatched("", "", "", ""), None);
        let kex = "sntrup761x25519-sha512";
        assert_eq!(
            unmatched(kex, "ssh-ed25519", "aes128-ctr", "umac-64@openssh.com"),
            None
        );
        assert_eq!(
            unmatched(kex, "", "aes256-gcm@openssh.com,aes128-ctr", "hmac-md5"),
            None
        );
        for (lists, what) in [
            (("kex-strict-c", "", "", ""), "key exchange method"),
            (("", "ssh-rsa", "", ""), "host key type"),
            (("", "", "3des-cbc", ""), "cipher"),
            (("", "", "aes128-ctr", "hmac-sha1"), "MAC"),
        ] {
            let (kex, keys, ciphers, macs) = lists;
            let why = unmatched(kex, keys, ciphers, macs).unwrap();
            assert!(
                why.starts_with(&format!("no matching {what} found, theirs: ")),
                "{why}"
            );
        }
    }

    #[test]
    fn what_ssh_proposes_and_russh_knows_is_proposed() {
        let ours = HostKeys {
            algorithms: Algorithms {
                kex: names("ecdh-sha2-nistp521,curve25519-sha256,sntrup761x25519-sha512"),
                ciphers: names("aes128-gcm@openssh.com,none"),
                macs: names("hmac-sha1,umac-64@openssh.com"),
            },
            ..HostKeys::default()
        };
        let preferred = preferred(&ours);
        assert!(preferred.kex.contains(&kex::ECDH_SHA2_NISTP521));
        assert_eq!(
            preferred
                .kex
                .iter()
                .filter(|name| **name == kex::CURVE25519)
                .count(),
            1
        );
        assert!(preferred.cipher.contains(&cipher::AES_128_GCM));
        assert!(!preferred.cipher.contains(&cipher::NONE));
        assert!(preferred.mac.contains(&mac::HMAC_SHA1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_proposal_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..200) {
            let (mut tap, _heard) = Tap::new();
            tap.hear(&bytes);
            let mut said = sent(LISTS);
            let at = at.min(said.len());
            let end = (at + bytes.len()).min(said.len());
            said.splice(at..end, bytes);
            let (mut tap, _heard) = Tap::new();
            tap.hear(&said);
        }
    }
}
