//! Broken configurations and what people are told: the messages are the product.

use super::*;

/// Each case is a configuration and, in lines that begin with `! `, what is told of it; a line of
/// dashes is between two.
#[track_caller]
fn told(cases: &str) {
    for case in cases.split("\n----\n") {
        let is_told = |line: &&str| line.starts_with("! ");
        let config: Vec<_> = case.lines().filter(|line| !is_told(line)).collect();
        let expected: Vec<_> = case
            .lines()
            .filter_map(|line| line.strip_prefix("! "))
            .collect();
        assert!(!expected.is_empty(), "{case}");
        let config = config.join("\n");
        assert_eq!(Machine::new(&config).problems(), expected, "{config}");
    }
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    told(include_str!("broken/syntax.txt"));
}

#[test]
fn sections_have_a_shape() {
    told(include_str!("broken/shape.txt"));
}

#[test]
fn entries_have_names() {
    told(include_str!("broken/names.txt"));
}

#[test]
fn unknown_keys_are_told_with_what_was_meant() {
    told(include_str!("broken/unknown.txt"));
}

#[test]
fn the_gateway_is_of_this_machine_alone() {
    told(include_str!("broken/steer.txt"));
}

#[test]
fn metrics_have_a_place_where_somebody_finds_them() {
    told(include_str!("broken/metrics.txt"));
}

#[test]
fn durations_have_a_unit_and_bounds() {
    told(include_str!("broken/durations.txt"));
}

#[test]
fn other_keys_of_poll() {
    told(include_str!("broken/poll.txt"));
}

#[test]
fn durations_must_fit_together() {
    told(include_str!("broken/rules.txt"));
}

#[test]
fn networks_to_sweep_are_small_and_ipv4() {
    told(include_str!("broken/discover.txt"));
}

#[test]
fn keys_of_nix() {
    told(include_str!("broken/nix.txt"));
}

#[test]
fn keys_of_a_cache() {
    told(include_str!("broken/cache.txt"));
}

#[test]
fn entries_stand_on_their_own_without_nix() {
    told(include_str!("broken/import.txt"));
}

#[test]
fn keys_of_a_builder() {
    told(include_str!("broken/builder.txt"));
}

#[test]
fn variables_are_told_by_their_name() {
    for (variable, value, expected) in [
        (
            "OFFLOADD_POLL__INTERVAL",
            "10",
            r#"OFFLOADD_POLL__INTERVAL: poll.interval: "10" has no unit; write "10s" for seconds"#,
        ),
        (
            "OFFLOADD_POLL__FALL",
            "x",
            "OFFLOADD_POLL__FALL: poll.fall: must be a whole number, not a text",
        ),
        (
            "OFFLOADD_POLL_INTERVAL",
            "10s",
            "OFFLOADD_POLL_INTERVAL: poll_interval: unknown key; did you mean OFFLOADD_POLL__INTERVAL?",
        ),
        (
            "OFFLOADD_POLL__INTERVALL",
            "10s",
            "OFFLOADD_POLL__INTERVALL: poll.intervall: unknown key; did you mean OFFLOADD_POLL__INTERVAL?",
        ),
        (
            "OFFLOADD_FOO",
            "1",
            "OFFLOADD_FOO: foo: unknown key; known are [poll], [nix], [discover], [proof], [steer], [wake], [metrics], [[cache]] and [[builder]]",
        ),
        (
            "OFFLOADD_",
            "1",
            r#"OFFLOADD_: "": unknown key; known are [poll], [nix], [discover], [proof], [steer], [wake], [metrics], [[cache]] and [[builder]]"#,
        ),
        (
            "OFFLOADD_CACHE",
            "http://a",
            r#"OFFLOADD_CACHE: cache: must be a list of tables, not a text; write [{name="desktop", …}]"#,
        ),
        (
            "OFFLOADD_CACHE__URL",
            "http://a",
            r#"OFFLOADD_CACHE__URL: cache "url": must name an entry and a key, as in OFFLOADD_CACHE__DESKTOP__URL"#,
        ),
        (
            "OFFLOADD_CACHE",
            r#"{name="a"}"#,
            r#"OFFLOADD_CACHE: cache "name": must name an entry and a key, as in OFFLOADD_CACHE__DESKTOP__URL"#,
        ),
        (
            "OFFLOADD_CACHE__A__URI",
            "http://a",
            r#"OFFLOADD_CACHE__A__URI: cache "a": uri: unknown key; did you mean OFFLOADD_CACHE__A__URL?"#,
        ),
        (
            "OFFLOADD_CACHE__A__URL",
            "a",
            r#"OFFLOADD_CACHE__A__URL: cache "a": url: has no scheme; write it as "http://desktop:5000""#,
        ),
        (
            "OFFLOADD_NIX__EXCLUDE",
            "https://a",
            r#"OFFLOADD_NIX__EXCLUDE: nix.exclude: must be a list of texts, not a text; write ["…", "…"]"#,
        ),
        (
            "OFFLOADD_NIX__IMPORT",
            "yes",
            "OFFLOADD_NIX__IMPORT: nix.import: must be true or false, not a text",
        ),
        (
            "OFFLOADD_POLL__INTERVAL__X",
            "1",
            r#"OFFLOADD_POLL__INTERVAL__X: poll.interval: must be a text such as "30s", not a table"#,
        ),
        (
            "OFFLOADD_CACHE____URL",
            "1",
            r#"OFFLOADD_CACHE____URL: cache "": is empty; write a name such as "desktop""#,
        ),
        (
            "OFFLOADD_NIX__CONF",
            "/\u{fffd}",
            "OFFLOADD_NIX__CONF: nix.conf: has bytes that are not UTF-8",
        ),
        (
            "OFFLOADD_NIX__EXCLUDE",
            "[[[[[[[[[[[[[[[[[[[[[",
            r#"OFFLOADD_NIX__EXCLUDE: nix.exclude: must be a list of texts, not a text; write ["…", "…"]"#,
        ),
    ] {
        let machine = Machine::new("").env(variable, value);
        assert_eq!(machine.problems(), [expected], "{variable}={value}");
    }
}

#[test]
fn flags_are_told_by_their_name() {
    for (cache, builder, expected) in [
        (
            "a:5000",
            "desktop",
            [
                r#"--cache: "a:5000" has no scheme; write it as "http://desktop:5000""#,
                r#"--builder: "desktop" has no scheme; write it as "ssh-ng://nix-builder@desktop""#,
            ],
        ),
        (
            "http://me:pw@h",
            "ssh://me:pw@h",
            [
                "--cache: must not carry a user name or password, since every user of this machine can read it on the bus; remove what is before the '@'",
                "--builder: must not carry a password: ssh takes none from a URI, and every user of this machine can read it on the bus; remove it",
            ],
        ),
        (
            "http://h:0",
            "ssh-ng://",
            [
                r#"--cache: "http://h:0": the port must be a number from 1 to 65535"#,
                r#"--builder: "ssh-ng://": the host is empty"#,
            ],
        ),
    ] {
        let machine = Machine::new("").cache(cache).builder(builder);
        assert_eq!(machine.problems(), expected);
    }
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let mut machine = Machine::new("")
        .file("config.d/10.toml/inner", "")
        .file("config.d/20.toml", [0xff, b'\n'])
        .file("config.d/30.toml", vec![b'#'; 1024 * 1024 + 1])
        .file("config.d/40.toml", "[poll]\nfall = 0\n");
    assert_eq!(
        machine.problems(),
        [
            "config.d/10.toml: can't be read: is a directory",
            "config.d/20.toml: can't be read: it is not UTF-8",
            "config.d/30.toml: can't be read: it is longer than 1048576 bytes",
            "config.d/40.toml:2: poll.fall: 0 would mean a verdict without a check; write 1 or more",
        ]
    );
    machine.sources.file = Some(machine.path("missing/config.toml"));
    assert_eq!(
        machine.problems(),
        [
            "missing/config.toml: can't be read: No such file or directory (os error 2); --config must name a file that exists"
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_brings_no_false_accusations() {
    // The broken file may hold the interval that makes the other one right.
    let machine = Machine::new("[poll\n").file("config.d/10.toml", "poll.fast_interval = \"1m\"\n");
    assert_eq!(
        machine.problems(),
        ["config.toml:1: not valid TOML: invalid table header, expected `.`, `]`"]
    );
}

#[test]
fn all_problems_of_all_sources_are_told_at_once() {
    let machine = Machine::new("[poll]\nfast_interval = \"2m\"\nrise = 0\n\n[nixx]\n")
        .file(
            "config.d/10.toml",
            "[poll]\ninterval = \"1m\"\n[[cache]]\nname = \"desktop\"\nurl = \"desktop\"\n",
        )
        .env("OFFLOADD_POLL__FALL", "0")
        .cache("desktop:5000");
    let errors = load(&machine.sources).unwrap_err();
    let text = machine.without_folder(&errors.to_string());
    assert_eq!(
        text,
        r#"config.toml:2: poll.fast_interval: 2m is longer than poll.interval (1m, config.d/10.toml:2); lower it, or raise poll.interval
config.toml:3: poll.rise: 0 would mean a verdict without a check; write 1 or more
config.toml:5: nixx: unknown key; did you mean "nix"?
config.d/10.toml:5: cache "desktop": url: has no scheme; write it as "http://desktop:5000"
OFFLOADD_POLL__FALL: poll.fall: 0 would mean a verdict without a check; write 1 or more
--cache: "desktop:5000" has no scheme; write it as "http://desktop:5000"
6 problems in the configuration; when they are mended, check with: offloadd --config config.toml --check-config"#
    );
    assert_eq!(errors.exit_code(), 78);
}

#[test]
fn very_many_problems_are_counted() {
    let config: String = (0..250).map(|number| format!("x{number} = 1\n")).collect();
    let errors = load(&Machine::new(&config).sources).unwrap_err();
    assert_eq!(errors.problems().len(), 100);
    let text = errors.to_string();
    assert!(text.contains("\n… and 150 more\n250 problems in"), "{text}");
}

#[test]
fn a_wrong_flag_alone_is_a_usage_error() {
    let errors = load(&Machine::new("").cache("desktop").sources).unwrap_err();
    assert_eq!(errors.exit_code(), 64);
}

#[test]
fn keys_put_in_by_mistake_are_not_repeated() {
    let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjE\\n-----END OPENSSH PRIVATE KEY-----";
    let signing = data_encoding::BASE64.encode(&[7; 64]);
    for (section, line) in [
        ("builder", format!("ssh_key = \"{pem}\"")),
        ("builder", "ssh_key = \"b3BlbnNzaC1rZXktdjE\"".into()),
        ("builder", format!("ssh_key = [\"{pem}\"]")),
        ("builder", "ssh_key = b3BlbnNzaC1rZXktdjE".into()),
        ("builder", "ssh_key = \"b3BlbnNzaC1rZXktdjE".into()),
        ("builder", format!("host_key = \"{pem}\"")),
        ("builder", "host_key = \"b3BlbnNzaC1rZXktdjE\"".into()),
        ("cache", format!("public_keys = [\"desktop-1:{signing}\"]")),
        ("cache", format!("public_keys = \"desktop-1:{signing}\"")),
        ("cache", format!("public_keys = [\"{signing}\"]")),
    ] {
        let config = format!("[[{section}]]\nname = \"desktop\"\n{line}\n");
        let told = Machine::new(&config).problems().concat();
        let start = signing.get(..8).unwrap();
        assert!(!told.contains("b3Blbn") && !told.contains(start), "{told}");
    }
}
