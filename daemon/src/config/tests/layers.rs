//! What overrides what.

use std::time::Duration;

use super::*;
use crate::target::Address;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn without_a_file_the_defaults_hold() {
    let machine = Machine::new("");
    let mut settings = machine.load();
    assert_eq!(settings.files.read, [machine.path("config.toml")]);
    assert_eq!(
        machine.sources.to_watch(),
        [machine.path("config.toml"), machine.path("config.d/*.toml")]
    );
    settings.files = Files::default();
    assert_eq!(settings, Settings::default());
}

#[test]
fn only_a_file_that_was_asked_for_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("offloadd/config.toml");
    let mut problems = Problems::default();
    let (fragments, read) = files::read(&missing, false, &mut problems);
    assert!(fragments.is_empty() && read.is_empty() && problems.is_empty());
    let drop_in = folder.path().join("offloadd/config.d/10.toml");
    std::fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
    std::fs::write(&drop_in, "poll.fall = 5\n").unwrap();
    let (fragments, read) = files::read(&missing, false, &mut problems);
    assert!(fragments.len() == 1 && read == [drop_in] && problems.is_empty());
    files::read(&missing, true, &mut problems);
    assert!(!problems.is_empty());
}

#[test]
fn later_sources_override_earlier_ones() {
    let interval = |machine: &Machine| machine.load().poll.interval;
    let machine = Machine::new("[poll]\ninterval = \"10s\"\nfall = 5\n");
    assert_eq!(interval(&machine), 10 * SECOND);
    let machine = machine.file("config.d/20.toml", "[poll]\ninterval = \"20s\"\n");
    assert_eq!(interval(&machine), 20 * SECOND);
    let machine = machine.file("config.d/10.toml", "poll.interval = \"15s\"\n");
    assert_eq!(interval(&machine), 20 * SECOND);
    let machine = machine.file("config.d/30.toml", "poll = { interval = \"25s\" }\n");
    assert_eq!(interval(&machine), 25 * SECOND);
    let machine = machine.env("OFFLOADD_POLL__INTERVAL", "30s");
    assert_eq!(interval(&machine), 30 * SECOND);
    assert_eq!(machine.load().poll.fall, 5);
    let names = [
        "config.toml",
        "config.d/10.toml",
        "config.d/20.toml",
        "config.d/30.toml",
    ];
    assert_eq!(
        machine.load().files.read,
        names.map(|name| machine.path(name))
    );
}

#[test]
fn only_visible_toml_files_are_drop_ins() {
    let machine = Machine::new("")
        .file("config.d/10.toml~", "broken")
        .file("config.d/.10.toml", "broken")
        .file("config.d/10.toml.bak", "broken")
        .file("config.d/README", "broken");
    assert_eq!(machine.load().files.read.len(), 1);
}

#[test]
fn entries_with_the_same_name_merge_field_by_field() {
    let machine = Machine::new(
        "[[cache]]\nname = \"desktop\"\nurl = \"http://desktop:5000\"\naddresses = [\"a\", \"b\"]\n\
         [[cache]]\nname = \"attic\"\nurl = \"https://attic.example\"\n",
    )
    .file(
        "config.d/10.toml",
        "[[cache]]\nname = \"basement\"\nurl = \"http://basement\"\n\
         [[cache]]\nname = \"desktop\"\naddresses = [\"c\"]\nhost = \"desktop\"\n",
    );
    let settings = machine.load();
    let names: Vec<_> = settings
        .caches
        .iter()
        .map(|cache| cache.name.as_str())
        .collect();
    assert_eq!(names, ["desktop", "attic", "basement"]);
    let desktop = &settings.caches[0];
    assert_eq!(desktop.url.as_deref(), Some("http://desktop:5000"));
    assert_eq!(desktop.addresses, [Address::parse("c").unwrap()]);
    assert_eq!(desktop.host.as_deref(), Some("desktop"));
}

#[test]
fn the_environment_reaches_into_entries() {
    let settings =
        Machine::new("[[cache]]\nname = \"Desktop.local\"\nurl = \"http://desktop:5000\"\n")
            .env(
                "OFFLOADD_CACHE__DESKTOP_LOCAL__ADDRESSES",
                "[192.0.2.6, 192.0.2.7:5000]",
            )
            .env("OFFLOADD_CACHE__DESKTOP_LOCAL__HOST", "123")
            .env(
                "OFFLOADD_BUILDER",
                "[{name=\"big\", uri=\"ssh://big\", features=[\"kvm\", 'x']}]",
            )
            .load();
    let desktop = cache(&settings);
    assert_eq!(desktop.name, "Desktop.local");
    assert_eq!(desktop.url.as_deref(), Some("http://desktop:5000"));
    assert_eq!(desktop.addresses.len(), 2);
    assert_eq!(desktop.host.as_deref(), Some("123"));
    assert_eq!(settings.builders[0].features, ["kvm", "x"]);
}

#[test]
fn variables_of_another_use_are_no_keys() {
    let settings = Machine::new("")
        .env("OFFLOADD_RUNTIME_DIR", "/run/x")
        .env("OFFLOADD_HELPER", "/run/y")
        .env("OFFLOADD_CONFIG", "/etc/x")
        .env("OFFLOADD_LOG", "debug")
        .env("HOME", "/root")
        .env("MY_OFFLOADD_POLL__FALL", "0")
        .load();
    assert_eq!(settings.poll, Poll::default());
}

#[test]
fn of_the_environment_only_what_is_ours_is_taken() {
    // Every test runs under cargo, which sets variables of its own.
    let env = Sources::process_env();
    assert!(std::env::vars_os().count() > env.len());
    assert!(
        env.iter()
            .all(|(variable, _)| variable.starts_with(env::PREFIX) || variable == CREDENTIALS)
    );
}

#[test]
fn flags_are_named_after_their_host() {
    let settings = Machine::new("")
        .cache("http://192.0.2.6:5000")
        .cache("http://192.0.2.6:5000")
        .cache("http://192.0.2.6:5001/nix")
        .cache("http://192.0.2.6:5001/other")
        .cache("http://[2001:db8::6]:5000")
        .builder("ssh-ng://nix-builder@192.0.2.6:2222")
        .load();
    let named: Vec<_> = settings
        .caches
        .iter()
        .map(|cache| (cache.name.as_str(), cache.url.as_deref().unwrap()))
        .collect();
    assert_eq!(
        named,
        [
            ("192.0.2.6", "http://192.0.2.6:5000"),
            ("192.0.2.6:5001", "http://192.0.2.6:5001/nix"),
            ("192.0.2.6:5001-2", "http://192.0.2.6:5001/other"),
            ("2001:db8::6", "http://[2001:db8::6]:5000"),
        ]
    );
    assert_eq!(settings.builders[0].name, "192.0.2.6");
}

#[test]
fn a_flag_is_stronger_than_the_file() {
    let settings = Machine::new(
        "[[cache]]\nname = \"desktop\"\nurl = \"http://desktop:5000\"\nhost = \"desktop\"\n",
    )
    .cache("http://desktop:5001")
    .load();
    assert_eq!(cache(&settings).url.as_deref(), Some("http://desktop:5001"));
    assert_eq!(cache(&settings).host.as_deref(), Some("desktop"));
}

#[test]
fn keys_are_found_where_systemd_puts_credentials() {
    let config = "[[builder]]\nname = \"desktop\"\nssh_key = \"credential:builder\"\n";
    let settings = Machine::new(config)
        .env("CREDENTIALS_DIRECTORY", "/run/credentials/x.service")
        .load();
    let key = settings.builders[0].ssh_key.as_deref();
    assert_eq!(key, Some(Path::new("/run/credentials/x.service/builder")));
}

#[test]
fn host_keys_are_read_in_every_form_and_counted_once() {
    let key = values::host_key::tests::KEY;
    let config = format!(
        "[[builder]]\nname = \"desktop\"\nhost_key = [\"{key}\", \"\"\"\ndesktop {key} comment\n{key}\n\"\"\"]\n"
    );
    assert_eq!(Machine::new(&config).load().builders[0].host_keys.len(), 1);
    let config = format!("[[builder]]\nname = \"desktop\"\nhost_key = \"{key}\"\n");
    assert_eq!(Machine::new(&config).load().builders[0].host_keys.len(), 1);
}
