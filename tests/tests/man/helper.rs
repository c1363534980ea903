//! offload-helper(8), which has no command line.

use crate::{page::Page, words::Words};

pub(crate) fn page(words: &Words) -> String {
    let mut page = Page::new(
        words,
        "offload-helper",
        "8",
        "open for offloadd what only root may read",
    );
    page.section("DESCRIPTION");
    page.prose(
        "Nix hands builds over as root: with root's list of builders, netrc, known_hosts, ssh_config and keys. `offloadd`(8) \
         speaks with the network and is not root. `offload-helper` does for it what takes root, and speaks with none; a proxy that it starts does. It is \
         started by its socket when it is asked, and ends when nobody has asked for half a minute.",
    );
    page.paragraph(
        "It answers root and the owner of the socket, the user `offloadd`. What may be asked for stands in root's own \
         files, in as far as nobody but root can exchange them, and never in the question:",
    );
    page.item(
        "open",
        "A descriptor, for reading, of a file that root's Nix reads (nix.conf and what it includes, root's own nix.conf, \
         the list of builders, netrc-file, ssl-cert-file, the cache of what is in binary caches) or root's ssh for one of \
         Nix's builders (known_hosts, revoked keys, certificates and public keys). A file in which there is a private key \
         is not opened, nor one that somebody other than root could exchange for another, by a link or a directory on \
         the way.",
    );
    page.item(
        "resolve",
        "What root's ssh would do for one of Nix's builders: the answer of `ssh -G`, for which it gets what Nix gives it.",
    );
    page.item(
        "identities, sign",
        "The public keys that root's ssh would offer one of Nix's builders, its agent's too, and a signature with one of \
         them, of nothing but a login there as the user that ssh would be. A key that ssh does not take is refused for ssh's reason.",
    );
    page.item(
        "build",
        "A build of something new, through nix-daemon, on one of Nix's builders and no other, with root's key: what \
         `offloadctl test-build` shows. At most eight at once, each for ten minutes at most; it ends when who asked is gone.",
    );
    page.item(
        "dial",
        "What root's ssh has as its `ProxyJump` or `ProxyCommand` for one of Nix's builders, run as root: a jump takes root's \
         keys and known hosts. offloadd gets the socket that it reads and writes, and the pipe that it complains to; \
         it ends when offloadd closes that, and with a day. At most eight at once; the helper stays while one runs.",
    );
    page.item(
        "forget",
        "Deletes what root's Nix remembers as missing from one of its substituters, with `sqlite3`(1), where nobody else \
         writes: what `offloadctl forget-misses` asks for.",
    );
    page.item(
        "watch",
        "An inotify(7) of the folders in which root's Nix and ssh read those files and root's keys, with what matters in \
         each: the kernel tells offloadd when one changes, and nobody has to run for that. It tells the names of \
         what changes in these folders, and nothing of what is in it.",
    );
    page.section("ENVIRONMENT");
    page.item(
        "NIX_SSHOPTS, SSH_AUTH_SOCK",
        "What Nix gives its ssh, and where ssh's agent listens. What offload-helper.service does not set is as \
         nix-daemon.service has it, by `Environment=` or `EnvironmentFile=`: systemd is asked. An agent of somebody else's can't \
         be asked, and makes the builder `unknown`.",
    );
    page.item(
        "NIX_CONF_DIR, HOME, XDG_CONFIG_HOME, XDG_CONFIG_DIRS, XDG_CACHE_HOME",
        "As nix-daemon has them: what is set in nix-daemon.service has to be set in offload-helper.service too.",
    );
    page.section("FILES");
    page.item(
        "/run/offload-helper.socket",
        "Where it answers: a socket of the user `offloadd`, with the mode 0600 (offload-helper.socket).",
    );
    page.section("JOURNAL");
    page.prose(
        "`journalctl -u offload-helper` shows each question, at the priority debug, and what was refused and why, at the \
         priority warning.",
    );
    page.see_also(&[
        "offloadd(8)",
        "offloadctl(1)",
        "ssh(1)",
        "nix.conf(5)",
        "systemd.socket(5)",
    ])
}
