use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;

const USEC: u64 = 1_000_000;
/// What `/proc/PID/stat` has of a process that started a minute after boot.
const TICKS: u64 = 6_000;

/// A laptop with one nix-daemon, whose number is that of a process of the test: it runs.
struct Laptop {
    root: TempDir,
    places: Places,
}

impl Laptop {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        let places = Places {
            proc: path.join("proc"),
            profiles: path.join("profiles"),
            etc: path.join("etc"),
            store: path.join("store"),
        };
        for part in ["proc", "profiles", "etc/nix", "store"] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        Self { root, places }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    fn conf(&self) -> PathBuf {
        self.path("etc/nix/nix.conf")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A process as proc(5) has it.
    fn process(&self, pid: u32, parent: u32, name: &str, ticks: u64, cmdline: &[&str]) {
        let directory = self.places.proc.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let stat = format!(
            "{pid} ({name}) S {parent} 1 1 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 1 0 {ticks} 1 2 3\n"
        );
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cmdline"), cmdline.join("\0") + "\0").unwrap();
        fs::write(
            directory.join("status"),
            format!("Name:\t{name}\nNSpid:\t{pid}\n"),
        )
        .unwrap();
        let environ = format!("A=b\0NIX_CONF_DIR={}\0", self.path("etc/nix").display());
        fs::write(directory.join("environ"), environ).unwrap();
    }

    fn nix_daemon(&self, ticks: u64) {
        let command = ["/bin/nix-daemon", "--daemon"];
        self.process(std::process::id(), 1, "nix-daemon", ticks, &command);
    }

    fn find(&self) -> Option<Process> {
        process::find(&self.places.proc, &self.conf(), &now())
    }

    /// An observer that begins now, and what it sees.
    fn look(&self) -> (Observer, Loaded) {
        let mut observer = Observer::of(self.places.clone());
        let loaded = observer.look(&self.conf(), &[self.conf()]);
        (observer, loaded)
    }

    fn started(&self) -> u64 {
        self.look().1.started.unwrap()
    }
}

fn now() -> Now {
    Now {
        boot: Duration::from_secs(1000),
        realtime_usec: 1_700_000_000 * USEC,
        monotonic_usec: 0,
    }
}

/// The file's mtime becomes `time`, in microseconds.
fn date(path: &Path, time: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(time);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn date_link(path: &Path, time: u64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec {
        tv_sec: i64::try_from(time / USEC).unwrap(),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn stale(file: PathBuf, changed: u64) -> Option<Stale> {
    Some(Stale { file, changed })
}

#[test]
fn the_daemon_is_told_from_what_it_forked_and_from_others() {
    let laptop = Laptop::new();
    assert_eq!(laptop.find(), None);
    let daemon = ["nix-daemon", "--daemon"];
    laptop.process(90, 1, "nix-daemon", 500, &["nix-daemon", "4711"]);
    laptop.process(91, 50, "nix-daemon", 7_000, &["nix-daemon", "--stdio"]);
    laptop.process(92, 1, "bash", 7_000, &daemon);
    laptop.process(93, 50, "nix", 7_000, &["nix", "build"]);
    assert_eq!(laptop.find(), None);

    laptop.process(100, 1, "nix-daemon", TICKS, &daemon);
    laptop.process(101, 100, "nix-daemon", 8_000, &daemon);
    laptop.process(102, 1, "nix-daemon", 9_000, &daemon);
    let status = laptop.places.proc.join("102/status");
    fs::write(status, "NSpid:\t102\t7\n").unwrap();
    laptop.process(103, 1, "nix-daemon", 9_000, &daemon);
    let environ = laptop.places.proc.join("103/environ");
    fs::write(environ, "NIX_CONF_DIR=/elsewhere\0").unwrap();
    let found = laptop.find().unwrap();
    assert_eq!(found.pid.as_raw_nonzero().get(), 100);
    // 940 s before now, rounded up to the next hundredth.
    assert_eq!(found.started, now().realtime_usec - 940 * USEC + 10_000);

    laptop.process(
        104,
        1,
        "nix",
        9_500,
        &["nix", "--option", "a", "b", "daemon"],
    );
    assert_eq!(laptop.find().unwrap().pid.as_raw_nonzero().get(), 104);
}

#[test]
fn whose_environment_is_a_secret_reads_the_default_file() {
    let laptop = Laptop::new();
    laptop.process(100, 1, "nix-daemon", TICKS, &["nix-daemon", "--daemon"]);
    fs::remove_file(laptop.places.proc.join("100/environ")).unwrap();
    assert_eq!(laptop.find(), None);
    let default = Path::new(crate::nix::DEFAULT_CONF);
    assert!(process::find(&laptop.places.proc, default, &now()).is_some());
}

#[test]
fn a_broken_proc_is_no_nix_daemon() {
    let laptop = Laptop::new();
    for (pid, stat) in [
        (1, ""),
        (2, "2 (nix-daemon"),
        (3, "3 (nix-daemon) S"),
        (4, "4 (nix-daemon) S 1 2 3"),
        (5, ") ("),
        (
            6,
            "6 (nix-daemon) S 1 1 1 0 -1 0 9 0 0 0 1 2 0 0 20 0 1 0 x 1",
        ),
    ] {
        laptop.process(pid, 1, "nix-daemon", TICKS, &["nix-daemon"]);
        fs::write(laptop.places.proc.join(format!("{pid}/stat")), stat).unwrap();
    }
    assert_eq!(laptop.find(), None);
    laptop.process(7, 1, "nix-daemon", u64::MAX, &["nix-daemon"]);
    assert!(laptop.find().is_some());
}

#[tokio::test]
async fn a_file_that_offloadd_saw_is_stale_only_while_its_content_is_another() {
    let laptop = Laptop::new();
    laptop.write("etc/nix/nix.conf", "a = b\n");
    laptop.nix_daemon(TICKS);
    let started = laptop.started();
    date(&laptop.conf(), started - USEC);
    let (mut observer, loaded) = laptop.look();
    assert!(loaded.started.is_some() && loaded.stale.is_none());

    let mut look = || observer.look(&laptop.conf(), &[laptop.conf()]).stale;
    date(&laptop.conf(), started + USEC);
    assert_eq!(look(), None, "a touch");
    laptop.write("etc/nix/nix.conf", "a = c\n");
    date(&laptop.conf(), started + 2 * USEC);
    assert_eq!(look(), stale(laptop.conf(), started + 2 * USEC));
    date(&laptop.conf(), started + 3 * USEC);
    assert_eq!(
        look(),
        stale(laptop.conf(), started + 2 * USEC),
        "since when"
    );
    laptop.write("etc/nix/nix.conf", "a = b\n");
    assert_eq!(look(), None, "taken back");
    fs::remove_file(laptop.conf()).unwrap();
    assert!(look().is_some(), "gone");

    laptop.write("etc/nix/nix.conf", "a = d\n");
    date(&laptop.conf(), started + 3 * USEC);
    assert!(look().is_some());
    laptop.nix_daemon(TICKS + 1000);
    assert_eq!(look(), None, "it was started again");
}

#[tokio::test]
async fn an_included_file_counts_also_when_it_comes_later() {
    let laptop = Laptop::new();
    laptop.write("etc/nix/nix.conf", "!include extra.conf\n");
    laptop.nix_daemon(TICKS);
    let started = laptop.started();
    date(&laptop.conf(), started - USEC);
    let extra = laptop.path("etc/nix/extra.conf");
    let files = [laptop.conf(), extra.clone()];
    let mut observer = Observer::of(laptop.places.clone());
    let mut look = || observer.look(&laptop.conf(), &files).stale;
    assert_eq!(look(), None);
    laptop.write("etc/nix/extra.conf", "fallback = true\n");
    date(&extra, started + USEC);
    assert_eq!(look(), stale(extra.clone(), started + USEC));
    fs::remove_file(&extra).unwrap();
    assert_eq!(look(), None);
}

/// nix.conf as NixOS has it: `etc/nix/nix.conf` → `etc/static/nix/nix.conf` → the store, with the
/// times of the store's files in 1970.
fn switch(laptop: &Laptop, generation: u32, text: &str, time: u64) {
    let store = laptop.path(&format!("store/{generation}-system"));
    if !store.exists() {
        fs::create_dir_all(store.join("etc/nix")).unwrap();
        fs::write(store.join("etc/nix/nix.conf"), text).unwrap();
        date(&store.join("etc/nix/nix.conf"), USEC);
        let profile = laptop.path(&format!("profiles/system-{generation}-link"));
        symlink(&store, &profile).unwrap();
        date_link(&profile, time);
    }
    let links = [
        (laptop.path("etc/static"), store.join("etc")),
        (laptop.conf(), laptop.path("etc/static/nix/nix.conf")),
    ];
    for (link, target) in links {
        let _ = fs::remove_file(&link);
        symlink(target, &link).unwrap();
        date_link(&link, time);
    }
}

#[tokio::test]
async fn a_switched_generation_is_stale_only_where_nix_conf_differs() {
    let laptop = Laptop::new();
    laptop.nix_daemon(TICKS);
    // Whole seconds, as the links are dated with.
    let started = laptop.started() / USEC * USEC;
    switch(&laptop, 7, "a = 7\n", started - 20 * USEC);
    switch(&laptop, 8, "a = 8\n", started - 10 * USEC);
    let (mut watching, loaded) = laptop.look();
    assert_eq!(loaded.stale, None);

    switch(&laptop, 9, "a = 8\n", started + 10 * USEC);
    let mut look = || watching.look(&laptop.conf(), &[laptop.conf()]).stale;
    assert_eq!(look(), None);
    assert_eq!(
        laptop.look().1.stale,
        None,
        "known from the generation of then"
    );

    switch(&laptop, 10, "a = 10\n", started + 20 * USEC);
    let expected = stale(laptop.conf(), started + 20 * USEC);
    assert_eq!(look(), expected);
    assert_eq!(laptop.look().1.stale, expected);

    // Back to the one of then.
    switch(&laptop, 8, "", started + 30 * USEC);
    assert_eq!(look(), None);
    assert_eq!(laptop.look().1.stale, None);

    // Nobody knows what 8 had; who saw it does.
    fs::remove_file(laptop.path("profiles/system-8-link")).unwrap();
    assert_eq!(look(), None);
    assert_eq!(
        laptop.look().1.stale,
        stale(laptop.conf(), started + 30 * USEC)
    );
    for generation in [7, 9, 10] {
        let link = format!("profiles/system-{generation}-link");
        fs::remove_file(laptop.path(&link)).unwrap();
    }
    assert_eq!(
        laptop.look().1.stale,
        stale(laptop.conf(), started + 30 * USEC)
    );
}

#[tokio::test]
async fn the_end_of_the_daemon_is_noticed_and_its_successor_looked_for() {
    let laptop = Laptop::new();
    laptop.write("etc/nix/nix.conf", "");
    let mut child = tokio::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    laptop.process(pid, 1, "nix-daemon", TICKS, &["nix-daemon", "--daemon"]);
    let (mut observer, loaded) = laptop.look();
    assert!(loaded.started.is_some());
    let early = futures_util::poll!(std::pin::pin!(observer.is_due()));
    assert!(early.is_pending());

    child.kill().await.unwrap();
    fs::remove_dir_all(laptop.places.proc.join(pid.to_string())).unwrap();
    observer.is_due().await;
    assert_eq!(
        observer.look(&laptop.conf(), &[laptop.conf()]),
        Loaded::default()
    );

    observer.is_due().await;
    laptop.nix_daemon(TICKS + 1000);
    let loaded = observer.look(&laptop.conf(), &[laptop.conf()]);
    assert!(loaded.started.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_does_not_come_is_not_waited_for() {
    let mut observer = Observer::of(Laptop::new().places);
    observer.looked = 0;
    for _ in LOOK_AGAIN {
        observer.is_due().await;
    }
    let never = tokio::time::timeout(Duration::from_secs(3600), observer.is_due()).await;
    assert!(never.is_err());
}

/// What nix-daemon has read of nix.conf, as a text; what is not known is empty.
fn text_of(read: &Read, conf: &Path) -> String {
    match read {
        Read::Written => "as it is".to_owned(),
        Read::Before(before) => before[conf].as_deref().unwrap_or("not there").to_owned(),
        Read::Unknown => String::new(),
    }
}

#[tokio::test]
async fn what_nix_daemon_has_read_is_known_to_who_saw_it_and_by_its_generation() {
    let laptop = Laptop::new();
    let conf = laptop.conf();
    laptop.write("etc/nix/nix.conf", "a = b\n");
    laptop.nix_daemon(TICKS);
    let started = laptop.started() / USEC * USEC;
    date(&conf, started - USEC);
    let (mut observer, loaded) = laptop.look();
    assert_eq!(loaded.read, Read::Written);
    laptop.write("etc/nix/nix.conf", "a = c\n");
    date(&conf, started + 2 * USEC);
    let mut read = || text_of(&observer.look(&conf, &[laptop.conf()]).read, &conf);
    assert_eq!(read(), "a = b\n");
    let anew = || text_of(&laptop.look().1.read, &conf);
    assert_eq!(anew(), "", "who came later");

    fs::remove_file(&conf).unwrap();
    switch(&laptop, 7, "a = 7\n", started - 20 * USEC);
    switch(&laptop, 8, "a = 8\n", started + 20 * USEC);
    assert_eq!(anew(), "a = 7\n", "by the generation of then");
    assert_eq!(read(), "a = b\n");
    fs::remove_file(laptop.path("profiles/system-7-link")).unwrap();
    assert_eq!(anew(), "as it is", "as NixOS starts it again");
}
