//! What Nix remembers as missing is told where the cache has it after all, and what it remembers as being there where it is
//! gone: by the disk cache that real Nix wrote.

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
};

use offload_client::{
    Kind, Snapshot, Stage, WarningCode,
    snapshot::Detail,
    warnings::{remedy_for, title_for},
};
use offload_tests::{
    Ground, Laptop, Nginx, NixConf,
    daemon::{Launch, program},
    process::system_program,
    skip,
};
use tempfile::TempDir;

/// Only the checks that are asked for are made.
const ON_DEMAND: &str = "[poll]\n\
                         interval = \"60s\"\n\
                         fast_interval = \"60s\"\n\
                         timeout = \"15s\"\n\
                         deep_timeout = \"15s\"\n\
                         rise = 1\n";
/// What neither Nix nor the cache ever has.
const NOWHERE: &str = "/nix/store/00000000000000000000000000000000-nowhere";

struct Desk {
    nginx: Nginx,
    nix: NixConf,
    home: TempDir,
    _ground: Ground,
}

impl Desk {
    async fn start() -> Self {
        let ground = Ground::take().await.unwrap();
        let nginx = Nginx::start(ground.cache()).await.unwrap();
        let nix = NixConf::new().unwrap();
        nix.set_caches(&[(&nginx.url(), nginx.public_key())])
            .unwrap();
        Self {
            nginx,
            nix,
            home: tempfile::tempdir().unwrap(),
            _ground: ground,
        }
    }

    /// The narinfo of the path that the cache has, and where it is hidden.
    fn narinfo(&self) -> [PathBuf; 2] {
        let cache = self.nginx.directory().join("cache");
        let name = format!("{}.narinfo", hash(self.nginx.store_path()));
        [cache.join(&name), self.nginx.directory().join(&name)]
    }

    fn hide(&self) {
        let [there, hidden] = self.narinfo();
        fs::rename(there, hidden).unwrap();
    }

    fn show(&self) {
        let [there, hidden] = self.narinfo();
        fs::rename(hidden, there).unwrap();
    }

    /// The garbage collector was there.
    fn collect(&self) {
        self.hide();
        let nars = self.nginx.directory().join("cache/nar");
        fs::remove_dir_all(nars).unwrap();
    }

    /// Root's Nix asks the cache for `path`, and says whether it is there; `suffix` goes to the end of the cache's URL.
    fn ask(&self, path: &str, suffix: &str) -> bool {
        self.ask_with(&[], path, suffix)
    }

    /// The same with further arguments.
    fn ask_with(&self, arguments: &[&str], path: &str, suffix: &str) -> bool {
        let mut command = Command::new(system_program("nix", "nix-bin").unwrap());
        let root = self.home.path().join("root");
        command
            .env("HOME", self.home.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("NIX_CONFIG")
            .env("NIX_CONF_DIR", "/nonexistent")
            .env("NIX_USER_CONF_FILES", "")
            .env("NIX_REMOTE", format!("local?root={}", root.display()))
            .args(["--extra-experimental-features", "nix-command", "path-info"])
            .args(arguments)
            .args(["--store", &format!("{}{suffix}", self.nginx.url()), path]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let is_missing = said.contains("is not valid");
        assert!(output.status.success() || is_missing, "{said}");
        !is_missing
    }

    /// What offload-helper answers when it is to forget what Nix remembers as missing from `url`.
    fn forget(&self, url: &str) -> String {
        let socket = self.home.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut helper = Command::new("sh")
            .args(["-c", "LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null"])
            .arg(program("offload-helper").unwrap())
            .env("LISTEN_FDS", "1")
            .env("HOME", self.home.path())
            .env_remove("XDG_CACHE_HOME")
            .env("NIX_CONF_DIR", self.nix.path().parent().unwrap())
            .stdin(OwnedFd::from(listener))
            .spawn()
            .unwrap();
        let string = |text: &[u8]| [&(text.len() as u32).to_be_bytes(), text].concat();
        let question = string(&[&[6], &*string(url.as_bytes())].concat());
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(&question).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        helper.kill().unwrap();
        helper.wait().unwrap();
        fs::remove_file(socket).unwrap();
        // Two lengths, and between them what kind of answer it is.
        let text = String::from_utf8_lossy(&answer[9..]).into_owned();
        assert_eq!(answer[4], 0, "{text}");
        text
    }

    fn disk_cache(&self) -> PathBuf {
        let directory = self.home.path().join(".cache/nix");
        let files = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("binary-cache-v") && name.ends_with(".sqlite")
        };
        files.into_iter().find(is_it).unwrap()
    }

    /// What a deep check of offloadd with `environment` says of the misses: how many, and an example.
    async fn stale(&self, environment: &[(&str, &Path)]) -> (Option<Detail>, Option<Detail>) {
        let laptop = self.laptop(environment).await;
        let cache = laptop.the(Kind::Cache).await.unwrap();
        let details = &cache.details;
        let detail = |name: &str| details.get(name).cloned();
        (detail("stale_misses"), detail("stale_miss"))
    }

    /// offloadd with `environment`, after its first check.
    async fn laptop(&self, environment: &[(&str, &Path)]) -> Laptop {
        let owned = |(name, value): &(&str, &Path)| {
            ((*name).to_owned(), value.to_str().unwrap().to_owned())
        };
        let entry = self.nginx.entry("127.0.15.6");
        // It looks for the key at a path that is there in any case or in none.
        let entry = entry.replace(self.nginx.store_path(), NOWHERE);
        let conf = self.nix.path();
        let laptop = Laptop::start_with(Launch {
            config: format!("[nix]\nconf = \"{}\"\n{ON_DEMAND}{entry}", conf.display()),
            environment: environment.iter().map(owned).collect(),
            ..Launch::default()
        });
        let laptop = laptop.await.unwrap();
        laptop.until_ready().await.unwrap();
        laptop
    }

    async fn stale_at_home(&self) -> (Option<Detail>, Option<Detail>) {
        self.stale(&self.at_home()).await
    }

    fn at_home(&self) -> [(&str, &Path); 2] {
        let nowhere = Path::new("");
        [("HOME", self.home.path()), ("XDG_CACHE_HOME", nowhere)]
    }
}

fn hash(path: &str) -> &str {
    let (hash, _) = path
        .strip_prefix("/nix/store/")
        .unwrap()
        .split_once('-')
        .unwrap();
    hash
}

fn one(path: &str) -> (Option<Detail>, Option<Detail>) {
    (Some(Detail::Uint(1)), Some(hash(path).into()))
}

#[tokio::test]
async fn what_nix_believes_missing_is_told_once_the_cache_has_it() {
    let desk = Desk::start().await;
    let path = desk.nginx.store_path();
    assert_eq!(
        desk.stale_at_home().await,
        (None, None),
        "nothing is remembered"
    );
    desk.hide();
    desk.ask(path, "");
    desk.ask(NOWHERE, "");
    assert_eq!(
        desk.stale_at_home().await,
        (None, None),
        "it is missing indeed"
    );
    desk.show();
    assert_eq!(desk.stale_at_home().await, one(path));

    // Only for so long.
    let settings = fs::read_to_string(desk.nix.path()).unwrap();
    let conf = format!("{settings}narinfo-cache-negative-ttl = 0\n");
    desk.nix.write("nix.conf", &conf).unwrap();
    assert_eq!(desk.stale_at_home().await, (None, None), "Nix asks again");
    desk.nix.write("nix.conf", &settings).unwrap();

    let home = desk.home.path().join(".cache");
    let by_name = [
        ("HOME", Path::new("/nonexistent")),
        ("XDG_CACHE_HOME", &*home),
    ];
    assert_eq!(desk.stale(&by_name).await, one(path));
    let elsewhere = tempfile::tempdir().unwrap();
    let other = [
        ("HOME", elsewhere.path()),
        ("XDG_CACHE_HOME", Path::new("")),
    ];
    assert_eq!(desk.stale(&other).await, (None, None), "another's memory");

    // As while Nix writes.
    let mut journal = desk.disk_cache().into_os_string();
    journal.push("-journal");
    fs::write(&journal, "x").unwrap();
    assert_eq!(
        desk.stale_at_home().await,
        (None, None),
        "nothing is claimed"
    );
    fs::write(&journal, "").unwrap();
    assert_eq!(desk.stale_at_home().await, one(path));
}

#[tokio::test]
async fn what_was_missed_and_then_pushed_nix_has_at_once_after_forgetting() {
    if system_program("sqlite3", "sqlite3").is_err() {
        skip::skipped("there is no sqlite3: nothing was forgotten");
        return;
    }
    let desk = Desk::start().await;
    let path = desk.nginx.store_path();
    desk.hide();
    assert!(!desk.ask(path, ""));
    assert!(!desk.ask(NOWHERE, ""));
    desk.show();
    assert!(!desk.ask(path, ""), "Nix does not ask again");
    assert_eq!(desk.forget(&desk.nginx.url()), "2");
    assert!(desk.ask(path, ""), "it does now");
    // What it has is not forgotten.
    assert_eq!(desk.forget(&desk.nginx.url()), "0");
    desk.hide();
    assert!(desk.ask(path, ""));
}

#[tokio::test]
async fn a_stale_miss_is_warned_of_until_nix_has_asked_again() {
    let desk = Desk::start().await;
    let path = desk.nginx.store_path();
    desk.hide();
    desk.ask(path, "");
    desk.show();
    let laptop = desk.laptop(&desk.at_home()).await;
    let snapshot = laptop.snapshot().await.unwrap();
    let [warning] = &snapshot.warnings[..] else {
        panic!("{:#?}", snapshot.warnings);
    };
    assert_eq!(warning.code, WarningCode::NegativeCacheStale);
    assert_eq!(warning.target, Some((Kind::Cache, "127.0.15.6".into())));
    let details = &warning.details;
    assert_eq!(details["expected"], Detail::Uint(0));
    assert_eq!(details["actual"], Detail::Uint(1));
    assert!(matches!(details["since"], Detail::Uint(since) if since > 0));

    // What the page says is done, and helps.
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let option = "--option narinfo-cache-negative-ttl 0";
    let (title, remedy) = (title_for(warning), remedy_for(warning));
    assert!(remedy.contains(&format!("`{option}`")), "{remedy}");
    for part in [title, &remedy] {
        assert!(words(&page.stdout).contains(part), "{part}: {page:?}");
    }
    let arguments: Vec<_> = option.split(' ').collect();
    desk.ask_with(&arguments, path, "");
    let checked = laptop.offloadctl(&["check"]).await.unwrap();
    assert_eq!(checked.code, 0, "{checked:?}");
    let none = |now: &Snapshot| now.warnings.is_empty();
    laptop.until("it is taken back", none).await.unwrap();
}

#[tokio::test]
async fn a_hit_whose_file_is_gone_is_warned_of_until_nix_has_asked_again() {
    let desk = Desk::start().await;
    let path = desk.nginx.store_path();
    assert!(desk.ask(path, ""));
    let laptop = desk.laptop(&desk.at_home()).await;
    let none = |now: &Snapshot| now.warnings.is_empty();
    assert!(none(&laptop.snapshot().await.unwrap()), "it is there");
    let checked = async || {
        let checked = laptop.offloadctl(&["check"]).await.unwrap();
        assert_eq!(checked.code, 0, "{checked:?}");
        laptop.snapshot().await.unwrap()
    };

    desk.collect();
    assert!(desk.ask(path, ""), "Nix counts on it");
    let snapshot = checked().await;
    let [warning] = &snapshot.warnings[..] else {
        panic!("{:#?}", snapshot.warnings);
    };
    assert_eq!(warning.code, WarningCode::PositiveCacheStale);
    assert_eq!(warning.target, Some((Kind::Cache, "127.0.15.6".into())));
    assert_eq!(warning.details["actual"], Detail::Uint(1));
    let cache = laptop.the(Kind::Cache).await.unwrap();
    let (_, base_name) = path.rsplit_once('/').unwrap();
    assert_eq!(cache.details["stale_hit"], base_name.into());

    // What the page says is done, and helps.
    let page = laptop.offloadctl(&["status"]).await.unwrap();
    let option = "--option narinfo-cache-positive-ttl 0";
    let (title, remedy) = (title_for(warning), remedy_for(warning));
    assert!(remedy.contains(&format!("`{option}`")), "{remedy}");
    for part in [title, &remedy] {
        assert!(words(&page.stdout).contains(part), "{part}: {page:?}");
    }
    let arguments: Vec<_> = option.split(' ').collect();
    assert!(!desk.ask_with(&arguments, path, ""));
    assert!(!desk.ask(path, ""), "Nix knows that it is gone");
    assert!(none(&checked().await));
}

#[tokio::test]
async fn the_signature_is_looked_for_at_what_nix_remembers() {
    let desk = Desk::start().await;
    let stage = async || {
        let laptop = desk.laptop(&desk.at_home()).await;
        laptop.the(Kind::Cache).await.unwrap().stage
    };
    assert_eq!(stage().await, Stage::CacheInfo, "nobody knows what it has");
    desk.ask(desk.nginx.store_path(), "");
    assert_eq!(stage().await, Stage::Signature);
}

/// Without the line breaks, which are where the page is narrow.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_miss_of_the_same_cache_by_another_spelling_is_told() {
    let desk = Desk::start().await;
    let path = desk.nginx.store_path();
    desk.hide();
    desk.ask(path, "/?priority=10");
    desk.show();
    assert_eq!(desk.stale_at_home().await, one(path));
}

#[tokio::test]
async fn what_nix_knows_to_be_there_is_no_miss() {
    let desk = Desk::start().await;
    desk.ask(desk.nginx.store_path(), "");
    assert!(desk.disk_cache().exists());
    assert_eq!(desk.stale_at_home().await, (None, None));
}
