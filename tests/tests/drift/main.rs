//! The afternoon, and what else differs between what is declared, deployed and really there: each
//! difference is named, with what to do about it, and goes when it is mended.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod afternoon;
mod deployed;
mod observed;
mod way;

use offload_client::{
    Snapshot, WarningCode,
    snapshot::{Detail, Warning},
    warnings::{explanation_for, remedy_for, title_for},
};
use offload_tests::{Desktop, Laptop};

/// Short, so that no test waits for what is due anyway.
const POLL: &str = "[poll]\ninterval = \"500ms\"\nfast_interval = \"100ms\"\n\
                    down_max_interval = \"500ms\"\ntimeout = \"400ms\"\n";

/// offloadd's configuration, which says that `desktop` is at `host`.
fn declared_at(desktop: &Desktop, host: &str) -> String {
    let cache = desktop.nginx.entry("desktop").replace("127.0.15.6", host);
    let uri = desktop.sshd.uri().replace("127.0.15.6", host);
    let key = desktop.sshd.host_key().unwrap();
    format!("{POLL}{cache}[[builder]]\nname = \"desktop\"\nuri = \"{uri}\"\nhost_key = \"{key}\"\n")
}

fn codes(snapshot: &Snapshot) -> Vec<WarningCode> {
    snapshot
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect()
}

fn text<'a>(warning: &'a Warning, key: &str) -> &'a str {
    match warning.details.get(key) {
        Some(Detail::Text(text)) => text,
        other => panic!("{key} is {other:?} in {warning:?}"),
    }
}

/// Waits until the one warning is `code`.
async fn until_only(laptop: &Laptop, code: WarningCode) -> Warning {
    let only = |now: &Snapshot| codes(now) == [code];
    let what = format!("the one warning is {code}");
    let snapshot = laptop.until(&what, only).await.unwrap();
    let warning = snapshot.warnings.into_iter().next().unwrap();
    assert!(matches!(warning.details["since"], Detail::Uint(since) if since > 0));
    warning
}

async fn until_none(laptop: &Laptop) {
    let none = |now: &Snapshot| now.warnings.is_empty();
    laptop.until("no warning is left", none).await.unwrap();
}

/// What the status page shows of `warning`: its title and target, its explanation, its remedy, which
/// is returned.
async fn shown(laptop: &Laptop, warning: &Warning) -> String {
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let page = words(&page.stdout);
    let title = title_for(warning);
    let title = match &warning.target {
        // It is said in the row of the target.
        Some(_) if warning.code.hinders().is_some() => title.to_owned(),
        Some((kind, name)) => format!("! {title} · {kind}/{name}"),
        None => format!("! {title}"),
    };
    let remedy = remedy_for(warning);
    for part in [&title, &explanation_for(warning), &remedy] {
        assert!(page.contains(&words(part)), "{part:?}: {page}");
    }
    remedy
}

/// Without the line breaks, which are where the page is narrow.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Has everything checked from scratch.
async fn check(laptop: &Laptop) {
    let checked = laptop.offloadctl(&["check"]).await.unwrap();
    assert!([0, 3].contains(&checked.code), "{checked:?}");
}
