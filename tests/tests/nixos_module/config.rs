//! What the modules make of a configuration.

use std::{collections::BTreeSet, fs};

use offload_tests::outcome::{Outcome, command, run_to_end};
use serde_json::{Value, json};

use crate::{
    evaluated::{Readme, evaluated, root},
    toml,
};

#[test]
fn both_ends_are_set_up_in_under_thirty_lines() {
    let readme = Readme::read();
    let lines = readme.desktop.lines().count() + readme.laptop.lines().count();
    assert!(lines < 30, "{lines} lines");
}

#[test]
fn the_readme_s_examples_evaluate_without_a_complaint() {
    let Some(evaluated) = evaluated() else { return };
    for end in ["laptop", "desktop", "settings"] {
        is_content(end, &evaluated["readme"][end]);
    }
}

#[test]
fn good_configurations_get_no_complaint_and_none_where_nothing_is_enabled() {
    let Some(evaluated) = evaluated() else { return };
    for side in ["laptop", "desktop"] {
        for (name, case) in evaluated[side].as_object().unwrap() {
            is_content(name, case);
        }
    }
    is_content("an older Nixpkgs", &evaluated["flatHarmonia"]);
    is_content("off", &evaluated["off"]);
    for node in ["laptop", "desktop"] {
        is_content(node, &evaluated["vm"][node]);
    }
}

#[test]
fn each_mistake_gets_the_one_complaint_that_names_the_option() {
    let Some(evaluated) = evaluated() else { return };
    let wrong = evaluated["wrong"].as_object().unwrap();
    assert!(wrong.len() > 20, "{}", wrong.len());
    for (name, case) in wrong {
        let says = case["says"].as_str().unwrap();
        let (told, silent) = if case["isWarning"].as_bool().unwrap() {
            ("warnings", "failed")
        } else {
            ("failed", "warnings")
        };
        let told = case[told].as_array().unwrap();
        let [only] = told.as_slice() else {
            panic!("{name}: {told:?}");
        };
        assert!(only.as_str().unwrap().contains(says), "{name}: {only}");
        assert_eq!(case[silent], json!([]), "{name}");
    }
}

#[test]
fn the_readme_s_own_entry_is_that_of_nix_s_machine() {
    let Some(evaluated) = evaluated() else { return };
    let builders = &evaluated["readme"]["settings"]["settings"]["builder"];
    assert_eq!(builders.as_array().unwrap().len(), 1, "{builders}");
    assert_eq!(builders[0]["name"], "desktop");
    assert_eq!(builders[0]["uri"], "ssh-ng://nix-builder@192.0.2.6");
}

#[tokio::test]
async fn the_real_program_accepts_every_settings() {
    let Some(evaluated) = evaluated() else { return };
    let cases = evaluated["laptop"].as_object().unwrap();
    let readme = [
        ("the README's", &evaluated["readme"]["laptop"]),
        ("the README's settings", &evaluated["readme"]["settings"]),
    ];
    let cases = cases.iter().map(|(name, case)| (name.as_str(), case));
    for (name, case) in cases.chain(readme) {
        let text = toml::document(&case["settings"]);
        let outcome = check_config(&text).await;
        assert_eq!(outcome.code, Some(0), "{name}: {outcome:?}\n{text}");
    }
}

#[tokio::test]
async fn the_real_program_refuses_what_no_option_knows() {
    let refused = check_config("[poll]\ninterval = \"30\"\n[steer]\n").await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
}

#[test]
fn with_nothing_but_enable_nix_s_options_are_declared() {
    let Some(evaluated) = evaluated() else { return };
    let settings = &evaluated["laptop"]["onlyEnabled"]["settings"];
    let builder = &settings["builder"];
    assert_eq!(builder.as_array().unwrap().len(), 1, "{builder}");
    assert_eq!(builder[0]["name"], "192.0.2.6");
    assert_eq!(builder[0]["uri"], "ssh-ng://nix-builder@192.0.2.6");
    assert_eq!(builder[0]["systems"], json!(["x86_64-linux"]));
    assert_eq!(builder[0]["features"], json!(["kvm", "big-parallel"]));
    assert!(builder[0]["host_key"].is_array(), "{builder}");
    assert_eq!(
        builder[0].get("ssh_key"),
        None,
        "Nix's files say it, and the credential has its name"
    );
    // Of one host, and so of one name; the public ones and what is no cache over HTTP are left out.
    assert_eq!(
        settings["cache"],
        json!([
            { "name": "192.0.2.6", "url": "http://192.0.2.6:5000/" },
            { "name": "cache.example.org", "url": "https://cache.example.org/lan" },
            { "name": "2001:db8::6", "url": "http://[2001:db8::6]:5000" },
        ])
    );
}

#[test]
fn names_are_unique_and_lines_of_one_machine_are_one_entry() {
    let Some(evaluated) = evaluated() else { return };
    let builders = &evaluated["laptop"]["manyMachines"]["settings"]["builder"];
    let shown: Vec<_> = builders
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["name"].as_str().unwrap(),
                entry["uri"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("192.0.2.6", "ssh-ng://nix-builder@192.0.2.6"),
            ("192.0.2.6-2", "ssh-ng://other@192.0.2.6"),
            ("desktop", "ssh://desktop:2222"),
            ("2001:db8::6", "ssh-ng://nix-builder@[2001:db8::6]"),
            ("2001:db8::7", "ssh-ng://nix-builder@2001:db8::7"),
        ]
    );
    // `localhost` without a user is no machine that anybody reaches by SSH.
    assert_eq!(
        builders[0]["systems"],
        json!(["x86_64-linux", "aarch64-linux"])
    );
}

#[test]
fn own_entries_are_completed_and_never_contradicted() {
    let Some(evaluated) = evaluated() else { return };
    let settings = &evaluated["laptop"]["ownEntries"]["settings"];
    let builder = settings["builder"].as_array().unwrap();
    assert_eq!(builder.len(), 1, "{builder:?}");
    assert_eq!(builder[0]["name"], "desktop");
    assert_eq!(builder[0]["uri"], "ssh-ng://nix-builder@192.0.2.6");
    assert_eq!(builder[0]["addresses"], json!(["192.0.2.6", "192.0.2.7"]));
    assert_eq!(
        settings["cache"],
        json!([{ "name": "desktop", "url": "http://192.0.2.7:5000" }]),
        "it is at another address: the drift check is there for that"
    );
    for (case, section) in [("withoutImport", "builder"), ("undeclared", "builder")] {
        let settings = &evaluated["laptop"][case]["settings"];
        assert_eq!(settings.get(section), None, "{case}");
    }
}

#[test]
fn options_and_keys_of_the_file_are_the_same() {
    let Some(evaluated) = evaluated() else { return };
    let options = evaluated["keys"].as_object().unwrap();
    let example = fs::read_to_string(root().join("systemd/config.example.toml")).unwrap();
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in example.lines() {
        // An example of a key is "#key = …", a sentence "# Words".
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(head) = line.strip_prefix('[') {
            section = head.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' '))
        {
            keys.insert((section.clone(), key.to_owned()));
        }
    }
    let known = |(section, names): (&String, &Value)| -> Vec<(String, String)> {
        let names = names.as_array().unwrap().iter();
        names
            .map(|name| (section.clone(), name.as_str().unwrap().to_owned()))
            .collect()
    };
    let options: BTreeSet<_> = options.iter().flat_map(known).collect();
    assert_eq!(options, keys);
}

#[test]
fn the_file_is_checked_when_it_is_built_unless_somebody_says_no() {
    let Some(evaluated) = evaluated() else { return };
    let check = evaluated["laptop"]["onlyEnabled"]["check"]
        .as_str()
        .unwrap();
    assert!(
        check.contains("/bin/offloadd --check-config --config "),
        "{check}"
    );
    assert_eq!(evaluated["laptop"]["unchecked"]["check"], Value::Null);
}

fn is_content(name: &str, case: &Value) {
    assert_eq!(case["failed"], json!([]), "{name}");
    assert_eq!(case["warnings"], json!([]), "{name}");
}

async fn check_config(text: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let mut command = command("offloadd").unwrap();
    command.arg("--check-config").arg("--config").arg(&path);
    run_to_end(command).await.unwrap()
}
