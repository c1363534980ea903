//! A machine of its own, with another Nix, boots, builds, obeys and goes without a trace.

use std::{fs, path::PathBuf};

use data_encoding::BASE64;
use offload_tests::{
    Error, Namespace, NixDaemon, container::Desktop, process::run_command, supported,
};

/// A derivation that says where it was built, with a name that no other has.
fn derivation(name: &str) -> String {
    format!(
        "derivation {{ name = \"{name}\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"read -r id < /proc/sys/kernel/random/boot_id; echo $id > $out\" ]; }}"
    )
}

/// Both sides, or `None` with the reason said where this machine can't run them.
async fn desktop() -> Option<(Desktop, Namespace)> {
    let started = match Namespace::new() {
        Ok(namespace) => Desktop::start(&namespace)
            .await
            .map(|desktop| (desktop, namespace)),
        Err(error) => Err(error),
    };
    supported(started)
}

fn machine(desktop: &Desktop, protocol: &str) -> String {
    let key = BASE64.encode(desktop.host_key().unwrap().as_bytes());
    let user_key = desktop.user_key().display();
    format!(
        "{} x86_64-linux {user_key} 2 1 - - {key}",
        desktop.uri(protocol)
    )
}

#[tokio::test]
async fn a_desktop_of_its_own_builds_for_the_laptop_over_either_protocol() {
    let Some((desktop, namespace)) = desktop().await else {
        return;
    };
    let inside = desktop.container();
    assert_eq!(inside.run(&["hostname"]).unwrap().trim(), "desktop");
    assert_eq!(
        inside
            .run(&["systemctl", "is-system-running"])
            .unwrap()
            .trim(),
        "running"
    );
    assert!(inside.run(&["nix", "--version"]).unwrap().contains("2.26"));
    let here = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let there = desktop.boot_id().unwrap();
    assert_ne!(there, here.trim());

    let laptop = NixDaemon::start_inside(Some(namespace.laptop()))
        .await
        .unwrap();
    for protocol in ["ssh-ng", "ssh"] {
        let builders = machine(&desktop, protocol);
        let arguments = ["--max-jobs", "0", "--builders", &builders];
        let built = laptop
            .build(&derivation(protocol), &arguments)
            .await
            .unwrap();
        let says = fs::read_to_string(laptop.real_path(&built)).unwrap();
        assert_eq!(says.trim(), there, "{protocol}");
        inside
            .run(&["nix-store", "--check-validity", &built])
            .unwrap();
    }
}

#[tokio::test]
async fn a_desktop_says_its_version_and_obeys_its_switches() {
    let Some((mut desktop, namespace)) = desktop().await else {
        return;
    };
    let keys = tempfile::tempdir().unwrap();
    let known = keys.path().join("known_hosts");
    let remember = |desktop: &Desktop| {
        let line = format!("{} {}\n", Namespace::DESKTOP, desktop.host_key().unwrap());
        fs::write(&known, line).unwrap();
    };
    remember(&desktop);
    // As Nix's ssh does, with the keys of this test alone.
    let ping = |desktop: &Desktop| {
        let mut command = namespace.command("sh".as_ref());
        let options = format!(
            "-F none -oBatchMode=yes -oStrictHostKeyChecking=yes -oGlobalKnownHostsFile=none \
             -oUserKnownHostsFile={} -oConnectTimeout=2 -oIdentitiesOnly=yes -i {}",
            known.display(),
            desktop.user_key().display()
        );
        let uri = desktop.uri("ssh-ng");
        // What it has to say goes to stderr.
        let ping =
            "exec nix --extra-experimental-features nix-command store ping --store \"$0\" 2>&1";
        run_command(
            command
                .env("NIX_SSHOPTS", options)
                .env("HOME", keys.path())
                .args(["-c", ping, &uri]),
        )
    };
    let said = ping(&desktop).unwrap();
    assert!(said.contains("Version: 2.26"), "{said}");

    desktop.authorise_with("command=\"/bin/false\"").unwrap();
    assert!(
        ping(&desktop).is_err(),
        "a forced command is not nix-daemon"
    );
    desktop.authorise().unwrap();
    desktop.stop_nix().unwrap();
    assert!(ping(&desktop).is_err(), "no daemon listens");
    desktop.restart_nix().unwrap();
    ping(&desktop).unwrap();

    desktop.set_nix("trusted-users", "root").unwrap();
    let trusts = "NIX_REMOTE=daemon nix store info --json";
    let trusts = [
        "setpriv",
        "--reuid",
        "nix-builder",
        "--init-groups",
        "sh",
        "-c",
        trusts,
    ];
    let said = desktop.container().run(&trusts).unwrap();
    assert!(said.contains("\"trusted\":0"), "{said}");
    desktop.set_nix("trusted-users", "nix-builder").unwrap();
    let said = desktop.container().run(&trusts).unwrap();
    assert!(said.contains("\"trusted\":1"), "{said}");

    desktop.swap_host_key().unwrap();
    assert!(ping(&desktop).is_err(), "another host key went through");
    remember(&desktop);
    ping(&desktop).unwrap();

    desktop.container().freeze().unwrap();
    assert!(ping(&desktop).is_err(), "a frozen machine answered");
    desktop.container().thaw().unwrap();
    ping(&desktop).unwrap();

    let before = desktop.boot_id().unwrap();
    desktop.stop();
    assert!(matches!(desktop.boot_id(), Err(Error::Gone(_))));
    desktop.boot().await.unwrap();
    assert_ne!(desktop.boot_id().unwrap(), before);
    ping(&desktop).unwrap();
}

#[tokio::test]
async fn two_desktops_stand_side_by_side_and_leave_nothing() {
    let Some((first, _one)) = desktop().await else {
        return;
    };
    let Some((second, _other)) = desktop().await else {
        return;
    };
    assert_ne!(first.boot_id().unwrap(), second.boot_id().unwrap());
    first.container().write("/root/mark", "first\n").unwrap();
    assert!(
        second
            .container()
            .run(&["test", "-e", "/root/mark"])
            .is_err()
    );
    let roots: Vec<PathBuf> = [&first, &second]
        .map(|desktop| desktop.container().path("/"))
        .into();
    let nspawn = first.container().process().unwrap().id();
    let group = cgroup(nspawn);
    assert!(exists(&group), "{group}");

    drop(first);
    assert_eq!(
        second.container().run(&["cat", "/etc/hostname"]).unwrap(),
        "desktop\n"
    );
    assert!(!fs::exists(format!("/proc/{nspawn}")).unwrap());
    drop(second);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for root in roots {
        assert!(!root.exists(), "{}", root.display());
        assert!(!mounts.contains(&root.to_string_lossy().into_owned()));
    }
    assert!(!exists(&group), "{group}");
}

/// The control group that was made for the container of this systemd-nspawn, which sits in one
/// below it.
fn cgroup(nspawn: u32) -> String {
    let groups = fs::read_to_string(format!("/proc/{nspawn}/cgroup")).unwrap();
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let (above, _) = unified.unwrap().rsplit_once('/').unwrap();
    assert!(above.contains("/offload-"), "{groups}");
    above.to_owned()
}

/// Either layout's place for the unified hierarchy.
fn exists(group: &str) -> bool {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    roots
        .iter()
        .any(|root| fs::exists(format!("{root}{group}")).unwrap())
}
