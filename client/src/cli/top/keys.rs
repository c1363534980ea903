//! What the keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Mode, Model};
use crate::{
    Kind, OverallState,
    language::{tr, tr_later},
    snapshot::Target,
};

/// The keys, for the help.
pub(super) const KEYS: [(&str, &str); 11] = [
    ("↑ ↓ k j", tr_later("select a target")),
    ("PgUp PgDn", tr_later("scroll what is told of it")),
    ("c", tr_later("check it now")),
    ("C", tr_later("check everything now")),
    ("t", tr_later("test build on it; its log streams in")),
    ("x", tr_later("end the test build")),
    ("Esc", tr_later("close the log, the help, the filter")),
    ("p", tr_later("pause the checks, or go on")),
    (
        "/",
        tr_later("show only targets with these letters in name or state"),
    ),
    ("?", tr_later("this")),
    ("q", tr_later("quit; a test build goes on")),
];

/// What is to be done beside the screen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Quit,
    Suspend,
    /// A target; all of them without one.
    Check(Option<Box<Target>>),
    TestBuild(Box<Target>),
    Cancel,
    Pause(bool),
}

/// Does what a key asks for.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    model.message.clear();
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            _ => None,
        };
    }
    if model.mode == Mode::Filter {
        edit(model, key.code);
        return None;
    }
    match key.code {
        KeyCode::Char('q') => return Some(Action::Quit),
        KeyCode::Up | KeyCode::Char('k') => model.select(-1),
        KeyCode::Down | KeyCode::Char('j') => model.select(1),
        KeyCode::Home | KeyCode::Char('g') => model.select(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => model.select(isize::MAX),
        KeyCode::PageUp => model.scroll = model.scroll.saturating_sub(5),
        KeyCode::PageDown => model.scroll = model.scroll.saturating_add(5),
        KeyCode::Char('c') => {
            let target = model.selected().cloned();
            return target.map(|target| Action::Check(Some(Box::new(target))));
        }
        KeyCode::Char('C') => return Some(Action::Check(None)),
        KeyCode::Char('t') => return test_build(model),
        KeyCode::Char('x') => return Some(Action::Cancel),
        KeyCode::Char('p') => {
            let state = model.snapshot().map(|snapshot| snapshot.state);
            return Some(Action::Pause(state != Some(OverallState::Paused)));
        }
        KeyCode::Char('/') => model.mode = Mode::Filter,
        KeyCode::Char('?') => {
            model.mode = if model.mode == Mode::Help {
                Mode::Show
            } else {
                Mode::Help
            }
        }
        KeyCode::Esc => close(model),
        _ => {}
    }
    None
}

/// Of a cache the builder that is the same host.
fn test_build(model: &mut Model) -> Option<Action> {
    let found = model.selected().and_then(|selected| {
        let mut targets = model.snapshot()?.targets.iter();
        targets.find(|target| target.kind == Kind::Builder && target.name == selected.name)
    });
    let Some(builder) = found.cloned() else {
        tr("no builder of that name: select one").clone_into(&mut model.message);
        return None;
    };
    model.mode = Mode::Show;
    Some(Action::TestBuild(Box::new(builder)))
}

fn edit(model: &mut Model, key: KeyCode) {
    match key {
        KeyCode::Char(letter) => model.filter.push(letter),
        KeyCode::Backspace => {
            model.filter.pop();
        }
        KeyCode::Enter => model.mode = Mode::Show,
        KeyCode::Esc => close(model),
        _ => {}
    }
    model.select(0);
}

/// The foremost of what is open.
fn close(model: &mut Model) {
    if model.mode == Mode::Help {
        model.mode = Mode::Show;
    } else if model.mode == Mode::Filter || !model.filter.is_empty() {
        model.mode = Mode::Show;
        model.filter.clear();
    } else if model.log.as_ref().is_some_and(|log| log.end.is_some()) {
        model.log = None;
    }
}
