//! DNS that nobody on the way can read: over TLS (RFC 7858), HTTPS (RFC 8484) and QUIC (RFC 9250).
//!
//! Each of them is a way for whole messages to the [`Handler`], bytes in, bytes out, as over TCP, so that a
//! reply is the same to the octet whichever way it goes, and each message is counted once. hickory-server's listeners are
//! not used for that: they read and write messages themselves (what they cannot read never reaches our counters), know no
//! limit of connections, cut off open answers at a stop, let one slow QUIC handshake hold up all others, and warn in the
//! log about whatever a client does wrong.
//!
//! Whoever connects, over TCP, TLS, HTTPS or QUIC, takes one of the same seats, so that the limits are the machine's and not
//! the protocol's. Nothing a client does is logged; what fails is counted.

mod https;
mod quic;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::{self, Certificates};

use super::handler::Handler;
use super::server::{Connection, Shared, TcpServer, stopped};
use super::transport::Transport;

/// How long a handshake may take: many times what a slow client needs.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves TLS, HTTPS and QUIC on any number of listeners, under the limits of a [`TcpServer`].
pub struct SecureServer {
    shared: Shared,
    certificates: Arc<Certificates>,
}

impl SecureServer {
    /// A server beside `tcp`, whose handler answers and whose limits it shares. It shows what `certificates` hold at each
    /// handshake.
    pub fn new(tcp: &TcpServer, certificates: Arc<Certificates>) -> Self {
        Self { shared: tcp.shared().clone(), certificates }
    }

    /// DNS over TLS (RFC 7858). Ends as [`TcpServer::serve`] does.
    pub async fn serve_tls(&self, listener: TcpListener, stop: watch::Receiver<bool>) {
        // RFC 7858, 3.1 knows no name for the protocol; RFC 7301's registry has "dot". Who names none is served as well.
        let acceptor = self.acceptor(&[b"dot"]);
        let converse = |stream, client, seat, mut stop: watch::Receiver<bool>| {
            let (shared, acceptor) = (self.shared.clone(), acceptor.clone());
            async move {
                if let Some(stream) = shake_hands(&shared.handler, &acceptor, stream, &mut stop).await {
                    Connection::new(stream, client, Transport::Tls, &shared, seat).run(stop).await;
                }
            }
        };
        self.shared.accept(listener, stop, converse).await;
    }

    /// DNS over HTTPS (RFC 8484) in HTTP/2, under the path of the handler's options. Ends as [`TcpServer::serve`] does.
    pub async fn serve_https(&self, listener: TcpListener, stop: watch::Receiver<bool>) {
        let acceptor = self.acceptor(&[b"h2"]);
        let converse = |stream, client, seat, mut stop: watch::Receiver<bool>| {
            let (shared, acceptor) = (self.shared.clone(), acceptor.clone());
            async move {
                if let Some(stream) = shake_hands(&shared.handler, &acceptor, stream, &mut stop).await {
                    https::converse(stream, client, shared, stop).await;
                }
                drop(seat);
            }
        };
        self.shared.accept(listener, stop, converse).await;
    }

    /// DNS over QUIC (RFC 9250) on a bound socket. Fails if the socket cannot be used; else ends as [`TcpServer::serve`]
    /// does.
    pub async fn serve_quic(&self, socket: UdpSocket, stop: watch::Receiver<bool>) -> io::Result<()> {
        let tls = tls::accepting(&self.certificates, &[b"doq"]);
        quic::serve(socket, tls, self.shared.clone(), stop).await
    }

    fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let config: Arc<ServerConfig> = tls::accepting(&self.certificates, protocols);
        TlsAcceptor::from(config)
    }
}

/// Makes a connection a secure one; `None`: it came to nothing, or the stop was first.
async fn shake_hands(
    handler: &Handler,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    stop: &mut watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE, acceptor.accept(stream)) => shaken,
        () = stopped(stop) => return None,
    };
    let Ok(Ok(stream)) = shaken else {
        handler.metrics().handshake_failed.count();
        return None;
    };
    Some(stream)
}
