//! What the configuration tree says of builders and caches otherwise than Nix, where nothing else tells of it: without a
//! declaration of offloadd's own, nobody but the tree knows what is to be.
//!
//! A tree is full of addresses, and most are of something else. So it is only told where Nix's own address stands
//! nowhere in the tree that could be meant for the target, and exactly one other does: of the same kind, scheme and port, or user,
//! in the same network, and of no target that is known. And a tree that is older than what runs is not what that was made of:
//! the configuration is elsewhere.

use std::{collections::BTreeSet, fs, io, net::IpAddr, path::Path, path::PathBuf};

use super::{
    comments,
    correction::Correction,
    literals::{self, Literal, Role, default_port},
    switched::Switched,
    tree,
    walk::{self, Enough},
};
use crate::{
    Snapshot,
    page::doctor::{TreeSearch, Unlike},
    snapshot::{Placed, Target},
    template::Authority,
};

/// More literals than a person writes.
const MAX_LITERALS: usize = 20_000;

/// What is known of the targets, to hold a tree against it.
pub(super) struct Known {
    subjects: Vec<Subject>,
    /// All addresses of all targets.
    addresses: BTreeSet<IpAddr>,
}

/// A target that Nix has an address of.
struct Subject {
    label: String,
    nix: IpAddr,
    role: Role,
    /// Whether it is there.
    is_ready: bool,
}

impl Known {
    /// What is known; `None` where Nix goes to no address of anything.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        let subjects: Vec<_> = snapshot.targets.iter().filter_map(Subject::of).collect();
        let addresses = snapshot.targets.iter().flat_map(addresses).collect();
        (!subjects.is_empty()).then_some(Self {
            subjects,
            addresses,
        })
    }

    /// Searches the tree at `root`. It is believed to be this machine's where somebody `named` it, or where what runs,
    /// which was `switched` to, may be older.
    ///
    /// # Errors
    /// `root` is no directory that can be read.
    pub(super) fn search(
        &self,
        root: &Path,
        switched: Option<Switched>,
        named: bool,
    ) -> io::Result<Option<TreeSearch>> {
        let mut literals: Vec<(Literal, PathBuf)> = Vec::new();
        let unseen = walk::files(root, &mut |file, _| {
            let comments = comments::of(file.name, file.text);
            let stands = |literal: &Literal| !comments::is_in(&comments, literal.at);
            let found = literals::all(file.text).into_iter().filter(stands);
            literals.extend(found.map(|literal| (literal, file.path.to_owned())));
            if literals.len() < MAX_LITERALS {
                Enough::No
            } else {
                Enough::Yes
            }
        })?;
        if !unseen.is_empty() {
            // Nix's address may stand there.
            return Ok(None);
        }
        let unlike = self.unlike(&literals);
        let is_meant = |literal: &Literal| {
            let address = literal.address.to_string();
            unlike.iter().any(|unlike| unlike.tree == address)
        };
        let is_newer = |path: &Path| {
            let changed = fs::symlink_metadata(path).and_then(|file| file.modified());
            changed.is_ok_and(|changed| switched.is_some_and(|switched| changed > switched.at))
        };
        let mut meant = literals.iter().filter(|(literal, _)| is_meant(literal));
        let edited = meant.any(|(_, path)| is_newer(path));
        let is_older = edited || switched.is_some_and(|switched| !switched.is_newest);
        if unlike.is_empty() || !(named || is_older) {
            return Ok(None);
        }
        let search = tree::search(root, &self.corrections(&unlike))?;
        Ok(Some(TreeSearch {
            unlike,
            edited,
            ..search
        }))
    }

    fn unlike(&self, literals: &[(Literal, PathBuf)]) -> Vec<Unlike> {
        let found = self.subjects.iter().filter_map(|subject| {
            let vouches =
                |literal: &Literal| literal.address == subject.nix && subject.may_be(literal);
            if literals.iter().any(|(literal, _)| vouches(literal)) {
                return None;
            }
            let is_other = |literal: &Literal| {
                subject.is_meant_by(literal) && !self.addresses.contains(&literal.address)
            };
            let others = literals.iter().filter(|(literal, _)| is_other(literal));
            let others: BTreeSet<_> = others.map(|(literal, _)| literal.address).collect();
            let mut others = others.into_iter();
            let (one, None) = (others.next()?, others.next()) else {
                return None;
            };
            Some(Unlike {
                target: subject.label.clone(),
                tree: one.to_string(),
                nix: subject.nix.to_string(),
            })
        });
        let found: Vec<Unlike> = found.collect();
        let is_clear = |one: &Unlike| {
            let mut others = found.iter();
            others.all(|other| other.tree != one.tree || other.nix == one.nix)
        };
        found.iter().filter(|one| is_clear(one)).cloned().collect()
    }

    /// What is written in place of it: where Nix goes, where the target is there.
    fn corrections(&self, unlike: &[Unlike]) -> Vec<Correction> {
        let wrong: BTreeSet<_> = unlike.iter().map(|unlike| &unlike.tree).collect();
        let right = |wrong: &String| {
            let mut of_it = unlike.iter().filter(|unlike| unlike.tree == *wrong);
            let is_ready = |unlike: &Unlike| {
                let mut subjects = self.subjects.iter();
                subjects.any(|subject| subject.label == unlike.target && subject.is_ready)
            };
            let first = of_it.clone().next().filter(|_| of_it.all(is_ready));
            first.map(|unlike| unlike.nix.clone()).unwrap_or_default()
        };
        let corrections = wrong.into_iter().map(|wrong| Correction {
            wrong: wrong.clone(),
            right: right(wrong),
        });
        corrections.collect()
    }
}

impl Subject {
    fn of(target: &Target) -> Option<Self> {
        let addresses = target.layers.iter().find(|it| it.subject == "address");
        let deployed = addresses.and_then(|address| address.deployed.as_ref())?;
        let deployed = Authority::of(&deployed.value);
        let nix = deployed.host.parse().ok()?;
        let (scheme, _) = target.uri.split_once("://").unwrap_or(("ssh", ""));
        let port = deployed.port.and_then(|port| port.parse().ok());
        let role = match scheme {
            "http" | "https" => Role::Web {
                tls: scheme == "https",
                port: port.unwrap_or(default_port(scheme == "https")),
                substituter: true,
            },
            "ssh" | "ssh-ng" => Role::Ssh {
                user: Authority::of(&target.uri).user.map(str::to_owned),
                port,
            },
            _ => return None,
        };
        Some(Self {
            label: target.label(),
            nix,
            role,
            is_ready: target.state.is_ready() && host(&target.address) == Some(nix),
        })
    }

    /// Whether an address may stand for this target, as far as one can see.
    fn may_be(&self, literal: &Literal) -> bool {
        match (&self.role, &literal.role) {
            (_, Role::Unknown)
            | (Role::Web { .. }, Role::Web { .. })
            | (Role::Ssh { .. }, Role::Ssh { .. }) => true,
            (Role::Web { .. } | Role::Ssh { .. } | Role::Unknown, _) => false,
        }
    }

    /// Whether an address must be meant for this target, or one like it.
    fn is_meant_by(&self, literal: &Literal) -> bool {
        let is_alike = match (&self.role, &literal.role) {
            (
                Role::Web { tls, port, .. },
                Role::Web {
                    tls: other_tls,
                    port: other,
                    substituter,
                },
            ) => {
                let is_own_port = *port != default_port(*tls);
                (tls, port) == (other_tls, other) && (is_own_port || *substituter)
            }
            (
                Role::Ssh { user, port },
                Role::Ssh {
                    user: other_user,
                    port: other,
                },
            ) => {
                let users = other_user.is_none() || user == other_user;
                users && (other.is_none() || port == other)
            }
            (Role::Web { .. } | Role::Ssh { .. } | Role::Unknown, _) => false,
        };
        is_alike && is_near(self.nix, literal.address)
    }
}

/// Every address that is known of a target.
fn addresses(target: &Target) -> impl Iterator<Item = IpAddr> {
    let of_layers = target.layers.iter().flat_map(|layers| {
        let placed = [
            &layers.declared,
            &layers.deployed,
            &layers.loaded,
            &layers.observed,
        ];
        placed
            .into_iter()
            .flatten()
            .map(|Placed { value, .. }| value)
    });
    let known = [&target.uri, &target.address].into_iter();
    let known = known.chain(&target.elsewhere).chain(of_layers);
    known.filter_map(|value| host(value))
}

fn host(address: &str) -> Option<IpAddr> {
    Authority::of(address).host.parse().ok()
}

/// Whether both are of one network, as far as most are large: a lease changes within it.
fn is_near(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests;
