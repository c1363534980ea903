//! A cache over https by a real nginx, with certificates that openssl made: each usual fault is told as what it is, by curl's
//! own verdict as well, and what its remedy says opens the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use offload_client::{Kind, Reason, Snapshot, TargetState, reasons, snapshot::Target};
use offload_tests::{Ground, Laptop, Nginx, NixConf, daemon::Launch, process::run_command};

const HTTPS: &str = "127.0.15.6:5443";
const POLL: &str = "[poll]\ninterval = \"3s\"\nfast_interval = \"200ms\"\ndown_max_interval = \"3s\"\ntimeout = \"3s\"\nrise = 1\n";
const NAMES: &str = "subjectAltName=IP:127.0.15.6";

/// What is wrong, and what nginx says in its `server` block for that.
struct Fault {
    word: &'static str,
    certificate: fn(&Authority) -> Pair,
    directives: &'static str,
    /// What mends it, as a part of the remedy.
    remedy: &'static str,
    mend: fn(&Desk),
}

/// A certificate and its key.
struct Pair(PathBuf, PathBuf);

struct Authority {
    directory: PathBuf,
}

struct Desk {
    nginx: Nginx,
    nix: NixConf,
    authority: Authority,
    _ground: Ground,
}

fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(directory).args(arguments.split(' '));
    run_command(&mut command).unwrap();
}

impl Authority {
    fn new(directory: &Path) -> Self {
        let own = Self {
            directory: directory.to_owned(),
        };
        for name in ["ca", "other"] {
            openssl(
                directory,
                &format!(
                    "req -x509 -newkey rsa:2048 -nodes -subj /CN={name} -days 9 -keyout {name}.key -out {name}.pem"
                ),
            );
        }
        let config = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\ndefault_md = sha256\n\
                      policy = any\nrand_serial = yes\ncopy_extensions = copy\n[any]\ncommonName = supplied\n";
        fs::write(directory.join("ca.conf"), config).unwrap();
        own
    }

    /// One that `by` signs, of this time and for these names.
    fn sign(&self, by: &str, from: &str, to: &str, names: &str) -> Pair {
        let directory = &self.directory;
        fs::write(directory.join("index"), "").unwrap();
        openssl(
            directory,
            &format!(
                "req -newkey rsa:2048 -nodes -subj /CN=desktop -addext {names} -keyout host.key -out host.csr"
            ),
        );
        openssl(
            directory,
            &format!(
                "ca -batch -config ca.conf -cert {by}.pem -keyfile {by}.key -startdate {from} -enddate {to} -in host.csr -out \
                 host.pem -notext"
            ),
        );
        Pair(directory.join("host.pem"), directory.join("host.key"))
    }

    fn good(&self) -> Pair {
        self.sign("ca", "20200101000000Z", "20990101000000Z", NAMES)
    }
}

impl Desk {
    async fn start() -> Self {
        let ground = Ground::take().await.unwrap();
        let nginx = Nginx::start(ground.cache()).await.unwrap();
        let nix = NixConf::new().unwrap();
        let authority = Authority::new(nginx.directory());
        fs::copy(
            authority.directory.join("ca.pem"),
            nix.directory().join("bundle.pem"),
        )
        .unwrap();
        let url = format!("https://{HTTPS}");
        nix.set_caches(&[(&url, nginx.public_key())]).unwrap();
        Self {
            nginx,
            nix,
            authority,
            _ground: ground,
        }
    }

    async fn serve(&mut self, Pair(certificate, key): Pair, more: &str) {
        self.nginx.set_server(&format!(
            "listen {HTTPS} ssl; ssl_certificate {}; ssl_certificate_key {}; {more}",
            certificate.display(),
            key.display()
        ));
        self.nginx.restart().await.unwrap();
    }

    fn bundle(&self) -> PathBuf {
        self.nix.directory().join("bundle.pem")
    }

    /// Whether curl, as Nix has it, takes what is served.
    fn curl_takes_it(&self) -> bool {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "--cacert"])
            .arg(self.bundle())
            .arg(format!("https://{HTTPS}/nix-cache-info"));
        curl.output().unwrap().status.success()
    }

    fn trust(&self, certificate: &str) {
        let more = fs::read_to_string(self.authority.directory.join(certificate)).unwrap();
        let mut all = fs::read_to_string(self.bundle()).unwrap();
        all.push_str(&more);
        self.nix.write("bundle.pem", &all).unwrap();
    }
}

fn cache(now: &Snapshot) -> Option<&Target> {
    now.targets.iter().find(|target| target.kind == Kind::Cache)
}

const FAULTS: [Fault; 6] = [
    Fault {
        word: "expired",
        certificate: |ca| ca.sign("ca", "20200101000000Z", "20210101000000Z", NAMES),
        directives: "",
        remedy: "Renew it",
        mend: |_| {},
    },
    Fault {
        word: "not-yet-valid",
        certificate: |ca| ca.sign("ca", "20980101000000Z", "20990101000000Z", NAMES),
        directives: "",
        remedy: "`timedatectl`",
        mend: |_| {},
    },
    Fault {
        word: "other-name",
        certificate: |ca| {
            let names = "subjectAltName=DNS:laptop";
            ca.sign("ca", "20200101000000Z", "20990101000000Z", names)
        },
        directives: "",
        remedy: "make the certificate again",
        mend: |_| {},
    },
    Fault {
        word: "too-old",
        certificate: Authority::good,
        directives: "ssl_protocols TLSv1.1; ssl_ciphers DEFAULT:@SECLEVEL=0;",
        remedy: "`ssl_protocols TLSv1.2 TLSv1.3;`",
        mend: |_| {},
    },
    Fault {
        word: "unknown-authority",
        certificate: |ca| ca.sign("other", "20200101000000Z", "20990101000000Z", NAMES),
        directives: "",
        remedy: "trust the authority that made it",
        mend: |desk| desk.trust("other.pem"),
    },
    Fault {
        word: "self-signed",
        certificate: |ca| {
            let directory = &ca.directory;
            openssl(
                directory,
                &format!(
                    "req -x509 -newkey rsa:2048 -nodes -subj /CN=desktop -addext {NAMES} -days 9 -keyout self.key -out self.pem"
                ),
            );
            Pair(directory.join("self.pem"), directory.join("self.key"))
        },
        directives: "",
        remedy: "have this machine trust it",
        mend: |desk| desk.trust("self.pem"),
    },
];

#[tokio::test]
async fn each_fault_of_tls_is_told_as_what_it_is_and_mended_by_its_remedy() {
    let mut desk = Desk::start().await;
    let entry = desk
        .nginx
        .entry("c")
        .replace(&desk.nginx.url(), &format!("https://{HTTPS}"));
    let conf = desk.nix.path();
    let laptop = Laptop::start_with(Launch {
        config: format!("[nix]\nconf = \"{}\"\n{POLL}{entry}", conf.display()),
        environment: vec![(
            "NIX_SSL_CERT_FILE".into(),
            desk.bundle().display().to_string(),
        )],
        ..Launch::default()
    });
    let laptop = laptop.await.unwrap();
    for fault in FAULTS {
        let pair = (fault.certificate)(&desk.authority);
        desk.serve(pair, fault.directives).await;
        assert!(!desk.curl_takes_it(), "{}", fault.word);
        let is_told = |now: &Snapshot| {
            cache(now).is_some_and(|it| {
                let told = it.details.get("tls_fault").map(ToString::to_string);
                it.reason == Reason::TlsFailed && told.as_deref() == Some(fault.word)
            })
        };
        let seen = laptop.until(fault.word, is_told).await.unwrap();
        let seen = cache(&seen).unwrap();
        assert_eq!(seen.state, TargetState::Degraded);
        let remedy = reasons::remedy_for(seen);
        assert!(remedy.contains(fault.remedy), "{remedy}");
        // What is wrong with the authorities is mended there, all else on the desktop.
        let before = fs::read(desk.bundle()).unwrap();
        (fault.mend)(&desk);
        if fs::read(desk.bundle()).unwrap() == before {
            let good = desk.authority.good();
            desk.serve(good, "ssl_protocols TLSv1.2 TLSv1.3;").await;
        } else {
            let bundle = desk.bundle().display().to_string();
            assert!(remedy.contains(&bundle), "{remedy}");
        }
        assert!(desk.curl_takes_it(), "{}", fault.word);
        laptop.until_ready().await.unwrap();
        println!("tls-failed | {} | {} | mended", fault.word, fault.remedy);
    }
}
