//! Files that one includes.

use super::*;

#[test]
fn includes_are_expanded_in_place_beside_the_including_file() {
    let file = conf_of(&[
        (
            CONF,
            "substituters = http://a\ninclude conf.d/x.conf\nfallback = false\n!include none.conf\n",
        ),
        (
            "/etc/nix/conf.d/x.conf",
            "substituters = http://b\nfallback = true\ninclude ../y.conf\n",
        ),
        ("/etc/nix/y.conf", "include /abs.conf"),
        ("/abs.conf", "connect-timeout = 2k"),
    ]);
    assert_eq!(file.problems, []);
    assert_eq!(file.settings.substituters, ["http://b"]);
    assert!(!file.settings.fallback);
    assert_eq!(file.settings.connect_timeout, Some(2048));
    let names = [
        CONF,
        "/etc/nix/conf.d/x.conf",
        "/etc/nix/y.conf",
        "/abs.conf",
        "/etc/nix/none.conf",
    ];
    assert_eq!(file.files, names.map(PathBuf::from));
}

#[test]
fn a_missing_include_is_an_error_unless_marked() {
    assert_eq!(
        problems(&[(CONF, "\ninclude gone.conf\n!include gone.conf\n")]),
        [(Some(2), "included file /etc/nix/gone.conf not found".into())]
    );
}

#[test]
fn an_include_that_leads_nowhere_or_is_a_folder_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("nix.conf");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", folder.path().join("dangling")).unwrap();
    std::fs::write(&conf, "include folder\ninclude dangling\nfallback = true\n").unwrap();
    let file = read(&conf, &[], NixVersion::default(), |path| {
        crate::nix::text::read(&crate::files::Direct, path)
    });
    assert_eq!(file.problems, []);
    assert!(file.settings.fallback);
}

#[test]
fn a_loop_of_includes_is_a_problem_and_ends() {
    let found = problems(&[
        (CONF, "include a"),
        ("/etc/nix/a", "fallback = true\ninclude ../nix/nix.conf\n"),
    ]);
    assert_eq!(
        found,
        [(Some(2), "/etc/nix/nix.conf includes itself".into())]
    );
}

#[test]
fn includes_are_bounded_however_they_branch() {
    let mut count = 0;
    let file = read(Path::new("/0"), &[], NixVersion::default(), |path| {
        count += 1;
        Ok(format!(
            "include {}l\ninclude {}r\n",
            path.display(),
            path.display()
        ))
    });
    assert!(count <= 256, "{count}");
    assert!(!file.problems.is_empty() && file.problems.len() <= 32);
}

#[test]
fn files_that_are_included_again_and_again_hold_no_more_than_one_may() {
    let large = "# a comment\n".repeat(100_000);
    let mut read_so_far = 0;
    let file = read(Path::new(CONF), &[], NixVersion::default(), |path| {
        let text = if path == Path::new(CONF) {
            "include large\n".repeat(100)
        } else {
            large.clone()
        };
        read_so_far += text.len();
        Ok(text)
    });
    assert!(read_so_far <= 5 << 20, "{read_so_far} bytes");
    let told = &file.problems[0].text;
    assert_eq!(told, "included file /etc/nix/large: file too large");
}

#[test]
fn the_same_file_may_be_included_twice() {
    let found = problems(&[
        (CONF, "include a\ninclude a\n"),
        ("/etc/nix/a", "fallback = true"),
    ]);
    assert_eq!(found, []);
}
