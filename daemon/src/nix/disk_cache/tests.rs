use std::{
    fs::{self, File},
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::files::Direct;

/// Written by SQLite itself, in pages of 1024 bytes: Nix's tables with two caches and forty rows, ten
/// seconds apart. Of these each fourth is there, with references that need more than a page every
/// other time, and each fifth is of the public cache.
const SAMPLE: &[u8] = include_bytes!("sample.sqlite");
/// When the first row was written.
const FIRST: u64 = 1_700_000_000;
const NAME: &str = "binary-cache-v6.sqlite";

fn directory(bytes: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), bytes).unwrap();
    directory
}

fn desktop(url: &str) -> bool {
    url == "http://192.0.2.6:5000/"
}

/// The hash of the row `number`, counted from 0.
fn hash(number: usize) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
    let digit = |number: usize| char::from(DIGITS[number]);
    format!(
        "{}{}{}",
        digit(number / 32),
        digit(number % 32),
        "0".repeat(30)
    )
}

#[test]
fn the_last_misses_of_one_cache_come_first() {
    let directory = directory(SAMPLE);
    let found = misses(&Direct, directory.path(), desktop, FIRST).unwrap();
    let expected = (0..40).rev().filter(|n| n % 4 != 0 && n % 5 != 0);
    let expected: Vec<_> = expected.take(MAX_MISSES).map(hash).collect();
    assert_eq!(found, expected);

    let other = misses(
        &Direct,
        directory.path(),
        |url| url.contains("nixos"),
        FIRST,
    )
    .unwrap();
    assert_eq!(other, [35, 30, 25, 15, 10, 5].map(hash));
    assert!(
        misses(&Direct, directory.path(), |_| false, FIRST)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn each_miss_is_known_however_many_came_after_it() {
    let directory = directory(SAMPLE);
    for number in 0..40 {
        let hash = hash(number);
        let is_missed = is_missed(&Direct, directory.path(), desktop, FIRST - 1, &hash);
        let expected = number % 4 != 0 && number % 5 != 0;
        assert_eq!(is_missed.unwrap(), expected, "{number}");
    }
}

#[test]
fn the_last_hits_of_one_cache_come_first() {
    let directory = directory(SAMPLE);
    let since = |row: u64| hits(&Direct, directory.path(), desktop, FIRST + 10 * row).unwrap();
    // What goes on on another page is left out.
    let expected = [36, 28, 12, 4].map(|number| Hit {
        path: format!("{}-n{number}", hash(number)),
        url: "nar/x".to_owned(),
        compression: "xz".to_owned(),
        file_size: Some(10),
        nar_size: 20,
    });
    assert_eq!(since(0), expected);
    assert_eq!(since(28), expected[..1]);
    assert_eq!(since(36), []);
}

#[test]
fn what_is_forgotten_by_now_is_no_miss() {
    let directory = directory(SAMPLE);
    let since = |row: u64| misses(&Direct, directory.path(), desktop, FIRST + 10 * row).unwrap();
    assert_eq!(since(36), [39, 38, 37].map(hash));
    assert_eq!(since(37), [39, 38].map(hash));
    assert_eq!(since(39), [""; 0]);
}

#[test]
fn the_file_that_was_written_last_counts() {
    let directory = directory(SAMPLE);
    let newer = directory.path().join("binary-cache-v8.sqlite");
    fs::write(&newer, "").unwrap();
    // Some day after 2100.
    let later = UNIX_EPOCH + Duration::from_secs(1 << 32);
    File::open(&newer).unwrap().set_modified(later).unwrap();
    let refused = misses(&Direct, directory.path(), desktop, FIRST).unwrap_err();
    assert!(matches!(refused, DiskCacheError::Format(_)), "{refused}");
    File::open(&newer)
        .unwrap()
        .set_modified(UNIX_EPOCH)
        .unwrap();
    assert!(misses(&Direct, directory.path(), desktop, FIRST).is_ok());
}

#[test]
fn nothing_is_claimed_while_somebody_writes() {
    let directory = directory(SAMPLE);
    let journal = directory.path().join(format!("{NAME}-journal"));
    fs::write(&journal, "").unwrap();
    assert!(
        misses(&Direct, directory.path(), desktop, FIRST).is_ok(),
        "truncated"
    );
    fs::write(&journal, "x").unwrap();
    let refused = misses(&Direct, directory.path(), desktop, FIRST);
    assert!(matches!(refused, Err(DiskCacheError::Busy)));

    fs::remove_file(&journal).unwrap();
    let mut log = SAMPLE.to_vec();
    log[18..20].copy_from_slice(&[2, 2]);
    fs::write(directory.path().join(NAME), log).unwrap();
    // A log that is not there has nothing in it.
    assert!(misses(&Direct, directory.path(), desktop, FIRST).is_ok());

    let database = {
        fs::write(directory.path().join(NAME), SAMPLE).unwrap();
        Database::open(&Direct, &directory.path().join(NAME)).unwrap()
    };
    assert!(database.is_unchanged().is_ok());
    let mut next = SAMPLE.to_vec();
    next[27] += 1;
    fs::write(directory.path().join(NAME), next).unwrap();
    assert!(matches!(database.is_unchanged(), Err(DiskCacheError::Busy)));
}

/// Nix's tables in a database that somebody has open, so that its log is not copied into it.
struct Open(std::process::Child, TempDir);

impl Open {
    fn new() -> Option<Self> {
        let directory = directory(SAMPLE);
        let mut command = std::process::Command::new("sqlite3");
        command.arg("-batch").arg(directory.path().join(NAME));
        let pipes = [std::process::Stdio::piped(), std::process::Stdio::piped()];
        let [input, output] = pipes;
        let Ok(child) = command.stdin(input).stdout(output).spawn() else {
            println!("skipped: no sqlite3");
            return None;
        };
        let mut open = Self(child, directory);
        open.says("pragma journal_mode = wal;");
        Some(open)
    }

    /// One line of what SQLite answers.
    fn says(&mut self, statement: &str) -> String {
        use std::io::{BufRead, BufReader, Write};
        let input = self.0.stdin.as_mut().unwrap();
        writeln!(input, "{statement}").unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        line
    }

    /// Writes a miss of a path, `after` seconds after the first.
    fn misses(&mut self, number: usize, after: u64) {
        let hash = hash(number);
        let time = FIRST + after;
        self.says(&format!(
            "insert into NARs(cache, hashPart, timestamp, present) select id, '{hash}', {time}, 0 \
             from BinaryCaches where url like '%192.0.2.6%'; select 1;"
        ));
    }

    fn path(&self) -> PathBuf {
        self.1.path().join(NAME)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_in_the_log_alone_is_read() {
    let Some(mut open) = Open::new() else { return };
    let found = |open: &Open| misses(&Direct, open.1.path(), desktop, FIRST + 360);
    for number in 100..400 {
        open.misses(number, 1000);
    }
    assert!(fs::metadata(beside(&open.path(), "-wal")).unwrap().len() > 10_000);
    let last: Vec<_> = (384..400).rev().map(hash).collect();
    assert_eq!(found(&open).unwrap(), last);
    // Of a transaction that has not ended nothing is there yet.
    open.says("begin; select 1;");
    open.misses(400, 1000);
    assert_eq!(found(&open).unwrap(), last);
    open.says("commit; select 1;");
    assert_eq!(found(&open).unwrap()[0], hash(400));
    // Copied into the file, and begun anew.
    open.says("pragma wal_checkpoint(restart);");
    open.misses(401, 1000);
    assert_eq!(found(&open).unwrap()[..2], [401, 400].map(hash));
    // A log that is damaged ends there.
    let log = File::options()
        .write(true)
        .open(beside(&open.path(), "-wal"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&log, &[0xff; 8], 100).unwrap();
    assert_eq!(found(&open).unwrap()[0], hash(400));
}

#[test]
fn what_is_committed_while_a_log_is_read_is_seen() {
    let Some(mut open) = Open::new() else { return };
    open.misses(100, 1000);
    let database = Database::open(&Direct, &open.path()).unwrap();
    assert!(database.is_unchanged().is_ok());
    open.misses(101, 1000);
    assert!(matches!(database.is_unchanged(), Err(DiskCacheError::Busy)));
    let database = Database::open(&Direct, &open.path()).unwrap();
    open.says("pragma wal_checkpoint(truncate);");
    assert!(matches!(database.is_unchanged(), Err(DiskCacheError::Busy)));
}

#[test]
fn what_is_no_database_says_why() {
    let empty = tempfile::tempdir().unwrap();
    let refused = misses(&Direct, empty.path(), desktop, 0).unwrap_err();
    assert!(matches!(refused, DiskCacheError::Io(_)), "{refused}");
    for bytes in [
        &b""[..],
        b"SQLite format 3\0",
        &SAMPLE[..1024],
        &SAMPLE[..5000],
    ] {
        let directory = directory(bytes);
        assert!(misses(&Direct, directory.path(), desktop, 0).is_err());
    }
    let large = directory(SAMPLE);
    let file = File::options().append(true).open(large.path().join(NAME));
    file.unwrap().set_len(65 << 20).unwrap();
    assert!(misses(&Direct, large.path(), desktop, 0).is_err());
}

#[test]
fn a_tree_that_bites_its_tail_ends() {
    // Each page that has children becomes its own child.
    let mut bytes = SAMPLE.to_vec();
    let mut bitten = 0;
    for page in 1..bytes.len() / 1024 {
        let at = page * 1024;
        if bytes[at] == 0x05 {
            let own = u32::try_from(page + 1).unwrap().to_be_bytes();
            bytes[at + 8..at + 12].copy_from_slice(&own);
            bitten += 1;
        }
    }
    assert!(bitten > 0);
    let directory = directory(&bytes);
    assert!(misses(&Direct, directory.path(), desktop, 0).is_err());
}

#[test]
fn rows_that_are_told_again_and_again_are_bounded() {
    /// Page 2 has page 3 for all its children, whose cells are one row.
    const PAGE: usize = 1024;
    let mut bytes = [&SAMPLE[..PAGE], &[0; 2 * PAGE]].concat();
    let (cells, children) = (500_u16, 500_u16);
    let (above, leaf) = bytes[PAGE..].split_at_mut(PAGE);
    let list = |page: &mut [u8], start: usize, count: u16, at: usize| {
        page[3..5].copy_from_slice(&count.to_be_bytes());
        for pointer in page[start..].chunks_exact_mut(2).take(count.into()) {
            pointer.copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
        }
    };
    above[0] = 0x05;
    list(above, 12, children, 8);
    above[8..12].copy_from_slice(&3_u32.to_be_bytes());
    leaf[0] = 0x0d;
    list(leaf, 8, cells, PAGE - 8);
    leaf[PAGE - 8..].copy_from_slice(&[2, 1, 2, 0, 0, 0, 0, 0]);
    let directory = directory(&bytes);
    let database = Database::open(&Direct, &directory.path().join(NAME)).unwrap();
    let mut rows = 0_usize;
    let read = database.rows(2, &mut |_| {
        rows += 1;
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(
        rows,
        16_384,
        "of {}",
        usize::from(cells) * usize::from(children)
    );
}

#[test]
fn what_becomes_part_of_a_url_is_a_hash() {
    assert_eq!(hash_part(hash(7).as_bytes()), Some(hash(7)));
    for bad in [
        "",
        "../../../etc/passwd",
        "0",
        &format!("{}-a", hash(7)),
        &"e".repeat(32),
    ] {
        assert_eq!(hash_part(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(hash_part(&[0xff; 32]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let directory = directory(&[MAGIC, &bytes].concat());
        let _ = misses(&Direct, directory.path(), |_| true, 0);
    }

    #[test]
    fn any_damage_is_survived(
        damage in proptest::collection::vec((0..SAMPLE.len(), any::<u8>()), 1..64),
    ) {
        let mut bytes = SAMPLE.to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        let directory = directory(&bytes);
        if let Ok(found) = misses(&Direct, directory.path(), |_| true, 0) {
            prop_assert!(found.len() <= MAX_MISSES);
        }
    }
}

/// The header of a database with pages of 1024 bytes.
const MAGIC: &[u8] = SAMPLE.split_at(100).0;
