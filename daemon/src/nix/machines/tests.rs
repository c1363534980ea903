use super::*;
use crate::nix::fixtures::ED25519;
use data_encoding::BASE64;
use proptest::prelude::*;
use std::collections::HashMap;

fn conf(builders: &str) -> NixConf {
    NixConf {
        builders: builders.into(),
        builders_at: ("/etc/nix/nix.conf".into(), Some(7)),
        system: "x86_64-linux".into(),
        ..NixConf::default()
    }
}

fn list(builders: &str, files: &[(&str, &str)]) -> Machines {
    list_of(NixVersion::default(), builders, files)
}

fn list_of(version: NixVersion, builders: &str, files: &[(&str, &str)]) -> Machines {
    let files: HashMap<&Path, &str> = files
        .iter()
        .map(|(path, text)| (Path::new(*path), *text))
        .collect();
    read(&conf(builders), version, |path| {
        files
            .get(path)
            .map(|text| (*text).to_owned())
            .ok_or_else(|| ErrorKind::NotFound.into())
    })
}

fn uris(list: &Machines) -> Vec<&str> {
    list.machines
        .iter()
        .map(|machine| machine.uri.as_str())
        .collect()
}

#[test]
fn all_eight_fields_are_read() {
    let key = format!("ssh-ed25519 {ED25519} root@desktop\n");
    let encoded = BASE64.encode(key.as_bytes());
    let text = format!(
        "ssh-ng://nix-builder@desktop x86_64-linux,i686-linux,x86_64-linux /etc/nix/key 8 2.5 kvm,big-parallel benchmark {encoded} ninth\n"
    );
    let list = list("@/etc/nix/machines", &[("/etc/nix/machines", &text)]);
    assert_eq!(list.problems, []);
    assert_eq!(
        list.machines,
        [Machine {
            uri: "ssh-ng://nix-builder@desktop".into(),
            systems: vec!["i686-linux".into(), "x86_64-linux".into()],
            ssh_key: Some("/etc/nix/key".into()),
            max_jobs: 8,
            speed_factor: 2.5,
            supported_features: vec!["big-parallel".into(), "kvm".into()],
            mandatory_features: vec!["benchmark".into()],
            host_key: Some(key),
            file: "/etc/nix/machines".into(),
            line: Some(1),
        }]
    );
}

#[test]
fn a_dash_or_nothing_is_the_default() {
    let list = list("desktop - - - - - - -; laptop ; slow - - - 0", &[]);
    assert_eq!(uris(&list), ["ssh://desktop", "ssh://laptop", "ssh://slow"]);
    for machine in &list.machines {
        assert_eq!(machine.systems, ["x86_64-linux"]);
        assert_eq!((machine.max_jobs, machine.speed_factor), (1, 1.0));
        assert_eq!((&machine.ssh_key, &machine.host_key), (&None, &None));
        assert_eq!(
            (machine.file.as_path(), machine.line),
            (Path::new("/etc/nix/nix.conf"), Some(7))
        );
    }
}

#[test]
fn entries_are_separated_by_newlines_and_semicolons_and_files_expanded_in_place() {
    let list = list(
        "first; @/a ;last",
        &[
            ("/a", "# comment\n\n one ; two # ; three\n@ /b\r\n"),
            ("/b", "four\n;;\n"),
        ],
    );
    assert_eq!(
        uris(&list),
        [
            "ssh://first",
            "ssh://one",
            "ssh://two",
            "ssh://four",
            "ssh://last"
        ]
    );
    assert_eq!(list.files, [Path::new("/a"), Path::new("/b")]);
    assert_eq!(list.machines[3].line, Some(1));
}

#[test]
fn a_missing_file_is_no_builder_and_still_a_file_to_watch() {
    let list = list("@/etc/nix/machines", &[]);
    assert_eq!((list.machines.len(), list.problems.len()), (0, 0));
    assert_eq!(list.files, [Path::new("/etc/nix/machines")]);
    assert_eq!(
        super::read(&conf(""), NixVersion::default(), |_| unreachable!()),
        Machines::default()
    );
}

#[test]
fn relative_paths_start_where_the_build_hook_stands() {
    assert_eq!(
        uris(&list("@etc/machines", &[("/etc/machines", "desktop")])),
        ["ssh://desktop"]
    );
}

#[test]
fn one_bad_line_drops_the_whole_list_and_every_bad_line_is_named() {
    let list = list(
        "@/m",
        &[(
            "/m",
            "good\na - - many\nb - - 1 fast\nc - - 1 -1\nd - - - - - - b@d\n- x86_64-linux\ne - - -1\n",
        )],
    );
    assert_eq!(list.machines, []);
    let found: Vec<_> = list.problems.iter().map(|p| (p.line, p.field)).collect();
    let expected = [(2, 4), (3, 5), (4, 5), (5, 8), (6, 1), (7, 4)];
    assert_eq!(
        found,
        expected.map(|(line, field)| (Some(line), Some(field)))
    );
    assert_eq!(
        list.problems[0].text,
        "maximum of jobs 'many' is not a number"
    );
}

#[test]
fn a_file_that_can_not_be_read_drops_the_list() {
    let list = super::read(&conf("desktop; @/m"), NixVersion::default(), |_| {
        Err(ErrorKind::IsADirectory.into())
    });
    assert_eq!(list.machines, []);
    assert_eq!(list.problems[0].file, Path::new("/m"));
    assert!(
        list.problems[0].text.contains("directory"),
        "{}",
        list.problems[0].text
    );
}

#[test]
fn a_file_that_names_itself_is_a_problem_and_ends() {
    let list = list("@/a", &[("/a", "@/b"), ("/b", "@/a")]);
    assert_eq!(list.machines, []);
    assert_eq!(list.problems[0].text, "/a names itself");
}

#[test]
fn files_that_name_many_files_are_bounded() {
    let mut read_files = 0;
    let list = super::read(&conf("@/0"), NixVersion::default(), |path| {
        read_files += 1;
        let depth = path.components().count();
        Ok(format!("@{}/l\n@{}/r\n", path.display(), path.display()).repeat(depth))
    });
    assert_eq!(read_files, MAX_FILES);
    assert!(list.problems.len() <= MAX_ENTRIES);
}

#[test]
fn files_that_are_named_again_and_again_hold_no_more_than_one_may() {
    let large = "# a comment\n".repeat(100_000);
    let mut read_so_far = 0;
    let builders = conf(&"@/large;".repeat(60));
    let list = read(&builders, NixVersion::default(), |_| {
        read_so_far += large.len();
        Ok(large.clone())
    });
    assert!(read_so_far <= 5 << 20, "{read_so_far} bytes");
    assert_eq!(list.problems[0].text, "can't be read: file too large");
}

#[test]
fn a_builder_without_a_system_is_written_as_it_is_read() {
    for line in [
        "ssh://desktop ,",
        "ssh://desktop - - 1 1 -,",
        "ssh://desktop - - 1 1 - - =",
    ] {
        let machine = list(line, &[]).machines.remove(0);
        let again = list(&machine.to_string(), &[]).machines;
        assert_eq!(again, [machine], "{line}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\n\t;@#-])*") {
        let list = list(&text, &[("/m", &text)]);
        prop_assert!(list.machines.len() <= MAX_ENTRIES);
        prop_assert!(list.problems.is_empty() || list.machines.is_empty());
    }

    #[test]
    fn any_fields_are_read_or_refused(words in proptest::collection::vec("[a-z0-9,.+=/-]{1,8}", 1..10)) {
        let list = list(&words.join(" "), &[]);
        prop_assert_eq!(list.machines.len() + list.problems.len(), 1);
        prop_assert!(list.machines.iter().all(|machine| machine.speed_factor > 0.0));
    }
}

#[test]
fn a_machine_is_written_as_it_is_read() {
    for line in [
        "ssh-ng://nix-builder@192.0.2.6?compress=true i686-linux,x86_64-linux /etc/nix/key 4 2.5 big-parallel,kvm benchmark c3NoLWVkMjU1MTkgQUFBQQ==",
        "ssh://desktop x86_64-linux - 1 1 - - -",
    ] {
        let machine = super::line::parse(line, "x86_64-linux", NixVersion::default()).unwrap();
        assert_eq!(machine.to_string(), line);
    }
}

const V8: NixVersion = NixVersion::new(2, 8, 0);
const V26: NixVersion = NixVersion::new(2, 26, 3);
const V34: NixVersion = NixVersion::new(2, 34, 8);

/// What each version was seen to make of a file: the hosts that it uses, or `None` where every build
/// fails for it.
#[test]
fn files_are_read_as_each_version_reads_them() {
    let good: Option<&[&str]> = Some(&["ssh://good"]);
    for (text, [old, middle, new]) in [
        // What is blank is an entry without a store.
        ("ssh://good\n   \n", [None, None, good]),
        ("ssh://good\n   # the other one\n", [None, None, good]),
        ("ssh://good ; \n", [None, None, good]),
        ("ssh://good\r\n\r\n", [None, None, good]),
        ("ssh://good\n\n# one\n", [good, good, good]),
        // A comment ends at a `;`, and what follows is a machine.
        (
            "# old: ssh://a ; ssh://good\n",
            [Some(&["ssh://good"]), Some(&["ssh://good"]), Some(&[])],
        ),
        // Stores that can't be parsed.
        (
            "ssh://good\n\"ssh://box\"\n",
            [Some(&["ssh://good", "\"ssh://box\""]), None, None],
        ),
        (
            "ssh://good\nbox?ssh-key=/k\n",
            [Some(&["ssh://good", "box?ssh-key=/k"]), None, None],
        ),
        (
            "ssh://good\nssh://nix@box:ssh\n",
            [Some(&["ssh://good", "ssh://nix@box:ssh"]); 3],
        ),
        // Numbers.
        ("ssh://good - - 1 1.5\n", [None, good, good]),
        ("ssh://good - - 1 nan\n", [None, good, good]),
        ("ssh://good - - 4294967296\n", [None, None, None]),
    ] {
        let new = if text.contains(":ssh\n") { None } else { new };
        for (version, expected) in [(V8, old), (V26, middle), (V34, new)] {
            let list = list_of(version, "@/m", &[("/m", text)]);
            let found = list.problems.is_empty().then(|| uris(&list));
            assert_eq!(found.as_deref(), expected, "{text:?} with {version}");
        }
    }
}

#[test]
fn a_file_that_is_named_behind_a_blank_is_a_store_to_old_versions() {
    let files = [("/a", "ssh://arm"), ("/b", "ssh://lan")];
    let found = |version| {
        let list = list_of(version, "@/a ; @/b", &files);
        uris(&list).join(" ")
    };
    assert_eq!(found(V26), "ssh://arm @/b");
    assert_eq!(found(V34), "ssh://arm ssh://lan");
}

#[test]
fn a_file_that_only_root_may_read_hides_its_builders_and_no_others() {
    let list = super::read(&conf("desktop; @/m"), V34, |_| {
        Err(ErrorKind::PermissionDenied.into())
    });
    assert_eq!(uris(&list), ["ssh://desktop"]);
    assert_eq!(list.problems[0].source, Source::NotVisible);
    assert_eq!(list.problems[0].file, Path::new("/m"));
}
