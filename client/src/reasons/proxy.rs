//! What the proxy in between has to do with it.

use super::{Text, english};
use crate::{Kind, Reason, Stage, snapshot::Target};

/// The words for a cache that Nix asks through a proxy, where that may be what fails.
pub(super) fn words(target: &Target) -> Option<Text> {
    let is_behind = target.kind == Kind::Cache && target.details.contains_key("proxy");
    if !is_behind {
        return None;
    }
    match (target.reason, target.stage) {
        (Reason::ProxyFailed, _) => Some(Text {
            title: "the proxy lets nobody through",
            explanation: "Nix asks {uri} through the proxy {proxy}, which {proxy_variable|its environment} names, and that does \
                          not connect to it.",
            remedy: REMEDY,
        }),
        (reason, Stage::Resolve | Stage::Connect) => Some(Text {
            title: "the proxy is not there",
            explanation: "Nix asks {uri} through the proxy {proxy}, which {proxy_variable|its environment} names, and nobody \
                          answers there.",
            remedy: REMEDY,
        })
        .filter(|_| !matches!(reason, Reason::OutOfResources)),
        (Reason::HttpStatus, Stage::Http) => Some(Text {
            explanation: "Nix asks {uri} through the proxy {proxy}, which {proxy_variable|its environment} names. One of the two \
                          answers with an error.",
            remedy: REMEDY,
            ..english(Reason::HttpStatus)
        }),
        _ => None,
    }
}

const REMEDY: &str = "Ask through it: `curl -i --proxy {proxy} {uri}/nix-cache-info`. A desktop of this network needs no proxy: name \
                      {host} in `no_proxy` of nix-daemon (NixOS: `networking.proxy.noProxy`; elsewhere `sudo systemctl edit \
                      nix-daemon`, `[Service]` and `Environment=no_proxy={host}`), and run `sudo systemctl restart nix-daemon`.";
