//! What a system service owes its manager: readiness, status, watchdog, journal, reload.

mod journal;
mod notify;
mod reload;
mod status;
mod watchdog;

pub use self::{
    journal::{LOG_VARIABLE, start_logging},
    watchdog::Watchdog,
};
pub(crate) use self::{
    notify::Notifier,
    reload::Reloader,
    status::{report_status, status_line},
};
