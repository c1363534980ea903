//! What a person meets: the name that was typed, a page longer than the screen, a second daemon.

use std::os::unix::process::CommandExt;

use crate::common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, Run, command, finish, spawn},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

/// On a terminal of ten rows and eighty columns, where the pager marks what goes through it.
async fn on_a_terminal(bus: &Bus, rows: u32, args: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_offloadctl");
    let typed = format!(
        "stty rows {rows} cols 80; exec {program} --bus '{}' {args}",
        bus.address
    );
    let mut script = tokio::process::Command::new("script");
    script
        .args(["-qec", &typed, "/dev/null"])
        .env("PAGER", "sed s/^/paged:/")
        .env("TERM", "xterm")
        .env_remove("SYSTEMD_PAGER")
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    finish(script).await
}

#[tokio::test]
async fn a_page_longer_than_the_screen_goes_through_a_pager_and_a_shorter_one_does_not() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let long = on_a_terminal(&bus, 5, "").await;
    assert_eq!(long.code, 3, "{long:?}");
    assert!(long.stdout.starts_with("paged:▲ degraded: "), "{long:?}");
    let mut lines = long.stdout.lines();
    assert!(lines.all(|line| line.starts_with("paged:")), "{long:?}");

    let short = on_a_terminal(&bus, 60, "").await;
    assert!(!short.stdout.contains("paged:"), "{short:?}");
    assert_eq!(short.stdout, long.stdout.replace("paged:", ""));
}

#[tokio::test]
async fn without_a_pager_the_verdict_stands_where_it_is_seen() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let page = on_a_terminal(&bus, 5, "--no-pager").await.stdout;
    let mut lines = page.lines();
    let verdict = lines.next().unwrap();
    assert!(verdict.starts_with("▲ degraded: "), "{page}");
    assert_eq!(lines.last(), Some(verdict), "{page}");
    // And not twice where both ends fit.
    let page = on_a_terminal(&bus, 60, "--no-pager").await.stdout;
    assert_eq!(page.matches("▲ degraded: ").count(), 1, "{page}");
}

#[tokio::test]
async fn what_went_wrong_is_said_by_the_name_that_was_typed() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, ready()).await;
    for name in ["offload-status", "offload-test-build", "offloadctl"] {
        let mut unknown = command(&[]);
        unknown.as_std_mut().arg0(name);
        if name == "offloadctl" {
            unknown.arg("status");
        }
        unknown.args(["laptop", "--bus", &bus.address]);
        let run = finish(unknown).await;
        assert_eq!(run.code, 64, "{run:?}");
        let start = format!("{name}: there is no target called laptop; ");
        assert!(run.stderr.starts_with(&start), "{run:?}");
    }
    let mut wrong = command(&[]);
    wrong.as_std_mut().arg0("/usr/bin/offload-status");
    wrong.arg("--frobnicate");
    let run = finish(wrong).await;
    assert_eq!(run.code, 64);
    assert!(run.stderr.contains("Usage: offload-status "), "{run:?}");
    assert!(!run.stderr.contains("offloadctl"), "{run:?}");
}

#[tokio::test]
async fn which_of_two_daemons_was_asked_is_said() {
    let (system, embedded) = (Bus::start().await, Bus::start().await);
    let _of_system = Fake::start(&system, ready()).await;
    let ask = async |args: &[&str]| {
        let mut ask = command(args);
        ask.env("DBUS_SYSTEM_BUS_ADDRESS", &system.address)
            .env("OFFLOADD_RUNTIME_DIR", embedded.runtime_dir());
        finish(ask).await
    };
    // A socket that nobody is behind is no second one.
    let alone = ask(&["status"]).await.stdout;
    assert!(!alone.contains("another one"), "{alone}");

    let _of_its_own = Fake::start(&embedded, builder_down()).await;
    let both = ask(&["status"]).await;
    assert_eq!(both.code, 0);
    let told = both.stdout.strip_prefix(&alone).unwrap_or_default();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        told,
        format!(
            "So says the daemon on the system bus; another one is there with `--bus unix:path={}`.",
            embedded.dir.path().join("embedded/bus").display()
        )
    );
    // A page is a page, whoever makes it.
    let tree = embedded.dir.path().to_str().unwrap();
    let doctor = ask(&["doctor", "--config-dir", tree]).await.stdout;
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&doctor).ends_with(&told), "{doctor}");
    let mut watch = command(&["watch"]);
    watch
        .env("DBUS_SYSTEM_BUS_ADDRESS", &system.address)
        .env("OFFLOADD_RUNTIME_DIR", embedded.runtime_dir());
    let mut watch = spawn(watch);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut page = String::new();
    while !flat(&page).ends_with(&told) {
        let line = timeout(LIMIT, lines.next_line()).await;
        page += &(line.unwrap_or_else(|_| panic!("{page}")).unwrap().unwrap() + "\n");
    }
    // Who named one knows, and a program reads nothing but its document.
    let named = ask(&["status", "--bus", "embedded"]).await.stdout;
    assert!(!named.contains("another one"), "{named}");
    let json = ask(&["--json"]).await.stdout;
    assert!(!json.contains("another one"), "{json}");
}
