use offload_client::{Kind, OverallState, TargetState, snapshot::Target};

use super::*;
use crate::{
    fake::Fault,
    ground::{HERE, free_address},
    practice::control::send,
};

fn verdict(fault: Fault) -> Snapshot {
    let ready = fault == Fault::Healthy;
    Snapshot {
        state: if ready {
            OverallState::Ready
        } else {
            OverallState::Offline
        },
        targets: vec![Target {
            name: "desktop".into(),
            kind: Kind::Builder,
            state: if ready {
                TargetState::Ready
            } else {
                TargetState::Down
            },
            ..Target::default()
        }]
        .into(),
        ..Snapshot::default()
    }
}

/// Stands in for the daemon: it judges by the switch itself.
async fn watcher(
    desktop: &Desktop,
    _: &Laptop,
    news: mpsc::Sender<Snapshot>,
    mut stop: oneshot::Receiver<()>,
) -> Result<()> {
    let mut judged = None;
    while stop.try_recv().is_err() {
        let fault = desktop.ssh.fault();
        if judged.replace(fault) != Some(fault) && news.send(verdict(fault)).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_word_changes_the_desktop_and_the_verdict_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let runtime_dir = directory.path().join("runtime");
    let (sender, mut said) = mpsc::unbounded_channel();
    let say = move |line: &str| sender.send(line.to_owned()).unwrap();
    let any = SocketAddr::new(HERE, 0);
    let ssh = free_address().unwrap();
    let style = Style::default();
    let program = run(Mode::Practice, &runtime_dir, any, ssh, style, say, watcher);
    let mut program = pin!(program);

    let socket = place::socket(&runtime_dir);
    let newcomer = async {
        let mut until = async |part: &str| {
            while let Some(line) = said.recv().await {
                if line.contains(part) {
                    return;
                }
            }
            panic!("{part} was never said");
        };
        until("builder/desktop  ready").await;
        let answer = send(&socket, "stop").await.unwrap();
        assert!(answer.contains("stops the cache and sshd"), "{answer}");
        assert!(answer.contains("Within 1.5 s"), "{answer}");
        until("> stop").await;
        until("builder/desktop  down").await;
        until("overall          offline").await;
        until("cargo practice start").await;
        let unknown = send(&socket, "explode\u{1b}").await.unwrap();
        assert!(
            unknown.contains("practice help") && !unknown.contains('\u{1b}'),
            "{unknown}"
        );
        let unknown = send(&socket, "statr").await.unwrap();
        assert!(unknown.contains("did you mean `start`?"), "{unknown}");
        let refused = send(&socket, "thaw").await.unwrap();
        assert!(
            refused.contains("`cargo practice start` mends that"),
            "{refused}"
        );
        send(&socket, "start").await.unwrap();
        until("builder/desktop  ready").await;
    };
    let together = async {
        select! {
            () = newcomer => {}
            ended = &mut program => panic!("the program ended: {ended:?}"),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), together)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_daemons_end_is_the_programs_end() {
    let directory = tempfile::tempdir().unwrap();
    let any = SocketAddr::new(HERE, 0);
    let ended = run(
        Mode::Practice,
        directory.path(),
        any,
        any,
        Style::default(),
        |_| {},
        async |_, _, _, _| Err(crate::Error::Unsupported("no bus".into())),
    );
    assert!(ended.await.unwrap_err().to_string().contains("no bus"));
    assert!(!place::socket(directory.path()).exists());
}

#[test]
fn help_lists_every_word() {
    let help = help();
    for word in Word::ALL {
        assert!(help.contains(word.as_str()), "{word:?}");
    }
    for line in help.lines() {
        assert!(line.len() <= 80, "{line}");
    }
}
