//! What `journalctl -x` says: the catalog, beside what a real journald has of a real daemon.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use offload_client::{
    Snapshot,
    reasons::{explanation_for, remedy_for},
};
use offload_tests::{
    daemon::program,
    fake::{Cache, Fault},
    ground::HERE,
    outcome::{isolate, run_to_end},
    package::root,
    process::system_program,
    skip::is_root,
};
use offloadd::monitor::{MESSAGE_NOT_READY, MESSAGE_OVERALL, MESSAGE_READY, MESSAGE_UNKNOWN};
use tokio::process::Command;

const ANY: SocketAddr = SocketAddr::new(HERE, 0);

/// Where systemd has it: nothing on `PATH`.
const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// `$1`: a root with a catalog's database, where `said` is left; `$2`: journald; then the program. In
/// namespaces of their own, so that journald is nobody's and ends with them, and leaves audit and the
/// kernel's log alone.
const UNDER_JOURNALD: &str = r#"
    set -e
    directory=$1 journald=$2
    shift 2
    database=$(mktemp)
    cp "$directory/var/lib/systemd/catalog/database" "$database"
    mount -t tmpfs none /run
    mount -t tmpfs none /var/log
    mkdir -p /run/catalog /run/systemd/journald.conf.d
    mv "$database" /run/catalog/database
    mount --bind /run/catalog /var/lib/systemd/catalog
    printf '[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nForwardToWall=no\n' \
        > /run/systemd/journald.conf.d/alone.conf
    SYSTEMD_LOG_TARGET=console "$journald" >&2 &
    until [ -S /run/systemd/journal/socket ]; do
        kill -0 $!
        sleep 0.02
    done
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
    export JOURNAL_STREAM
    "$@" || test $? = 3
    journalctl --sync
    journalctl --no-pager --catalog --identifier=offloadd > "$directory/said"
"#;

/// `journalctl` with the catalog of this tree alone, below `root`.
async fn journalctl(root: &Path, option: &str) -> String {
    let mut journalctl = Command::new(system_program("journalctl", "systemd").unwrap());
    isolate(&mut journalctl);
    journalctl.arg("--root").arg(root).arg(option);
    let outcome = run_to_end(journalctl).await.unwrap();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "nothing to complain of");
    outcome.stdout
}

/// A root with the catalog and the database that systemd makes of it.
async fn catalog() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("usr/lib/systemd/catalog");
    fs::create_dir_all(&source).unwrap();
    fs::create_dir_all(directory.path().join("var/lib/systemd/catalog")).unwrap();
    let file = PathBuf::from("offloadd.catalog");
    fs::copy(root().join("systemd").join(&file), source.join(file)).unwrap();
    journalctl(directory.path(), "--update-catalog").await;
    directory
}

/// However the journal breaks and marks its lines.
fn words(text: &str) -> String {
    let text = text.replace('░', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn systemd_takes_the_catalog_and_lists_every_message() {
    let directory = catalog().await;
    let listed = journalctl(directory.path(), "--list-catalog").await;
    let mut ids: Vec<&str> = listed.lines().filter_map(|l| l.split(' ').next()).collect();
    ids.sort_unstable();
    let mut expected = [
        MESSAGE_READY,
        MESSAGE_NOT_READY,
        MESSAGE_UNKNOWN,
        MESSAGE_OVERALL,
    ];
    expected.sort_unstable();
    assert_eq!(ids, expected, "{listed}");
    let dumped = journalctl(directory.path(), "--dump-catalog").await;
    for header in [
        "Subject: ",
        "Defined-By: offloadd",
        "Support: ",
        "Documentation: man:offloadd(8)",
    ] {
        let found = dumped.lines().filter(|line| line.starts_with(header));
        assert_eq!(found.count(), expected.len(), "{header} in {dumped}");
    }
}

#[tokio::test]
async fn journalctl_says_what_was_seen_and_what_mends_it() {
    if !is_root("namespaces of one's own") {
        return;
    }
    let directory = catalog().await;
    let cache = Cache::start(ANY).await.unwrap();
    let broken = Cache::start(ANY).await.unwrap();
    broken.set(Fault::Refuse).await.unwrap();
    let config = directory.path().join("config.toml");
    let text = format!(
        "[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"{}\"\n\
         [[cache]]\nname = \"attic\"\nurl = \"{}\"\n",
        cache.url(),
        broken.url()
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new("unshare");
    isolate(&mut command);
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", UNDER_JOURNALD, "sh"])
        .arg(directory.path())
        .arg(JOURNALD)
        .arg(program("offloadd").unwrap())
        .args(["--once", "--json", "--config"])
        .arg(config);
    let outcome = run_to_end(command).await.unwrap();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let snapshot: Snapshot = serde_json::from_str(&outcome.stdout).unwrap();
    let attic = snapshot.find("attic").next().unwrap();

    let said = fs::read_to_string(directory.path().join("said")).unwrap();
    let text = words(&said);
    for expected in [
        "Subject: The cache desktop is ready",
        "Subject: The cache attic is down: refused",
        "Subject: The caches and builders together are degraded",
        "`offloadctl check cache/attic`",
        &format!("What was seen: {}", words(&explanation_for(attic))),
        &format!("What to do: {}", words(&remedy_for(attic))),
    ] {
        assert!(text.contains(expected), "{expected} in {said}");
    }
    // A field that a message lacks stands there by its name.
    assert!(!said.contains("OFFLOAD_"), "{said}");
}
