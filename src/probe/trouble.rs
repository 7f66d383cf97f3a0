//! Why a look at a backend came to nothing, in words for people and in one word for metrics.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::errno::Errno;

use super::scrape::Nonsense;
use crate::balance::Refusal;
use crate::fetch::Broken;
use crate::metrics::ProbeReason;

/// Why a look came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The backend's host name is not resolved.
    #[error("it has no address yet")]
    NoAddress,
    /// It is our own machine that cannot: no route, no file descriptors.
    #[error("cannot be tried from here: {}", words(.0))]
    Ours(io::Error),
    /// The connection failed.
    #[error("{}", words(.0))]
    Connect(io::Error),
    /// There was no connection in this time.
    #[error("no connection within {0:?}")]
    NoConnection(Duration),
    /// There was a connection, but no whole answer in this time.
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    /// TLS failed.
    #[error("tls: {0}")]
    Tls(String),
    /// It broke off, or said what is no HTTP, or too much.
    #[error(transparent)]
    Http(#[from] Broken),
    /// It answered with this status, and what was expected.
    #[error("status {0}, expected {1}")]
    Status(u16, String),
    /// The page is of no use.
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
    /// The engine refused what was on the page.
    #[error(transparent)]
    NotTaken(#[from] Refusal),
}

impl Trouble {
    /// Takes what the system said of a connection to `address`: is it the other end's fault, or ours?
    pub fn of(error: io::Error, address: SocketAddr) -> Self {
        match is_ours(&error, address) {
            true => Self::Ours(error),
            false => Self::Connect(error),
        }
    }

    /// Whether it says nothing about the backend.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::NoAddress | Self::Ours(_))
    }

    /// The word for metrics.
    pub fn reason(&self) -> ProbeReason {
        match self {
            Self::NoAddress | Self::Ours(_) => ProbeReason::Local,
            Self::Connect(_) => ProbeReason::Connect,
            Self::NoConnection(_) | Self::NoAnswer(_) => ProbeReason::Timeout,
            Self::Tls(_) => ProbeReason::Tls,
            Self::Http(Broken::TooLong(_)) => ProbeReason::Size,
            Self::Http(_) => ProbeReason::Http,
            Self::Status(..) => ProbeReason::Status,
            Self::Nonsense(_) | Self::NotTaken(_) => ProbeReason::Nonsense,
        }
    }
}

/// `connection refused`, without the number of the error.
fn words(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => errno.desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// Whether an error of connecting to `address` says nothing about whoever is there.
///
/// "Network is unreachable" is said by our own machine without a route, and by routers; connecting a datagram socket, which
/// sends nothing, tells which.
fn is_ours(error: &io::Error, address: SocketAddr) -> bool {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw) else { return false };
    let no_route = || {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_err()
    };
    match errno {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => true,
        Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT | Errno::EACCES | Errno::EPERM => true,
        Errno::ENETUNREACH => no_route(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: Errno, address: &str) -> Trouble {
        Trouble::of(io::Error::from_raw_os_error(errno as i32), address.parse().unwrap())
    }

    #[test]
    fn what_is_our_own_fault_is_told_apart() {
        assert_eq!(of(Errno::ECONNREFUSED, "127.0.0.1:1").to_string(), "connection refused");
        assert!(!of(Errno::EHOSTUNREACH, "127.0.0.1:1").is_ours());
        let ours = of(Errno::EMFILE, "127.0.0.1:1");
        assert_eq!(ours.to_string(), "cannot be tried from here: too many open files");
        assert_eq!((ours.is_ours(), ours.reason()), (true, ProbeReason::Local));
        // There is a way to ourselves, so if that is out of reach, somebody else says so.
        assert!(!of(Errno::ENETUNREACH, "127.0.0.1:1").is_ours());
    }

    #[test]
    fn times_are_told() {
        assert_eq!(Trouble::NoAnswer(Duration::from_secs(2)).to_string(), "no answer within 2s");
    }
}
