//! Which builder a build goes to, as Nix itself decides it.
//!
//! Source: src/nix/build-remote/build-remote.cc (the hook) and, for what never comes to the hook,
//! src/libstore/derivation-options.cc (`willBuildLocally`, `canBuildLocally`). What Nix was built with by default:
//! src/libstore/globals.cc.

use std::{cmp::Ordering, path::Path};

use super::{Machine, MaxJobs, NixConf, NixVersion};

/// A build that is to go somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// What it is for: `x86_64-linux`, or `builtin`.
    pub system: String,
    /// `requiredSystemFeatures`.
    pub features: Vec<String>,
    /// `preferLocalBuild`.
    pub prefers_local: bool,
}

/// What this machine's own Nix builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// `system`, then `extra-platforms`.
    pub systems: Vec<String>,
    /// `system-features`.
    pub features: Vec<String>,
    /// `max-jobs`.
    pub max_jobs: u32,
}

/// What keeps a build from a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It does not build for that system.
    System,
    /// It has not this feature, which the build asks for.
    Feature(String),
    /// It takes only builds that ask for this feature.
    Mandatory(String),
    /// It has no slot at all. Nix waits for one of a builder like that where nobody else can build it: for ever.
    NoSlots,
}

/// A line of the list of builders, and how many of its slots are in use.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// What it says.
    pub machine: &'a Machine,
    /// Its slots that builds of this machine's Nix hold now.
    pub in_use: u32,
}

impl Here {
    /// What nix.conf makes of it, and what Nix takes where that says nothing.
    pub fn of(conf: &NixConf, version: NixVersion) -> Self {
        let mut systems = vec![conf.system.clone()];
        systems.extend(conf.extra_platforms.clone().unwrap_or_else(platforms));
        systems.extend(conf.extra_extra_platforms.iter().cloned());
        let features = conf.system_features.clone();
        let mut features = features.unwrap_or_else(|| self::features(version));
        features.extend(conf.extra_system_features.iter().cloned());
        Self {
            systems,
            features,
            max_jobs: match conf.max_jobs {
                MaxJobs::Count(count) => count,
                MaxJobs::Auto => processors(),
            },
        }
    }

    /// What keeps `build` from being built on this machine.
    pub fn obstacles(&self, build: &Build) -> Vec<Obstacle> {
        if build.system == "builtin" {
            return Vec::new();
        }
        let mut found = Vec::new();
        if !self.systems.contains(&build.system) {
            found.push(Obstacle::System);
        }
        let lacks = build.features.iter();
        let lacks = lacks.filter(|feature| !self.features.contains(feature));
        found.extend(lacks.cloned().map(Obstacle::Feature));
        if self.max_jobs == 0 {
            found.push(Obstacle::NoSlots);
        }
        found
    }
}

/// What keeps `build` from `machine`, whichever slots are free.
pub fn obstacles(build: &Build, machine: &Machine) -> Vec<Obstacle> {
    let mut found = Vec::new();
    if build.system != "builtin" && !machine.systems.contains(&build.system) {
        found.push(Obstacle::System);
    }
    let Machine {
        supported_features,
        mandatory_features,
        ..
    } = machine;
    let lacks = build.features.iter();
    let lacks =
        lacks.filter(|it| !supported_features.contains(it) && !mandatory_features.contains(it));
    found.extend(lacks.cloned().map(Obstacle::Feature));
    let unmet = mandatory_features.iter();
    let unmet = unmet.filter(|feature| !build.features.contains(feature));
    found.extend(unmet.cloned().map(Obstacle::Mandatory));
    if machine.max_jobs == 0 {
        found.push(Obstacle::NoSlots);
    }
    found
}

/// The places in `lines` of those that are tried for `build`, in Nix's order: each where all before it could not be
/// reached. Those whose slots are all taken are not among them.
pub fn order(build: &Build, lines: &[Line<'_>], version: NixVersion) -> Vec<usize> {
    let suits = |place: &usize| {
        let suitable = lines.get(*place).map(|line| obstacles(build, line.machine));
        suitable.is_some_and(|obstacles| obstacles.is_empty())
    };
    let mut left: Vec<usize> = (0..lines.len()).filter(suits).collect();
    let mut order = Vec::new();
    while let Some(best) = best(lines, &left, version) {
        left.retain(|place| *place != best);
        order.push(best);
    }
    order
}

/// The one of `left` that is tried first; nothing where none has a free slot.
fn best(lines: &[Line<'_>], left: &[usize], version: NixVersion) -> Option<usize> {
    let mut best: Option<(usize, &Machine, u32)> = None;
    for place in left {
        let Some(Line { machine, in_use }) = lines.get(*place).copied() else {
            continue;
        };
        let mut load = in_use;
        // Two lines of one store have the same slots, and Nix holds one of the best so far while it looks at the others.
        if let Some((_, held, _)) = best
            && held.uri == machine.uri
            && load < machine.max_jobs
        {
            load += 1;
        }
        if load >= machine.max_jobs {
            continue;
        }
        let one = (machine, load);
        if best.is_none_or(|(_, other, others)| is_better(one, (other, others), version)) {
            best = Some((*place, machine, load));
        }
    }
    best.map(|(place, ..)| place)
}

fn is_better(
    (machine, load): (&Machine, u32),
    (best, bests): (&Machine, u32),
    version: NixVersion,
) -> bool {
    let share = |load, of: &Machine| {
        let share = f64::from(load) / of.speed_factor;
        if version.has_whole_speed_factors() {
            share.floor()
        } else {
            share
        }
    };
    match share(load, machine).partial_cmp(&share(bests, best)) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => {
            machine.speed_factor > best.speed_factor
                || (machine.speed_factor == best.speed_factor && load < bests)
        }
        Some(Ordering::Greater) | None => false,
    }
}

/// `getDefaultSystemFeatures`. Of `/dev/kvm` Nix asks whether it may use it; root may.
fn features(version: NixVersion) -> Vec<String> {
    let mut features = vec!["nixos-test", "benchmark", "big-parallel"];
    if version.has_uid_range() && cfg!(target_os = "linux") {
        features.push("uid-range");
    }
    if Path::new("/dev/kvm").exists() {
        features.push("kvm");
    }
    features.into_iter().map(str::to_owned).collect()
}

/// `getDefaultExtraPlatforms`, of a Nix that knows the processor's levels (a build without libcpuid has none of them).
fn platforms() -> Vec<String> {
    let mut platforms = Vec::new();
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        platforms.push("i686-linux".to_owned());
        platforms.extend((1..=level()).map(|level| format!("x86_64-v{level}-linux")));
    }
    platforms
}

/// Which of the levels of x86_64 the processor has (`computeLevels`, src/libutil/compute-levels.cc).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn level() -> u32 {
    use std::arch::is_x86_feature_detected as has;

    let levels = [
        has!("sse4.2") && has!("ssse3") && has!("popcnt") && has!("cmpxchg16b"),
        has!("avx2") && has!("f16c") && has!("fma") && has!("lzcnt") && has!("movbe"),
        has!("avx512f")
            && has!("avx512bw")
            && has!("avx512cd")
            && has!("avx512dq")
            && has!("avx512vl"),
    ];
    let reached = levels.iter().take_while(|has| **has).count();
    1 + u32::try_from(reached).unwrap_or_default()
}

fn processors() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
