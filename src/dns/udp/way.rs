//! The way back to a client whose answer is not there yet.

use std::io::{self, IoSlice};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::outbox::Ways;
use super::socket::Family;

/// Sends one answer, from the socket and the address that its query came to.
pub struct Way(Box<Sends>);

/// Either family's way.
type Sends = dyn FnOnce(&[u8]) -> io::Result<()> + Send;

impl Way {
    /// The way that a datagram came. The socket stays open as long as this is kept.
    pub(super) fn back<F: Family>(socket: &Arc<UdpSocket>, (to, from): Ways<F>) -> Self {
        let socket = Arc::clone(socket);
        Self(Box::new(move |answer| {
            let from = from.as_ref().map(F::leave_from);
            let told: &[ControlMessage<'_>] = from.as_slice();
            let (octets, flags) = ([IoSlice::new(answer)], MsgFlags::MSG_DONTWAIT);
            sendmsg(socket.as_raw_fd(), &octets, told, flags, to.as_ref())?;
            Ok(())
        }))
    }

    /// Sends it. Does not wait: where the queue is full it fails.
    pub fn send(self, answer: &[u8]) -> io::Result<()> {
        (self.0)(answer)
    }
}
