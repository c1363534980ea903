//! A cache that wants a login: the one that Nix takes from its netrc file, by a real nginx and a real Nix.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use offload_client::{Kind, Reason, Snapshot, TargetState, reasons, snapshot::Target};
use offload_tests::{Ground, Laptop, Nginx, NixConf, process::system_program};

const POLL: &str = "[poll]\nfast_interval = \"200ms\"\ntimeout = \"10s\"\nrise = 1\n";

struct Desk {
    nginx: Nginx,
    nix: NixConf,
    _ground: Ground,
}

impl Desk {
    async fn start() -> Self {
        let ground = Ground::take().await.unwrap();
        let mut nginx = Nginx::start(ground.cache()).await.unwrap();
        let users = nginx.directory().join("users");
        fs::write(users, "us3r:{PLAIN}s3cret word\n").unwrap();
        nginx.set_server("auth_basic \"Nix\"; auth_basic_user_file users;");
        nginx.restart().await.unwrap();
        let nix = NixConf::new().unwrap();
        nix.set_caches(&[(&nginx.url(), nginx.public_key())])
            .unwrap();
        Self {
            nginx,
            nix,
            _ground: ground,
        }
    }

    async fn laptop(&self) -> Laptop {
        let config = format!("{POLL}{}", self.nginx.entry("127.0.15.6"));
        Laptop::start(&self.nix, &config).await.unwrap()
    }

    /// Whether Nix, with this nix.conf, is told of the path that the cache has.
    fn nix_gets_in(&self) -> bool {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(system_program("nix", "nix-bin").unwrap());
        let root = format!("local?root={}", home.path().join("root").display());
        command
            .env("HOME", home.path())
            .env_remove("XDG_CACHE_HOME")
            .env("NIX_CONF_DIR", self.nix.directory())
            .env("NIX_USER_CONF_FILES", "")
            .env("NIX_REMOTE", root)
            .args(["--extra-experimental-features", "nix-command", "path-info"])
            .args(["--store", &self.nginx.url(), self.nginx.store_path()]);
        command.output().unwrap().status.success()
    }
}

async fn until_reason(laptop: &Laptop, login: &str) -> Target {
    let is_it = |now: &Snapshot| {
        let cache = now.targets.iter().find(|it| it.kind == Kind::Cache);
        cache.is_some_and(|it| {
            let said = it.details.get("login").map(ToString::to_string);
            it.reason == Reason::HttpStatus && said.as_deref() == Some(login)
        })
    };
    laptop.until(login, is_it).await.unwrap();
    let cache = laptop.the(Kind::Cache).await.unwrap();
    assert_eq!(cache.state, TargetState::Degraded, "{cache:#?}");
    cache
}

#[tokio::test]
async fn the_remedy_names_the_netrc_file_and_what_it_asks_for_opens_the_cache() {
    let desk = Desk::start().await;
    let laptop = desk.laptop().await;
    let cache = until_reason(&laptop, "none").await;
    assert!(!desk.nix_gets_in());
    let netrc = desk.nix.directory().join("netrc");
    let remedy = reasons::remedy_for(&cache);
    let line = "machine 127.0.15.6 login USER password PASSWORD";
    assert!(remedy.contains(&format!("`{line}`")), "{remedy}");
    assert!(remedy.contains(netrc.to_str().unwrap()), "{remedy}");

    desk.nix
        .write("netrc", &line.replace("USER", "us3r"))
        .unwrap();
    let cache = until_reason(&laptop, "refused").await;
    assert!(!desk.nix_gets_in());
    let remedy = reasons::remedy_for(&cache);
    assert!(remedy.contains("behind `machine 127.0.15.6`"), "{remedy}");

    let line = line
        .replace("USER", "us3r")
        .replace("PASSWORD", "\"s3cret word\"");
    desk.nix.write("netrc", &line).unwrap();
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o600)).unwrap();
    laptop.until_ready().await.unwrap();
    assert!(desk.nix_gets_in());

    let page = laptop.offloadctl(&["status", "--verbose"]).await.unwrap();
    let described = laptop.manager().await.unwrap().describe().await.unwrap();
    let shown = format!(
        "{} {}{} {described}",
        laptop.daemon.log(),
        page.stdout,
        page.stderr
    );
    assert!(
        !shown.contains("s3cret") && !shown.contains("us3r"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_netrc_file_of_another_name_is_the_one_that_counts() {
    let desk = Desk::start().await;
    let login = "default login us3r password \"s3cret word\"\n";
    desk.nix.write("logins", login).unwrap();
    let named = format!(
        "extra-substituters = {}\nextra-trusted-public-keys = {}\nnetrc-file = {}\n",
        desk.nginx.url(),
        desk.nginx.public_key(),
        desk.nix.directory().join("logins").display()
    );
    desk.nix.write("extra.conf", &named).unwrap();
    let laptop = desk.laptop().await;
    laptop.until_ready().await.unwrap();
    assert!(desk.nix_gets_in());
}
