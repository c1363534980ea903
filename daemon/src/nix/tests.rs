use super::*;
use crate::files::Direct;
use std::fs;

#[test]
fn a_configuration_is_read_from_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("nix.conf");
    fs::create_dir(dir.path().join("static")).unwrap();
    fs::write(
        dir.path().join("static/nix.conf"),
        "substituters = http://desktop:5000\n!include gone.conf\n",
    )
    .unwrap();
    std::os::unix::fs::symlink("static/nix.conf", &conf).unwrap();
    fs::write(
        dir.path().join("machines"),
        "ssh-ng://nix@desktop x86_64-linux\n",
    )
    .unwrap();

    let found = read_with(&conf, &[], NixVersion::default(), &Direct);
    assert_eq!(found.problems, []);
    assert_eq!(found.conf.substituters, ["http://desktop:5000"]);
    assert_eq!(found.machines[0].uri, "ssh-ng://nix@desktop");
    let files = ["nix.conf", "gone.conf", "machines", "netrc"].map(|name| dir.path().join(name));
    assert_eq!(found.files, files);
}

#[test]
fn a_named_nix_conf_that_is_missing_is_a_problem() {
    let found = read_with(
        Path::new("/nonexistent/nix.conf"),
        &[],
        NixVersion::default(),
        &Direct,
    );
    assert_eq!(found.problems.len(), 1);
    assert_eq!(found.problems[0].file, Path::new("/nonexistent/nix.conf"));
    assert_eq!(
        found.files,
        [
            "/nonexistent/nix.conf",
            "/nonexistent/machines",
            "/nonexistent/netrc"
        ]
        .map(PathBuf::from)
    );
}

#[test]
fn broken_files_yield_problems_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("nix.conf");
    fs::write(&conf, b"\xff\xfe = \x00\nsubstituters\n").unwrap();
    fs::create_dir(dir.path().join("machines")).unwrap();
    let found = read_with(&conf, &[], NixVersion::default(), &Direct);
    let sources: Vec<_> = found
        .problems
        .iter()
        .map(|problem| problem.source)
        .collect();
    assert_eq!(sources, [Source::Conf, Source::Machines]);
}
