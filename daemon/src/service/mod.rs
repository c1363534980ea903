//! What a system service owes its manager, beside [`crate::notify`]: the builders' readiness as a file, status,
//! reload, sleep and the clock.

mod debounce;
mod flag;
mod reload;
mod sleep;
mod status;
mod wall_clock;

pub use self::flag::Flag;
pub(crate) use self::{
    reload::Reloader,
    sleep::follow_sleep,
    status::{report_status, status_line},
    wall_clock::follow_wall_clock,
};
