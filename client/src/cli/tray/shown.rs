//! What the tray shows at one moment. No bus, no clock.

use super::Action;
use crate::{
    OverallState, Snapshot,
    cli::{
        bar::{Line, pango},
        notify::stay_here,
    },
};

#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// A few words.
    pub(super) title: String,
    /// What the icon is of; unknown where there is no daemon.
    pub(super) state: OverallState,
    /// Whether builds stay here that should go out.
    calls: bool,
    /// A line for each target, the cause and the remedy, as markup.
    pub(super) tooltip: String,
    pub(super) menu: Vec<Entry>,
    /// Another one with each other menu.
    pub(super) revision: u32,
}

/// An entry of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// To be read.
    Line(String),
    Separator,
    /// To be clicked on.
    Action(Action),
}

impl Shown {
    /// Of what the daemon knows; without one, that.
    pub(super) fn of(snapshot: Option<&Snapshot>) -> Self {
        let line = Line::of(snapshot, false);
        let state = snapshot.map_or(OverallState::Unknown, |it| it.state);
        Self {
            title: if snapshot.is_some() {
                format!("offloadd: {}", line.text)
            } else {
                line.title.clone()
            },
            state,
            calls: state == OverallState::Offline || snapshot.is_some_and(stay_here),
            tooltip: pango(&line.tooltip.join("\n")),
            menu: menu(&line, snapshot),
            revision: 1,
        }
    }

    /// Counts on from what was shown before.
    pub(super) fn follows(&mut self, before: &Self) {
        let is_another = u32::from(self.menu != before.menu);
        self.revision = before.revision.wrapping_add(is_another);
    }

    /// In the specification's words.
    pub(super) const fn status(&self) -> &'static str {
        if self.calls {
            "NeedsAttention"
        } else {
            "Active"
        }
    }

    pub(super) fn offers(&self, action: Action) -> bool {
        self.menu.contains(&Entry::Action(action))
    }
}

/// The targets, then what may be done; of no daemon nothing may be asked, for the bus might start it.
fn menu(line: &Line, snapshot: Option<&Snapshot>) -> Vec<Entry> {
    let targets = line.tooltip.iter().take_while(|it| !it.is_empty());
    let mut menu: Vec<Entry> = targets.cloned().map(Entry::Line).collect();
    if let Some(snapshot) = snapshot {
        let is_paused = snapshot.state == OverallState::Paused;
        menu.extend([
            Entry::Separator,
            Entry::Action(Action::Check),
            Entry::Action(if is_paused {
                Action::Resume
            } else {
                Action::Pause
            }),
        ]);
    }
    menu
}
