//! The Debian package on a Debian: installed, upgraded, removed, purged, and its units under systemd.

// A test program is a test throughout, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use offload_tests::{
    Namespace,
    container::Container,
    eventually,
    package::package,
    process::{run_command, system_program},
    supported,
};

const PATIENCE: Duration = Duration::from_secs(20);
const UNITS: [&str; 9] = [
    "offload-gateway.socket",
    "offload-helper.service",
    "offload-helper.socket",
    "offload-hold.service",
    "offload-metrics.socket",
    "offload-ready.path",
    "offload-ready.target",
    "offload-wait-ready.service",
    "offloadd.service",
];

/// A Debian that runs, with the package of that revision at `/root/1.deb` and so on; `None`, and the reason
/// said, where this machine can't have one.
async fn debian(revisions: &[u32]) -> Option<(Container, Namespace)> {
    let made = async {
        let mut packages = Vec::new();
        for revision in revisions {
            packages.push((revision, package(*revision).await?));
        }
        let namespace = Namespace::new()?;
        let mut machine = Container::new("laptop").await?;
        for (revision, package) in packages {
            fs::copy(package, machine.path(&format!("/root/{revision}.deb"))).unwrap();
        }
        machine.boot(namespace.laptop()).await?;
        Ok((machine, namespace))
    };
    supported(made.await)
}

#[tokio::test]
async fn the_package_comes_runs_is_upgraded_and_goes_without_a_trace() {
    let Some((machine, _namespace)) = debian(&[1, 2]).await else {
        return;
    };
    let before = files(&machine);
    installed_it_runs(&machine);
    the_target_waits_for_a_builder(&machine).await;
    upgraded_it_runs_on_as_the_administrator_wants(&machine).await;
    removed_it_is_gone_but_for_the_configuration(&machine);
    installed_again_it_runs_again(&machine);
    it_has_learnt_and_an_administrator_has_enabled_more(&machine);
    purged_nothing_is_left(&machine, &before);
}

fn installed_it_runs(machine: &Container) {
    run(machine, "dpkg --install /root/1.deb");
    assert_eq!(
        run(machine, "systemctl is-enabled offloadd.service"),
        "enabled"
    );
    assert_eq!(
        run(machine, "systemctl is-enabled offload-ready.path"),
        "enabled"
    );
    assert_eq!(
        run(machine, "systemctl is-active offloadd.service"),
        "active"
    );
    assert_eq!(
        run(machine, "systemctl is-active offload-ready.path"),
        "active"
    );
    // No restart was needed: the bus knew the user when the daemon asked for the name.
    assert_eq!(property(machine, "NRestarts"), "0");
    let status = run(machine, "systemctl status --no-pager offloadd.service");
    assert!(
        status.contains("Status: \"unknown: not-configured\""),
        "{status}"
    );
    assert!(status.contains("notify-reload.conf"), "{status}");
    let catalog = run(machine, "journalctl --list-catalog");
    assert!(catalog.contains("offloadd"), "{catalog}");
    let user = run(machine, "getent passwd offloadd");
    assert!(
        user.ends_with(":/var/cache/offloadd:/usr/sbin/nologin"),
        "{user}"
    );
    let groups = run(machine, "id -nG offloadd");
    assert!(
        groups.split(' ').any(|group| group == "nix-users"),
        "{groups}"
    );
    run(
        machine,
        "busctl introspect org.offloadd.Offload1 /org/offloadd/Offload1",
    );
    // A call starts it, through systemd, where it does not run.
    run(machine, "systemctl stop offloadd.service");
    let version = "busctl get-property org.offloadd.Offload1 /org/offloadd/Offload1 \
                   org.offloadd.Offload1.Manager Version";
    assert!(run(machine, version).starts_with("s \""));
    assert_eq!(
        run(machine, "systemctl is-active offloadd.service"),
        "active"
    );
}

/// Whoever starts the target waits for a builder, and its service hears of the daemon meanwhile.
async fn the_target_waits_for_a_builder(machine: &Container) {
    run(machine, "systemctl start --no-block offload-ready.target");
    eventually(PATIENCE, "offload-hold.service waits", async || {
        let show =
            "systemctl show --property=StatusText,ActiveState,NRestarts offload-hold.service";
        let state = run(machine, show);
        let waits = [
            "StatusText=waiting",
            "ActiveState=activating",
            "NRestarts=0",
        ];
        waits.iter().all(|line| state.contains(line)).then_some(())
    })
    .await
    .unwrap();
    run(
        machine,
        "systemctl stop offload-ready.target offload-hold.service",
    );
}

async fn upgraded_it_runs_on_as_the_administrator_wants(machine: &Container) {
    run(
        machine,
        "systemctl disable --quiet --now offload-ready.path",
    );
    machine
        .write("/etc/offloadd/config.toml", "[poll]\ninterval = \"20s\"\n")
        .unwrap();
    let process = property(machine, "MainPID");
    run(machine, "dpkg --install /root/2.deb");
    assert!(run(machine, "dpkg-query --show offloadd").ends_with("-2"));
    assert_ne!(property(machine, "MainPID"), process);
    assert_eq!(
        run(machine, "systemctl is-active offloadd.service"),
        "active"
    );
    let enabled = run(machine, "systemctl is-enabled offload-ready.path || true");
    assert_eq!(enabled, "disabled");
    eventually(PATIENCE, "the bus has it", async || {
        machine
            .run(&["busctl", "status", "org.offloadd.Offload1"])
            .ok()
    })
    .await
    .unwrap();
}

fn removed_it_is_gone_but_for_the_configuration(machine: &Container) {
    run(machine, "dpkg --remove offloadd");
    let units = run(machine, "systemctl list-units --all --no-legend 'offload*'");
    assert!(
        !units.contains("running") && !units.contains("waiting"),
        "{units}"
    );
    assert!(
        machine
            .run(&["busctl", "status", "org.offloadd.Offload1"])
            .is_err()
    );
    assert!(machine.path("/etc/offloadd/config.toml").exists());
    assert!(!machine.path("/usr/bin/offloadd").exists());
    let failed = run(machine, "systemctl --failed --no-legend");
    assert_eq!(failed, "");
}

fn installed_again_it_runs_again(machine: &Container) {
    run(machine, "dpkg --install /root/2.deb");
    assert_eq!(
        run(machine, "systemctl is-active offloadd.service"),
        "active"
    );
    let checked = run(machine, "offloadd --check-config");
    assert!(checked.contains("20s"), "{checked}");
}

/// By systemctl, of which the package does not hear.
fn it_has_learnt_and_an_administrator_has_enabled_more(machine: &Container) {
    run(machine, "systemctl stop offloadd.service");
    run(
        machine,
        "systemctl enable --now --quiet offload-gateway.socket offload-metrics.socket",
    );
    run(machine, "systemctl enable --quiet offload-ready.path");
    run(machine, "systemctl start offloadd.service");
    run(machine, "systemctl mask --quiet offload-wait-ready.service");
    let state = "/var/lib/offloadd/state.json";
    run(
        machine,
        &format!("echo '{{}}' > {state} && chown offloadd {state}"),
    );
    assert_eq!(
        run(machine, "systemctl is-enabled offload-gateway.socket"),
        "enabled"
    );
}

fn purged_nothing_is_left(machine: &Container, before: &BTreeSet<String>) {
    run(machine, "dpkg --purge offloadd");
    let after = files(machine);
    let left: Vec<_> = after
        .difference(before)
        .filter(|file| !is_kept(file))
        .collect();
    assert!(left.is_empty(), "left: {left:#?}");
    let lost: Vec<_> = before
        .difference(&after)
        .filter(|file| !is_kept(file))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:#?}");
    let catalog = run(machine, "journalctl --list-catalog");
    assert!(!catalog.contains("offloadd"), "{catalog}");
    let loaded = run(
        machine,
        "systemctl list-unit-files --no-legend 'offload*' || true",
    );
    assert_eq!(loaded, "");
}

/// What changes by itself, or is another package's record of what happened.
fn is_kept(file: &str) -> bool {
    let places = [
        "/var/lib/dpkg/",
        "/var/log/",
        "/var/lib/systemd/",
        "/var/tmp/",
        "/var/cache/ldconfig/",
        // Nix's own daemon lays them out when it is first spoken to: offloadd asks for its version.
        "/nix/store",
        "/nix/var/nix/",
    ];
    places.iter().any(|place| file.starts_with(place))
        // Copies of what was there before the user was added, and their locks.
        || ["/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/.pwd.lock"].contains(&file)
}

/// Everything that is on its disk.
fn files(machine: &Container) -> BTreeSet<String> {
    let found = run(machine, "find / -xdev -not -path '/root/*'");
    found.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn systemd_accepts_every_unit_and_finds_the_daemon_well_locked_up() {
    let Some((machine, _namespace)) = debian(&[1]).await else {
        return;
    };
    run(&machine, "dpkg --install /root/1.deb");
    // There is no man(1) in it.
    let verify = format!("systemd-analyze verify --man=no {} 2>&1", UNITS.join(" "));
    assert_eq!(run(&machine, &verify), "");
    let shipped = run(
        &machine,
        "ls /usr/lib/systemd/system | grep '^offload.*[a-z]$' | grep -v '[.]d$'",
    );
    assert_eq!(shipped.lines().collect::<Vec<_>>(), UNITS);
    for unit in UNITS.iter().filter(|unit| unit.ends_with(".service")) {
        let exposure = exposure(&machine, unit);
        println!("{unit}: {exposure}");
        // Root, who may read everything.
        let most = match *unit {
            "offload-helper.service" => 2.0,
            _ => 1.5,
        };
        assert!(exposure <= most, "{unit}: {exposure}");
    }
}

/// What `systemd-analyze security` says in the end: `→ Overall exposure level for X: 1.3 OK :-)`.
fn exposure(machine: &Container, unit: &str) -> f64 {
    let report = run(
        machine,
        &format!("systemd-analyze security --no-pager {unit}"),
    );
    let last = report.lines().last().unwrap_or_default();
    let level = last.rsplit(": ").next().unwrap_or_default();
    let number = level.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("{report}"))
}

#[tokio::test]
async fn lintian_finds_no_errors() {
    let checked = async {
        let lintian = system_program("lintian", "lintian")?;
        Ok((lintian, package(1).await?))
    };
    let Some((lintian, package)) = supported(checked.await) else {
        return;
    };
    let mut command = Command::new(lintian);
    command.args(["--fail-on", "error"]).arg(&package);
    if rustix::process::geteuid().is_root() {
        command.arg("--allow-root");
    }
    println!("{}", run_command(&mut command).unwrap());
    holds_what_is_installed(&package);
}

/// The links are links.
fn holds_what_is_installed(package: &Path) {
    let mut list = Command::new("dpkg-deb");
    let list = run_command(list.arg("--contents").arg(package)).unwrap();
    assert!(
        list.contains("./usr/bin/offload-status -> offloadctl"),
        "{list}"
    );
    assert!(
        list.contains("./usr/bin/offload-test-build -> offloadctl"),
        "{list}"
    );
}

fn property(machine: &Container, name: &str) -> String {
    run(
        machine,
        &format!("systemctl show --value --property={name} offloadd.service"),
    )
}

/// A line for its shell; what it printed, without the last line's end.
fn run(machine: &Container, line: &str) -> String {
    // Its shell starts in no directory of its own.
    let printed = machine.run(&["sh", "-c", &format!("cd /; {line}")]);
    let printed = printed.unwrap_or_else(|error| {
        panic!("{line}: {error}\n{}", machine.journal().unwrap_or_default())
    });
    printed.trim_end().to_owned()
}
