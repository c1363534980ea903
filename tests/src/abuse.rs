//! What an ordinary user may do to the daemon over the bus, and how it and others fare meanwhile.

pub mod control;
pub mod desk;
pub mod flood;
pub mod honest;
pub mod storms;
pub mod user;

pub use control::Control;
pub use desk::{Desk, Weathered, call};
pub use flood::{Flood, Tally};
pub use honest::{Fared, Honest, asks};
pub use user::as_user;
