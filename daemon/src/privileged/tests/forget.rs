//! What Nix remembers as missing, in databases as Nix makes them.

use std::{io::ErrorKind, process::Command};

use super::Machine;

/// As in src/libstore/nar-info-disk-cache.cc.
const SCHEMA: &str = "\
    pragma journal_mode = wal;
    create table BinaryCaches (id integer primary key autoincrement not null, url text unique not null,
        timestamp integer not null, storeDir text not null, wantMassQuery integer not null, priority integer not null);
    create table NARs (cache integer not null, hashPart text not null, namePart text, url text, compression text,
        fileHash text, fileSize integer, narHash text, narSize integer, refs text, deriver text, sigs text, ca text,
        timestamp integer not null, present integer not null, primary key (cache, hashPart),
        foreign key (cache) references BinaryCaches(id) on delete cascade);
    insert into BinaryCaches values (1, 'http://desktop:5000', 1, '/nix/store', 1, 30);
    insert into BinaryCaches values (2, 'https://cache.example', 1, '/nix/store', 1, 40);
    insert into BinaryCaches values (3, 'http://Desktop:5000/', 1, '/nix/store', 1, 30);
    insert into NARs(cache, hashPart, timestamp, present) values (1, 'a', 1, 0), (1, 'b', 1, 1), (2, 'a', 1, 0),
        (3, 'c', 1, 0), (1, 'd', 1, 0);";
const LEFT: &str = "1|b\n2|a\n";

fn sqlite(machine: &Machine, file: &str, statement: &str) -> Option<String> {
    let file = machine.path("cache").join(file);
    let output = Command::new("sqlite3").arg(file).arg(statement).output();
    let output = output.ok()?;
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A machine with that disk cache, where there is SQLite.
fn machine(files: &[&str]) -> Option<Machine> {
    let conf = "substituters = http://desktop:5000?priority=10 https://cache.example\n";
    let machine = Machine::with(&[("nix.conf", conf)]);
    std::fs::create_dir(machine.path("cache")).unwrap();
    for file in files {
        if sqlite(&machine, file, SCHEMA).is_none() {
            println!("skipped: no sqlite3");
            return None;
        }
    }
    Some(machine)
}

fn rows(machine: &Machine, file: &str) -> String {
    sqlite(
        machine,
        file,
        "select cache, hashPart from NARs order by cache, hashPart",
    )
    .unwrap()
}

#[tokio::test]
async fn what_one_cache_lacked_is_forgotten_in_every_file_and_nothing_else() {
    let files = [
        "binary-cache-v6.sqlite",
        "binary-cache-v7.sqlite",
        "binary-cache-v8.sqlite",
    ];
    let Some(machine) = machine(&files) else {
        return;
    };
    let forgotten = machine.helper().forget("http://desktop:5000").await;
    assert_eq!(forgotten.unwrap(), 9);
    for file in files {
        assert_eq!(rows(&machine, file), LEFT);
    }
    assert_eq!(
        machine
            .helper()
            .forget("http://desktop:5000/")
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn where_nothing_is_remembered_nothing_is_forgotten() {
    let Some(machine) = machine(&[]) else { return };
    assert_eq!(
        machine
            .helper()
            .forget("http://desktop:5000")
            .await
            .unwrap(),
        0
    );
    assert_eq!(std::fs::read_dir(machine.path("cache")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_no_substituter_of_nix_s_is_not_touched() {
    let file = "binary-cache-v7.sqlite";
    let Some(machine) = machine(&[file]) else {
        return;
    };
    let before = rows(&machine, file);
    for other in [
        "",
        "http://other:5000",
        "https://desktop:5000",
        "http://desktop",
        "http://desktop:5000/nix",
        "http://desktop:5000' or 1=1 --",
        "file:///etc/shadow",
        "ssh://desktop",
        "1",
        ".shell id",
    ] {
        let refused = machine.helper().forget(other).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::PermissionDenied,
            "{other}: {refused}"
        );
    }
    assert_eq!(rows(&machine, file), before);
}

#[tokio::test]
async fn nothing_is_written_while_somebody_writes_or_where_it_is_not_root_s() {
    use std::io::{BufRead, BufReader, Write};
    let file = "binary-cache-v7.sqlite";
    let Some(machine) = machine(&[file]) else {
        return;
    };
    let path = machine.path("cache").join(file);
    let mut writer = Command::new("sqlite3")
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap());
    let mut input = writer.stdin.take().unwrap();
    input
        .write_all(b"begin immediate; select 'locked';\n")
        .unwrap();
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let busy = machine
        .helper()
        .forget("http://desktop:5000")
        .await
        .unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Other, "{busy}");
    input.write_all(b"rollback;\n.quit\n").unwrap();
    writer.wait().unwrap();

    // A file of somebody's beside which there is a link.
    std::fs::rename(&path, machine.path("elsewhere")).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(machine.path("cache"), open).unwrap();
    std::os::unix::fs::symlink(machine.path("elsewhere"), &path).unwrap();
    let refused = machine
        .helper()
        .forget("http://desktop:5000")
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Other, "{refused}");
}
