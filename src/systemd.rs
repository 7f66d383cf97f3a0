//! What systemd hands us, and what it wants to hear: sockets bound before we were started, and how we are.
//!
//! With sockets that systemd holds (`examples/systemd/*.socket`) a restart loses no query: the kernel queues what comes
//! between two processes, and the next one answers it. Nothing here is needed without systemd: there are no sockets
//! then, and nobody listens to the notices.
//!
//! | protocol | where | here |
//! | --- | --- | --- |
//! | `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES` | sd_listen_fds(3) | [`Inherited`] |
//! | `READY`, `RELOADING` with `MONOTONIC_USEC`, `STOPPING`, `STATUS`, `WATCHDOG` | sd_notify(3) | [`ready`], [`reloading`], … |

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::SockRef;

/// Sockets that were bound before this process started and wait for those who will serve them.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(TcpListener, SocketAddr)>,
    udp: Vec<(UdpSocket, SocketAddr)>,
}

/// A socket that was handed in and that Athena cannot use.
#[derive(Debug, thiserror::Error)]
#[error("inherited socket {number}{}: {why}", name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
pub struct InheritError {
    /// Its number, as in `LISTEN_FDS`: the first is 3.
    pub number: usize,
    /// Its name in `LISTEN_FDNAMES`.
    pub name: Option<String>,
    /// What is wrong with it.
    pub why: String,
}

/// File descriptor of the first socket (sd_listen_fds(3): `SD_LISTEN_FDS_START`).
const FIRST: usize = 3;

impl Inherited {
    /// Takes the sockets that the environment announces for this process; none if it announces none. TCP and UDP are
    /// told apart by the sockets' own type. Refuses whatever is neither of them. To be called once and before other
    /// threads run, because it takes the announcement out of the environment, so that children do not believe it.
    pub fn take() -> Result<Self, InheritError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut handed = ListenFd::from_env();
        let mut taken = Self::default();
        for index in 0..handed.len() {
            let refuse = |why: String| InheritError {
                number: FIRST + index,
                name: names.get(index).filter(|name| !name.is_empty()).map(|name| (*name).to_owned()),
                why,
            };
            taken.take_one(&mut handed, index).map_err(refuse)?;
        }
        Ok(taken)
    }

    fn take_one(&mut self, handed: &mut ListenFd, index: usize) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        if let Ok(Some(socket)) = handed.take_udp_socket(index) {
            let address = socket.local_addr().map_err(words)?;
            self.udp.push((socket, address));
            return Ok(());
        }
        let Ok(Some(listener)) = handed.take_tcp_listener(index) else {
            return Err("neither a TCP nor a UDP socket".to_owned());
        };
        if !SockRef::from(&listener).is_listener().map_err(words)? {
            return Err("a TCP socket that does not listen: its unit must say Accept=no".to_owned());
        }
        let address = listener.local_addr().map_err(words)?;
        self.tcp.push((listener, address));
        Ok(())
    }

    /// The TCP listener that serves `address` of the configuration, non-blocking as tokio wants it; `None` if none was
    /// handed in, so that it is to be bound.
    pub fn tcp(&mut self, address: SocketAddr) -> std::io::Result<Option<TcpListener>> {
        let Some(index) = position(&self.tcp, address) else { return Ok(None) };
        let (listener, _) = self.tcp.remove(index);
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    }

    /// The UDP socket that serves `address` of the configuration. All threads are to share it: what waits in a socket
    /// that only this process holds is lost when it ends.
    pub fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        position(&self.udp, address).map(|index| self.udp.remove(index).0)
    }

    /// The sockets that nobody asked for, as `udp 127.0.0.1:5300`: the units and the configuration do not agree.
    pub fn rest(&self) -> Vec<String> {
        let udp = self.udp.iter().map(|(_, address)| format!("udp {address}"));
        udp.chain(self.tcp.iter().map(|(_, address)| format!("tcp {address}"))).collect()
    }
}

/// The socket bound to `address`, or to all addresses of both families where `address` is all of IPv4: that is what
/// `ListenStream=53` makes of `0.0.0.0:53`.
fn position<T>(sockets: &[(T, SocketAddr)], address: SocketAddr) -> Option<usize> {
    let at = |wanted: SocketAddr| sockets.iter().position(|(_, have)| *have == wanted);
    at(address).or_else(|| {
        let wide = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, address.port()));
        if address.is_ipv4() && address.ip().is_unspecified() { at(wide) } else { None }
    })
}

/// Tells systemd that everything answers: after a start, and after each [`reloading`] whether it succeeded or not.
/// `status` is one line for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells systemd that the configuration is being read again (`Type=notify-reload` waits for the next [`ready`]).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("systemd cannot be told of a reload: {error}"),
    }
}

/// Tells systemd that this process is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// How often systemd wants a [sign of life](alive) at least, with half of it to spare; `None`: it does not.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2).filter(|every| !every.is_zero())
}

/// A sign of life for the watchdog.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// A notice that does not arrive is no reason to stop service; systemd will say what it missed.
fn tell(notice: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(notice) {
        tracing::warn!("systemd cannot be told {}: {error}", notice[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_address_and_handed_out_once() {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (bind(), bind());
        let (first, second) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let mut inherited = Inherited { tcp: vec![(one, first), (other, second)], udp: Vec::new() };
        assert_eq!(inherited.tcp(second).unwrap().unwrap().local_addr().unwrap(), second);
        assert!(inherited.tcp(second).unwrap().is_none());
        assert!(inherited.udp(first).is_none(), "it is the other protocol's");
        assert_eq!(inherited.rest(), [format!("tcp {first}")]);
    }

    #[test]
    fn a_socket_for_both_families_serves_all_of_ipv4() {
        let wide = [((), "[::]:53".parse().unwrap())];
        assert_eq!(position(&wide, "0.0.0.0:53".parse().unwrap()), Some(0));
        assert_eq!(position(&wide, "[::]:53".parse().unwrap()), Some(0));
        assert_eq!(position(&wide, "0.0.0.0:54".parse().unwrap()), None);
        assert_eq!(position(&wide, "127.0.0.1:53".parse().unwrap()), None);
    }
}
