//! What Nix's files lack, or say otherwise than they should.

use offload_client::{
    Kind, Reason, Snapshot, WarningCode,
    snapshot::{Detail, Target},
    warnings::remedy_for,
};
use offload_tests::{Desktop, nix_conf::Machine};

use super::{POLL, codes, declared_at, shown, text, until_none, until_only};

#[tokio::test]
async fn what_nix_does_not_have_is_told_with_the_line_to_add() {
    let desktop = Desktop::start().await.unwrap();
    desktop.nix.set_caches(&[]).unwrap();
    let laptop = desktop
        .laptop(&declared_at(&desktop, "127.0.15.6"))
        .await
        .unwrap();
    // Its key, which Nix does not trust either, comes with it.
    let warning = until_only(&laptop, WarningCode::NotInNixConf).await;
    assert_eq!(warning.target, Some((Kind::Cache, "desktop".into())));
    let remedy = remedy_for(&warning);
    let line = format!("`extra-substituters = {}`", desktop.nginx.url());
    assert!(remedy.contains(&line), "{remedy}");
    let line = format!(
        "`extra-trusted-public-keys = {}`",
        desktop.nginx.public_key()
    );
    assert!(remedy.contains(&line), "{remedy}");

    // Where builders are off, that is the root.
    desktop.nix.set_machines(&[]).unwrap();
    let both = laptop.until("the builder is missing too", |now| {
        codes(now) == [WarningCode::NotInNixConf; 2]
    });
    let both = both.await.unwrap();
    let of_builder = both
        .warnings
        .iter()
        .find(|it| text(it, "kind") == "builder");
    let add = text(of_builder.unwrap(), "add");
    assert!(add.starts_with(&desktop.sshd.uri()), "{add}");
    // Nix takes the line as it is told.
    desktop.nix.write("machines", &format!("{add}\n")).unwrap();
    until_only(&laptop, WarningCode::NotInNixConf).await;
    let key = desktop.nginx.public_key();
    desktop
        .nix
        .set_caches(&[(&desktop.nginx.url(), key)])
        .unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn builders_that_are_switched_off_are_told_once() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop
        .laptop(&declared_at(&desktop, "127.0.15.6"))
        .await
        .unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;
    let conf = std::fs::read_to_string(desktop.nix.path()).unwrap();
    let (before, after) = conf.split_once("builders = @").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    desktop
        .nix
        .write("nix.conf", &format!("{before}builders =\n{after}"))
        .unwrap();
    let warning = until_only(&laptop, WarningCode::BuildersDisabled).await;
    assert_eq!(warning.details["line"], Detail::Uint(2));
    let machines = desktop.nix.machines_path().display().to_string();
    assert_eq!(text(&warning, "machines"), machines);
    desktop.nix.write("nix.conf", &conf).unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn a_broken_line_of_the_machines_file_is_the_one_root() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop
        .laptop(&declared_at(&desktop, "127.0.15.7"))
        .await
        .unwrap();
    laptop.until_ready().await.unwrap();
    let good = Machine::of(&desktop.sshd).unwrap().line();
    let bad = format!("{good}\nssh-ng://laptop x86_64-linux - many\n");
    desktop.nix.write("machines", &bad).unwrap();
    let broken = laptop.until("the file is broken", |now| {
        codes(now)
            == [
                WarningCode::MachinesFileBroken,
                WarningCode::AddressMismatch,
            ]
    });
    let broken = broken.await.unwrap();
    let [file, cache] = &broken.warnings[..] else {
        panic!("{broken:#?}");
    };
    assert_eq!(file.details["line"], Detail::Uint(2));
    assert_eq!(file.details["field"], Detail::Uint(4));
    // Of the builder nothing is said any more; the cache speaks for itself.
    assert_eq!(cache.target, Some((Kind::Cache, "desktop".into())));
}

#[tokio::test]
async fn fallback_that_is_off_is_advised_against_where_a_cache_may_go_away() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop.laptop(POLL).await.unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;
    let conf = std::fs::read_to_string(desktop.nix.path()).unwrap();
    let off = conf.replace("fallback = true", "fallback = false");
    assert_ne!(conf, off);
    // nginx serves nix-cache-info without a priority: 0, before the 40 of cache.nixos.org.
    desktop.nix.write("nix.conf", &off).unwrap();
    until_only(&laptop, WarningCode::FallbackOff).await;

    let url = format!("{}?priority=50", desktop.nginx.url());
    let key = desktop.nginx.public_key();
    desktop.nix.set_caches(&[(&url, key)]).unwrap();
    let last = until_only(&laptop, WarningCode::LanCacheLast).await;
    assert_eq!(text(&last, "priority"), "50");
    assert!(remedy_for(&last).contains("`fallback = true`"));
    desktop.nix.write("nix.conf", &conf).unwrap();
    until_none(&laptop).await;
}

#[tokio::test]
async fn a_cache_that_is_asked_after_a_public_one_is_a_hint_and_no_warning() {
    let desktop = Desktop::start().await.unwrap();
    let laptop = desktop.laptop(POLL).await.unwrap();
    laptop.until_ready().await.unwrap();
    until_none(&laptop).await;
    let verbose = async || laptop.offloadctl(&["--verbose", "status"]).await.unwrap();
    let first = verbose().await;
    assert!(!first.stdout.contains("asked  "), "{first:?}");

    let url = format!("{}?priority=41", desktop.nginx.url());
    let key = desktop.nginx.public_key();
    desktop.nix.set_caches(&[(&url, key)]).unwrap();
    let is_after = |it: &Target| {
        it.details.get("asked_after") == Some(&Detail::Text("cache.nixos.org".into()))
    };
    let after = |now: &Snapshot| now.targets.iter().any(is_after) && now.state.is_ready();
    let now = laptop.until("it is asked later", after).await.unwrap();
    assert_eq!(codes(&now), []);
    let page = verbose().await;
    assert_eq!(page.code, 0, "{page:?}");
    let told = "asked           after cache.nixos.org (what is in both comes from there";
    assert!(page.stdout.contains(told), "{page:?}");
    let doctor = laptop.offloadctl(&["doctor"]).await.unwrap();
    assert_eq!(doctor.code, 0, "{doctor:?}");
}

#[tokio::test]
async fn a_key_that_nix_does_not_trust_is_told_with_the_line_that_mends_it() {
    let desktop = Desktop::start().await.unwrap();
    // The cache is signed with the first; the second is the next one.
    let own = desktop.nginx.public_key();
    let next = "test-desktop-2:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
    let keys = format!("\"{own}\", \"{next}\"");
    let config = declared_at(&desktop, "127.0.15.6");
    let config = config.replace(&format!("\"{own}\""), &keys);
    desktop
        .nix
        .set_caches(&[(&desktop.nginx.url(), "")])
        .unwrap();
    let laptop = desktop.laptop(&config).await.unwrap();

    let warning = until_only(&laptop, WarningCode::KeyNotTrusted).await;
    assert_eq!(warning.target, Some((Kind::Cache, "desktop".into())));
    assert_eq!(warning.details["expected"], Detail::List(vec![]));
    let both = vec![own.to_owned(), next.to_owned()];
    assert_eq!(warning.details["actual"], both.into());
    assert_eq!(text(&warning, "uri"), desktop.nginx.url());
    // Nix takes nothing from there, and so it is no green.
    let is_it = |it: &Target| (it.kind, it.reason) == (Kind::Cache, Reason::UntrustedSignature);
    let degraded = |now: &Snapshot| now.targets.iter().any(is_it);
    laptop.until("nothing is taken", degraded).await.unwrap();

    // Nix takes the line as it is told.
    let remedy = shown(&laptop, &warning).await;
    let (_, line) = remedy.split_once('`').unwrap();
    let (line, _) = line.split_once('`').unwrap();
    assert_eq!(line, format!("extra-trusted-public-keys = {own} {next}"));
    let extra = format!("extra-substituters = {}\n{line}\n", desktop.nginx.url());
    desktop.nix.write("extra.conf", &extra).unwrap();
    until_none(&laptop).await;
    laptop.until_ready().await.unwrap();
}
