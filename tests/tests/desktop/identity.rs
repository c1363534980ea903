//! Who the desktop is, and who may log in there: faults that only a person can mend.

use offload_client::{Kind, OverallState, Reason, Snapshot, Stage, TargetState, snapshot::Target};
use offload_tests::{Desktop, Laptop, nix_conf::Machine};

/// Short, so that no test waits for what is due anyway.
const POLL: &str = "[poll]\n\
                    interval = \"500ms\"\n\
                    fast_interval = \"100ms\"\n\
                    down_max_interval = \"500ms\"\n\
                    timeout = \"400ms\"\n";

fn builder(snapshot: &Snapshot) -> &Target {
    let mut targets = snapshot.targets.iter();
    targets.find(|target| target.kind == Kind::Builder).unwrap()
}

async fn until_degraded(laptop: &Laptop, reason: Reason) -> Target {
    let degraded = |snapshot: &Snapshot| {
        let builder = builder(snapshot);
        (builder.state, builder.reason) == (TargetState::Degraded, reason)
    };
    let snapshot = laptop
        .until(&format!("it is {reason}"), degraded)
        .await
        .unwrap();
    // The cache of the same desktop has no part in it.
    assert_eq!(snapshot.cache_state, OverallState::Ready);
    assert_eq!(
        (snapshot.state, snapshot.reason),
        (OverallState::Degraded, reason)
    );
    builder(&snapshot).clone()
}

#[tokio::test]
async fn a_key_that_was_taken_out_shows_at_the_next_check() {
    let desktop = Desktop::start().await.unwrap();
    let poll = format!("{POLL}connection = \"per-check\"\n");
    let laptop = desktop.laptop(&poll).await.unwrap();
    laptop.until_ready().await.unwrap();

    desktop.sshd.deauthorise().unwrap();
    let degraded = until_degraded(&laptop, Reason::AuthRejected).await;
    assert_eq!(degraded.stage, Stage::Auth);

    desktop.sshd.authorise().unwrap();
    laptop.until_ready().await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_taken_out_shows_when_a_person_asks() {
    let desktop = Desktop::start().await.unwrap();
    // The connection is kept, and no check is made but those that are asked for.
    let poll = "[poll]\nfast_interval = \"30s\"\n";
    let laptop = desktop.laptop(poll).await.unwrap();
    laptop.until_ready().await.unwrap();

    desktop.sshd.deauthorise().unwrap();
    let asked = laptop.offloadctl(&["check"]).await.unwrap();
    assert_eq!(asked.code, 3, "{asked:?}");
    assert!(asked.stdout.contains("auth: "), "{}", asked.stdout);
    let degraded = until_degraded(&laptop, Reason::AuthRejected).await;
    assert_eq!(degraded.stage, Stage::Auth);

    // Mended, and asked as often as it takes: `rise` is 2.
    desktop.sshd.authorise().unwrap();
    assert_eq!(laptop.offloadctl(&["check"]).await.unwrap().code, 3);
    assert_eq!(laptop.offloadctl(&["check"]).await.unwrap().code, 0);
}

#[tokio::test]
async fn a_host_key_that_changed_is_an_alarm_and_nothing_is_sent_there() {
    let mut desktop = Desktop::start().await.unwrap();
    let mut laptop = desktop.laptop(POLL).await.unwrap();
    laptop.until_ready().await.unwrap();
    let right = desktop.sshd.host_key().unwrap();

    // While it restarts it is down. All that asks it from then on sees another key.
    desktop.sshd.stop();
    laptop
        .until("it is down", |now| builder(now).state == TargetState::Down)
        .await
        .unwrap();
    laptop.signals.rest().await.unwrap();
    let (attempts, connections) = (desktop.sshd.auth_attempts(), desktop.sshd.connections());
    assert!(attempts > 0, "the log does not show attempts");
    desktop.sshd.swap_host_keys().await.unwrap();

    let degraded = until_degraded(&laptop, Reason::HostKeyMismatch).await;
    assert_eq!(degraded.stage, Stage::HostKey);
    // It goes on looking, and goes on sending nothing.
    let until = desktop.sshd.connections() + 2;
    laptop
        .until("it looks again", |_| desktop.sshd.connections() >= until)
        .await
        .unwrap();
    assert!(desktop.sshd.connections() > connections);
    assert_eq!(
        desktop.sshd.auth_attempts(),
        attempts,
        "{}",
        desktop.sshd.log()
    );

    // The person who reinstalled the desktop tells Nix its new key.
    assert_ne!(desktop.sshd.host_key().unwrap(), right);
    desktop
        .nix
        .set_machines(&[Machine::of(&desktop.sshd).unwrap()])
        .unwrap();
    laptop.until_ready().await.unwrap();
    assert!(desktop.sshd.auth_attempts() > attempts);
}

#[tokio::test]
async fn a_host_key_that_nobody_vouches_for_is_not_trusted() {
    let desktop = Desktop::start().await.unwrap();
    let known = Machine::of(&desktop.sshd).unwrap();
    let unknown = Machine {
        host_key: None,
        ..known.clone()
    };
    desktop.nix.set_machines(&[unknown]).unwrap();
    let laptop = desktop.laptop(POLL).await.unwrap();

    let degraded = until_degraded(&laptop, Reason::HostKeyUnknown).await;
    assert_eq!(degraded.stage, Stage::HostKey);
    assert!(desktop.sshd.connections() > 0);
    assert_eq!(desktop.sshd.auth_attempts(), 0, "{}", desktop.sshd.log());

    desktop.nix.set_machines(&[known]).unwrap();
    laptop.until_ready().await.unwrap();
    assert!(desktop.sshd.auth_attempts() > 0);
    assert!(desktop.nginx.requests() > 0);
}
