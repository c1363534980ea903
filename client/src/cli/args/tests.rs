use std::ffi::OsString;

use super::{called::OTHER_NAMES, *};

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_its_exit_codes() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string);
        let says = help.is_some_and(|help| help.contains("Exit codes: "));
        assert!(says, "{}", command.get_name());
    }
}

#[test]
fn the_programs_other_names_are_commands_and_say_so() {
    let read = |args: &[&str]| read(args.iter().map(OsString::from).collect());
    let cli = read(&["/run/current-system/sw/bin/offload-test-build", "desktop"]).unwrap();
    let Some(Command::TestBuild { builder, .. }) = cli.command else {
        panic!("{cli:?}");
    };
    assert_eq!(builder.as_deref(), Some("desktop"));
    let status = read(&["offload-status"]).unwrap().command;
    assert!(matches!(status, Some(Command::Status { target: None })));

    let version = read(&["offload-test-build", "--version"])
        .unwrap_err()
        .to_string();
    assert!(version.starts_with("offload-test-build "), "{version}");
    for (name, _, usage) in OTHER_NAMES {
        let help = read(&[name, "--help"]).unwrap_err().to_string();
        assert!(help.contains(&format!("Usage: {usage}")), "{help}");
    }
    let help = read(&["offloadctl", "status", "--help"])
        .unwrap_err()
        .to_string();
    assert!(
        help.contains("Usage: offloadctl status [OPTIONS] [TARGET]"),
        "{help}"
    );
}

#[test]
fn durations_are_as_people_write_them() {
    assert_eq!(pause_duration("30m"), Ok(Duration::from_secs(1800)));
    for wrong in ["0s", "30", "soon", ""] {
        pause_duration(wrong).unwrap_err();
        limit(wrong).unwrap_err();
    }
    assert_eq!(limit("10m"), Ok(MAX_BUILD));
    assert_eq!(limit("11m"), Err("the most is 10m".to_owned()));
}
