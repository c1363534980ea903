//! A cache that has moved since it was last looked at: the next command fetches from it, and no stranger is taken for it.

use std::{fs, net::Ipv4Addr};

use offload_tests::{Namespace, Relay, supported};

use super::*;

/// Where the desktop is after it moved.
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// A desktop at one end of a cable, and at the other a laptop that may look for it at both addresses.
struct Far {
    desk: Desk,
    nginx: Nginx,
    network: Namespace,
}

impl Far {
    /// `None` where this user may lay no cable.
    async fn start() -> Option<Self> {
        Self::start_with(NixConf::new().unwrap(), "").await
    }

    /// The same with this netrc file, and this in nginx's configuration.
    async fn start_with(nix: NixConf, server: &str) -> Option<Self> {
        let network = supported(Namespace::new())?;
        let old = SocketAddr::new(Namespace::DESKTOP.into(), CACHE_PORT);
        let nginx = Nginx::start_inside(old, Some(network.desktop())).await;
        let mut nginx = nginx.unwrap();
        fs::write(nginx.directory().join("users"), "us3r:{PLAIN}s3cret\n").unwrap();
        nginx.set_server(server);
        nginx.restart().await.unwrap();
        let entry = nginx.entry("desktop") + &format!("addresses = [\"{THERE}\"]\n");
        let netns = Some(network.laptop().to_owned());
        let desk = Desk::start_inside(nix, netns, POLL, &entry, &[nginx.public_key()]).await;
        desk.laptop.until_ready().await.unwrap();
        Some(Self {
            desk,
            nginx,
            network,
        })
    }

    /// The desktop has another address, without a word to those it was speaking with.
    fn readdress(&self) {
        let (old, new) = (Namespace::DESKTOP, THERE);
        for change in [
            format!("addr del {old}/24 dev lan"),
            format!("addr add {new}/24 dev lan"),
        ] {
            self.network.desktop_ip(&change).unwrap();
        }
    }

    async fn move_away(&mut self) {
        self.readdress();
        let there = SocketAddr::new(THERE.into(), CACHE_PORT);
        self.nginx.move_to(there).await.unwrap();
    }
}

#[tokio::test]
async fn the_next_command_fetches_from_where_it_is_now() {
    let Some(mut far) = Far::start().await else {
        return;
    };
    far.move_away().await;
    let root = tempfile::tempdir().unwrap();
    let (path, key) = (far.nginx.store_path(), far.nginx.public_key());
    assert_eq!(far.desk.fetch(path, key, root.path()).await, Ok(()));
    let place = format!("{THERE}:{CACHE_PORT}");
    let is_there = |now: &Snapshot| now.targets.iter().any(|it| it.address == *place);
    far.desk
        .laptop
        .until("it is there", is_there)
        .await
        .unwrap();
    assert!(far.desk.laptop.snapshot().await.unwrap().state.is_ready());
}

#[tokio::test]
async fn what_nix_knows_of_it_from_before_is_led_to_at_once() {
    let Some(mut far) = Far::start().await else {
        return;
    };
    // Nobody has asked the gateway yet, which takes who accepted a connection to be there for a second.
    let file = format!("cache{}", narinfo(far.nginx.store_path()));
    let nar = nar_of(&fs::read_to_string(far.nginx.directory().join(file)).unwrap());
    far.move_away().await;
    let lead = far.desk.get(&nar).await;
    assert_eq!(lead.status, 307, "{lead:?}");
    let place = format!("http://{THERE}:{CACHE_PORT}{nar}");
    assert_eq!(lead.header("location"), place);
    // What it has not got it says itself.
    assert_eq!(far.desk.get(NOBODYS).await.status, 404);
    assert_eq!(far.nginx.requests_of(NOBODYS), 1);
}

#[tokio::test]
async fn who_is_somebody_else_there_is_told_no_login_and_nothing_of_it_is_handed_on() {
    let nix = NixConf::new().unwrap();
    let netrc = format!(
        "machine {} login us3r password s3cret\n",
        Namespace::DESKTOP
    );
    nix.write("netrc", &netrc).unwrap();
    let logs = "access_log access.log seen; access_log logins.log seen if=$http_authorization;";
    let login = format!("auth_basic \"Nix\"; auth_basic_user_file users; {logs}");
    let Some(far) = Far::start_with(nix, &login).await else {
        return;
    };
    let logins = |nginx: &Nginx| fs::read_to_string(nginx.directory().join("logins.log")).unwrap();
    assert_ne!(logins(&far.nginx), "");
    far.readdress();
    // The same path, and a key of the same name.
    let there = SocketAddr::new(THERE.into(), CACHE_PORT);
    let impostor = Nginx::start_inside(there, Some(far.network.desktop())).await;
    let mut impostor = impostor.unwrap();
    impostor.set_server(logs);
    impostor.restart().await.unwrap();
    let path = narinfo(far.nginx.store_path());
    assert_eq!(impostor.store_path(), far.nginx.store_path());
    assert_eq!(far.desk.get(&path).await.status, 404);
    assert_ne!(impostor.requests_of(&path), 0, "{}", impostor.log());
    far.desk.until("desktop", TargetState::Degraded).await;
    assert_eq!(logins(&impostor), "");
}

#[tokio::test]
async fn who_says_nothing_in_its_place_does_not_keep_nix_from_it() {
    let ground = Ground::take().await.unwrap();
    let nginx = Nginx::start(NEW).await.unwrap();
    let relay = Relay::start(ground.cache(), NEW).await.unwrap();
    let old = format!("http://{}", ground.cache());
    let entry = nginx.entry("desktop").replace(&nginx.url(), &old);
    let entry = entry + &format!("addresses = [\"{MOVED}\"]\n");
    let desk = Desk::start(&entry, &[nginx.public_key()]).await;
    desk.laptop.until_ready().await.unwrap();
    relay.end().await;
    let _mute = std::net::TcpListener::bind(ground.cache()).unwrap();
    let found = desk.get(&narinfo(nginx.store_path())).await;
    assert_eq!(found.status, 200, "{}", desk.laptop.daemon.log());
}
