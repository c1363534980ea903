//! Who may do what: the bus's policy, the real polkit with the actions as they are installed, and
//! what an administrator says.

use std::fmt::Write;

use offload_client::OverallState;
use offload_tests::{eventually, laptop::Run};

use crate::desk::{DAEMON, Desk, PATIENCE};

const NAME: &str = "org.offloadd.Offload1";
const PATH: &str = "/org/offloadd/Offload1";
const MANAGER: &str = "org.offloadd.Offload1.Manager";
/// Where an administrator's rules are; polkit reads them anew when one changes.
const RULES: &str = "/etc/polkit-1/rules.d/50-offloadd.rules";
/// pkcheck(1): authorised; not; not without a password, which nobody is there to be asked for.
const YES: i32 = 0;
const NO: i32 = 1;
const PASSWORD: i32 = 2;

#[tokio::test]
async fn everybody_may_look_and_an_administrator_decides_the_rest() {
    let Some(desk) = Desk::start().await else {
        return;
    };
    everybody_may_look_and_check(&desk);
    nobody_else_may_have_the_name(&desk);
    only_root_may_pause(&desk).await;
    polkit_knows_whom_it_lets(&desk);
    polkit_lets_who_sits_before_it(&desk).await;
    an_administrator_lets_and_refuses(&desk).await;
    without_polkit_everybody_may_check_and_only_root_the_rest(&desk);
    root_sets_the_log_level(&desk);
    once_it_is_disabled_nobody_starts_it(&desk).await;
}

fn root_sets_the_log_level(desk: &Desk) {
    let level = ["systemctl", "service-log-level", DAEMON];
    assert_eq!(desk.run(&level).trim(), "info");
    desk.run(&[&level[..], &["debug"]].concat());
    assert_eq!(desk.run(&level).trim(), "debug");
    let target = ["systemctl", "service-log-target", DAEMON];
    assert_eq!(desk.run(&target).trim(), "journal");
    let control = [
        "/org/freedesktop/LogControl1",
        "org.freedesktop.LogControl1",
    ];
    let set = [
        &["busctl", "set-property", NAME],
        &control[..],
        &["LogLevel", "s", "info"],
    ]
    .concat();
    let refused = desk.laptop.user(&set).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(desk.run(&level).trim(), "debug");
    desk.run(&[&level[..], &["info"]].concat());
}

async fn once_it_is_disabled_nobody_starts_it(desk: &Desk) {
    let ask = ["busctl", "get-property", NAME, PATH, MANAGER, "State"];
    for (off, on) in [("disable", "enable"), ("mask", "unmask")] {
        desk.run(&["systemctl", "--quiet", off, "--now", DAEMON]);
        let asked = desk.laptop.user(&ask).unwrap();
        assert_eq!(asked.code, 1, "{off}: {asked:?}");
        let status = desk.laptop.user(&["offloadctl"]).unwrap();
        assert_eq!(status.code, 4, "{off}: {status:?}");
        let way = "`systemctl enable --now offloadd`";
        assert!(status.stderr.contains(way), "{off}: {status:?}");
        assert_eq!(desk.unit(DAEMON, "ActiveState"), "inactive", "{off}");
        desk.run(&["systemctl", "--quiet", on, DAEMON]);
    }
    // Enabled, who asks for it starts it, and hears what it has found.
    desk.run(&["systemctl", "--quiet", "enable", DAEMON]);
    let status = desk.laptop.user(&["offloadctl"]).unwrap();
    assert_eq!(status.code, 0, "{status:?}");
    assert_eq!(desk.unit(DAEMON, "ActiveState"), "active");
    desk.until_ready().await;
}

fn everybody_may_look_and_check(desk: &Desk) {
    let introspect = ["busctl", "--no-pager", "introspect", NAME, PATH];
    let said = desk.laptop.user(&introspect).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    for word in [MANAGER, ".Check", ".Describe", ".BuilderState"] {
        assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    let tree = ["busctl", "--no-pager", "tree", "--list", NAME];
    let said = desk.laptop.user(&tree).unwrap();
    for object in ["builder/desktop", "cache/desktop"] {
        assert!(
            said.stdout.contains(&format!("{PATH}/{object}")),
            "{said:?}"
        );
    }
    let said = desk.laptop.user(&call("Check", &[])).unwrap();
    assert_eq!(said.stdout.trim(), "s \"ready\"", "{said:?}");
    let status = desk.laptop.user(&["offloadctl", "check"]).unwrap();
    assert_eq!(status.code, 0, "{status:?}");
}

fn nobody_else_may_have_the_name(desk: &Desk) {
    let bus = ["org.freedesktop.DBus", "/org/freedesktop/DBus"];
    let request = ["RequestName", "su", NAME, "2"];
    let own = [&["busctl", "call"], &bus[..], &bus[..1], &request[..]].concat();
    let refused = desk.laptop.user(&own).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("Access denied"), "{refused:?}");
    // Root may, but it is taken (DBUS_REQUEST_NAME_REPLY_IN_QUEUE), and not to be taken away.
    let queued = desk.laptop.root(&own).unwrap();
    assert_eq!(queued.stdout.trim(), "u 2", "{queued:?}");
    let owner = ["busctl", "--no-pager", "status", NAME];
    let owner = desk.laptop.user(&owner).unwrap();
    let pid = format!("PID={}\n", desk.unit(DAEMON, "MainPID"));
    assert!(owner.stdout.contains(&pid), "{owner:?}");
}

async fn only_root_may_pause(desk: &Desk) {
    for command in [call("Pause", &["t", "0"]), call("Resume", &[])] {
        let refused = desk.laptop.user(&command).unwrap();
        assert!(is_refused(&refused), "{refused:?}");
        assert!(refused.stderr.contains("polkit would ask for a password"));
    }
    desk.until_ready().await;
    desk.run(&call("Pause", &["t", "0"]));
    let paused = |said: &offload_client::Snapshot| said.state == OverallState::Paused;
    desk.until("it is paused", paused).await;
    desk.run(&["offloadctl", "resume"]);
    desk.until_ready().await;
}

fn polkit_knows_whom_it_lets(desk: &Desk) {
    let actions = [
        ("check", YES),
        ("discover", PASSWORD),
        ("test-build", PASSWORD),
        ("pause", PASSWORD),
    ];
    for (action, answer) in actions {
        let said = desk.laptop.user(&pkcheck(action)).unwrap();
        assert_eq!(said.code, answer, "{action}: {said:?}");
        let shown = ["pkaction", "--verbose", "--action-id", &id(action)];
        assert!(desk.run(&shown).contains("description:"), "{action}");
    }
    // What it does not know it lets nobody do.
    let said = desk.laptop.user(&pkcheck("no-such-action")).unwrap();
    assert!(![YES, PASSWORD].contains(&said.code), "{said:?}");
    // And offloadd asks it: without a password there is no test build for who is not there.
    let build = ["offloadctl", "test-build", "desktop"];
    let refused = desk.laptop.user(&build).unwrap();
    assert_ne!(refused.code, 0, "{refused:?}");
}

/// Somebody who is logged in at the machine itself, and whose turn it is.
async fn polkit_lets_who_sits_before_it(desk: &Desk) {
    let pam = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_systemd.so\n";
    desk.laptop
        .container()
        .write("/etc/pam.d/seat", pam)
        .unwrap();
    for (action, answer) in [
        ("check", YES),
        ("discover", YES),
        ("test-build", YES),
        ("pause", PASSWORD),
    ] {
        let said = at_the_seat(desk, &pkcheck(action));
        assert_eq!(said.code, answer, "{action}: {said:?}\n{}", desk.journal());
    }
    let built = at_the_seat(desk, &["offloadctl", "test-build", "desktop"]);
    assert_eq!(built.code, 0, "{built:?}");
    let found = at_the_seat(desk, &call("Discover", &[]));
    assert_eq!(found.code, 0, "{found:?}");
    let refused = at_the_seat(desk, &call("Pause", &["t", "0"]));
    assert!(is_refused(&refused), "{refused:?}");
}

async fn an_administrator_lets_and_refuses(desk: &Desk) {
    rule(desk, &[("pause", "YES"), ("check", "NO")]);
    // polkit hears of the file by inotify.
    let heard = eventually(PATIENCE, "polkit has read the rule", async || {
        let said = desk.laptop.user(&pkcheck("pause")).unwrap();
        (said.code == YES).then_some(())
    });
    heard.await.unwrap();
    assert_eq!(desk.laptop.user(&pkcheck("check")).unwrap().code, NO);

    for command in [call("Pause", &["t", "0"]), call("Resume", &[])] {
        let said = desk.laptop.user(&command).unwrap();
        assert_eq!(said.code, 0, "{said:?}");
    }
    let refused = desk.laptop.user(&call("Check", &[])).unwrap();
    assert!(is_refused(&refused), "{refused:?}");
    assert!(refused.stderr.contains("polkit refuses it"), "{refused:?}");
    // Root is not asked about, and looking is still free.
    desk.run(&call("Check", &[]));
    assert_eq!(desk.laptop.user(&["offloadctl", "status"]).unwrap().code, 0);
}

fn without_polkit_everybody_may_check_and_only_root_the_rest(desk: &Desk) {
    desk.run(&[
        "systemctl",
        "mask",
        "--runtime",
        "--now",
        "--quiet",
        "polkit.service",
    ]);
    let said = desk.laptop.user(&call("Check", &[])).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    let refused = desk.laptop.user(&call("Pause", &["t", "0"])).unwrap();
    assert!(is_refused(&refused), "{refused:?}");
    assert!(refused.stderr.contains("only root may"), "{refused:?}");
    desk.run(&["offloadctl", "pause", "1h"]);
    desk.run(&["offloadctl", "resume"]);
}

/// Replaces the administrator's rules for `ada`.
fn rule(desk: &Desk, results: &[(&str, &str)]) {
    let mut text = String::from("polkit.addRule(function(action, subject) {\n");
    for (action, result) in results {
        let _ = writeln!(
            text,
            "  if (action.id == \"{}\" && subject.user == \"ada\") return polkit.Result.{result};",
            id(action)
        );
    }
    text += "});\n";
    desk.laptop.container().write(RULES, &text).unwrap();
}

/// As the ordinary user in a session at the machine's seat.
fn at_the_seat(desk: &Desk, command: &[&str]) -> Run {
    let session = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--expand-environment=no",
        "--uid=ada",
        "--property=PAMName=seat",
        "--setenv=XDG_SEAT=seat0",
        "--setenv=XDG_SESSION_TYPE=tty",
        "--setenv=XDG_SESSION_CLASS=user",
        "--",
    ];
    desk.laptop.root(&[&session[..], command].concat()).unwrap()
}

fn pkcheck(action: &str) -> Vec<&str> {
    let ask = "exec pkcheck --action-id \"org.offloadd.Offload1.$0\" --process $$";
    vec!["sh", "-c", ask, action]
}

fn id(action: &str) -> String {
    format!("{NAME}.{action}")
}

/// A call of the Manager's.
fn call<'a>(member: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [&["busctl", "call", NAME, PATH, MANAGER, member], arguments].concat()
}

fn is_refused(run: &Run) -> bool {
    run.code == 1 && run.stderr.contains("may not do that")
}
