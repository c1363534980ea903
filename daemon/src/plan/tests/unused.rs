//! What Nix makes no use of, and why.

use super::*;

#[test]
fn nix_can_lack_only_what_its_files_were_asked_for() {
    let lacks = |settings: &Settings, imported: &Imported| {
        let origins = plan(settings, imported).origins;
        origins.values().filter(|it| it.missing.is_some()).count()
    };
    let mut settings = afternoon();
    let nothing = imported("substituters =\n", "");
    assert_eq!(lacks(&settings, &nothing), 2);
    let unread = Imported::default();
    assert_eq!(lacks(&settings, &unread), 0, "there is no nix.conf");
    // It is there, and only not watched as Nix's.
    settings.nix.exclude.push("http://192.0.2.7:5000".into());
    let excluded = imported("substituters = http://192.0.2.7:5000\n", "");
    assert_eq!(lacks(&settings, &excluded), 1);
    settings.nix.import = false;
    assert_eq!(lacks(&settings, &nothing), 0);
}

#[test]
fn builders_that_nix_is_told_not_to_use_are_told() {
    let off = imported("# \nbuilders =\n", "ssh://nix@desktop\n");
    let plan_of = |settings: &Settings, imported: &Imported| {
        let warnings = plan(settings, imported).warnings;
        let codes = warnings.iter().map(|warning| warning.code);
        assert!(
            codes
                .clone()
                .all(|code| code == WarningCode::BuildersDisabled)
        );
        warnings.into_iter().map(|warning| warning.details).next()
    };
    let details = plan_of(&settings(), &off).unwrap();
    assert_eq!(
        details["expected"],
        Detail::List(vec!["ssh://nix@desktop".into()])
    );
    assert_eq!(details["line"], Detail::Uint(2));
    assert!(matches!(&details["machines"], Detail::Text(file) if file.ends_with("/machines")));
    assert!(off.files.iter().any(|file| file.ends_with("machines")));

    let empty = imported("builders =\n", "");
    assert_eq!(plan_of(&settings(), &empty), None);
    let declared = plan_of(&afternoon(), &empty).unwrap();
    assert_eq!(
        declared["expected"],
        Detail::List(vec!["ssh-ng://192.0.2.7".into()])
    );
    assert!(!declared.contains_key("machines"));
    assert_eq!(
        plan_of(&settings(), &imported("", "ssh://nix@desktop\n")),
        None
    );
}

/// What keeps Nix from the only builder, and from all.
fn why_unused(settings: &Settings, imported: &Imported) -> (Option<Reason>, Option<Reason>) {
    let plan = plan(settings, imported);
    let mut origins = plan.origins.iter();
    let origin = origins.find(|(id, _)| id.kind == Kind::Builder);
    let warning = origin.and_then(|(_, origin)| origin.unused.as_ref());
    (
        warning.and_then(|warning| warning.code.hinders()),
        plan.unused.get(&Kind::Builder).copied(),
    )
}

#[test]
fn nix_passes_a_builder_by_where_it_makes_use_of_no_line_of_it() {
    let none = |machines: &str| why_unused(&settings(), &imported("", machines));
    let slots = Some(Reason::BuilderWithoutSlots);
    assert_eq!(none("ssh://nix@desktop - - 0\n"), (slots, None));
    let two = "ssh://nix@desktop - - 0\nssh://nix@desktop - - 4\n";
    assert_eq!(none(two), (None, None));
    assert_eq!(none("ssh://nix@desktop\n"), (None, None));
    let relative = Some(Reason::NixVersion);
    assert_eq!(none("ssh://nix@desktop - key\n"), (relative, None));
}

#[test]
fn what_keeps_nix_from_all_builders_keeps_it_from_each() {
    let off = Some(Reason::BuildersDisabled);
    let empty = imported("builders =\n", "");
    assert_eq!(why_unused(&afternoon(), &empty), (off, off));
    let unused = imported("builders =\n", "ssh://nix@desktop\n");
    assert_eq!(why_unused(&settings(), &unused), (None, off));
    let line = Some(Reason::MachinesFileBroken);
    let broken = imported("", "ssh://nix@desktop - - many\n");
    assert_eq!(why_unused(&afternoon(), &broken), (line, line));
    // Nix reads none of its settings, this one among them.
    let conf = Some(Reason::NixConfBroken);
    let broken = imported("builders =\nfallback = perhaps\n", "");
    assert_eq!(why_unused(&afternoon(), &broken), (conf, conf));
}

#[test]
fn ordinary_builds_that_no_builder_takes_are_told() {
    let told = |machines: &str| {
        let warnings = plan(&settings(), &imported("", machines)).warnings;
        let only = warnings
            .iter()
            .filter(|it| it.code == WarningCode::OnlyMandatory);
        only.map(|it| it.details["actual"].clone())
            .collect::<Vec<_>>()
    };
    let kvm = "ssh://nix@desktop - - 4 1 big-parallel kvm,benchmark\n";
    assert_eq!(told(kvm), ["benchmark kvm".into()].map(|it: Detail| it));
    assert!(told(&format!("{kvm}ssh://nix@other\n")).is_empty());
    assert_eq!(told(&format!("{kvm}ssh://nix@other - - 0\n")).len(), 1);
    assert!(told("").is_empty());
}

#[test]
fn whose_store_is_elsewhere_uses_neither_builders_nor_caches_of_this_machine() {
    let elsewhere = Some(Reason::StoreElsewhere);
    let conf = "substituters = http://desktop:5000\nstore = ssh-ng://nix:secret@desktop\n";
    let imported = imported(conf, "ssh://nix@desktop\n");
    assert_eq!(why_unused(&settings(), &imported), (elsewhere, elsewhere));
    let plan = plan(&settings(), &imported);
    assert_eq!(plan.unused.get(&Kind::Cache).copied(), elsewhere);
    let [warning] = plan.warnings.as_slice() else {
        panic!("{:?}", plan.warnings);
    };
    assert_eq!(warning.details["actual"], "ssh-ng://nix:***@desktop".into());
    assert_eq!(warning.details["line"], Detail::Uint(2));
}

#[test]
fn of_what_may_not_be_read_nothing_is_missed() {
    let hides = |file: &Path| Problem {
        source: Source::NotVisible,
        file: file.to_owned(),
        line: None,
        field: None,
        text: "Permission denied".into(),
    };
    let missing = |imported: &Imported| {
        let origins = plan(&afternoon(), imported).origins;
        [TargetId::cache("desktop"), TargetId::builder("desktop")]
            .map(|id| origins[&id].missing.is_some())
    };
    let mut hidden = imported("substituters =\n", "");
    assert_eq!(missing(&hidden), [true, true]);
    hidden.problems = vec![hides(Path::new("/etc/nix/machines"))];
    assert_eq!(missing(&hidden), [true, false]);
    let conf = hidden.conf_files[0].clone();
    hidden.problems = vec![hides(&conf)];
    assert_eq!(missing(&hidden), [false, false]);
    hidden.conf.builders.clear();
    assert_eq!(why_unused(&afternoon(), &hidden), (None, None));
}

#[test]
fn a_nix_conf_that_is_not_there_keeps_nix_from_nothing() {
    let absent = Imported {
        problems: vec![Problem {
            source: Source::Conf,
            file: "/srv/nix.conf".into(),
            line: None,
            field: None,
            text: "No such file or directory".into(),
        }],
        ..Imported::default()
    };
    assert_eq!(why_unused(&afternoon(), &absent), (None, None));
}
