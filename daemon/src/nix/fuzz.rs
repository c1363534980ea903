//! What must hold of Nix's own formats and protocols, whoever writes them.

mod files;
mod spoken;

pub(crate) use self::{
    files::{known_hosts, machines, netrc, nix_conf, proc, ssh_keys, store_uri},
    spoken::{narinfo, nix_protocol},
};
