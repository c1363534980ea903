//! The screen: what is known, drawn. It touches nothing, and tells only what it is given.

mod ascii;
mod targets;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::{
    keys::KEYS,
    model::{Change, Link, Mode, Model},
};
use crate::{
    Printable,
    language::{say, tr, tr_later},
    page::{self, Tone, state_glyph, state_tone},
};

/// What keys there are, where nothing else is to be said: the most needed first.
const HINTS: &str = tr_later("q quit  c check  t test build  p pause  / filter  ? help");

/// Draws the model as of `now`, in microseconds of `CLOCK_REALTIME`.
pub(super) fn view(model: &Model, now: u64, area: Rect, buffer: &mut Buffer) {
    let mut canvas = Canvas {
        buffer,
        area,
        colour: model.colour,
    };
    let style = page::Style {
        colour: false,
        width: area.width.into(),
        now_realtime_usec: now,
        verbose: false,
    };
    let height = usize::from(area.height);
    let (tone, headline) = headline(model, now);
    let headline = page::wrap(&headline, "", "  ", style.width);
    let mut row = 0;
    // What it says last is why, or since when: it has two lines where one is too short.
    for line in headline.lines().take(if height < 10 { 1 } else { 2 }) {
        canvas.text(0, row, line, tone, Modifier::BOLD);
        row += 1;
    }
    let which = which(model, &style, height);
    let rooms = Rooms::of(model, height - which.len() - row.saturating_sub(1));
    if rooms.targets > 0 {
        targets::draw(model, now, row, rooms.targets, &mut canvas);
        row += rooms.targets;
    }
    if rooms.told > 0 {
        told(model, &style, row, rooms.told, &mut canvas);
        row += rooms.told;
    }
    if rooms.changes > 0 {
        canvas.rule(row, tr("changes"), "");
        for (change, row) in model.changes.iter().zip(row + 1..row + rooms.changes) {
            changed(change, now, row, &mut canvas);
        }
    }
    for (line, row) in which.iter().zip(height.saturating_sub(1 + which.len())..) {
        canvas.text(0, row, line, Tone::Faint, Modifier::DIM);
    }
    if height > 1 {
        foot(model, height - 1, &mut canvas);
    }
    if model.ascii {
        ascii::write(canvas.buffer);
    }
}

/// How many lines each part has: all but the first and the last of the screen.
struct Rooms {
    targets: usize,
    told: usize,
    changes: usize,
}

impl Rooms {
    fn of(model: &Model, height: usize) -> Self {
        let free = height.saturating_sub(2);
        let wanted = match targets::lines(model) {
            0 => 0,
            lines => lines + 1,
        };
        let targets = wanted.min((free / 2).max(3)).min(free);
        let free = free - targets;
        let changes = match (free, model.changes.len()) {
            (0..8, _) | (_, 0) => 0,
            (free, changes) => (changes + 1).min(free / 3),
        };
        Self {
            targets,
            told: free - changes,
            changes,
        }
    }
}

/// Which daemon it is, above the last line; on a small screen there is no room for it.
fn which(model: &Model, style: &page::Style, height: usize) -> Vec<String> {
    let told = model.which.as_deref().filter(|_| height >= 16);
    let told = told.map(|told| page::wrap(told, "", "", style.width));
    let lines = told.iter().flat_map(|told| told.lines());
    lines.map(str::to_owned).collect()
}

fn headline(model: &Model, now: u64) -> (Tone, String) {
    let none = |text: &str| (Tone::Neutral, format!("? {text}"));
    match &model.link {
        Link::Looking => none(tr("looking for offloadd")),
        Link::NoBus => none(tr("no bus: waiting for one")),
        Link::NoDaemon => none(tr(
            "offloadd is not running: `sudo systemctl start offloadd`",
        )),
        Link::Here(snapshot) => (
            page::overall_tone(snapshot.state),
            page::headline_words(snapshot, now),
        ),
    }
}

/// What the middle of the screen tells: the keys, the log of a test build, or what is wrong and the remedy.
fn told(model: &Model, style: &page::Style, row: usize, rows: usize, canvas: &mut Canvas<'_>) {
    let room = rows.saturating_sub(1);
    let (title, lines) = match (&model.log, model.mode) {
        (_, Mode::Help) => (tr("keys").to_owned(), help()),
        (Some(log), _) => {
            let end = log.end.clone().unwrap_or_else(|| {
                let age = style.now_realtime_usec.saturating_sub(log.start);
                say!("for {time}; x ends it", time = page::duration(age))
            });
            let lines: Vec<String> = log.lines.iter().map(Printable::to_string).collect();
            let title = say!("test build on {label}: {end}", label = log.label, end);
            (title, lines)
        }
        (None, _) => explained(model, style),
    };
    let hidden = lines.len().saturating_sub(room);
    // A log is read at its end, and scrolled back.
    let above = match (&model.log, model.mode) {
        (Some(_), Mode::Show | Mode::Filter) => hidden.saturating_sub(model.scroll),
        _ => model.scroll.min(hidden),
    };
    let more = match hidden {
        0 => String::new(),
        hidden => say!("{n} more lines: PgUp PgDn", n = hidden),
    };
    canvas.rule(row, &title, &more);
    for (line, row) in lines.iter().skip(above).zip(row + 1..row + rows) {
        let trimmed = line.trim_start();
        let (tone, modifier) = if trimmed.starts_with('→') {
            (Tone::Strong, Modifier::BOLD)
        } else if trimmed.starts_with("! ") {
            (Tone::Uneasy, Modifier::empty())
        } else {
            (Tone::Neutral, Modifier::empty())
        };
        canvas.text(0, row, line, tone, modifier);
    }
}

fn help() -> Vec<String> {
    let line = |(key, what): &(&str, &'static str)| format!("  {key:<10} {}", tr(what));
    KEYS.iter().map(line).collect()
}

fn explained(model: &Model, style: &page::Style) -> (String, Vec<String>) {
    let Some(snapshot) = model.snapshot() else {
        return (String::new(), Vec::new());
    };
    let selected = model.selected();
    let parts = [
        page::common_help(snapshot, style),
        selected.map_or_else(String::new, |target| page::help_for(target, style)),
        page::warnings(snapshot, style),
        selected.map_or_else(String::new, |target| page::facts(target, style)),
    ];
    let parts = parts.iter().map(|part| part.trim_matches('\n'));
    let told: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let told = told.join("\n\n");
    let title = selected.map_or_else(String::new, crate::snapshot::Target::label);
    (title, told.lines().map(str::to_owned).collect())
}

fn changed(change: &Change, now: u64, row: usize, canvas: &mut Canvas<'_>) {
    let when = format!("{:<12}", page::ago(change.at, now));
    let what = format!(
        "{} {} {}",
        state_glyph(change.state),
        change.label,
        change.text
    );
    let after = canvas.text(2, row, &when, Tone::Faint, Modifier::DIM);
    canvas.text(
        after + 1,
        row,
        &what,
        state_tone(change.state),
        Modifier::empty(),
    );
}

fn foot(model: &Model, row: usize, canvas: &mut Canvas<'_>) {
    if model.mode == Mode::Filter {
        let after = canvas.text(
            0,
            row,
            &format!("/{}", model.filter),
            Tone::Strong,
            Modifier::BOLD,
        );
        canvas.text(after, row, " ", Tone::Strong, Modifier::REVERSED);
    } else if !model.message.is_empty() {
        let message = model.message.replace('\n', " ");
        canvas.text(0, row, &message, Tone::Strong, Modifier::BOLD);
    } else if model.filter.is_empty() {
        canvas.text(0, row, tr(HINTS), Tone::Faint, Modifier::DIM);
    } else {
        let line = say!("/{filter}  Esc shows all again", filter = model.filter);
        canvas.text(0, row, &line, Tone::Strong, Modifier::BOLD);
    }
}

/// Where is drawn; nothing is drawn beside it.
struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    colour: bool,
}

impl Canvas<'_> {
    /// Text in a row, from a column on; the column after it. Where it is too long for the screen its last sign says so.
    fn text(
        &mut self,
        column: usize,
        row: usize,
        text: &str,
        tone: Tone,
        modifier: Modifier,
    ) -> usize {
        let (Ok(x), Ok(y)) = (u16::try_from(column), u16::try_from(row)) else {
            return column;
        };
        if x >= self.area.width || y >= self.area.height {
            return column;
        }
        let mut style = Style::new().add_modifier(modifier);
        if self.colour
            && let Some(colour) = colour(tone)
        {
            style = style.fg(colour);
        }
        let (x, y) = (self.area.x + x, self.area.y + y);
        let room = usize::from(self.area.right() - x);
        let (after, _) = self.buffer.set_stringn(x, y, text, room, style);
        if page::columns(text) > room {
            self.buffer
                .set_stringn(self.area.right() - 1, y, "…", 1, style);
        }
        (after - self.area.x).into()
    }

    /// A line with a title, and something at its end where there is room for both.
    fn rule(&mut self, row: usize, title: &str, end: &str) {
        let width = usize::from(self.area.width);
        self.text(0, row, &"─".repeat(width), Tone::Faint, Modifier::DIM);
        let mut after = 0;
        if !title.is_empty() {
            after = self.text(2, row, &format!(" {title} "), Tone::Strong, Modifier::BOLD);
        }
        let end_width = page::columns(end) + 4;
        if !end.is_empty() && after + end_width < width {
            self.text(
                width - end_width,
                row,
                &format!(" {end} "),
                Tone::Faint,
                Modifier::DIM,
            );
        }
    }
}

/// Of the 16 of the terminal's own theme.
const fn colour(tone: Tone) -> Option<Color> {
    match tone {
        Tone::Good => Some(Color::Green),
        Tone::Uneasy => Some(Color::Yellow),
        Tone::Bad => Some(Color::Red),
        Tone::Neutral | Tone::Faint | Tone::Strong => None,
    }
}

#[cfg(test)]
mod tests;
