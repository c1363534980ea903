//! What a system service owes its manager: readiness (its own, and the builders' as a file), status,
//! watchdog, journal, reload, sleep and the clock.

mod debounce;
mod flag;
mod journal;
mod notify;
mod reload;
mod sleep;
mod status;
mod wall_clock;
mod watchdog;

pub use self::{
    flag::Flag,
    journal::{LOG_VARIABLE, start_logging},
    watchdog::Watchdog,
};
pub(crate) use self::{
    notify::{Notifier, Teller},
    reload::Reloader,
    sleep::follow_sleep,
    status::{report_status, status_line},
    wall_clock::follow_wall_clock,
};
