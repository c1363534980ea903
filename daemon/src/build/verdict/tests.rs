use proptest::prelude::*;

use super::*;

const OUTPUT: &[u8] = b"nonce=n1\nboot_id=b-desktop\nhostname=desktop\n";
const SANDBOXED: &[u8] = b"nonce=n1\nboot_id=b-desktop\nhostname=localhost\n";

fn evidence() -> Evidence<'static> {
    Evidence {
        nonce: "n1",
        output: OUTPUT,
        ultimate: Some(false),
        given: &Given::Unknown,
        own_boot_id: "b-laptop",
        boot_id: "b-desktop",
        hostname: "tower",
        host: "192.0.2.6",
    }
}

fn place(evidence: Evidence<'_>) -> Printable {
    match judge(&evidence) {
        BuildVerdict::Succeeded { place } => place,
        BuildVerdict::Failed { reason, place, .. } => format!("{reason}: {place}").into(),
    }
}

fn reason(evidence: Evidence<'_>) -> Reason {
    match judge(&evidence) {
        BuildVerdict::Succeeded { .. } => Reason::None,
        BuildVerdict::Failed { reason, .. } => reason,
    }
}

#[test]
fn the_place_is_the_best_name_that_is_known() {
    let sandboxed = Evidence {
        output: SANDBOXED,
        ..evidence()
    };
    let unnamed = Evidence {
        hostname: "",
        ..sandboxed
    };
    assert_eq!(place(evidence()), "desktop");
    assert_eq!(place(sandboxed), "tower");
    assert_eq!(place(unnamed), "192.0.2.6");
}

#[test]
fn a_path_that_this_store_built_was_built_locally() {
    let local = Evidence {
        ultimate: Some(true),
        ..evidence()
    };
    assert_eq!(reason(local), Reason::BuiltLocally);
    let unsaid = Evidence {
        ultimate: None,
        own_boot_id: "b-desktop",
        boot_id: "b-tower",
        ..evidence()
    };
    assert_eq!(reason(unsaid), Reason::BuiltLocally);
}

#[test]
fn another_boot_id_than_the_builders_is_elsewhere_and_the_place_is_named() {
    let other = Evidence {
        boot_id: "b-tower",
        ..evidence()
    };
    assert_eq!(place(other), "built-elsewhere: desktop");
    let given = Evidence {
        given: &Given::Here,
        ..other
    };
    assert_eq!(place(given), "built-elsewhere: desktop");
    let sandboxed = Evidence {
        output: SANDBOXED,
        ..other
    };
    let nameless = "built-elsewhere: the machine with boot id b-desktop";
    assert_eq!(place(sandboxed), nameless);
}

#[test]
fn what_nix_gave_to_another_builder_is_elsewhere_whatever_the_boot_ids() {
    let another = Given::Another("tower".to_owned());
    for boot_id in ["", "b-desktop", "b-tower"] {
        let given = Evidence {
            given: &another,
            boot_id,
            ..evidence()
        };
        assert_eq!(place(given), "built-elsewhere: tower");
    }
    let local = Evidence {
        given: &another,
        ultimate: Some(true),
        ..evidence()
    };
    assert_eq!(reason(local), Reason::BuiltLocally);
}

#[test]
fn a_container_on_this_machine_is_believed_by_what_nix_says() {
    // The login sees the container's boot id, the sandbox this machine's.
    let container = Evidence {
        given: &Given::Here,
        boot_id: "b-container",
        own_boot_id: "b-desktop",
        ..evidence()
    };
    for ultimate in [Some(false), None] {
        let asked = Evidence {
            ultimate,
            ..container
        };
        assert_eq!(reason(asked), Reason::None);
        let unsaid = Evidence {
            given: &Given::Unknown,
            ..asked
        };
        assert_eq!(reason(unsaid), Reason::BuiltLocally);
    }
}

#[test]
fn nix_says_whom_it_gave_a_build_to() {
    let to = |line: &str| given([line], "n1", ["ssh-ng://root@desktop?x=1", "tower"]);
    let on = |uri: &str| format!("building '/nix/store/h-offload-test-build-n1.drv' on '{uri}'...");
    for uri in [
        "ssh-ng://root@desktop?x=1",
        "ssh-ng://root@desktop",
        "ssh://tower:22",
    ] {
        assert_eq!(to(&on(uri)), Given::Here, "{uri}");
    }
    let another = Given::Another("192.0.2.7".to_owned());
    assert_eq!(to(&on("ssh://root@192.0.2.7")), another);
    let other_port = Given::Another("desktop".to_owned());
    assert_eq!(to(&on("ssh-ng://desktop:2222")), other_port);
    for line in [
        "building '/nix/store/h-offload-test-build-n1.drv'...",
        "building '/nix/store/h-offload-test-build-n2.drv' on 'ssh://tower'...",
        "x> building '/nix/store/h-offload-test-build-n1.drv' on 'ssh://tower'...",
        &on("daemon"),
        &on("ssh://tower").replace('\'', ""),
        "",
    ] {
        assert_eq!(to(line), Given::Unknown, "{line}");
    }
}

#[test]
fn what_is_not_known_accuses_nobody() {
    let unknown = Evidence {
        boot_id: "",
        ultimate: None,
        given: &Given::Here,
        ..evidence()
    };
    assert_eq!(reason(unknown), Reason::None);
    // What neither Nix nor a boot id tells of is not proven, and nobody's fault.
    let unproven = Evidence {
        given: &Given::Unknown,
        ..unknown
    };
    assert!(matches!(
        judge(&unproven),
        BuildVerdict::Failed { blames: false, .. }
    ));
    let no_linux = Evidence {
        output: b"nonce=n1\nboot_id=\nhostname=\n",
        given: &Given::Here,
        ..evidence()
    };
    assert_eq!(place(no_linux), "tower");
    // A builder that is a container on this machine.
    let same_kernel = Evidence {
        own_boot_id: "b-desktop",
        ..evidence()
    };
    assert_eq!(reason(same_kernel), Reason::None);
}

#[test]
fn an_output_without_the_nonce_is_no_proof() {
    for output in [&b""[..], b"nonce=n2\nboot_id=b-desktop\n", b"\xff\xfe"] {
        let forged = Evidence {
            output,
            ..evidence()
        };
        assert_eq!(reason(forged), Reason::BuildFailed);
    }
}

#[test]
fn the_line_that_tells_is_the_cause_and_not_the_consequence() {
    let log = [
        "these derivations will be built:",
        "cannot build on 'ssh-ng://desktop': error: failed to start SSH connection to 'desktop'",
        "error: unable to start any build; either increase '--max-jobs' or enable remote builds.",
    ];
    let told = telling(log.into_iter());
    assert!(
        told.starts_with("cannot build on 'ssh-ng://desktop'"),
        "{told}"
    );
    assert_eq!(telling(log[..1].iter().copied()), log[0]);
    let told = telling(["error: builder failed", "  last words", ""].into_iter());
    assert_eq!(told, "builder failed");
    assert_eq!(telling([].into_iter()), "");
}

#[test]
fn the_cause_is_told_and_not_that_the_build_has_failed() {
    let hook = "error: build of '/nix/store/x.drv' on 'ssh-ng://desktop' failed: ";
    let effect = "error: builder for '/nix/store/x.drv' failed with exit code 1";
    let sent = r"\x05\x00\x00Error\x00\x00\x05\x00Error\x00D\x00\x00executing '/bin/sh': No such file or directory\x00";
    let said = |why: &str| format!("{hook}{why}");
    for (log, told) in [
        (
            vec![
                "error: path '/nix/store/x.drv' is not in the Nix store".into(),
                effect.into(),
            ],
            "path '/nix/store/x.drv' is not in the Nix store",
        ),
        (
            vec![
                said("error: the group 'nixbld' specified in 'build-users-group' does not exist"),
                effect.into(),
            ],
            "the group 'nixbld' specified in 'build-users-group' does not exist",
        ),
        (
            vec![
                r"\x01".into(),
                sent.into(),
                said("builder for '/nix/store/x.drv' failed"),
                effect.into(),
            ],
            "executing '/bin/sh': No such file or directory",
        ),
        (
            vec![
                "error: writing to file: No space left on device".into(),
                "error: unexpected end-of-file".into(),
            ],
            "writing to file: No space left on device",
        ),
        (
            vec!["error: unexpected end-of-file".into()],
            "unexpected end-of-file",
        ),
        (
            vec![effect.to_owned()],
            "builder for '/nix/store/x.drv' failed with exit code 1",
        ),
    ] {
        assert_eq!(telling(log.iter().map(String::as_str)), told);
    }
}

#[test]
fn an_error_that_begins_on_a_line_of_its_own_is_told_by_what_stands_below() {
    let log = [
        "error:",
        "       … while waiting for the build hook",
        "       error: unexpected EOF reading a line",
    ];
    assert_eq!(telling(log.into_iter()), "unexpected EOF reading a line");
}

#[test]
fn each_form_of_path_info_is_read() {
    let path = "/nix/store/abc-x";
    let said = |json: &str| ultimate(json.as_bytes(), path);
    assert_eq!(
        said(r#"[{"path":"/nix/store/abc-x","ultimate":true}]"#),
        Some(true)
    );
    assert_eq!(said(r#"[{"path":"/nix/store/abc-x"}]"#), Some(false));
    assert_eq!(said(r#"[{"path":"/nix/store/abc-x","valid":false}]"#), None);
    assert_eq!(
        said(r#"{"/nix/store/abc-x":{"ultimate":true}}"#),
        Some(true)
    );
    assert_eq!(
        said(r#"{"/nix/store/abc-x":{"ultimate":false}}"#),
        Some(false)
    );
    assert_eq!(said(r#"{"/nix/store/abc-x":null}"#), None);
    assert_eq!(
        said(r#"{"version":2,"info":{"abc-x":{"ultimate":true}}}"#),
        Some(true)
    );
    assert_eq!(said("[]"), None);
    assert_eq!(said("error"), None);
}

#[test]
fn only_this_builds_own_output_is_read() {
    assert!(is_output("/nix/store/abc-offload-test-build-n1", "n1"));
    for path in [
        "/nix/store/abc-offload-test-build-n2",
        "nix/store/abc-offload-test-build-n1",
        "/etc/../abc-offload-test-build-n1",
        "/etc/shadow",
        "",
    ] {
        assert!(!is_output(path, "n1"), "{path}");
    }
}

proptest! {
    #[test]
    fn no_output_makes_it_panic(output: Vec<u8>, json: Vec<u8>, lines: Vec<String>) {
        let _ = judge(&Evidence { output: &output, ..evidence() });
        let uris = ["ssh://desktop", lines.first().map_or("", String::as_str)];
        let _ = given(lines.iter().map(String::as_str), "", uris);
        let _ = ultimate(&json, "/nix/store/abc-x");
        prop_assert!(telling(lines.iter().map(String::as_str)).chars().count() <= MAX_DETAIL + 1);
    }
}

#[test]
fn what_the_builder_lacks_is_told_as_each_version_of_nix_has_it() {
    let old = "error: a 'i686-linux' with features {} is required to build '/nix/store/x-1.drv', but I am a \
               'x86_64-linux' with features {kvm}";
    let told = |log: &[&str]| telling(log.iter().copied()).to_string();
    assert!(told(&[old]).starts_with("a 'i686-linux' with features {} is required"));
    let new = [
        "error: Cannot build '/nix/store/x-1.drv'.",
        "       Reason: missing system features",
        "       Required features: {kvm}",
        "       Available features: {}",
        "error: Build failed due to failed dependency",
    ];
    assert_eq!(told(&new), "Required features: {kvm}");
}
