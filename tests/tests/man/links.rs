//! Links of what is read in the repository: each leads to a file that is there, and to a heading in it.

use std::{fs, path::Path};

use crate::path;

#[test]
fn every_link_leads_somewhere() {
    let mut documents = Vec::new();
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    ] {
        documents.push(path(name));
    }
    for folder in ["docs", "docs/fleet", "docs/reasons"] {
        let entries = fs::read_dir(path(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        documents.extend(files.filter(|file| file.extension().is_some_and(|it| it == "md")));
    }
    let mut dead = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in links(&text) {
            if !leads(document, &link) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(documents.len() > 60, "{documents:?}");
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

#[test]
fn links_are_found_and_dead_ones_are_told() {
    let text = "see [a](b.md#c) and\n```\n[no](d.md)\n```\n`[no](e.md)` ![picture](f.png)\n";
    assert_eq!(links(text), ["b.md#c", "f.png"]);
    let readme = path("README.md");
    assert!(leads(&readme, "ARCHITECTURE.md"));
    assert!(leads(&readme, "#what-you-gain"));
    assert!(!leads(&readme, "nowhere.md"));
    assert!(!leads(&readme, "README.md#nowhere"));
}

/// What stands behind `](` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for prose in line.split('`').step_by(2) {
            let targets = prose.split("](").skip(1);
            links.extend(targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        }
        // A link whose text is code: its brackets are in different pieces.
        let targets = line.split("`](").skip(1);
        links.extend(targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
    }
    links.sort();
    links.dedup();
    links
}

fn leads(document: &Path, link: &str) -> bool {
    if link.starts_with("https://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = match file {
        "" => document.to_owned(),
        file => document.parent().unwrap().join(file),
    };
    if heading.is_empty() {
        return file.exists();
    }
    let Ok(text) = fs::read_to_string(&file) else {
        return false;
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
    anchors.any(|anchor| anchor == heading)
}

/// As the web pages of repositories make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}
