//! Root's ssh, asked through offload-helper.

use std::os::unix::net::UnixListener;

use crate::{
    helper::Helper,
    nix::ssh_config::{SshConfigError, query::roots_answer},
};

const STORE: &str = "ssh-ng://tower";

#[tokio::test]
async fn where_there_is_no_helper_our_own_ssh_is_as_good() {
    let directory = tempfile::tempdir().unwrap();
    let helper = Helper::at(&directory.path().join("helper"));
    assert!(matches!(roots_answer(&helper, STORE).await, Ok(None)));
}

/// Ours knows no alias of root's, and a name that is not found would be the desktop's fault.
#[tokio::test]
async fn a_helper_that_fails_is_not_taken_for_one_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("helper");
    let listener = UnixListener::bind(&socket).unwrap();
    let hung_up = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let answer = roots_answer(&Helper::at(&socket), STORE).await;
    assert!(
        matches!(answer, Err(SshConfigError::NotAsked(_))),
        "{answer:?}"
    );
    hung_up.join().unwrap();
}
