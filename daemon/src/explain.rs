//! Where Nix would send a build as things are now, and why not elsewhere: Nix's own choice, and what is known of
//! whom it chooses.

use offload_client::{
    Kind, Printable, Snapshot, Stage, TargetState,
    explain::{Builder, Explanation, Fate, Here, Obstacle, Obstruction},
    snapshot::Target,
};

use crate::{
    nix::{
        build_hook::{self, Build, Line, Obstacle as Hindrance},
        current_load,
    },
    plan::{Hook, HookLine},
};

/// What becomes of `build`. A few system calls, to see which slots are taken; nobody is asked.
pub(crate) fn explain(build: &Build, hook: &Hook, now: &Snapshot) -> Explanation {
    explain_with(build, hook, now, |line| {
        // Of who would not get it nobody needs to know.
        if !build_hook::obstacles(build, &line.machine).is_empty() {
            return None;
        }
        let slots = (line.slots.as_slice(), line.machine.max_jobs);
        current_load::in_use([slots]).ok().map(|(used, _)| used)
    })
}

fn explain_with(
    build: &Build,
    hook: &Hook,
    now: &Snapshot,
    in_use: impl Fn(&HookLine) -> Option<u32>,
) -> Explanation {
    let taken: Vec<Option<u32>> = hook.lines.iter().map(in_use).collect();
    let lines: Vec<Line<'_>> = hook.lines.iter().zip(&taken).map(line).collect();
    let order = build_hook::order(build, &lines, hook.version);
    let targets: Vec<Option<&Target>> = hook.lines.iter().map(|line| target(line, now)).collect();
    let here = hook.here.obstacles(build);
    let builders = hook.lines.iter().zip(&taken).zip(&targets).enumerate();
    let builders: Vec<Builder> = builders
        .map(|(place, ((line, taken), target))| {
            let tried = order.iter().position(|tried| *tried == place);
            let mut told = builder(line, *taken, *target, build);
            told.order = tried.and_then(|tried| u32::try_from(tried + 1).ok());
            if tried.is_none() && told.obstacles.is_empty() {
                told.obstacles.push(Obstruction {
                    obstacle: Obstacle::SlotsTaken,
                    features: Vec::new(),
                });
            }
            told
        })
        .collect();
    let (fate, place) = if build.prefers_local && here.is_empty() {
        (Fate::Here, None)
    } else {
        let reached = reached(&order, &targets);
        reached.unwrap_or_else(|| {
            let waits = builders.iter().any(is_full);
            let fate = match (here.is_empty(), waits) {
                (true, _) => Fate::Here,
                (false, true) => Fate::Waits,
                (false, false) => Fate::Nowhere,
            };
            (fate, None)
        })
    };
    Explanation {
        system: (&build.system).into(),
        features: printable(&build.features),
        prefer_local_build: build.prefers_local,
        fate,
        builder: place,
        reason: hook.unused,
        builders,
        here: Here {
            systems: printable(&hook.here.systems),
            features: printable(&hook.here.features),
            max_jobs: hook.here.max_jobs,
            obstacles: obstructions(&here),
        },
    }
}

/// The first that Nix reaches, of those that it tries; nothing where it reaches none.
fn reached(order: &[usize], targets: &[Option<&Target>]) -> Option<(Fate, Option<usize>)> {
    for place in order {
        // Of what nobody watches nobody knows.
        let connects = targets.get(*place)?.map_or(Connects::Unknown, connects);
        match connects {
            Connects::Yes => return Some((Fate::Builder, Some(*place))),
            Connects::Unknown => return Some((Fate::Unknown, Some(*place))),
            Connects::No => {}
        }
    }
    None
}

/// Whether Nix would have a connection to a builder.
enum Connects {
    Yes,
    No,
    Unknown,
}

fn connects(target: &Target) -> Connects {
    match target.state {
        TargetState::Ready => Connects::Yes,
        TargetState::Unknown | TargetState::Paused => Connects::Unknown,
        TargetState::Down | TargetState::Away => Connects::No,
        TargetState::Degraded if target.reason.hindrance().is_some() => Connects::No,
        // What comes after the handshake is seen by a build that is there.
        TargetState::Degraded => match target.stage {
            Stage::Trust | Stage::System | Stage::Build => Connects::Yes,
            _ => Connects::No,
        },
    }
}

/// Whether nothing is missing but a slot: Nix waits for one, though there be none at all.
fn is_full(builder: &Builder) -> bool {
    let is_slot =
        |it: &Obstruction| matches!(it.obstacle, Obstacle::SlotsTaken | Obstacle::NoSlots);
    !builder.obstacles.is_empty() && builder.obstacles.iter().all(is_slot)
}

fn line<'a>((line, taken): (&'a HookLine, &Option<u32>)) -> Line<'a> {
    Line {
        machine: &line.machine,
        in_use: taken.unwrap_or_default(),
    }
}

fn target<'a>(line: &HookLine, now: &'a Snapshot) -> Option<&'a Target> {
    let id = line.target.as_ref()?;
    let mut targets = now.targets.iter();
    targets.find(|target| target.kind == Kind::Builder && target.name == id.name)
}

fn builder(line: &HookLine, taken: Option<u32>, target: Option<&Target>, build: &Build) -> Builder {
    let machine = &line.machine;
    Builder {
        name: target.map(|target| target.name.clone()),
        uri: line.uri.clone(),
        source: line.source.clone(),
        order: None,
        obstacles: obstructions(&build_hook::obstacles(build, machine)),
        state: target.map_or(TargetState::Unknown, |target| target.state),
        reason: target.map(|target| target.reason).unwrap_or_default(),
        systems: printable(&machine.systems),
        max_jobs: machine.max_jobs,
        slots_in_use: taken,
        speed_factor: machine.speed_factor,
    }
}

/// One for each kind, with all its features.
fn obstructions(hindrances: &[Hindrance]) -> Vec<Obstruction> {
    let mut told: Vec<Obstruction> = Vec::new();
    for hindrance in hindrances {
        let (obstacle, feature) = match hindrance {
            Hindrance::System => (Obstacle::System, None),
            Hindrance::Feature(feature) => (Obstacle::Feature, Some(feature)),
            Hindrance::Mandatory(feature) => (Obstacle::MandatoryFeature, Some(feature)),
            Hindrance::NoSlots => (Obstacle::NoSlots, None),
        };
        let feature = feature.map(Printable::from);
        match told.last_mut().filter(|last| last.obstacle == obstacle) {
            Some(last) => last.features.extend(feature),
            None => told.push(Obstruction {
                obstacle,
                features: feature.into_iter().collect(),
            }),
        }
    }
    told
}

fn printable(words: &[String]) -> Vec<Printable> {
    words.iter().map(Printable::from).collect()
}

#[cfg(test)]
mod tests;
