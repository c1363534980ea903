//! What must hold of what a builder says, or whoever answers in its place.

use bytes::Bytes;
use offload_client::Printable;
use serde_json::json;

use super::{
    banner,
    system::answer::{Identity, split},
};
use crate::{
    fuzz::{Says, now},
    nix::remote::{Others, RemoteConf},
};

/// An identification is the same however it is cut into packets, and nothing that follows is lost.
pub(crate) fn banner(bytes: &[u8]) {
    let read = |piece| {
        let mut stream = Says::new(bytes, piece);
        let read = now(banner::exchange(&mut stream));
        (read, stream.left)
    };
    let (at_once, left) = read(usize::MAX);
    let (by_bytes, later) = read(1);
    match (at_once, by_bytes) {
        (Ok(banner), Ok(same)) => {
            assert_eq!(banner.identification, same.identification);
            let line = &banner.identification;
            assert!(line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-"));
            assert!(line.len() <= 255);
            let all = |replay: &[u8], left: Bytes| [replay, &left].concat();
            let rest = all(&banner.replay, left);
            assert_eq!(rest, all(&same.replay, later));
            assert!(rest.starts_with(line.as_bytes()) && bytes.ends_with(&rest));
        }
        (Err(error), Err(same)) => {
            let text = error.to_string();
            assert_eq!(text, same.to_string());
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.chars().count() < 400, "{text:?}");
        }
        (at_once, by_bytes) => unreachable!("{at_once:?} is not {by_bytes:?}"),
    }
}

/// What a builder's Nix says of itself reads back, is bounded, and lacks nothing of itself.
pub(crate) fn remote_system(bytes: &[u8]) {
    let (head, rest) = split(bytes);
    assert_eq!([head, rest].concat(), bytes);
    assert!(rest.is_empty() || rest.starts_with(b"{"));
    if let Some(identity) = Identity::find(head) {
        assert_eq!(identity.boot_id.len(), 36);
        assert!(!identity.hostname.contains(char::is_control));
        assert!(identity.hostname.len() < 1024);
    }
    let Ok(conf) = RemoteConf::parse(rest) else {
        return;
    };
    for words in [&conf.systems, &conf.features] {
        assert!(words.len() <= 257 && words.iter().all(|word| Printable::passes(word)));
    }
    let missing = conf.missing(&conf.systems, &conf.features);
    assert!(missing.features.is_empty() && missing.in_doubt.is_empty());
    assert!(missing.systems.is_empty() || conf.builds_nothing);
    let text = written(&conf);
    assert_eq!(RemoteConf::parse(text.as_bytes()).ok(), Some(conf));
}

/// As `nix config show --json` would show it.
fn written(conf: &RemoteConf) -> String {
    // What is no default is written down, and then in full.
    let mut words = (0..).map(|number: u32| Printable::from(number.to_string()));
    let other = words.find(|word| !conf.features.contains(word));
    let defaults: Vec<_> = other
        .into_iter()
        .filter(|_| conf.features_are_written)
        .collect();
    let systems = conf.systems.split_first();
    let (builders, external) = match &conf.others {
        Others::None => (String::new(), vec![]),
        Others::File(file) => (format!("@{file}"), vec![]),
        Others::Builders => ("ssh://other".to_owned(), vec![]),
        Others::Programs => (String::new(), vec![0]),
    };
    json!({
        "system": { "value": systems.map(|(system, _)| system) },
        "extra-platforms": { "value": systems.map(|(_, extra)| extra) },
        "system-features": { "value": conf.features, "defaultValue": defaults },
        "max-jobs": { "value": u8::from(!conf.builds_nothing) },
        "builders": { "value": builders },
        "external-builders": { "value": external },
    })
    .to_string()
}
