//! The practice program: the real daemon beside a desktop that misbehaves when told to.
//!
//! `cargo practice` runs it ([`program`]); `cargo practice WORD` from a second terminal sends a
//! [`Word`] to it over a socket ([`control`]). Nothing in it dials anything but 127.0.15.6 and
//! 127.0.15.7.

pub mod control;
pub mod daemon;
pub mod expect;
pub mod laptop;
pub mod narrate;
pub mod place;
pub mod program;
pub mod tour;
pub mod words;

pub use words::Word;
