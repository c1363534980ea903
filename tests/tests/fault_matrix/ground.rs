//! The fakes that break, one for each cell.

use std::{fs, net::SocketAddr, time::Duration};

use offload_client::{Kind, names, proxy::TargetProxy};
use offload_tests::{
    Laptop,
    fake::{Cache, Certificate, Control, Fault, SshServer},
    ground::HERE,
    keys,
};
use tempfile::TempDir;
use tokio::time::sleep;
use zbus::{Connection, proxy::CacheProperties};

use crate::table::Cell;

pub(crate) const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// One silence decides, and what is down is looked at again every five seconds, from scratch. Fifty key exchanges
/// of a build that is not optimised, on a machine that has other things to do, take a second or two: no
/// bound is shorter than that.
pub(crate) const POLL: &str = "[poll]\n\
                        interval = \"5s\"\n\
                        fast_interval = \"200ms\"\n\
                        down_max_interval = \"5s\"\n\
                        timeout = \"4s\"\n\
                        deep_timeout = \"8s\"\n\
                        deep_interval = \"1h\"\n\
                        fall = 1\n\
                        rise = 1\n";
/// Between two targets that break: not all checks begin at once.
const PAUSE: Duration = Duration::from_millis(100);

/// All of them.
pub(crate) struct Broken {
    fakes: Vec<(Cell, Fake)>,
    certificate: Certificate,
    user_key: String,
    _directory: TempDir,
}

enum Fake {
    Cache(Cache),
    Builder(SshServer),
}

impl Broken {
    /// Starts one for each of `cells`; nothing is wrong with them yet.
    pub(crate) async fn start(cells: &[Cell]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let user_key = directory.path().join("builder_ed25519");
        let key = keys::ed25519().unwrap();
        keys::write(&key, &user_key).unwrap();
        let certificate = Certificate::new(&[HERE]).unwrap();
        let mut fakes = Vec::new();
        for cell in cells {
            let fake = match cell.kind {
                Kind::Cache if cell.at.starts_with("tls") => {
                    Fake::Cache(Cache::start_secured(ANY, &certificate).await.unwrap())
                }
                Kind::Cache => Fake::Cache(Cache::start(ANY).await.unwrap()),
                Kind::Builder => {
                    let server = SshServer::start(ANY, key.public_key().clone());
                    Fake::Builder(server.await.unwrap())
                }
            };
            fakes.push((*cell, fake));
        }
        Self {
            fakes,
            certificate,
            user_key: user_key.display().to_string(),
            _directory: directory,
        }
    }

    /// What nix.conf has to say for them: the authority, and the keys.
    pub(crate) fn nix_conf(&self) -> String {
        let keys = self.fakes.iter().filter_map(|(_, fake)| match fake {
            Fake::Cache(cache) => Some(cache.public_key()),
            Fake::Builder(_) => None,
        });
        let keys: Vec<String> = keys.collect();
        let authority = self.certificate.path().display();
        format!(
            "ssl-cert-file = {authority}\nextra-trusted-public-keys = {}",
            keys.join(" ")
        )
    }

    /// Their entries.
    pub(crate) fn config(&self) -> String {
        let entries = self.fakes.iter().map(|(cell, fake)| match fake {
            Fake::Cache(cache) => cache_entry(cell.at, cache),
            Fake::Builder(builder) => builder_entry(cell.at, builder, &self.user_key),
        });
        entries.collect()
    }

    /// Breaks each in its way, and asks for a check from scratch.
    pub(crate) async fn break_all(&self, laptop: &Laptop) {
        for (cell, fake) in &self.fakes {
            fake.control().set(cell.fault).await.unwrap();
            let object = object(&laptop.connection, cell.kind, cell.at).await;
            tokio::spawn(async move { object.check().await });
            sleep(PAUSE).await;
        }
    }

    /// Mends all.
    pub(crate) async fn mend_all(&self) {
        for (_, fake) in &self.fakes {
            fake.control().set(Fault::Healthy).await.unwrap();
        }
    }

    /// How much was taken of those that flood.
    pub(crate) fn floods(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let floods = self
            .fakes
            .iter()
            .filter(|(cell, _)| cell.at.ends_with("flood"));
        floods.map(|(cell, fake)| (cell.at, fake.control().most_sent()))
    }
}

impl Fake {
    fn control(&self) -> &Control {
        match self {
            Self::Cache(cache) => cache,
            Self::Builder(builder) => builder,
        }
    }
}

/// A target's object.
pub(crate) async fn object(bus: &Connection, kind: Kind, name: &str) -> TargetProxy<'static> {
    let path = names::target_path(kind, name);
    let object = TargetProxy::builder(bus).path(path);
    let object = object.cache_properties(CacheProperties::No);
    object.build().await.unwrap()
}

pub(crate) fn cache_entry(name: &str, cache: &Cache) -> String {
    format!(
        "[[cache]]\nname = \"{name}\"\nurl = \"{}\"\npublic_keys = [\"{}\"]\nsample = \"{}\"\n",
        cache.url(),
        cache.public_key(),
        cache.store_path()
    )
}

pub(crate) fn builder_entry(name: &str, builder: &SshServer, user_key: &str) -> String {
    format!(
        "[[builder]]\nname = \"{name}\"\nuri = \"{}\"\nssh_key = \"{user_key}\"\nhost_key = \"{}\"\n\
         systems = [\"x86_64-linux\"]\nfeatures = [\"kvm\"]\n",
        builder.uri("nix-builder"),
        builder.host_key()
    )
}

/// The most that the daemon ever held, in KiB (`VmHWM`, proc(5)).
pub(crate) fn peak_memory(laptop: &Laptop) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", laptop.daemon.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
