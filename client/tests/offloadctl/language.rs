//! What a person reads is in the language that the locale asks for; what a program reads never changes.

use offload_client::{OverallState, snapshot::Facts};
use serde_json::Value;

use crate::common::{
    Bus,
    fake::{Fake, builder_down},
    program::{Run, finish, on},
};

/// No locale has to be there for it: the variables say which language it is.
async fn in_locale(bus: &Bus, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = on(bus, args);
    command.env_remove("LC_ALL").env_remove("LANGUAGE");
    command.envs(variables.iter().copied());
    finish(command).await
}

#[tokio::test]
async fn a_brazilian_is_told_in_portuguese_what_is_wrong_and_what_to_do() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    for variables in [
        &[("LC_ALL", "pt_BR.UTF-8")][..],
        &[("LANG", "pt_BR.UTF-8")],
        &[("LANG", "en_US.UTF-8"), ("LANGUAGE", "pt_BR:pt:en")],
    ] {
        let run = in_locale(&bus, &["status"], variables).await;
        assert_eq!((run.code, run.stderr.as_str()), (3, ""));
        assert!(run.stdout.contains("connect: conexão recusada"), "{run:?}");
        assert!(
            run.stdout.contains("→ Inicie o serviço no desktop"),
            "{run:?}"
        );
        // Commands and addresses are what they are.
        assert!(
            run.stdout.contains("`sudo systemctl start sshd`"),
            "{run:?}"
        );
    }
}

/// Whatever is written: nothing that has a translation is said in English.
#[tokio::test]
async fn no_command_falls_back_into_english() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let english = english();
    for args in [
        &["status", "--verbose"][..],
        &["check"],
        &["history"],
        &["doctor"],
        &["discover"],
        &["wait", "--timeout", "10ms"],
        &["is-ready", "nobody"],
        &["test-build", "nobody"],
        &["bar", "--format", "json", "--once"],
        &["--help"],
        &["help", "status"],
        &["test-build", "--help"],
        &["steer"],
        &["statu"],
        &["status", "--nothing"],
        &["pause", "0s"],
        &["--color", "blue"],
        &["hold", "--json"],
    ] {
        let run = in_locale(&bus, args, &[("LANG", "pt_BR.UTF-8")]).await;
        let said = run.stdout + &run.stderr;
        let leaks = english.iter().filter(|text| said.contains(*text));
        let leaks: Vec<_> = leaks.collect();
        assert!(leaks.is_empty(), "{args:?}: {leaks:?} in\n{said}");
        let other = in_locale(&bus, args, &[("LANG", "en_US.UTF-8")]).await;
        assert_ne!(said, other.stdout + &other.stderr, "{args:?}");
    }
}

/// The texts of the catalogue that stand on one line, are no word of a program, and have nothing to be filled in.
fn english() -> Vec<String> {
    let catalogue = include_str!("../../po/pt_BR.po").lines();
    let texts = catalogue.filter_map(|line| line.strip_prefix("msgid \"")?.strip_suffix('"'));
    let whole = texts.filter(|text| text.len() > 9 && text.contains(' ') && !text.contains('{'));
    whole.map(|text| text.replace("\\\"", "\"")).collect()
}

#[tokio::test]
async fn a_bar_has_the_same_classes_in_every_language() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let line = async |locale| {
        let args = ["bar", "--format", "waybar", "--once"];
        let run = in_locale(&bus, &args, &[("LC_ALL", locale)]).await;
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let (english, portuguese) = (line("en_US.UTF-8").await, line("pt_BR.UTF-8").await);
    for field in ["class", "alt", "text"] {
        assert_eq!(english[field], portuguese[field], "{field}");
    }
    let tooltip = portuguese["tooltip"].as_str().unwrap();
    assert!(
        tooltip.contains("builder/desktop: down, conexão recusada"),
        "{tooltip}"
    );
}

#[tokio::test]
async fn a_failure_is_told_in_portuguese_with_the_same_exit_code() {
    let bus = Bus::start().await;
    let run = in_locale(&bus, &["status"], &[("LANG", "pt_BR.UTF-8")]).await;
    assert_eq!((run.code, run.stdout.as_str()), (4, ""));
    let said = "offloadctl: o offloadd não está rodando; inicie-o com `systemctl start offloadd`";
    assert!(run.stderr.starts_with(said), "{}", run.stderr);
}

#[tokio::test]
async fn what_is_not_to_be_said_leaves_nothing_behind() {
    let bus = Bus::start().await;
    let mut offline = builder_down();
    offline.state = OverallState::Offline;
    for target in &mut offline.targets {
        target.facts = Facts::default();
    }
    let _fake = Fake::start(&bus, offline).await;
    let run = in_locale(&bus, &["status"], &[("LANG", "pt_BR.UTF-8")]).await;
    let verdict = "✗ offline: o Nix não pode usar o cache nem o builder: os builds rodam só nesta máquina (há ";
    assert!(run.stdout.starts_with(verdict), "{run:?}");
}

#[tokio::test]
async fn accents_take_one_column_each() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let page = async |locale| {
        let run = in_locale(&bus, &["status", "--verbose"], &[("LC_ALL", locale)]).await;
        run.stdout
    };
    let (english, portuguese) = (page("en_GB.UTF-8").await, page("pt_BR.UTF-8").await);
    // What stands behind the names of the particulars begins in one column in both.
    let column = |page: &str, value: &str| {
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with("    ") && line.ends_with(value));
        let line = line.unwrap_or_else(|| panic!("no {value} in {page}"));
        let before = line.strip_suffix(value).unwrap();
        before.chars().count()
    };

    let place = column(&english, "SHA256:abc");
    assert_eq!(place, column(&portuguese, "SHA256:abc"));
    assert_eq!(place, column(&portuguese, "3 em sequência"));
}

#[tokio::test]
async fn everybody_else_is_told_in_english() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    for variables in [
        &[("LC_ALL", "de_DE.UTF-8")][..],
        &[("LC_ALL", "C"), ("LANGUAGE", "pt_BR")],
        &[("LANG", "pt_BR.UTF-8"), ("LC_MESSAGES", "en_US.UTF-8")],
    ] {
        let run = in_locale(&bus, &["status"], variables).await;
        assert!(
            run.stdout.contains("connect: connection refused"),
            "{run:?}"
        );
    }
}

#[tokio::test]
async fn json_has_the_same_codes_in_every_language_and_its_words_follow_the_locale() {
    let bus = Bus::start().await;
    let _fake = Fake::start(&bus, builder_down()).await;
    let json = async |locale| {
        let run = in_locale(&bus, &["status", "--json"], &[("LC_ALL", locale)]).await;
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let (mut english, mut portuguese) = (json("en_GB.UTF-8").await, json("pt_BR.UTF-8").await);
    let title = "/targets/1/words/title";
    assert_eq!(english.pointer(title).unwrap(), "connection refused");
    assert_eq!(portuguese.pointer(title).unwrap(), "conexão recusada");
    let run = in_locale(&bus, &["--json", "statu"], &[("LC_ALL", "pt_BR.UTF-8")]).await;
    let failed: Value = serde_json::from_str(&run.stdout).unwrap();
    let message = failed.pointer("/error/message").unwrap().as_str().unwrap();
    assert!(
        message.starts_with("comando desconhecido 'statu'"),
        "{message}"
    );
    assert_eq!(failed.pointer("/error/code").unwrap(), "usage");
    for document in [&mut english, &mut portuguese] {
        without_words(document);
    }
    assert_eq!(english, portuguese);
}

fn without_words(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("words");
            fields.values_mut().for_each(without_words);
        }
        Value::Array(items) => items.iter_mut().for_each(without_words),
        _ => {}
    }
}
