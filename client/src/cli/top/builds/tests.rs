use std::{fs::File, os::unix::fs::MetadataExt as _};

use tokio::task::yield_now;

use super::*;

/// The kernel's tables, and Nix's directories.
struct Machine {
    places: Places,
    _directory: tempfile::TempDir,
    locks: String,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let places = Places {
            state: at("state"),
            store: at("store"),
            proc: at("proc"),
        };
        for path in [&places.slots(), &places.store, &places.proc] {
            fs::create_dir_all(path).unwrap();
        }
        File::create(places.proc.join("locks")).unwrap();
        Self {
            places,
            _directory: directory,
            locks: String::new(),
        }
    }

    /// A file that `pid` has locked, `age` seconds ago.
    fn lock(&mut self, path: &Path, pid: u32, age: u64) {
        let file = File::create(path).unwrap();
        let then = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age);
        file.set_modified(then).unwrap();
        let found = file.metadata().unwrap();
        let (major, minor) = (
            rustix::fs::major(found.dev()),
            rustix::fs::minor(found.dev()),
        );
        self.locks.push_str(&format!(
            "1: FLOCK  ADVISORY  WRITE {pid} {major:02x}:{minor:02x}:{} 0 EOF\n",
            found.ino()
        ));
        fs::write(self.places.proc.join("locks"), &self.locks).unwrap();
    }

    fn slot(&mut self, name: &str, hook: u32, parent: u32, age: u64) {
        self.lock(&self.places.slots().join(name), hook, age);
        let process = self.places.proc.join(hook.to_string());
        fs::create_dir_all(&process).unwrap();
        fs::write(
            process.join("stat"),
            format!("{hook} (nix (x) y) S {parent} 1 1"),
        )
        .unwrap();
    }

    fn output(&mut self, name: &str, maker: u32, age: u64) {
        let file = format!("{}-{name}.lock", "a".repeat(32));
        self.lock(&self.places.store.join(file), maker, age);
    }

    fn read(&self) -> Vec<(String, Option<String>, u64)> {
        let builds = read(&self.places).unwrap();
        let row = |build: Build| {
            let age = 1_700_000_000 - build.since / 1_000_000;
            (build.builder, build.name.map(|name| name.to_string()), age)
        };
        builds.into_iter().map(row).collect()
    }
}

#[test]
fn a_slot_that_is_held_is_a_build_of_what_the_parent_makes() {
    let mut machine = Machine::new();
    assert_eq!(machine.read(), []);
    // Never locked: a slot that is free, and files that are none.
    for free in ["ssh-ng:__u@h-1", "main-lock", "ssh-ng:__u@h.upload-lock"] {
        File::create(machine.places.slots().join(free)).unwrap();
    }
    assert_eq!(machine.read(), []);
    machine.output("old-1", 70, 500);
    machine.output("hello-2.12.1", 70, 60);
    machine.output("hello-2.12.1-man", 70, 60);
    machine.output("another-1", 71, 60);
    machine.slot("ssh-ng:__u@h-0", 80, 70, 59);
    // Whose parent makes nothing that can be seen.
    machine.slot("ssh-ng:__u@h-2", 81, 72, 10);
    assert_eq!(
        machine.read(),
        [
            ("ssh-ng:__u@h".into(), Some("hello-2.12.1".into()), 59),
            ("ssh-ng:__u@h".into(), None, 10),
        ]
    );
}

#[test]
fn of_several_builds_of_one_process_each_has_its_own_name() {
    let mut machine = Machine::new();
    machine.output("a-1", 70, 60);
    machine.output("b-1", 70, 30);
    machine.slot("ssh:__h-0", 80, 70, 58);
    machine.slot("ssh:__h-1", 81, 70, 29);
    let names: Vec<_> = machine.read().into_iter().map(|row| row.1).collect();
    assert_eq!(names, [Some("a-1".into()), Some("b-1".into())]);
}

#[test]
fn a_builder_has_the_slots_of_its_own_uri() {
    let build = |builder: &str| Build {
        builder: builder.into(),
        since: 1,
        name: None,
    };
    let on = |builds: &Builds, uri: &str| {
        let target = Target {
            uri: uri.into(),
            ..Target::default()
        };
        builds.on(&target).map(|builds| builds.len())
    };
    let builds = Builds::of(vec![build("ssh-ng:__u@h"), build("ssh:__h?ssh-key=_k")]);
    assert_eq!(on(&builds, "ssh-ng://u@h"), Some(1));
    assert_eq!(on(&builds, "ssh://h?ssh-key=/k"), Some(1));
    // As another version of Nix writes it.
    assert_eq!(on(&builds, "ssh://h?ssh-key=%2Fk"), Some(1));
    assert_eq!(on(&builds, "ssh://other"), Some(0));
    assert_eq!(on(&Builds::default(), "ssh://h"), None);
}

#[tokio::test]
async fn a_directory_that_nix_makes_later_is_seen_when_it_does() {
    let state = tempfile::tempdir().unwrap();
    let slots = state.path().join("current-load");
    let make = async || {
        File::create(state.path().join("gcroots")).unwrap();
        yield_now().await;
        fs::create_dir(&slots).unwrap();
    };
    let (seen, ()) = tokio::join!(made(&slots), make());
    seen.unwrap();
    made(&slots).await.unwrap();
    let nowhere = made(&state.path().join("none/current-load")).await;
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
}
