//! The widgets of `client/examples`, each through a day: no daemon, ready, degraded with its remedy, gone, back.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::LIMIT,
};

#[tokio::test]
async fn the_widget_in_rust_tells_each_change() {
    day(built("widget"), "no offloadd").await;
}

#[tokio::test]
async fn the_block_for_i3bar_tells_each_change() {
    day(built("block"), "no offloadd").await;
}

/// Cargo builds examples beside the tests of a package.
fn built(example: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let examples = tests.ancestors().nth(2).unwrap().join("examples");
    let program = examples.join(example);
    assert!(program.exists(), "cargo build -p offload-client --examples");
    Command::new(program)
}

#[tokio::test]
async fn the_widget_in_python_tells_each_change() {
    if is_missing("/usr/lib/python3/dist-packages/dbus_next") {
        return;
    }
    let mut command = Command::new("/usr/bin/python3");
    command.arg(example("widget.py"));
    day(command, "no-daemon").await;
}

#[tokio::test]
async fn the_widget_in_gjs_tells_each_change() {
    if is_missing("/usr/bin/gjs") {
        return;
    }
    let mut command = Command::new("/usr/bin/gjs");
    command.arg(example("widget.js"));
    day(command, "no-daemon").await;
}

/// What a Debian has where `tests/run` has installed it.
fn is_missing(path: &str) -> bool {
    let is_missing = !Path::new(path).exists();
    if is_missing {
        println!("skipped: there is no {path}");
    }
    is_missing
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// `nobody`: what it says where there is no daemon.
async fn day(mut command: Command, nobody: &str) {
    let bus = Bus::start().await;
    let offloadctl = Path::new(env!("CARGO_BIN_EXE_offloadctl"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", offloadctl.parent().unwrap().display());
    let mut widget = command
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
        .env("OFFLOADD_RUNTIME_DIR", "/nonexistent")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(widget.stdout.take().unwrap()).lines();
    // What else it says of a state is in the same line, or comes before the next one.
    let mut line = String::new();
    let mut until = async |wanted: &str| {
        while !line.contains(wanted) {
            let next = timeout(LIMIT, lines.next_line()).await;
            let next = next.unwrap_or_else(|_| panic!("no word of {wanted}"));
            line = next.unwrap().unwrap();
        }
    };
    until(nobody).await;
    let fake = Fake::start(&bus, ready()).await;
    until("ready").await;
    fake.change(builder_down(), 1).await;
    until("degraded").await;
    until("connection refused").await;
    // The remedy.
    until("systemctl").await;
    fake.stop().await;
    until(nobody).await;
    let _fake = Fake::start(&bus, ready()).await;
    until("ready").await;
}
