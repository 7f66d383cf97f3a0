//! Sockets made ready: options, and the two families' ways of telling from which address to answer.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, SockFlag, SockType, SockaddrIn, SockaddrIn6,
    SockaddrLike, SockaddrStorage, bind, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// Octets that a socket's queues should hold: a tenth of a second of queries while a thread is not scheduled.
const QUEUE: usize = 4 << 20;
/// Seconds after which a thread that waits on its own socket looks up, should nobody have woken it.
const LOOK_UP: i64 = 1;

/// A socket bound to `address` where nobody listens yet, that lets [`bind_more`] come after it.
///
/// It is bound without `SO_REUSEPORT`, so the system refuses an address that anybody has, and gets the option afterwards.
pub fn bind_first(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    own(socket, address)
}

/// A further socket bound to an address that [`bind_first`] got.
pub fn bind_more(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    own(socket, address)
}

/// Makes a socket of ours ready to be waited on.
fn own(socket: OwnedFd, address: SocketAddr) -> io::Result<UdpSocket> {
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(LOOK_UP, 0))?;
    let socket = UdpSocket::from(socket);
    prepare(&socket, address)?;
    Ok(socket)
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(socket)
}

/// Sets what a bound socket needs: large queues as far as the system allows, and on a wildcard address the local address
/// of each datagram.
pub fn prepare(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    // Beyond net.core.rmem_max only for the privileged; whoever is not gets as much as there is.
    let _ = setsockopt(socket, sockopt::RcvBufForce, &QUEUE)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &QUEUE));
    let _ = setsockopt(socket, sockopt::SndBufForce, &QUEUE)
        .or_else(|_| setsockopt(socket, sockopt::SndBuf, &QUEUE));
    match address {
        SocketAddr::V4(address) if address.ip().is_unspecified() => {
            setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        _ => {}
    }
    Ok(())
}

/// Connects a socket of our own to itself: whatever it has queued stays, and nothing more comes in, since no datagram
/// comes from its own address.
pub fn shut(socket: &UdpSocket) -> io::Result<()> {
    let mut itself = socket.local_addr()?;
    if itself.ip().is_unspecified() {
        itself.set_ip(match itself {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    socket.connect(itself)
}

/// Wakes whoever waits on a socket that was [shut]: sends it nothing, from itself.
pub fn knock(socket: &UdpSocket) -> io::Result<()> {
    socket.send(&[]).map(drop)
}

/// Whether a datagram is that: nothing, from the port that it came to.
pub fn is_knock(length: usize, client: SocketAddr, address: SocketAddr) -> bool {
    length == 0 && client.port() == address.port()
}

/// What differs between the families.
pub trait Family: Send + 'static {
    /// The system's form of an address.
    type Peer: SockaddrLike + Copy + PartialEq + Send + 'static;
    /// The address that a datagram was sent to, as the system tells and takes it.
    type Local: Copy + PartialEq + Send + 'static;

    /// The form that everybody else uses.
    fn client(peer: &Self::Peer) -> SocketAddr;
    /// A number that differs between most clients.
    fn spread(peer: &Self::Peer) -> usize;
    /// The local address, if this message tells it.
    fn local(message: &ControlMessageOwned) -> Option<Self::Local>;
    /// Any of our addresses.
    fn anywhere() -> Self::Local;
    /// Makes an answer leave from there.
    fn leave_from(local: &Self::Local) -> ControlMessage<'_>;
    /// Room for one such message.
    fn room_for_local() -> Vec<u8>;
    /// Room for the length at which shared answers are cut, and such a message if `told`.
    fn room_to_share(told: bool) -> Vec<u8>;
}

/// IPv4.
pub struct V4;

/// IPv6.
pub struct V6;

/// `in_pktinfo` with comparison.
#[derive(Clone, Copy)]
pub struct Local4(in_pktinfo);

impl PartialEq for Local4 {
    fn eq(&self, other: &Self) -> bool {
        self.0.ipi_spec_dst.s_addr == other.0.ipi_spec_dst.s_addr
    }
}

/// `in6_pktinfo` with comparison.
#[derive(Clone, Copy)]
pub struct Local6(in6_pktinfo);

impl PartialEq for Local6 {
    fn eq(&self, other: &Self) -> bool {
        self.0.ipi6_addr.s6_addr == other.0.ipi6_addr.s6_addr && self.0.ipi6_ifindex == other.0.ipi6_ifindex
    }
}

impl Family for V4 {
    type Peer = SockaddrIn;
    type Local = Local4;

    fn client(peer: &SockaddrIn) -> SocketAddr {
        SocketAddrV4::new(peer.ip(), peer.port()).into()
    }

    fn spread(peer: &SockaddrIn) -> usize {
        usize::from(peer.port()).wrapping_add(peer.ip().to_bits() as usize)
    }

    fn local(message: &ControlMessageOwned) -> Option<Local4> {
        let ControlMessageOwned::Ipv4PacketInfo(packet) = message else { return None };
        // ip(7): the local address of a received packet stands in ipi_spec_dst, and there it is expected when sending;
        // interface 0 leaves the route to the routing table.
        let Local4(anywhere) = Self::anywhere();
        Some(Local4(in_pktinfo { ipi_spec_dst: packet.ipi_spec_dst, ..anywhere }))
    }

    fn anywhere() -> Local4 {
        let anywhere = in_addr { s_addr: 0 };
        Local4(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: anywhere, ipi_addr: anywhere })
    }

    fn leave_from(local: &Local4) -> ControlMessage<'_> {
        ControlMessage::Ipv4PacketInfo(&local.0)
    }

    fn room_for_local() -> Vec<u8> {
        nix::cmsg_space!(in_pktinfo)
    }

    fn room_to_share(told: bool) -> Vec<u8> {
        if told { nix::cmsg_space!(in_pktinfo, u16) } else { nix::cmsg_space!(u16) }
    }
}

impl Family for V6 {
    type Peer = SockaddrIn6;
    type Local = Local6;

    fn client(peer: &SockaddrIn6) -> SocketAddr {
        SocketAddrV6::new(peer.ip(), peer.port(), peer.flowinfo(), peer.scope_id()).into()
    }

    fn spread(peer: &SockaddrIn6) -> usize {
        usize::from(peer.port()).wrapping_add(peer.ip().to_bits() as usize)
    }

    fn local(message: &ControlMessageOwned) -> Option<Local6> {
        let ControlMessageOwned::Ipv6PacketInfo(packet) = message else { return None };
        let address = Ipv6Addr::from(packet.ipi6_addr.s6_addr);
        // A multicast address cannot send (RFC 4291, section 2.7); a link-local one is only told apart by its interface.
        let from = if address.is_multicast() { Ipv6Addr::UNSPECIFIED } else { address };
        let interface = if from.is_unicast_link_local() { packet.ipi6_ifindex } else { 0 };
        Some(Local6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: from.octets() }, ipi6_ifindex: interface }))
    }

    fn anywhere() -> Local6 {
        Local6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: [0; 16] }, ipi6_ifindex: 0 })
    }

    fn leave_from(local: &Local6) -> ControlMessage<'_> {
        ControlMessage::Ipv6PacketInfo(&local.0)
    }

    fn room_for_local() -> Vec<u8> {
        nix::cmsg_space!(in6_pktinfo)
    }

    fn room_to_share(told: bool) -> Vec<u8> {
        if told { nix::cmsg_space!(in6_pktinfo, u16) } else { nix::cmsg_space!(u16) }
    }
}
