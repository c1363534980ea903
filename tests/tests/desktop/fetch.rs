//! `offloadctl explain` of a path of the store says where Nix fetches it from, and real Nix does so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use offload_tests::{
    Nginx, NixConf, daemon::program, ground::free_address, nginx::Signature,
    process::system_program, skip,
};
use tempfile::TempDir;

use crate::schema;

/// Nix on this machine with a store of its own, which fetches from a cache.
struct Fetching {
    nginx: Nginx,
    nix: NixConf,
    home: TempDir,
}

impl Fetching {
    async fn start() -> Self {
        let nginx = Nginx::start(free_address().unwrap()).await.unwrap();
        let nix = NixConf::new().unwrap();
        // No other one than ours: nobody else is to be asked.
        let settings = format!(
            "substituters = {}\ntrusted-public-keys = {}\nbuild-users-group =\n",
            nginx.url(),
            nginx.public_key()
        );
        nix.write("nix.conf", &settings).unwrap();
        Self {
            nginx,
            nix,
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let root = self.home.path().join("root");
        Command::new(program)
            .args(arguments)
            .env("HOME", self.home.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("NIX_CONFIG")
            .env("NIX_CONF_DIR", self.nix.directory())
            .env("NIX_USER_CONF_FILES", "")
            .env("NIX_REMOTE", format!("local?root={}", root.display()))
            // No daemon: Nix alone says it.
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
            .output()
            .unwrap()
    }

    /// What `explain` says, and whether Nix then fetches the path.
    fn explain_and_fetch(&self) -> (String, bool) {
        let said = self.run(
            &program("offloadctl").unwrap(),
            &["explain", self.nginx.store_path()],
        );
        let page = String::from_utf8_lossy(&said.stdout).replace('\n', " ");
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = said.status.success();
        let json = self.run(
            &program("offloadctl").unwrap(),
            &["explain", "--json", self.nginx.store_path()],
        );
        let json = schema::holds("explain", &json.stdout);
        // There are words exactly where something keeps Nix from what is there.
        let cache = &json["caches"][0];
        let is_fine = expected || cache["has"] == false;
        assert_eq!(cache["words"].is_null(), is_fine, "{json:#}");
        let nix = system_program("nix-store", "nix-bin").unwrap();
        let fetched = self.run(&nix, &["-r", self.nginx.store_path()]);
        let told = String::from_utf8_lossy(&fetched.stderr);
        let error = String::from_utf8_lossy(&said.stderr);
        assert_eq!(fetched.status.success(), expected, "{page}{error}\n{told}");
        if expected {
            // To be fetched again.
            let root = self.home.path().join("root");
            let deleted = self.run(&nix, &["--delete", self.nginx.store_path()]);
            assert!(deleted.status.success(), "{root:?} {deleted:?}");
        }
        (page, expected)
    }

    /// Nix forgets all that it remembers.
    fn forget(&self) {
        fs::remove_dir_all(self.home.path().join(".cache/nix")).unwrap();
    }

    fn narinfo(&self) -> PathBuf {
        let name = self.nginx.store_path().strip_prefix("/nix/store/").unwrap();
        let hash = name.split('-').next().unwrap();
        self.nginx.directory().join(format!("cache/{hash}.narinfo"))
    }
}

#[tokio::test]
async fn where_a_path_is_fetched_from_is_where_nix_fetches_it() {
    let mut fetching = Fetching::start().await;
    let (page, fetched) = fetching.explain_and_fetch();
    assert!(fetched, "{page}");
    let url = fetching.nginx.url();
    assert!(
        page.starts_with(&format!(
            "Nix fetches {} from {url}",
            fetching.nginx.store_path()
        )),
        "{page}"
    );
    assert!(
        page.contains("has it, signed by test-desktop-1, whose key nix.conf trusts"),
        "{page}"
    );

    // Signed by somebody else, and by nobody.
    fetching.forget();
    fetching.nginx.sign(Signature::Foreign).unwrap();
    let (page, fetched) = fetching.explain_and_fetch();
    assert!(
        !fetched
            && page.contains("signed by somebody-else-1, of which trusted-public-keys has no key"),
        "{page}"
    );
    fetching.forget();
    fetching.nginx.sign(Signature::None).unwrap();
    let (page, fetched) = fetching.explain_and_fetch();
    assert!(
        !fetched && page.contains("unsigned, which Nix does not take"),
        "{page}"
    );

    // It is not there, and Nix has asked for it: it does not ask again.
    fetching.forget();
    fetching.nginx.sign(Signature::Own).unwrap();
    let hidden = fetching.nginx.directory().join("hidden");
    fs::rename(fetching.narinfo(), &hidden).unwrap();
    let (page, fetched) = fetching.explain_and_fetch();
    assert!(
        !fetched && page.contains("is in no substituter: Nix builds it. - "),
        "{page}"
    );
    fs::rename(&hidden, fetching.narinfo()).unwrap();
    if system_program("sqlite3", "sqlite3").is_ok() {
        let (page, fetched) = fetching.explain_and_fetch();
        assert!(
            !fetched && page.contains("it was not there, and asks again in"),
            "{page}"
        );
    } else {
        skip::skipped("there is no sqlite3: what Nix remembers was not read");
    }

    // Nobody answers.
    fetching.forget();
    fetching.nginx.stop();
    let (page, fetched) = fetching.explain_and_fetch();
    assert!(
        !fetched && page.contains(" does not answer: unable to download"),
        "{page}"
    );
}

#[tokio::test]
async fn a_question_leaves_nothing_in_what_nix_remembers() {
    let fetching = Fetching::start().await;
    let page = fetching.run(
        &program("offloadctl").unwrap(),
        &[
            "explain",
            "/nix/store/00000000000000000000000000000000-nowhere",
            "--json",
        ],
    );
    assert_eq!(page.status.code(), Some(3));
    let json = schema::holds("explain", &page.stdout);
    assert_eq!(json["caches"][0]["has"], false, "{json}");
    assert_eq!(
        json["caches"][0]["remembered"]["state"], "nothing",
        "{json}"
    );
    assert!(!fetching.home.path().join(".cache").exists());
}
