use super::*;
use std::{fs, os::unix::fs::symlink};

/// Longer than any machine needs; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// What an unrelated change has time for.
const SILENCE: Duration = Duration::from_millis(300);

struct Scene {
    root: PathBuf,
    watcher: Watcher,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("etc/nix")).unwrap();
        prepare(&root);
        let mut watcher = Watcher::new().unwrap();
        assert!(watcher.set(&[root.join("etc/nix/nix.conf")]));
        Self {
            root,
            watcher,
            _dir: dir,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn write(&self, path: &str) {
        fs::write(self.path(path), "fallback = true\n").unwrap();
    }

    async fn changes(&mut self, what: &str) {
        let changed = timeout(PATIENCE, self.watcher.changed()).await;
        changed
            .unwrap_or_else(|_| panic!("not noticed: {what}"))
            .unwrap();
    }

    async fn stays(&mut self, what: &str) {
        let changed = timeout(SILENCE, self.watcher.changed()).await;
        assert!(changed.is_err(), "noticed: {what}");
    }
}

fn generations(root: &Path) {
    for generation in ["gen1", "gen2"] {
        fs::create_dir_all(root.join(generation).join("nix")).unwrap();
        fs::write(root.join(generation).join("nix/nix.conf"), generation).unwrap();
    }
    symlink(root.join("gen1"), root.join("etc/static")).unwrap();
    symlink(
        root.join("etc/static/nix/nix.conf"),
        root.join("etc/nix/nix.conf"),
    )
    .unwrap();
}

#[tokio::test]
async fn a_file_is_created_rewritten_renamed_over_and_removed() {
    let mut scene = Scene::new(|_| ());
    scene.write("etc/nix/nix.conf");
    scene.changes("created").await;
    scene.write("etc/nix/nix.conf");
    scene.changes("rewritten in place").await;
    scene.write("etc/nix/.new");
    scene.stays("a file beside it").await;
    fs::rename(scene.path("etc/nix/.new"), scene.path("etc/nix/nix.conf")).unwrap();
    scene.changes("renamed over").await;
    fs::remove_file(scene.path("etc/nix/nix.conf")).unwrap();
    scene.changes("removed").await;
    scene.stays("nothing").await;
}

#[tokio::test]
async fn a_rewrite_is_one_change() {
    let mut scene = Scene::new(|_| ());
    for _ in 0..20 {
        scene.write("etc/nix/nix.conf");
    }
    scene.changes("written").await;
    scene.stays("the rest of the same burst").await;
}

#[tokio::test]
async fn a_link_is_switched_at_any_hop() {
    let mut scene = Scene::new(generations);
    symlink(scene.path("gen2"), scene.path("etc/static.tmp")).unwrap();
    scene.stays("the new link beside the old").await;
    fs::rename(scene.path("etc/static.tmp"), scene.path("etc/static")).unwrap();
    scene.changes("the middle of the chain is switched").await;

    scene.write("gen1/nix/nix.conf");
    scene.stays("what the chain no longer leads to").await;
    scene.write("gen2/nix/nix.conf");
    scene.changes("what the chain leads to now").await;

    symlink(scene.path("gen1/nix/nix.conf"), scene.path("etc/nix/tmp")).unwrap();
    fs::rename(scene.path("etc/nix/tmp"), scene.path("etc/nix/nix.conf")).unwrap();
    scene.changes("the first link is switched").await;
    scene.write("gen1/nix/nix.conf");
    scene.changes("the end of the new chain").await;
}

#[tokio::test]
async fn a_directory_that_appears_later_is_followed_to_the_file() {
    let mut scene = Scene::new(|_| ());
    let file = scene.path("run/offloadd/machines");
    assert!(scene.watcher.set(std::slice::from_ref(&file)));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    scene.changes("the directory appears").await;
    fs::write(&file, "desktop").unwrap();
    scene.changes("the file appears in it").await;
    fs::remove_dir_all(scene.path("run")).unwrap();
    scene.changes("all of it is removed").await;
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "desktop").unwrap();
    scene.changes("all of it is back").await;
    fs::write(&file, "desktop").unwrap();
    scene.changes("and is watched again").await;
}

#[tokio::test]
async fn a_directory_on_the_way_is_replaced() {
    let mut scene = Scene::new(|root| fs::write(root.join("etc/nix/nix.conf"), "").unwrap());
    fs::rename(scene.path("etc/nix"), scene.path("etc/nix.old")).unwrap();
    scene.changes("moved away").await;
    fs::create_dir(scene.path("etc/nix")).unwrap();
    scene.changes("another in its place").await;
    scene.write("etc/nix.old/nix.conf");
    scene.stays("the file that was moved away").await;
    scene.write("etc/nix/nix.conf");
    scene.changes("the file in the new one").await;
}

#[tokio::test]
async fn a_file_that_is_written_without_a_pause_is_reported() {
    let mut scene = Scene::new(|_| ());
    let file = scene.path("etc/nix/nix.conf");
    let writer = tokio::spawn(async move {
        loop {
            fs::write(&file, "again").unwrap();
            sleep(QUIET / 10).await;
        }
    });
    scene.changes("written for ever").await;
    writer.abort();
}

#[tokio::test]
async fn what_is_written_beside_the_way_does_not_even_wake_the_daemon() {
    let mut scene = Scene::new(|_| ());
    scene.write("etc/unrelated");
    scene.write("unrelated");
    scene.write("etc/nix/nix.conf");
    // The first event there is at all is the one that matters.
    assert!(scene.watcher.next().await.unwrap());
}

#[tokio::test]
async fn a_change_outlives_a_dropped_wait() {
    let mut scene = Scene::new(|_| ());
    scene.write("etc/nix/nix.conf");
    while !scene.watcher.dirty {
        // Polled once and dropped.
        tokio::select! {
            biased;
            _ = scene.watcher.changed() => panic!("the quiet can't be over yet"),
            () = tokio::task::yield_now() => {}
        }
    }
    scene.changes("before the wait was dropped").await;
}

#[tokio::test]
async fn another_set_replaces_the_first_and_says_what_is_new() {
    let mut scene = Scene::new(|_| ());
    let (first, second) = (
        scene.path("etc/nix/nix.conf"),
        scene.path("etc/nix/machines"),
    );
    assert!(!scene.watcher.set(std::slice::from_ref(&first)));
    assert!(scene.watcher.set(&[first.clone(), second.clone()]));
    assert!(!scene.watcher.set(&[second]));
    scene.write("etc/nix/nix.conf");
    scene.stays("what is no longer in the set").await;
    scene.write("etc/nix/machines");
    scene.changes("what is in the set").await;
}

#[tokio::test]
async fn a_pattern_stands_for_all_whose_names_end_so() {
    let mut scene = Scene::new(|_| ());
    assert!(scene.watcher.set(&[scene.path("etc/nix/more.d/*.conf")]));
    fs::create_dir(scene.path("etc/nix/more.d")).unwrap();
    scene.changes("the folder appears").await;
    scene.write("etc/nix/more.d/a.conf");
    scene.changes("a first one").await;
    scene.write("etc/nix/more.d/b.conf");
    scene.changes("a second one").await;
    scene.write("etc/nix/more.d/.b.conf.swp");
    scene.stays("what ends otherwise").await;
    fs::remove_file(scene.path("etc/nix/more.d/a.conf")).unwrap();
    scene.changes("one that goes").await;
}
