//! `make install` on a laptop that runs, as docs/install.md says it, and `make uninstall`.

use std::{collections::BTreeSet, process::Command};

use offload_tests::{
    container::Suite,
    package::root,
    process::{run_command, system_program},
};

use crate::desk::{DAEMON, Desk};

#[tokio::test]
async fn laid_by_make_it_works_and_taken_away_nothing_is_left() {
    let Some(desk) = Desk::bare(Suite::from_environment()).await else {
        return;
    };
    let before = files(&desk);
    make(&desk, "install");
    for command in [
        &["systemd-sysusers"][..],
        &["systemctl", "reload", "dbus"],
        &[
            "systemctl",
            "--quiet",
            "enable",
            "--now",
            DAEMON,
            "offload-ready.path",
        ],
    ] {
        desk.run(command);
    }
    desk.until_ready().await;
    let page = desk.laptop.user(&["offloadctl"]).unwrap();
    assert_eq!(page.code, 0, "{page:?}");
    let built = desk.laptop.root(&["offload-test-build"]).unwrap();
    assert_eq!(built.code, 0, "{built:?}\n{}", desk.journal());
    desk.until_unit("offload-ready.target", "active").await;

    let disable = ["systemctl", "--quiet", "disable", "--now"];
    let enabled = ["offload-ready.path", "offload-gateway.socket", DAEMON];
    desk.run(&[&disable[..], &enabled].concat());
    let stop = ["systemctl", "stop"];
    let rest = [
        "offload-ready.target",
        "offload-hold.service",
        "offload-helper.socket",
        "offload-helper.service",
    ];
    desk.run(&[&stop[..], &rest].concat());
    make(&desk, "uninstall");
    desk.run(&["systemctl", "daemon-reload"]);
    desk.run(&["userdel", "offloadd"]);
    desk.run(&["rm", "-r", "/var/lib/offloadd", "/var/cache/offloadd"]);
    let left = files(&desk);
    let left: Vec<_> = left.difference(&before).collect();
    assert!(left.is_empty(), "{left:#?}");
}

fn make(desk: &Desk, target: &str) {
    let mut make = Command::new(system_program("make", "make").unwrap());
    let top = desk.laptop.container().path("/");
    make.current_dir(root())
        .arg(target)
        .arg(format!(
            "DESTDIR={}",
            top.display().to_string().trim_end_matches('/')
        ))
        .arg("PROFILE=dev");
    run_command(&mut make).unwrap();
}

/// All that is installed, configured or kept; empty folders are nothing.
fn files(desk: &Desk) -> BTreeSet<String> {
    let places = [
        "/etc",
        "/usr",
        "/var/lib",
        "/var/cache",
        "/run/systemd",
        "/opt",
    ];
    // What others keep of the day: the time, leases, the journal's catalog, Nix.
    let find = [
        &["find"],
        &places[..],
        &[
            "-not",
            "-path",
            "/var/lib/systemd/*",
            "-not",
            "-type",
            "d",
            "-not",
            "-path",
            "/etc/*-",
            "-not",
            "-path",
            "/run/systemd/*/*",
        ],
    ]
    .concat();
    let found = desk.run(&find);
    found.lines().map(str::to_owned).collect()
}
