//! The limit that a DNS server on this machine can reach over UDP: a bare echo.
//!
//! It receives and sends batches of 64 datagrams with the same two system calls, through the same crate, as
//! `src/dns/udp.rs`, and does nothing with them but to set the QR bit, so that dnsperf takes them for responses. Whatever
//! Athena's loop takes longer is what parsing, choosing and writing cost. One blocking socket, one thread, no polling.
//!
//! `echo ADDRESS:PORT`; stops when it is killed.

use std::error::Error;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt,
};

/// Datagrams a batch, as in `src/dns/udp.rs`.
const BATCH: usize = 64;
/// Octets of the longest datagram.
const LONGEST: usize = 512;
/// Octets of the socket's queues.
const QUEUE: usize = 4 << 20;
/// The header's first octet of flags, and QR in it (RFC 1035, section 4.1.1).
const FLAGS: usize = 2;
const QR: u8 = 0x80;

fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).ok_or("usage: echo ADDRESS:PORT")?.parse()?;
    let socket = UdpSocket::bind(address)?;
    // As large as Athena's, or the two could not be compared when the queue fills.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &QUEUE)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &QUEUE));
    let _ = setsockopt(&socket, sockopt::SndBufForce, &QUEUE)
        .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &QUEUE));
    let descriptor = socket.as_raw_fd();
    let mut received = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut sent = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    // One line of the cache more than the longest, so that the buffers don't all fall on the same lines.
    let mut buffers = vec![[0u8; LONGEST + 64]; BATCH];
    let mut lengths = [0; BATCH];
    let mut peers = [None; BATCH];
    loop {
        let mut count = 0;
        {
            let mut room: [_; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(&mut [])]);
            room.iter_mut()
                .zip(&mut buffers)
                .for_each(|(room, buffer)| room[0] = IoSliceMut::new(&mut buffer[..LONGEST]));
            for message in recvmmsg(descriptor, &mut received, &mut room, MsgFlags::MSG_WAITFORONE, None)? {
                lengths[count] = message.bytes;
                peers[count] = message.address;
                count += 1;
            }
        }
        buffers[..count].iter_mut().for_each(|buffer| buffer[FLAGS] |= QR);
        let mut done = 0;
        while done < count {
            let messages: [_; BATCH] =
                std::array::from_fn(|index| [IoSlice::new(&buffers[index][..lengths[index]])]);
            let none: [ControlMessage<'_>; 0] = [];
            let rest = done..count;
            done += sendmmsg(
                descriptor,
                &mut sent,
                &messages[rest.clone()],
                &peers[rest],
                none,
                MsgFlags::empty(),
            )?
            .count();
        }
    }
}
