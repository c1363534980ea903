//! What ssh_config and known_hosts make of a builder.

use super::*;

#[test]
fn a_port_of_ssh_config_is_no_difference() {
    let (id, mut one) = (
        TargetId::builder("desktop"),
        cache(&[], "192.0.2.6", "192.0.2.6"),
    );
    one.0.deployed.as_mut().unwrap().addresses = vec!["192.0.2.6:22".into()];
    one.1.address = Some("192.0.2.6:2222".into());
    one.1.ssh_config = Some("192.0.2.6:2222".into());
    let mut tracker = Tracker::default();
    let sides = Sides::from([(id.clone(), one)]);
    assert_eq!(compare_all(&mut tracker, 9, &Loaded::default(), sides), []);
    let address = &tracker.layers(&id)[0];
    assert_eq!(address.deployed.as_ref().unwrap().value, "192.0.2.6:2222");
    assert_eq!(address.observed.as_ref().unwrap().value, "192.0.2.6:2222");
}

#[test]
fn ssh_config_is_held_against_the_configuration_or_an_ip_address() {
    let told = |declared: &[&str], deployed, ssh_config: &str| {
        let mut one = cache(declared, deployed, "");
        one.1.ssh_config = Some(ssh_config.into());
        let warnings = compare(&one);
        warnings.first().map(|warning| {
            assert_eq!(warning.code, WarningCode::SshConfigMismatch);
            text(warning, "expected").to_owned()
        })
    };
    let (six, seven) = (Some("192.0.2.6:5000".to_owned()), "192.0.2.7:22");
    assert_eq!(told(&["192.0.2.6"], "desktop", seven), six);
    assert_eq!(told(&[], "192.0.2.6", seven), six);
    assert_eq!(told(&["192.0.2.7"], "desktop", seven), None);
    assert_eq!(told(&[], "desktop", seven), None);
    assert_eq!(told(&[], "desktop", "tower.lan:22"), None);
}

#[test]
fn a_host_key_that_only_the_configuration_has_is_told_with_the_line_to_add() {
    let key = "ssh-ed25519 AAAAC3";
    let origin = Origin {
        known_hosts: Some(format!("desktop {key}")),
        ..Origin::default()
    };
    let seen = Observed {
        key: Some("SHA256:x".into()),
        host_key_known: Some(false),
        ..Observed::default()
    };
    let warnings = compare(&(origin.clone(), seen.clone()));
    assert_eq!(codes(&warnings), [WarningCode::HostKeyNotKnown]);
    assert_eq!(
        text(&warnings[0], "known_hosts"),
        "desktop ssh-ed25519 AAAAC3"
    );
    let field = data_encoding::BASE64.encode(key.as_bytes());
    assert_eq!(text(&warnings[0], "public_host_key"), field);
    for known in [None, Some(true)] {
        let seen = Observed {
            host_key_known: known,
            ..seen.clone()
        };
        assert_eq!(compare(&(origin.clone(), seen)), []);
    }
}

#[test]
fn a_stranger_is_told_while_the_desktop_itself_is_elsewhere() {
    let mut one = cache(&[], "desktop", "192.0.2.7");
    one.1.elsewhere = false;
    one.1.strangers = vec![Stranger {
        address: "192.0.2.6:5000".into(),
        reason: Reason::UntrustedSignature,
        expected: "desktop-1".into(),
        actual: "other-1".into(),
    }];
    let warnings = compare(&one);
    assert_eq!(codes(&warnings), [WarningCode::OtherCache]);
    assert_eq!(text(&warnings[0], "address"), "192.0.2.6:5000");
    assert_eq!(text(&warnings[0], "actual"), "other-1");

    one.1.passes = false;
    assert_eq!(compare(&one), [], "it is the target's own reason then");
    one.1.passes = true;
    let sides = [(TargetId::builder("desktop"), one)].into();
    let warnings = compare_all(&mut Tracker::default(), 1, &Loaded::default(), sides);
    assert_eq!(codes(&warnings), [WarningCode::HostKeyMismatch]);
}
