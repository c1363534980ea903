//! The socket goes to ssh, as `ProxyUseFdpass` has it (`mm_send_fd` in OpenSSH's monitor_fdpass.c): one byte, with
//! the descriptor beside it, into standard output.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::AsFd,
};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt,
};

use super::{ConnectError, dial::Socket};

/// Whether somebody is there to take it.
pub(super) fn check() -> Result<(), ConnectError> {
    match sockopt::socket_domain(io::stdout()) {
        Ok(AddressFamily::UNIX) => Ok(()),
        Ok(_) | Err(_) => Err(ConnectError::NotSsh),
    }
}

pub(super) fn hand_over(socket: Socket) -> Result<(), ConnectError> {
    let descriptors = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(
        io::stdout(),
        &[IoSlice::new(&[0])],
        &mut beside,
        SendFlags::NOSIGNAL,
    );
    sent.map(drop)
        .map_err(|error| ConnectError::HandOver(error.into()))
}
