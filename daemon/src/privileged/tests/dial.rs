//! The proxies of root's ssh.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::helper::{Ended, RootsProxy};

const STORE: &str = "ssh://nix@desktop";

/// A machine with one builder, and `proxy` as the proxy of root's ssh.
fn machine_behind(proxy: &str) -> Machine {
    let machine = Machine::with(&[
        ("nix.conf", ""),
        ("machines", &format!("{STORE}\n")),
        ("config", &format!("Host desktop\n ProxyCommand {proxy}\n")),
    ]);
    let config = machine.path("etc/config");
    let options = format!("NIX_SSHOPTS=-F {}\n", config.display());
    machine.write("environment", &options);
    machine
}

fn is_without_ssh() -> bool {
    let ssh = std::process::Command::new("ssh").arg("-V").output();
    if ssh.is_err() {
        println!("skipped: no ssh");
    }
    ssh.is_err()
}

async fn dialled(machine: &Machine) -> RootsProxy {
    machine.helper().dial(STORE).await.unwrap()
}

#[tokio::test]
async fn the_socket_is_the_proxy_s_and_its_last_words_and_its_end_are_told() {
    if is_without_ssh() {
        return;
    }
    let machine = machine_behind("sh -c 'read a; echo %h:%p $a; echo no more >&2; exit 7'");
    let mut proxy = dialled(&machine).await;
    proxy.socket.write_all(b"hello\n").await.unwrap();
    let mut text = String::new();
    proxy.socket.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "desktop:22 hello\n");
    let mut said = String::new();
    proxy.complaints.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "no more\n");
    let ended = proxy.life.ended().await.unwrap();
    assert_eq!(ended, Ended::Failed("exit status: 7".into()));
}

#[tokio::test]
async fn who_hangs_up_ends_it_and_all_that_it_started() {
    if is_without_ssh() {
        return;
    }
    let machine = machine_behind("sh -c 'sleep 1000 & echo $!; exec sleep 1000'");
    let RootsProxy {
        mut socket, life, ..
    } = dialled(&machine).await;
    let mut line = [0; 16];
    let length = socket.read(&mut line).await.unwrap();
    assert!(length > 0);
    drop(life);
    // The sleepers hold the other end as long as they live.
    assert_eq!(socket.read(&mut line).await.unwrap(), 0);
}

#[tokio::test]
async fn none_runs_but_that_of_a_builder_of_nix_and_no_more_than_eight() {
    if is_without_ssh() {
        return;
    }
    let machine = machine_behind("cat");
    let refused = async |store: &str| {
        let refused = machine.helper().dial(store).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::PermissionDenied,
            "{store}: {refused}"
        );
    };
    for other in [
        "",
        "ssh://nix@laptop",
        "ssh://nix@desktop?x=1",
        "ssh-ng://nix@desktop",
        "desktop",
        "-oProxyCommand=id",
    ] {
        refused(other).await;
    }
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(dialled(&machine).await);
    }
    refused(STORE).await;
    // Others are answered meanwhile.
    assert_eq!(machine.in_etc("nix.conf").unwrap(), "");
    held.pop();
    let again = crate::clock::within(Duration::from_secs(20), async {
        while machine.helper().dial(STORE).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    again.await.unwrap();

    // Without one, and by offloadd's own way, there is nothing to run.
    for own in ["none", "offloadctl connect %h %p\n ProxyUseFdpass yes"] {
        let machine = machine_behind(own);
        let refused = machine.helper().dial(STORE).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    }
}
