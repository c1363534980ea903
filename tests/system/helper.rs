//! A laptop on which all that Nix goes by is root's alone: nothing is configured for offloadd, and nothing of it is
//! to be had by anybody else.

use offload_client::{Kind, Reason, Snapshot, TargetState, WarningCode};
use offload_tests::{container::Suite, eventually};
use offloadd::clock::Stopwatch;

use crate::desk::{DAEMON, Desk, PATIENCE, builder};

const HELPER: &str = "offload-helper.service";
/// What it and the daemon may have together, in KiB.
const MAX_AT_REST: u64 = 8 << 10;

#[tokio::test]
async fn what_is_root_s_alone_is_judged_and_stays_root_s() {
    if let Some(desk) = Desk::start().await {
        what_is_root_s_alone(&desk).await;
    }
}

/// With its systemd, OpenSSH and Nix.
#[tokio::test]
async fn what_is_root_s_alone_is_judged_on_a_laptop_of_the_next_debian() {
    if let Some(desk) = Desk::start_on(Suite::Sid).await {
        what_is_root_s_alone(&desk).await;
    }
}

async fn what_is_root_s_alone(desk: &Desk) {
    at_rest_both_take_little(desk).await;
    an_alias_of_root_s_ssh_leads_there(desk).await;
    nix_builds_there(desk);
    what_root_changes_is_taken_up(desk).await;
    a_login_of_root_s_netrc_opens_the_cache(desk).await;
    a_jump_with_root_s_key_leads_there(desk).await;
    nix_builds_there(desk);
    without_the_helper_nothing_is_blamed(desk).await;
    nobody_reads_the_key_or_asks_the_helper(desk);
    asked_no_more_it_ends(desk).await;
}

/// The name, the user and the key are in root's ssh_config, the host key is in root's known_hosts.
async fn an_alias_of_root_s_ssh_leads_there(desk: &Desk) {
    let laptop = desk.laptop.container();
    let root_alone = |path: &str, text: &str| laptop.write_mode(path, text, 0o600).unwrap();
    let key = std::fs::read_to_string(desk.desktop.user_key()).unwrap();
    root_alone("/root/.ssh/builder", &key);
    root_alone(
        "/root/.ssh/config",
        "Host tower\n  HostName desktop\n  User nix-builder\n  IdentityFile ~/.ssh/builder\n",
    );
    let host_key = desk.desktop.host_key().unwrap();
    root_alone("/root/.ssh/known_hosts", &format!("desktop {host_key}\n"));
    root_alone(
        "/etc/nix/machines",
        "ssh-ng://tower x86_64-linux - 2 1 kvm - -\n",
    );
    desk.run(&["rm", "/etc/nix/builder_ed25519"]);
    let to_the_list = "s,^builders = .*,builders = @/etc/nix/machines,";
    desk.run(&["sed", "-i", to_the_list, "/etc/nix/nix.conf"]);
    desk.run(&["systemctl", "restart", "nix-daemon.service"]);
    let by_alias = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        let tower = targets.find(|target| target.uri.as_str() == "ssh-ng://tower");
        tower.is_some_and(|tower| tower.state == TargetState::Ready)
    };
    let said = desk.until("the alias is ready", by_alias).await;
    let seen = |code: WarningCode| said.warnings.iter().any(|warning| warning.code == code);
    assert!(!seen(WarningCode::NotVisible), "{said:#?}");
    assert!(!seen(WarningCode::MachinesFileBroken), "{said:#?}");
}

/// Nix says the same, which builds nothing here.
fn nix_builds_there(desk: &Desk) {
    let boot_id = "builtins.readFile /proc/sys/kernel/random/uuid";
    let expression = format!(
        "derivation {{ name = \"there\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; nonce = {boot_id}; \
         args = [ \"-c\" \"read id < /proc/sys/kernel/random/boot_id; echo $id > $out\" ]; }}"
    );
    let build = ["nix-build", "--no-out-link", "--max-jobs", "0", "--expr"];
    let path = desk.run(&[&build[..], &[&expression]].concat());
    let built_on = desk.run(&["cat", path.trim()]);
    assert_eq!(built_on.trim(), desk.desktop.boot_id().unwrap());
}

async fn a_login_of_root_s_netrc_opens_the_cache(desk: &Desk) {
    let cache = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        let cache = targets.find(|target| target.kind == Kind::Cache);
        cache.map(|cache| (cache.state, cache.reason))
    };
    let desktop = desk.desktop.container();
    desktop
        .write("/etc/nginx/users", "us3r:{PLAIN}s3cret\n")
        .unwrap();
    let login = "auth_basic Nix;\nauth_basic_user_file /etc/nginx/users;\n";
    desktop
        .write("/etc/nginx/conf.d/login.conf", login)
        .unwrap();
    desktop
        .run(&["systemctl", "reload", "nginx.service"])
        .unwrap();
    let closed = |said: &Snapshot| cache(said).is_some_and(|(state, _)| !state.is_ready());
    let said = desk.until("the cache wants a login", closed).await;
    eprintln!("without a netrc: {:?}", cache(&said));
    let netrc = "machine desktop login us3r password s3cret\n";
    desk.laptop
        .container()
        .write_mode("/etc/nix/netrc", netrc, 0o600)
        .unwrap();
    let open = |said: &Snapshot| cache(said).is_some_and(|(state, _)| state.is_ready());
    desk.until("root's login opens it", open).await;
    let path = desk.cache.store_path();
    desk.run(&["nix-store", "--realise", path]);
    assert_eq!(desk.run(&["cat", path]), "hello from the desktop\n");
}

/// The desktop as its own jump host: behind it, it is at an address that the laptop has itself. Root's ssh would have a
/// master of the way to the jump host.
async fn a_jump_with_root_s_key_leads_there(desk: &Desk) {
    let config = "Host gate\n  HostName desktop\n  ControlMaster auto\n  ControlPath ~/.ssh/master-%C\n  \
                  ControlPersist 1\nHost tower\n  HostName 127.0.0.1\n  HostKeyAlias desktop\n  \
                  ProxyJump gate\nHost *\n  User nix-builder\n  IdentityFile ~/.ssh/builder\n";
    let laptop = desk.laptop.container();
    laptop
        .write_mode("/root/.ssh/config", config, 0o600)
        .unwrap();
    let watch = Stopwatch::start();
    let by_jump = |said: &Snapshot| {
        let builder = builder(said);
        builder.state.is_ready() && builder.details.contains_key("proxy")
    };
    let said = desk
        .until("the builder behind the jump is ready", by_jump)
        .await;
    eprintln!(
        "ready by the jump after {:?}: {:?}",
        watch.elapsed(),
        builder(&said).details
    );
    let inside = desk.run(&["systemctl", "status", "--no-pager", HELPER]);
    assert!(inside.contains(" -W "), "{inside}");
    let log = desk.journal();
    assert!(!log.contains("ControlSocket"), "{log}");
}

/// Nobody is told to look: the builder is ready, and its next thorough check is minutes away.
async fn what_root_changes_is_taken_up(desk: &Desk) {
    let tower = |said: &Snapshot| {
        let mut targets = said.targets.iter();
        let tower = targets.find(|target| target.uri.as_str() == "ssh-ng://tower");
        tower.map(|tower| (tower.state, tower.reason))
    };
    for (file, reason) in [
        ("/root/.ssh/builder", Reason::KeyUnreadable),
        ("/root/.ssh/known_hosts", Reason::HostKeyUnknown),
    ] {
        let aside = format!("{file}.aside");
        let watch = Stopwatch::start();
        desk.run(&["mv", file, &aside]);
        let gone = |said: &Snapshot| tower(said).is_some_and(|(_, why)| why == reason);
        desk.until("what is gone is missed", gone).await;
        eprintln!("{file} is gone: {reason} after {:?}", watch.elapsed());
        let watch = Stopwatch::start();
        desk.run(&["mv", &aside, file]);
        let back = |said: &Snapshot| tower(said).is_some_and(|(state, _)| state.is_ready());
        desk.until("what is back is used", back).await;
        eprintln!("{file} is back: ready after {:?}", watch.elapsed());
    }
}

async fn without_the_helper_nothing_is_blamed(desk: &Desk) {
    desk.run(&["systemctl", "stop", "offload-helper.socket", HELPER]);
    desk.run(&["systemctl", "reload", "offloadd.service"]);
    let unseen = |said: &Snapshot| {
        let mut warnings = said.warnings.iter();
        warnings.any(|warning| warning.code == WarningCode::NotVisible)
    };
    let said = desk.until("the list is not visible", unseen).await;
    let blamed = |state| [TargetState::Degraded, TargetState::Down].contains(&state);
    assert!(
        !said.targets.iter().any(|target| blamed(target.state)),
        "{said:#?}"
    );
    desk.run(&["systemctl", "start", "offload-helper.socket"]);
    desk.run(&["systemctl", "reload", "offloadd.service"]);
    let back = |said: &Snapshot| said.state.is_ready() && !unseen(said);
    let said = desk.until("it is seen again", back).await;
    assert_eq!(builder(&said).state, TargetState::Ready);
}

fn nobody_reads_the_key_or_asks_the_helper(desk: &Desk) {
    let as_offloadd = [
        "setpriv",
        "--reuid",
        "offloadd",
        "--regid",
        "offloadd",
        "--init-groups",
    ];
    let read = [&as_offloadd[..], &["cat", "/root/.ssh/builder"]].concat();
    assert_ne!(desk.laptop.root(&read).unwrap().code, 0);
    let socket = "/run/offload-helper.socket";
    let mode = desk.run(&["stat", "--format", "%a %U", socket]);
    assert_eq!(mode.trim(), "600 offloadd");
    assert_ne!(desk.laptop.user(&["test", "-w", socket]).unwrap().code, 0);
}

/// The helper is gone half a minute after it was asked last.
async fn at_rest_both_take_little(desk: &Desk) {
    desk.until_unit(HELPER, "inactive").await;
    let daemon = desk.unit(DAEMON, "MainPID");
    let rollup = desk.run(&["cat", &format!("/proc/{daemon}/smaps_rollup")]);
    let kib = |name: &str| {
        let mut lines = rollup.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("no {name}: {rollup}"))
    };
    println!(
        "at rest: Rss {} KiB, Pss {} KiB, Anonymous {} KiB, MemoryCurrent {}",
        kib("Rss"),
        kib("Pss"),
        kib("Anonymous"),
        desk.unit(DAEMON, "MemoryCurrent")
    );
    assert!(kib("Pss") <= MAX_AT_REST, "{rollup}");
}

async fn asked_no_more_it_ends(desk: &Desk) {
    desk.run(&["systemctl", "stop", "offloadd.service"]);
    let gone = async || (desk.unit(HELPER, "ActiveState") == "inactive").then_some(());
    eventually(PATIENCE, "the helper ends", gone).await.unwrap();
    assert_eq!(desk.unit(HELPER, "Result"), "success");
}
