//! What single values mean. Every reader says in its error what is wrong and what to write
//! instead, and repeats nothing that may be a secret.

pub(super) mod address;
pub(super) mod conf;
pub(super) mod duration;
pub(super) mod exclude;
pub(super) mod gateway;
pub(super) mod host_key;
pub(super) mod listen;
pub(super) mod network;
pub(super) mod public_key;
pub(super) mod sample;
pub(super) mod ssh_key;
pub(super) mod textfile;
pub(super) mod url;
pub(super) mod wait;
pub(super) mod word;
