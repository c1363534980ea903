//! Where the log goes: to the journal with its fields, or to standard error in plain words.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, time::Duration};

use offload_tests::{
    daemon::program,
    fake::{Cache, Fault},
    ground::HERE,
    outcome::{Outcome, command, isolate, run_to_end},
    skip::is_root,
};
use offloadd::monitor::{MESSAGE_NOT_READY, MESSAGE_OVERALL, MESSAGE_READY};
use tokio::{net::UnixDatagram, process::Command};

const ANY: SocketAddr = SocketAddr::new(HERE, 0);
/// For what is in the socket already.
const SILENCE: Duration = Duration::from_millis(100);

/// `$1`: a directory with the journal's socket. In a mount namespace of its own, so that nothing
/// outside sees it. The journal's stream is what standard error is, as systemd would say.
const UNDER_JOURNAL: &str = r#"
    set -e
    mount -t tmpfs none /run
    mkdir -p /run/systemd/journal
    mount --bind "$1" /run/systemd/journal
    shift
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
    export JOURNAL_STREAM
    exec "$@"
"#;

type Entry = BTreeMap<String, String>;

fn config(directory: &Path, cache: &Cache) -> std::path::PathBuf {
    let file = directory.join("config.toml");
    let config = format!(
        "[nix]\nimport = false\n[[cache]]\nname = \"desktop\"\nurl = \"{}\"\n",
        cache.url()
    );
    fs::write(&file, config).unwrap();
    file
}

/// `offloadd --once` with a journal beside it: how it ended, and what the journal was sent.
async fn once_under_journal(config: &Path) -> (Outcome, Vec<Entry>) {
    let directory = tempfile::tempdir().unwrap();
    let journal = UnixDatagram::bind(directory.path().join("socket")).unwrap();
    let mut command = Command::new("unshare");
    isolate(&mut command);
    command
        .args(["--mount", "sh", "-c", UNDER_JOURNAL, "sh"])
        .arg(directory.path())
        .arg(program("offloadd").unwrap())
        .args(["--once", "--config"])
        .arg(config);
    let mut entries = Vec::new();
    let mut ended = std::pin::pin!(run_to_end(command));
    // The socket holds few entries: they are taken while they come.
    let outcome = loop {
        tokio::select! {
            entry = receive(&journal) => entries.extend(entry),
            outcome = &mut ended => break outcome.unwrap(),
        }
    };
    while let Ok(entry) = tokio::time::timeout(SILENCE, receive(&journal)).await {
        entries.extend(entry);
    }
    (outcome, entries)
}

/// The next datagram; `None` for an empty one, with which a client tries whether anybody is there.
async fn receive(journal: &UnixDatagram) -> Option<Entry> {
    let mut buffer = vec![0; 64 * 1024];
    let length = journal.recv(&mut buffer).await.unwrap();
    Some(parse(&buffer[..length])).filter(|entry| !entry.is_empty())
}

/// systemd's native protocol: `NAME=value` and a newline, or `NAME`, a newline, the value's length
/// as 64 little-endian bits, the value and a newline (systemd.io/JOURNAL_NATIVE_PROTOCOL).
fn parse(mut datagram: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|b| *b == b'\n').unwrap();
        let (line, rest) = (&datagram[..end], &datagram[end + 1..]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if let Some(equals) = line.iter().position(|b| *b == b'=') {
            entry.insert(text(&line[..equals]), text(&line[equals + 1..]));
            datagram = rest;
        } else {
            let (length, rest) = rest.split_first_chunk::<8>().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            entry.insert(text(line), text(&rest[..length]));
            datagram = &rest[length + 1..];
        }
    }
    entry
}

fn by_id<'a>(entries: &'a [Entry], id: &str) -> &'a Entry {
    let mut found = entries
        .iter()
        .filter(|e| e.get("MESSAGE_ID").is_some_and(|m| m == id));
    let entry = found
        .next()
        .unwrap_or_else(|| panic!("{id} is not in {entries:?}"));
    assert!(found.next().is_none(), "{id} is there twice: {entries:?}");
    entry
}

fn field<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
    entry.get(name).map(String::as_str)
}

#[tokio::test]
async fn the_journal_gets_each_change_with_its_fields() {
    if !is_root("a mount namespace") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::start(ANY).await.unwrap();
    let config = config(directory.path(), &cache);

    let (outcome, entries) = once_under_journal(&config).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "what the journal gets is said once");
    let ready = by_id(&entries, MESSAGE_READY);
    assert_eq!(field(ready, "OFFLOAD_TARGET"), Some("desktop"));
    assert_eq!(field(ready, "OFFLOAD_KIND"), Some("cache"));
    assert_eq!(field(ready, "OFFLOAD_STATE"), Some("ready"));
    assert_eq!(field(ready, "MESSAGE"), Some("cache/desktop is ready"));
    assert_eq!(field(ready, "SYSLOG_IDENTIFIER"), Some("offloadd"));
    let overall = by_id(&entries, MESSAGE_OVERALL);
    assert_eq!(field(overall, "OFFLOAD_STATE"), Some("ready"));

    cache.set(Fault::Refuse).await.unwrap();
    let (outcome, entries) = once_under_journal(&config).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let down = by_id(&entries, MESSAGE_NOT_READY);
    assert_eq!(field(down, "OFFLOAD_TARGET"), Some("desktop"));
    assert_eq!(field(down, "OFFLOAD_STATE"), Some("down"));
    assert_eq!(field(down, "OFFLOAD_REASON"), Some("refused"));
    // A warning, by syslog(3)'s levels, and the good news is none.
    assert_eq!(field(down, "PRIORITY"), Some("4"));
    assert_ne!(field(ready, "PRIORITY"), Some("4"));
    let message = field(down, "MESSAGE").unwrap();
    assert!(
        message.starts_with("cache/desktop is down: connection refused"),
        "{message}"
    );
    // In the page's words, with what is known of the target in them.
    let explanation = field(down, "OFFLOAD_EXPLANATION").unwrap();
    let address = cache.url();
    let address = address.trim_start_matches("http://");
    assert!(explanation.contains(address), "{explanation}");
    let remedy = field(down, "OFFLOAD_REMEDY").unwrap();
    assert!(remedy.contains("Start the service"), "{remedy}");
    assert_eq!(field(ready, "OFFLOAD_REMEDY"), None);
    let overall = by_id(&entries, MESSAGE_OVERALL);
    assert_eq!(field(overall, "OFFLOAD_REASON"), Some("refused"));
}

#[tokio::test]
async fn a_journal_that_standard_error_does_not_lead_to_gets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::start(ANY).await.unwrap();
    cache.set(Fault::Refuse).await.unwrap();
    let mut offloadd = command("offloadd").unwrap();
    // As where somebody redirected the output of a service: the variable is there and not true.
    offloadd
        .env("JOURNAL_STREAM", "1:1")
        .args(["--once", "--config"]);
    offloadd.arg(config(directory.path(), &cache));
    let outcome = run_to_end(offloadd).await.unwrap();
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let log = &outcome.stderr;
    assert!(
        log.contains(" WARN cache/desktop is down: connection refused"),
        "{log}"
    );
    for machine in ["\u{1b}", "message_id", MESSAGE_NOT_READY, "offload_state"] {
        assert!(!log.contains(machine), "{log}");
    }
    assert!(!outcome.stdout.contains("WARN"), "{outcome:?}");
}

#[tokio::test]
async fn colour_is_for_terminals_that_want_it() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::start(ANY).await.unwrap();
    cache.set(Fault::Refuse).await.unwrap();
    let file = config(directory.path(), &cache);
    let program = program("offloadd").unwrap();
    // script(1) gives it a terminal; the page goes elsewhere, so that only the log is seen.
    let line = format!(
        "'{}' --once --config '{}' > /dev/null",
        program.display(),
        file.display()
    );
    for (no_colour, coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let mut terminal = Command::new("script");
        isolate(&mut terminal);
        terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        terminal.envs(no_colour.map(|value| ("NO_COLOR", value)));
        let outcome = run_to_end(terminal).await.unwrap();
        assert_eq!(outcome.code, Some(3), "{outcome:?}");
        let log = &outcome.stdout;
        assert!(log.contains("cache/desktop is down"), "{log}");
        assert_eq!(log.contains('\u{1b}'), coloured, "{no_colour:?}: {log}");
    }
}
