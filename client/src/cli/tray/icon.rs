//! The icon: a name for whoever has a theme, and a dot in the state's colour for whoever has none.

use crate::{
    OverallState,
    page::{Tone, overall_tone},
};

/// Width, height, and ARGB32 in network byte order, row by row.
pub(super) type Pixmap = (i32, i32, Vec<u8>);

/// What trays draw at, on plain screens and on dense ones.
const SIZES: [u16; 2] = [22, 44];

/// Of the Icon Naming Specification, which every theme has.
pub(super) const fn name(state: OverallState) -> &'static str {
    match state {
        OverallState::Ready => "network-server",
        OverallState::Degraded => "dialog-warning",
        OverallState::Offline => "dialog-error",
        OverallState::Away => "network-offline",
        OverallState::Paused => "media-playback-pause",
        OverallState::Unknown => "dialog-question",
    }
}

/// A full dot where there is a verdict, else a ring.
pub(super) fn pixmaps(state: OverallState) -> Vec<Pixmap> {
    let (colour, inner) = match overall_tone(state) {
        Tone::Good => ([0x4c, 0xaf, 0x50], 0.0),
        Tone::Uneasy => ([0xe5, 0xa5, 0x0a], 0.0),
        Tone::Bad => ([0xe0, 0x1b, 0x24], 0.0),
        Tone::Neutral | Tone::Faint | Tone::Strong => ([0x8b, 0x93, 0x9c], 0.22),
    };
    SIZES.map(|size| dot(size, colour, inner)).to_vec()
}

/// `inner`: the radius of its hole, in sizes of the whole.
fn dot(size: u16, [red, green, blue]: [u8; 3], inner: f32) -> Pixmap {
    let whole = f32::from(size);
    let from_middle = |at: u16| f32::from(at) - (whole - 1.0) / 2.0;
    let mut pixels = Vec::with_capacity(usize::from(size) * usize::from(size) * 4);
    for y in 0..size {
        for x in 0..size {
            // `hypot` would take libm into the memory of every command.
            let (right, down) = (from_middle(x), from_middle(y));
            let distance = (right * right + down * down).sqrt();
            // What of the pixel is within: its edges are smooth.
            let mut within = (0.36 * whole - distance + 0.5).clamp(0.0, 1.0);
            if inner > 0.0 {
                within = within.min((distance - inner * whole + 0.5).clamp(0.0, 1.0));
            }
            pixels.extend([(within * 255.0) as u8, red, green, blue]);
        }
    }
    (i32::from(size), i32::from(size), pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_round_and_of_its_state_s_colour() {
        for (state, middle) in [
            (OverallState::Ready, 255),
            (OverallState::Offline, 255),
            // A ring.
            (OverallState::Away, 0),
        ] {
            for (width, height, pixels) in pixmaps(state) {
                let (width, height) = (width as usize, height as usize);
                assert_eq!(pixels.len(), width * height * 4);
                let alpha = |x: usize, y: usize| pixels[(y * width + x) * 4];
                assert_eq!(alpha(width / 2, height / 2), middle, "{state}");
                assert_eq!((alpha(0, 0), alpha(width - 1, height - 1)), (0, 0));
                assert!(pixels.chunks(4).any(|pixel| pixel[0] == 255));
            }
        }
        let ready = &pixmaps(OverallState::Ready)[0].2;
        assert_ne!(ready, &pixmaps(OverallState::Offline)[0].2);
    }

    #[test]
    fn each_state_has_an_icon_of_its_own() {
        let mut names: Vec<_> = OverallState::ALL.iter().map(|it| name(*it)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OverallState::ALL.len());
    }
}
