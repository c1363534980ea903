//! `offloadctl bar` through a bar's day, and the snippets in `client/bars`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "bar/widgets.rs"]
mod widgets;

use std::{fs, path::Path};

use common::{
    Bus,
    fake::{Fake, builder_down, ready},
    program::{LIMIT, collect, offloadctl, on, spawn},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

const FORMATS: [&str; 8] = [
    "waybar",
    "i3status-rust",
    "i3blocks",
    "polybar",
    "genmon",
    "tmux",
    "json",
    "plain",
];

struct Bar {
    // Ends with the test.
    _program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Bar {
    fn start(bus: &Bus, format: &str) -> Self {
        let mut program = spawn(on(bus, &["bar", "--format", format]));
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        Self {
            _program: program,
            lines,
        }
    }

    async fn line(&mut self) -> String {
        let line = timeout(LIMIT, self.lines.next_line()).await;
        line.unwrap().unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_line_comes_at_once_and_at_each_change_through_restarts_of_daemon_and_bus() {
    let mut bus = Bus::start().await;
    let mut bar = Bar::start(&bus, "plain");
    assert_eq!(bar.line().await, "? no offloadd");
    let fake = Fake::start(&bus, ready()).await;
    assert_eq!(bar.line().await, "✔ ready");
    fake.change(builder_down(), 1).await;
    assert_eq!(bar.line().await, "▲ degraded");
    fake.stop().await;
    assert_eq!(bar.line().await, "? no offloadd");
    let _fake = Fake::start(&bus, ready()).await;
    assert_eq!(bar.line().await, "✔ ready");
    bus.stop().await;
    assert_eq!(bar.line().await, "? no offloadd");
    bus.start_again().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    assert_eq!(bar.line().await, "▲ degraded");
}

#[tokio::test]
async fn without_a_bus_it_says_so_and_waits_for_one() {
    let mut bus = Bus::start().await;
    bus.stop().await;
    let mut bar = Bar::start(&bus, "plain");
    assert_eq!(bar.line().await, "? no offloadd");
    bus.start_again().await;
    let _fake = Fake::start(&bus, ready()).await;
    assert_eq!(bar.line().await, "✔ ready");
}

#[tokio::test]
async fn after_many_changes_the_last_line_is_the_truth_and_none_comes_twice_in_a_row() {
    let bus = Bus::start().await;
    let fake = Fake::start(&bus, ready()).await;
    let mut bar = Bar::start(&bus, "json");
    let mut last = bar.line().await;
    for _ in 0..500 {
        fake.change(builder_down(), 1).await;
        fake.change(ready(), 1).await;
    }
    let mut end = ready();
    end.state = offload_client::OverallState::Paused;
    fake.change(end, 1).await;
    while !last.contains("\"paused\"") {
        let next = bar.line().await;
        assert_ne!(next, last);
        last = next;
    }
    // Nothing comes after it: the next line is of the next change.
    fake.stop().await;
    assert!(bar.line().await.contains("\"no-daemon\""));
}

#[tokio::test]
async fn every_format_writes_once_where_it_is_asked_to() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    for format in FORMATS {
        let run = offloadctl(&bus, &["bar", "--format", format, "--once"]).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{format}");
        assert!(
            run.stdout.contains("▲ degraded"),
            "{format}: {}",
            run.stdout
        );
        assert!(run.stdout.ends_with('\n'), "{format}");
    }
    let mut command = on(&bus, &["bar", "--format", "plain", "--once"]);
    command.env("LC_ALL", "C");
    assert_eq!(collect(spawn(command)).await.stdout, "! degraded\n");
}

#[tokio::test]
async fn the_snippets_call_it_as_it_is() {
    let bars = Path::new(env!("CARGO_MANIFEST_DIR")).join("bars");
    let mut formats: Vec<_> = FORMATS.to_vec();
    for entry in fs::read_dir(&bars).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        // Quickshell's is a list of words.
        let text = text.replace("\", \"", " ");
        let calls: Vec<_> = text.match_indices("offloadctl bar").collect();
        assert!(!calls.is_empty(), "{}", path.display());
        for (at, _) in calls {
            let call = text[at..].split(['"', ')', '\n']).next().unwrap();
            let words = call.split_whitespace();
            let parsed = offload_client::cli::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{}: {call}: {parsed:?}", path.display());
            formats.retain(|format| !call.contains(&format!("--format {format}")));
        }
    }
    assert_eq!(formats, [""; 0], "without a snippet");
}
