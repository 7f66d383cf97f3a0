//! Encrypted DNS on its addresses, and the certificates of both shells.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

use super::StartError;
use crate::config::Config;
use crate::dns::{SecureServer, TcpServer};
use crate::systemd::Inherited;
use crate::tls::{self, Certificates};

/// Shows HTTP's certificate from the next handshake on, if one is configured; gives what HTTP accepts with.
pub fn show_http(config: &Config, certificates: &Arc<Certificates>) -> Option<Arc<ServerConfig>> {
    certificates.replace(config.http.certificate.clone());
    config.http.certificate.as_ref().map(|_| tls::accepting(certificates, &[b"http/1.1"]))
}

/// Encrypted DNS: everything that serves it now.
pub struct SecureDns {
    server: Arc<SecureServer>,
    certificates: Arc<Certificates>,
    listeners: Vec<SecureListener>,
}

impl SecureDns {
    /// Nothing as yet, with the handler and under the limits of `tcp`.
    pub fn new(tcp: &TcpServer) -> Self {
        let certificates = Arc::<Certificates>::default();
        let server = Arc::new(SecureServer::new(tcp, Arc::clone(&certificates)));
        Self { server, certificates, listeners: Vec::new() }
    }

    /// Binds what `config` asks for and is not there yet. Nothing answers before [`serve`](Self::serve).
    pub async fn bind(
        &self,
        config: &Config,
        inherited: &mut Inherited,
    ) -> Result<Vec<SecureListener>, StartError> {
        let mut bound = Vec::new();
        for (service, address) in wanted(config) {
            if !self.listeners.iter().any(|old| old.is((service, address))) {
                bound.push(SecureListener::bind(service, address, inherited).await?);
            }
        }
        Ok(bound)
    }

    /// Shows the certificate of `config` from the next handshake on, lets what was bound answer, and stops what `config`
    /// does not ask for any more.
    pub async fn serve(&mut self, config: &Config, bound: Vec<SecureListener>) {
        self.certificates.replace(config.dns.tls.certificate.clone());
        let wanted = wanted(config);
        let (stay, go) =
            self.listeners.drain(..).partition(|old| wanted.iter().any(|wanted| old.is(*wanted)));
        self.listeners = stay;
        self.listeners.extend(bound);
        for listener in &mut self.listeners {
            listener.spawn(&self.server);
        }
        stop(go).await;
    }

    /// Where what answers.
    pub fn addresses(&self) -> Vec<(Secure, SocketAddr)> {
        self.listeners.iter().map(|listener| (listener.service, listener.address)).collect()
    }

    /// Takes no more queries, finishes what is open, and returns when the sockets are closed.
    pub async fn stop(&mut self) {
        stop(std::mem::take(&mut self.listeners)).await;
    }
}

async fn stop(listeners: Vec<SecureListener>) {
    for listener in listeners {
        listener.stop().await;
    }
}

/// Where what is to be served.
fn wanted(config: &Config) -> Vec<(Secure, SocketAddr)> {
    let tls = &config.dns.tls;
    let listeners = [
        (Secure::Tls, &tls.tls_listen),
        (Secure::Https, &tls.https_listen),
        (Secure::Quic, &tls.quic_listen),
    ];
    let each = |(service, addresses): (Secure, &Vec<SocketAddr>)| {
        addresses.iter().map(move |address| (service, *address)).collect::<Vec<_>>()
    };
    listeners.into_iter().flat_map(each).collect()
}

/// DNS that is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// Over TLS.
    Tls,
    /// Over HTTPS.
    Https,
    /// Over QUIC.
    Quic,
}

impl Secure {
    fn words(self) -> &'static str {
        match self {
            Self::Tls => "dns over tls",
            Self::Https => "dns over https",
            Self::Quic => "dns over quic",
        }
    }
}

impl fmt::Display for Secure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

/// Encrypted DNS on one address, in one of its ways.
pub struct SecureListener {
    service: Secure,
    configured: SocketAddr,
    address: SocketAddr,
    socket: Option<Socket>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl SecureListener {
    /// Takes the socket that was inherited for this address, or binds one.
    async fn bind(
        service: Secure,
        configured: SocketAddr,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let refuse = |cause| StartError::Listen { service: service.words(), address: configured, cause };
        let (socket, address) = if service == Secure::Quic {
            let handed = inherited.udp(configured);
            let socket = handed.map_or_else(|| UdpSocket::bind(configured), Ok).map_err(refuse)?;
            socket.set_nonblocking(true).map_err(refuse)?;
            let address = socket.local_addr().map_err(refuse)?;
            (Socket::Udp(socket), address)
        } else {
            let listener = match inherited.tcp(configured).map_err(refuse)? {
                Some(listener) => TcpListener::from_std(listener).map_err(refuse)?,
                None => TcpListener::bind(configured).await.map_err(refuse)?,
            };
            let address = listener.local_addr().map_err(refuse)?;
            (Socket::Tcp(listener), address)
        };
        let (stop, _) = watch::channel(false);
        Ok(Self { service, configured, address, socket: Some(socket), tasks: JoinSet::new(), stop })
    }

    /// Whether it was bound for this service and address of the configuration.
    fn is(&self, (service, configured): (Secure, SocketAddr)) -> bool {
        self.service == service && self.configured == configured
    }

    /// Starts to answer. Only the first call does.
    fn spawn(&mut self, server: &Arc<SecureServer>) {
        let Some(socket) = self.socket.take() else { return };
        let (server, stop) = (Arc::clone(server), self.stop.subscribe());
        let (service, address) = (self.service, self.address);
        self.tasks.spawn(async move {
            match socket {
                Socket::Tcp(listener) if service == Secure::Tls => server.serve_tls(listener, stop).await,
                Socket::Tcp(listener) => server.serve_https(listener, stop).await,
                Socket::Udp(socket) => {
                    if let Err(failure) = server.serve_quic(socket, stop).await {
                        error!("{service} on {address}: {failure}");
                    }
                }
            }
        });
    }

    /// Takes no more queries, finishes what is open, and returns when the socket is closed.
    async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
