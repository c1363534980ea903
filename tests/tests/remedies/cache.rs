//! The desktop's cache, and what the laptop's nix.conf says of it.

use offload_client::{
    Kind,
    Reason::{
        CacheInfoInvalid, CaptivePortal, HttpStatus, NarMissing, NarinfoInvalid, NotHttp, Refused,
        StoreDirMismatch, SubstitutionOff, Unsigned, UntrustedSignature,
    },
};

use crate::{
    machines::Machine::{Desktop, Laptop},
    row::{Proof::Fetches, Row, follow, here, there},
};

const RESTART: &str = "sudo systemctl restart nix-daemon";

const ROWS: [Row; 14] = [
    Row {
        reason: Refused,
        cause: "its server was stopped",
        spoil: &[(Desktop, "systemctl stop nginx")],
        remedy: &[there("sudo systemctl start").by("sudo systemctl start nginx")],
        proof: Fetches,
    },
    Row {
        reason: Refused,
        cause: "another port in substituters",
        spoil: &[(
            Laptop,
            "sed -i s/:5000/:5001/ /etc/nix/nix.conf /etc/offloadd/config.toml; systemctl stop nix-daemon",
        )],
        remedy: &[
            here("compare its port with the one in http://192.0.2.6:5001")
                .by("sed -i s/:5001/:5000/ /etc/nix/nix.conf /etc/offloadd/config.toml; systemctl restart nix-daemon"),
        ],
        proof: Fetches,
    },
    Row {
        reason: NotHttp,
        cause: "the port of sshd",
        spoil: &[(
            Laptop,
            "sed -i s/:5000/:22/ /etc/nix/nix.conf /etc/offloadd/config.toml; systemctl stop nix-daemon",
        )],
        remedy: &[
            here("correct the port")
                .by("sed -i s/:22/:5000/ /etc/nix/nix.conf /etc/offloadd/config.toml; systemctl restart nix-daemon"),
        ],
        proof: Fetches,
    },
    Row {
        reason: HttpStatus,
        cause: "a path in the URL that is not there",
        spoil: &[(
            Laptop,
            "sed -i s/:5000/:5000.nix/ /etc/nix/nix.conf /etc/offloadd/config.toml; \
             sed -i s/5000.nix/5000\\\\/nix/ /etc/nix/nix.conf /etc/offloadd/config.toml; systemctl stop nix-daemon",
        )],
        remedy: &[
            here("404 means that the URL's path is wrong").by(
                "sed -i s/5000.nix/5000/ /etc/nix/nix.conf /etc/offloadd/config.toml; systemctl restart nix-daemon",
            ),
        ],
        proof: Fetches,
    },
    Row {
        reason: HttpStatus,
        cause: "nginx denies the laptop",
        spoil: &[(Desktop, "sed -i 's/listen/deny 192.0.2.2; listen/' /etc/nginx/conf.d/cache.conf; systemctl restart nginx")],
        remedy: &[
            there("(nginx: `deny`)").by("sed -i 's/deny 192.0.2.2;//' /etc/nginx/conf.d/cache.conf; systemctl restart nginx"),
        ],
        proof: Fetches,
    },
    Row {
        reason: HttpStatus,
        cause: "the cache behind the proxy is down",
        spoil: &[(
            Desktop,
            "sed -i 's|listen|location / { proxy_pass http://127.0.0.1:5005; } listen|' /etc/nginx/conf.d/cache.conf; \
             systemctl restart nginx",
        )],
        remedy: &[
            there("502 or 503 that the cache behind the proxy is down").by(
                "printf 'server { listen 127.0.0.1:5005; root /srv/cache; }' > /etc/nginx/conf.d/own.conf; systemctl restart nginx",
            ),
        ],
        proof: Fetches,
    },
    Row {
        reason: CaptivePortal,
        cause: "a page answers in its place",
        spoil: &[(
            Desktop,
            "echo '<html>hello</html>' > /srv/cache/index.html; \
             sed -i 's|listen|default_type text/html; rewrite ^ /index.html break; listen|' /etc/nginx/conf.d/cache.conf; systemctl restart nginx",
        )],
        remedy: &[
            there("the URL leads to another web server").by("sed -i 's/rewrite[^;]*; //' /etc/nginx/conf.d/cache.conf; systemctl restart nginx"),
        ],
        proof: Fetches,
    },
    Row {
        reason: CacheInfoInvalid,
        cause: "a nix-cache-info that Nix can't read",
        spoil: &[(Desktop, "echo Priority: high >> /srv/cache/nix-cache-info")],
        remedy: &[there("it must be short lines such as `StoreDir: /nix/store`").by("sed -i /Priority/d /srv/cache/nix-cache-info")],
        proof: Fetches,
    },
    Row {
        reason: StoreDirMismatch,
        cause: "another store directory",
        spoil: &[(Desktop, "echo 'StoreDir: /gnu/store' > /srv/cache/nix-cache-info")],
        remedy: &[there("whose store is /nix/store").by("echo 'StoreDir: /nix/store' > /srv/cache/nix-cache-info")],
        proof: Fetches,
    },
    Row {
        reason: Unsigned,
        cause: "what it serves is not signed",
        spoil: &[(Desktop, "sed -i /^Sig:/d /srv/cache/*.narinfo")],
        remedy: &[
            there("sudo nix-store --generate-binary-cache-key 192.0.2.6-1 /var/lib/cache.secret /var/lib/cache.pub"),
            there("give /var/lib/cache.secret to the server").by(
                "nix store sign --store file:///srv/cache --key-file /var/lib/cache.secret --all && cat /var/lib/cache.pub > /srv/cache/pub",
            ),
            here("the line `extra-trusted-public-keys = ` with what is in cache.pub").by(
                "echo extra-trusted-public-keys = $(printf 'GET /pub HTTP/1.0\\r\\n\\r\\n' | \
                 perl -MIO::Socket -e '$s = IO::Socket::INET->new(\"192.0.2.6:5000\"); print $s <STDIN>; print <$s>' | tail -n 1) >> /etc/nix/nix.conf",
            ),
            here(RESTART),
        ],
        proof: Fetches,
    },
    Row {
        reason: UntrustedSignature,
        cause: "trusted-public-keys lacks its key",
        spoil: &[(
            Laptop,
            "cp /etc/nix/nix.conf /etc/nix/whole; sed -i /^trusted-public-keys/d /etc/nix/nix.conf; systemctl stop nix-daemon",
        )],
        remedy: &[
            there("sudo cat SECRET-KEY-FILE | nix --extra-experimental-features nix-command key convert-secret-to-public")
                .by("sudo cat /etc/nix/cache.secret | nix --extra-experimental-features nix-command key convert-secret-to-public")
                .shows("desktop-1:"),
            here("the line `extra-trusted-public-keys = desktop-1:…` in /etc/nix/nix.conf")
                .by("sed -n 's/^trusted/extra-trusted/p' /etc/nix/whole >> /etc/nix/nix.conf"),
            here(RESTART),
        ],
        proof: Fetches,
    },
    Row {
        reason: NarinfoInvalid,
        cause: "a narinfo that is none",
        spoil: &[(Desktop, "for it in /srv/cache/*.narinfo; do cp $it $it.whole; echo oops > $it; done")],
        remedy: &[
            there("it must begin with lines such as `StorePath: /nix/store/…`")
                .by("for it in /srv/cache/*.narinfo; do mv $it.whole $it; done"),
        ],
        proof: Fetches,
    },
    Row {
        reason: NarMissing,
        cause: "its file is lost",
        spoil: &[(Desktop, "rm /srv/cache/nar/*")],
        remedy: &[
            there("on the desktop copy the path there again").by(
                "rm /srv/cache/*.narinfo; path=$(ls -d /nix/store/*-served); \
                 nix copy --to 'file:///srv/cache?secret-key=/etc/nix/cache.secret' $path",
            ),
        ],
        proof: Fetches,
    },
    Row {
        reason: SubstitutionOff,
        cause: "`substitute = false`",
        spoil: &[(Laptop, "echo substitute = false >> /etc/nix/nix.conf; systemctl stop nix-daemon")],
        remedy: &[
            here("`substitute = false`").by("sed -i /^substitute.=/d /etc/nix/nix.conf"),
            here(RESTART),
        ],
        proof: Fetches,
    },
];

#[tokio::test]
async fn what_the_cache_lacks_is_there_by_the_remedy() {
    follow(Kind::Cache, &ROWS).await;
}
