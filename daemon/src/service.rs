//! What a system service owes its manager, beside `notify` and `reload`: the builders' readiness as a
//! file, status, sleep and the clock.

mod flag;
mod sleep;
mod status;
mod wall_clock;

pub use self::flag::Flag;
pub(crate) use self::{
    sleep::follow_sleep,
    status::{report_status, status_line},
    wall_clock::follow_wall_clock,
};
