use std::fs;

use proptest::prelude::*;
use rustix::process::kill_process;
use tokio::{
    io::{AsyncWriteExt, repeat},
    time::sleep,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// All that `script` writes, results first.
async fn run_sh(script: &str, bound: Duration) -> (io::Result<End>, String) {
    let (mut output, mut error) = (Vec::new(), Vec::new());
    let mut command = sh(script);
    let end = run(&mut command, Stdio::null(), bound, |stream, chunk| {
        match stream {
            Stream::Output => output.extend_from_slice(chunk),
            Stream::Error => error.extend_from_slice(chunk),
        }
        ControlFlow::Continue(())
    });
    let end = end.await;
    output.append(&mut error);
    (end, String::from_utf8(output).unwrap())
}

/// The processes named in `text`, one a line.
fn pids(text: &str) -> Vec<Pid> {
    let pids = text.lines().map(|line| line.parse().unwrap());
    pids.map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

/// Waits until they are gone: not even waiting to be reaped, where they are our own children.
async fn gone(pids: &[Pid]) {
    let own = std::process::id();
    let is_there = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
        let stat = stat.unwrap_or_default();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, parent) = (fields.next().unwrap_or_default(), fields.next());
        let is_ours = parent.is_some_and(|parent| parent.parse() == Ok(own));
        !state.is_empty() && (is_ours || !matches!(state, "Z" | "X"))
    };
    let waiting = async {
        while pids.iter().any(is_there) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("they go on");
}

#[tokio::test]
async fn both_outputs_and_the_status_are_heard() {
    let (end, heard) = run_sh("echo result; echo log >&2; cat; exit 7", PATIENCE).await;
    assert!(matches!(end, Ok(End::Ended(status)) if status.code() == Some(7)));
    assert_eq!(heard, "result\nlog\n");
}

#[tokio::test]
async fn a_program_that_is_nowhere_is_told() {
    let mut command = Command::new("/nonexistent/program");
    let end = run(&mut command, Stdio::null(), PATIENCE, |_, _| {
        ControlFlow::Continue(())
    })
    .await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    let (end, heard) = run_sh("sleep 1000 & echo $!; exit 3", PATIENCE).await;
    assert!(matches!(end, Ok(End::Ended(status)) if status.code() == Some(3)));
    gone(&pids(&heard)).await;
}

#[tokio::test]
async fn who_leaves_its_group_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("left");
    let script = format!(
        "setsid sh -c 'echo $$; touch {0}; exec sleep 1000' & until [ -e {0} ]; do sleep 0.01; done",
        left.display()
    );
    let (end, heard) = run_sh(&script, PATIENCE).await;
    assert!(matches!(end, Ok(End::Ended(status)) if status.success()));
    let left = pids(&heard);
    kill_process(left[0], Signal::KILL).expect("it was not ended");
    gone(&left).await;
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended_whole() {
    let script = "echo $$; sleep 1000 & echo $!; wait";
    let (end, heard) = run_sh(script, Duration::from_millis(500)).await;
    assert!(matches!(end, Ok(End::TimedOut)), "{end:?}");
    let pids = pids(&heard);
    assert_eq!(pids.len(), 2);
    gone(&pids).await;
}

#[tokio::test]
async fn a_program_of_which_enough_was_heard_is_ended_whole() {
    let (mut command, mut heard) = (sh("echo $$; yes & wait"), Vec::new());
    let end = run(&mut command, Stdio::null(), PATIENCE, |_, chunk| {
        heard.extend_from_slice(chunk);
        if heard.len() > 64 << 10 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(end.await, Ok(End::Enough)));
    let first = heard.split(|byte| *byte == b'\n').next().unwrap();
    gone(&pids(std::str::from_utf8(first).unwrap())).await;
}

#[tokio::test]
async fn dropping_it_ends_the_whole_group() {
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let mut command = sh("echo $$; sleep 1000 & echo $!; wait");
        let ended = run(&mut command, Stdio::null(), PATIENCE, |_, chunk| {
            sender.send(chunk.to_vec()).unwrap();
            ControlFlow::Continue(())
        });
        ended.await.map(drop)
    });
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
        text.extend(heard.recv().await.unwrap());
    }
    task.abort();
    let _ = task.await;
    gone(&pids(std::str::from_utf8(&text).unwrap())).await;
}

#[tokio::test]
async fn a_program_that_is_merely_verbose_comes_to_its_end() {
    let script = format!("head -c {} /dev/zero >&2; echo done", BURST + 100_000);
    let (end, heard) = run_sh(&script, PATIENCE).await;
    assert!(matches!(end, Ok(End::Ended(status)) if status.success()));
    assert!(heard.starts_with("done\n"));
    assert_eq!(heard.len(), 5 + BURST + 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_read_at_a_bounded_rate() {
    let mut flood = Paced::new(repeat(b'x'));
    let mut count = 0;
    let reading = async {
        loop {
            count += flood.read().await.unwrap().len();
        }
    };
    let _: Result<(), _> = timeout(10 * PAUSE + PAUSE / 2, reading).await;
    assert_eq!(count, 11 * BURST);
}

#[tokio::test(start_paused = true)]
async fn what_comes_slowly_is_read_without_a_pause() {
    let (mut near, far) = tokio::io::duplex(2 * BURST);
    let mut pipe = Paced::new(far);
    for _ in 0..20 {
        sleep(PAUSE).await;
        let began = Instant::now();
        near.write_all(&vec![b'x'; BURST / 2]).await.unwrap();
        let mut count = 0;
        while count < BURST / 2 {
            count += pipe.read().await.unwrap().len();
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[test]
fn a_line_without_an_end_is_bounded() {
    let mut lines = Lines::new(100);
    for _ in 0..1000 {
        lines.take(&[b'x'; CHUNK], |_| panic!("there is no line"));
    }
    let mut sizes = Vec::new();
    lines.finish(|line| sizes.push(line.len()));
    assert_eq!(sizes, [100]);
}

proptest! {
    #[test]
    fn lines_are_cut_alike_however_they_arrive(text: Vec<u8>, sizes in proptest::collection::vec(1..9_usize, 1..40)) {
        let cut = |sizes: &[usize]| {
            let mut lines = Lines::new(5);
            let mut found = Vec::new();
            let (mut rest, mut sizes) = (&text[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                lines.take(head, |line| found.push(line.to_vec()));
                rest = tail;
            }
            lines.finish(|line| found.push(line.to_vec()));
            found
        };
        prop_assert_eq!(cut(&sizes), cut(&[usize::MAX]));
    }
}
