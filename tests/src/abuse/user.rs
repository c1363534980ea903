//! Somebody else on this machine: a thread with the credentials of that user, which is what a bus sees of who
//! connects. Only root can.

use std::thread;

use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use tokio::sync::oneshot;

use crate::{Error, Result, error::Context};

/// Runs `play` as the user `uid`, on a thread and a runtime of its own; the rest of the process stays who it is.
/// It starts at once; its end is what is returned.
///
/// # Errors
/// Those of `play`, and where this process is not root.
pub fn as_user<T: Send + 'static>(
    uid: u32,
    play: impl AsyncFnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let (sender, end) = oneshot::channel();
    thread::spawn(move || {
        // Nobody who no longer waits wants to know.
        let _ = sender.send(become_user(uid).and_then(|()| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().context("a runtime")?;
            runtime.block_on(play())
        }));
    });
    async move {
        let gone = |_| Error::Unsupported(format!("the thread of uid {uid} has died"));
        end.await.map_err(gone)?
    }
}

fn become_user(uid: u32) -> Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    set_thread_groups(&[group])
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user))
        .context(format!("to become uid {uid}"))
}
