//! Where Nix would send a build, for people: a sentence, then a line for each machine.

use super::{Style, Tone, state_glyph, state_tone, text};
use crate::{
    Printable, Reason, TargetState,
    explain::{Builder, Explanation, Fate, Obstacle, Obstruction},
    language::{say, tr},
    reasons,
};

/// The whole page, with a newline at its end.
pub fn explain(explanation: &Explanation, style: &Style) -> String {
    let mut page = text::wrap(&sentence(explanation), "", "", style.width);
    page.push('\n');
    let builders = explanation.builders.iter();
    let mut rows: Vec<Row> = builders.map(|it| row(it, explanation)).collect();
    // In the order in which Nix tries them; those that it does not try stay as they are written.
    rows.sort_by_key(|row| row.order.unwrap_or(u32::MAX));
    rows.push(here(explanation));
    let name = rows.iter().map(|row| text::width(&row.name)).max();
    for row in &rows {
        page.push_str(&line(row, name.unwrap_or_default(), style));
    }
    page
}

/// What is told of one machine.
struct Row {
    order: Option<u32>,
    state: Option<TargetState>,
    name: String,
    is_here: bool,
    words: String,
}

fn sentence(explanation: &Explanation) -> String {
    let features = match &*explanation.features {
        [] => String::new(),
        features => say!(" that needs {features}", features = features.join(", ")),
    };
    let build = say!(
        "A build for {system}{features}",
        system = explanation.system,
        features
    );
    let builder = explanation
        .builder
        .and_then(|it| explanation.builders.get(it));
    let name = builder.map(name).unwrap_or_default();
    let mut suiting = explanation.builders.iter();
    match explanation.fate {
        Fate::Builder => say!("{build} goes to {name}.", build, name),
        Fate::Unknown => {
            say!(
                "{build} is tried at {name} first; whether Nix reaches it is not known.",
                build,
                name
            )
        }
        Fate::Here if explanation.prefer_local_build => {
            say!(
                "{build} is built on this machine: it asks for that (preferLocalBuild).",
                build
            )
        }
        Fate::Here => say!(
            "{build} is built on this machine: {why}.",
            build,
            why = left_here(explanation)
        ),
        Fate::Waits if !explanation.builders.iter().any(is_taken) => {
            say!(
                "{build} waits for ever: this machine can't build it, and who could has no slots.",
                build
            )
        }
        Fate::Waits => {
            say!(
                "{build} waits: this machine can't build it, and no slot for it is free.",
                build
            )
        }
        Fate::Nowhere if suiting.any(|it| it.order.is_some()) => {
            say!(
                "{build} fails: this machine can't build it, and Nix reaches nobody who can.",
                build
            )
        }
        Fate::Nowhere => {
            say!(
                "{build} fails: neither this machine nor {anybody} can build it.",
                build,
                anybody = anybody(explanation)
            )
        }
    }
}

/// Why no builder has it.
fn left_here(explanation: &Explanation) -> String {
    let mut builders = explanation.builders.iter();
    if explanation.builders.is_empty() {
        return match explanation.reason {
            Reason::None => tr("Nix has no builders").to_owned(),
            reason => say!(
                "Nix has no builders ({why})",
                why = reasons::text(reason).title
            ),
        };
    }
    if builders.clone().any(|it| it.order.is_some()) {
        return tr("Nix reaches no builder that takes it").to_owned();
    }
    if builders.any(is_taken) {
        return tr("all slots that it could have elsewhere are taken").to_owned();
    }
    tr("no builder takes it").to_owned()
}

/// Whether it would have it, had it a slot left.
fn is_taken(builder: &Builder) -> bool {
    let mut obstacles = builder.obstacles.iter();
    obstacles.any(|it| it.obstacle == Obstacle::SlotsTaken)
}

fn anybody(explanation: &Explanation) -> &'static str {
    match explanation.builders.len() {
        0 => tr("anybody else"),
        1 => tr("the builder"),
        _ => tr("any builder"),
    }
}

fn name(builder: &Builder) -> String {
    match &builder.name {
        Some(name) => format!("builder/{name}"),
        None => builder.uri.to_string(),
    }
}

fn row(builder: &Builder, explanation: &Explanation) -> Row {
    let mut words: Vec<String> = Vec::new();
    if builder.obstacles.is_empty() {
        let slots = match (builder.slots_in_use, builder.max_jobs) {
            (None, 1) => tr("1 slot").to_owned(),
            (None, all) => say!("{all} slots", all),
            (Some(0), 1) => tr("its slot is free").to_owned(),
            (Some(used), all) => say!(
                "{free} of {all} slots free",
                free = all.saturating_sub(used),
                all
            ),
        };
        words.push(slots);
        if explanation.builders.len() > 1 {
            words.push(say!("speed {speed}", speed = builder.speed_factor));
        }
        if builder.reason != Reason::None {
            words.push(reasons::text(builder.reason).title.to_owned());
        }
        if builder.name.is_none() {
            words.push(tr("not watched").to_owned());
        }
    }
    let obstacles = builder.obstacles.iter();
    let obstacles =
        obstacles.map(|it| obstacle(it, &builder.systems, explanation, builder.max_jobs));
    let obstacles: Vec<String> = obstacles.collect();
    if !obstacles.is_empty() {
        words.push(obstacles.join("; "));
    }
    Row {
        order: builder.order,
        state: builder.obstacles.is_empty().then_some(builder.state),
        name: name(builder),
        is_here: false,
        words: words.join(", "),
    }
}

fn here(explanation: &Explanation) -> Row {
    let here = &explanation.here;
    let obstacles = here.obstacles.iter();
    let mut words: Vec<String> = obstacles
        .map(|it| match it.obstacle {
            Obstacle::NoSlots => tr("builds nothing (max-jobs = 0)").to_owned(),
            _ => obstacle(it, &here.systems, explanation, here.max_jobs),
        })
        .collect();
    if words.is_empty() {
        words.push(tr("can build it").to_owned());
    }
    Row {
        order: None,
        state: None,
        name: tr("this machine").to_owned(),
        is_here: true,
        words: words.join("; "),
    }
}

fn obstacle(
    it: &Obstruction,
    systems: &[Printable],
    explanation: &Explanation,
    slots: u32,
) -> String {
    let features = it.features.join(", ");
    match it.obstacle {
        Obstacle::System => say!(
            "builds {systems}, not {system}",
            systems = systems.join(", "),
            system = explanation.system
        ),
        Obstacle::Feature => say!("lacks {features}", features),
        Obstacle::MandatoryFeature => say!("takes only what needs {features}", features),
        Obstacle::NoSlots => tr("has no slots (max jobs 0)").to_owned(),
        Obstacle::SlotsTaken if slots == 1 => tr("its slot is taken").to_owned(),
        Obstacle::SlotsTaken => say!("all {slots} slots are taken", slots),
        Obstacle::Other => tr("does not take it").to_owned(),
    }
}

fn line(row: &Row, name: usize, style: &Style) -> String {
    let order = row
        .order
        .map_or_else(|| "–".to_owned(), |order| order.to_string());
    let state = row.state.map_or(("", Tone::Faint), |state| {
        (state_glyph(state), state_tone(state))
    });
    let glyph = if state.0.is_empty() {
        " ".to_owned()
    } else {
        style.paint(state.1, state.0)
    };
    let missing = " ".repeat(name.saturating_sub(text::width(&row.name)));
    let order = if row.is_here { String::new() } else { order };
    let head = format!("  {order:>2} {glyph} {}{missing}", row.name);
    // Prose may break; what it follows stays in its column.
    let indent = " ".repeat(7 + name + 3);
    let tone = if row.state.is_some() {
        None
    } else {
        Some(Tone::Faint)
    };
    let prose = text::wrap(
        &row.words,
        &indent,
        &indent,
        style.width.max(indent.len() + 20),
    );
    let prose = prose
        .strip_prefix(indent.as_str())
        .unwrap_or(&prose)
        .trim_end_matches('\n')
        .to_owned();
    let prose = tone.map_or_else(|| prose.clone(), |tone| style.paint(tone, &prose));
    format!("{head}   {prose}\n")
}
