use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use proptest::prelude::*;
use rustix::{
    fs::{FlockOperation, flock, stat},
    process::{Pid, Signal, kill_process_group},
};
use tempfile::TempDir;

use super::*;

const URI: &str = "ssh-ng://nix-builder@192.0.2.6";

/// The first `count` slot files of `uri`, as a build hook opens them.
fn files(state: &TempDir, uri: &str, count: u32) -> Vec<File> {
    fs::create_dir_all(state.path().join("current-load")).unwrap();
    let name = uri.replace('/', "_");
    let open = |number: u32| {
        let path = format!("current-load/{name}-{number}");
        File::create(state.path().join(path)).unwrap()
    };
    (0..count).map(open).collect()
}

fn take(file: &File) {
    flock(file, FlockOperation::NonBlockingLockExclusive).unwrap();
}

/// `(used, total)` of lines with this URL and so many slots each.
fn count(state: &TempDir, lines: &[(&str, u32)]) -> (u32, u32) {
    let lines: Vec<_> = lines
        .iter()
        .map(|(uri, count)| (slots(state.path(), uri), *count))
        .collect();
    in_use(
        lines
            .iter()
            .map(|(paths, count)| (paths.as_slice(), *count)),
    )
    .unwrap()
}

#[test]
fn slots_that_were_never_used_are_free() {
    let state = TempDir::new().unwrap();
    assert_eq!(count(&state, &[(URI, 4)]), (0, 4));
    let _files = files(&state, URI, 4);
    assert_eq!(count(&state, &[(URI, 4)]), (0, 4));
}

#[test]
fn a_slot_is_in_use_for_as_long_as_its_lock_is_held() {
    let state = TempDir::new().unwrap();
    let mut files = files(&state, URI, 4);
    take(&files[0]);
    take(&files[2]);
    assert_eq!(count(&state, &[(URI, 4)]), (2, 4));
    // As many as the machines file has now: a slot beyond is no slot any more.
    assert_eq!(count(&state, &[(URI, 2)]), (1, 2));
    drop(files.remove(0));
    assert_eq!(count(&state, &[(URI, 4)]), (1, 4));
}

#[test]
fn looking_takes_no_lock() {
    let state = TempDir::new().unwrap();
    let files = files(&state, URI, 1);
    take(&files[0]);
    assert_eq!(count(&state, &[(URI, 1)]), (1, 1));
    flock(&files[0], FlockOperation::Unlock).unwrap();
    assert_eq!(count(&state, &[(URI, 1)]), (0, 1));
    take(&files[0]);
}

#[test]
fn a_lock_of_another_kind_or_on_another_file_is_none_of_nixs() {
    let state = TempDir::new().unwrap();
    let files = files(&state, URI, 2);
    flock(&files[0], FlockOperation::NonBlockingLockShared).unwrap();
    let other = File::create(state.path().join("current-load/main-lock")).unwrap();
    take(&other);
    assert_eq!(count(&state, &[(URI, 2)]), (0, 2));
}

#[test]
fn lines_of_the_same_url_share_their_slots() {
    let state = TempDir::new().unwrap();
    let other = "ssh://other";
    let (own, others) = (files(&state, URI, 4), files(&state, other, 1));
    take(&own[0]);
    take(&others[0]);
    let lines = [(URI, 2), (URI, 4), (other, 1)];
    assert_eq!(count(&state, &lines), (2, 5));
}

#[test]
fn both_the_written_and_the_rendered_name_count_once() {
    let state = TempDir::new().unwrap();
    let written = "ssh-ng://u@host?remote-store=local?root=/x&compress=true";
    let rendered = "ssh-ng://u@host?compress=true&remote-store=local?root%3D/x";
    let (old, new) = (files(&state, written, 2), files(&state, rendered, 2));
    take(&old[0]);
    assert_eq!(count(&state, &[(written, 2)]), (1, 2));
    take(&new[0]);
    assert_eq!(count(&state, &[(written, 2)]), (1, 2));
    take(&new[1]);
    assert_eq!(count(&state, &[(written, 2)]), (2, 2));
}

#[test]
fn urls_are_rendered_as_nix_renders_them() {
    for (written, expected) in [
        ("ssh://host", "ssh://host"),
        ("ssh://host?", "ssh://host"),
        ("ssh-ng://u@host:2222", "ssh-ng://u@host:2222"),
        (
            "ssh://h?ssh-key=/k&base64-ssh-public-host-key=YQ%3D%3D",
            "ssh://h?base64-ssh-public-host-key=YQ%3D%3D&ssh-key=/k",
        ),
        ("ssh://h?a=1&a=2&b", "ssh://h?a=1"),
        ("ssh://h?a=b c", "ssh://h?a=b%20c"),
        ("ssh://u@fe80::1%eth0", "ssh://u@[fe80::1%25eth0]"),
        ("ssh://[2001:db8::1]:22", "ssh://[2001:db8::1]:22"),
    ] {
        assert_eq!(rendered(written).as_deref(), Some(expected), "{written}");
    }
    assert_eq!(rendered("local"), None);
}

#[test]
fn endless_slots_are_bounded_and_all_of_them_counted() {
    let state = TempDir::new().unwrap();
    let files = files(&state, URI, 3);
    files.iter().for_each(take);
    assert_eq!(
        count(&state, &[(URI, u32::MAX), ("ssh://b", 9)]),
        (3, u32::MAX)
    );
}

/// A `/proc` with these tables.
fn proc_of(locks: &str, mounts: &str) -> TempDir {
    let proc = TempDir::new().unwrap();
    fs::create_dir(proc.path().join("self")).unwrap();
    fs::write(proc.path().join("locks"), locks).unwrap();
    fs::write(proc.path().join("self/mountinfo"), mounts).unwrap();
    proc
}

#[test]
fn a_subvolume_is_recognised_by_its_mount() {
    let state = TempDir::new().unwrap();
    let _files = files(&state, URI, 1);
    let paths = slots(state.path(), URI);
    let path = state
        .path()
        .join("current-load/ssh-ng:__nix-builder@192.0.2.6-0");
    let inode = stat(&path).unwrap().st_ino;
    let id = statx(CWD, &path, AtFlags::empty(), StatxFlags::MNT_ID)
        .unwrap()
        .stx_mnt_id;
    // The file system's own number, which `stat` does not give for a subvolume.
    let locks = format!("1: FLOCK  ADVISORY  WRITE 7 7ff:ff:{inode} 0 EOF\n");
    let mounts =
        format!("1 0 9:9 / / rw - ext4 a rw\n{id} 1 2047:255 /@nix /nix rw - btrfs b rw\n");
    for (mounts, used) in [(mounts.as_str(), 1), ("", 0)] {
        let proc = proc_of(&locks, mounts);
        let lines = [(paths.as_slice(), 1)];
        assert_eq!(in_use_by(lines, proc.path()).unwrap(), (used, 1));
    }
}

#[test]
fn where_the_kernel_does_not_tell_nothing_is_known() {
    let state = TempDir::new().unwrap();
    let _files = files(&state, URI, 1);
    let paths = slots(state.path(), URI);
    let hidden = TempDir::new().unwrap();
    let error = in_use_by([(paths.as_slice(), 1)], hidden.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Nor where it tells more than can be read.
    let endless = proc_of(&"x".repeat(MAX_TABLE as usize + 1), "");
    assert!(in_use_by([(paths.as_slice(), 1)], endless.path()).is_err());
}

#[test]
fn who_waits_for_a_lock_holds_none() {
    let held = "12: FLOCK  ADVISORY  WRITE 26844 fe:00:10297445 0 EOF";
    let lock = Lock {
        device: (0xfe, 0),
        inode: 10_297_445,
    };
    assert_eq!(Lock::parse(held), Some(lock));
    for other in [
        "12: -> FLOCK  ADVISORY  WRITE 26844 fe:00:10297445 0 EOF",
        "12: FLOCK  ADVISORY  READ 26844 fe:00:10297445 0 EOF",
        "12: POSIX  ADVISORY  WRITE 26844 fe:00:10297445 0 EOF",
        "12: FLOCK  ADVISORY  WRITE",
    ] {
        assert_eq!(Lock::parse(other), None, "{other}");
    }
}

/// A real `nix-build` and the hook it started.
struct Build(Child);

impl Drop for Build {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0.id() as i32) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_slot_that_a_real_build_hook_takes_is_seen() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("conf")).unwrap();
    fs::write(
        at("conf/nix.conf"),
        "build-users-group =\nsubstitute = false\nsandbox = false\n",
    )
    .unwrap();
    // A builder that never says a word: the hook waits for it, with its slot taken.
    let silent = TcpListener::bind(("127.0.15.6", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let uri = "ssh-ng://root@127.0.15.6?max-connections=1&compress=true";
    let child = Command::new("nix-build")
        .args(["--no-out-link", "--max-jobs", "0", "--builders"])
        .arg(format!("{uri} test-linux - 3 1 - -"))
        .args([
            "-E",
            "derivation { name = \"x\"; builder = \"x\"; system = \"test-linux\"; }",
        ])
        .env("NIX_SSHOPTS", format!("-F none -p {port}"))
        .env("NIX_STORE_DIR", at("store"))
        .env("NIX_STATE_DIR", at("state"))
        .env("NIX_LOG_DIR", at("log"))
        .env("NIX_CONF_DIR", at("conf"))
        .env("HOME", dir.path())
        .stdin(Stdio::null())
        .stderr(File::create(at("stderr")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let build = Build(child);
    let paths = slots(&at("state"), uri);
    let now = || in_use([(paths.as_slice(), 3)]).unwrap();
    let taken = async {
        while now() != (1, 3) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(30), taken).await;
    let said = fs::read_to_string(at("stderr")).unwrap();
    assert!(taken.is_ok(), "{:?}: {said}", now());
    drop(silent);
    drop(build);
}

proptest! {
    #[test]
    fn no_table_makes_it_panic(line in ".{0,100}", words in prop::collection::vec("[0-9a-f:>-]{0,20}|FLOCK|WRITE", 0..10)) {
        for line in [line, words.join(" "), format!("1: FLOCK ADVISORY WRITE {}", words.join(" "))] {
            let _ = (Lock::parse(&line), mount(&line));
        }
    }

    #[test]
    fn any_url_names_its_slots(uri in ".{0,60}") {
        let paths = slots(Path::new("/state"), &uri);
        prop_assert!((1..=2).contains(&paths.len()));
        for path in paths {
            prop_assert_eq!(path.parent(), Some(Path::new("/state/current-load")));
        }
    }
}
