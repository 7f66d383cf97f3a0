//! One address that somebody listens on: bound first, served later, stopped alone.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

use super::{Parts, StartError};
use crate::balance::random::SplitMix;
use crate::balance::repeat::Repeats;
use crate::dns::udp::{self, Udp};
use crate::dns::wire::Wire;
use crate::http;
use crate::systemd::Inherited;

/// How often a port is asked of the system that is free for UDP and TCP alike.
const PORTS: u32 = 16;

/// DNS on one address, over UDP and TCP.
pub struct DnsListener {
    configured: SocketAddr,
    address: SocketAddr,
    udp: Option<Udp>,
    answering: Option<udp::Running>,
    tcp: Option<TcpListener>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl DnsListener {
    /// Takes the sockets that were inherited for this address, and binds those that were not. With port 0 the system
    /// chooses one that is free for both.
    pub async fn bind(
        configured: SocketAddr,
        threads: usize,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let handed_udp = inherited.udp(configured);
        let handed_tcp = inherited.tcp(configured).and_then(|tcp| tcp.map(TcpListener::from_std).transpose());
        let refuse = |cause| StartError::Listen { service: "dns over tcp", address: configured, cause };
        let handed_tcp = handed_tcp.map_err(refuse)?;
        if handed_udp.is_some() || handed_tcp.is_some() {
            let udp = match handed_udp {
                Some(socket) => Udp::adopt(socket, threads)?,
                None => Udp::bind(configured, threads)?,
            };
            let tcp = match handed_tcp {
                Some(listener) => listener,
                None => TcpListener::bind(configured).await.map_err(refuse)?,
            };
            return Ok(Self::new(configured, udp, tcp));
        }
        let mut attempt = 0;
        let (udp, tcp) = loop {
            let udp = Udp::bind(configured, threads)?;
            let address = udp.local_addr();
            match TcpListener::bind(address).await {
                Ok(tcp) => break (udp, tcp),
                Err(_) if configured.port() == 0 && attempt < PORTS => attempt += 1,
                Err(cause) => return Err(StartError::Listen { service: "dns over tcp", address, cause }),
            }
        };
        Ok(Self::new(configured, udp, tcp))
    }

    fn new(configured: SocketAddr, udp: Udp, tcp: TcpListener) -> Self {
        let address = udp.local_addr();
        let (stop, _) = watch::channel(false);
        let (udp, tcp) = (Some(udp), Some(tcp));
        Self { configured, address, udp, answering: None, tcp, tasks: JoinSet::new(), stop }
    }

    /// The address bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it was bound for this address of the configuration.
    pub fn is(&self, configured: SocketAddr) -> bool {
        self.configured == configured
    }

    /// Starts to answer. Only the first call does.
    pub fn spawn(&mut self, parts: &Parts) -> Result<(), StartError> {
        if let Some(udp) = self.udp.take() {
            // Where threads take turns, the same packet may come to another one.
            let common = udp.is_shared().then(Arc::<Repeats>::default);
            let wire = || {
                let repeats = common.clone().unwrap_or_default();
                Wire::new(Arc::clone(&parts.handler), SplitMix::from_system(), repeats)
            };
            self.answering = Some(udp.spawn(wire, &parts.metrics, parts.clock)?);
        }
        if let Some(tcp) = self.tcp.take() {
            let (server, stop) = (Arc::clone(&parts.tcp), self.stop.subscribe());
            self.tasks.spawn(async move { server.serve(tcp, stop).await });
        }
        Ok(())
    }

    /// Takes no more queries, finishes what is open, and returns when the sockets are closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(answering) = self.answering.take()
            && let Err(failure) = tokio::task::spawn_blocking(move || answering.stop()).await
        {
            error!("dns on {}: {failure}", self.address);
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A service over TCP connections on one address.
pub struct StreamListener {
    configured: SocketAddr,
    address: SocketAddr,
    listener: Option<TcpListener>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl StreamListener {
    /// Takes the socket that was inherited for this address, or binds one. `service` names it in messages.
    pub async fn bind(
        service: &'static str,
        configured: SocketAddr,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let refuse = |cause| StartError::Listen { service, address: configured, cause };
        let handed = inherited.tcp(configured).and_then(|tcp| tcp.map(TcpListener::from_std).transpose());
        let listener = match handed.map_err(refuse)? {
            Some(listener) => listener,
            None => TcpListener::bind(configured).await.map_err(refuse)?,
        };
        let address = listener.local_addr().map_err(refuse)?;
        let (stop, _) = watch::channel(false);
        Ok(Self { configured, address, listener: Some(listener), tasks: JoinSet::new(), stop })
    }

    /// The address bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it was bound for this address of the configuration.
    pub fn is(&self, configured: SocketAddr) -> bool {
        self.configured == configured
    }

    /// Starts to `serve`, which ends some time after it is told to stop. Only the first call does.
    pub fn spawn<F>(&mut self, serve: impl FnOnce(TcpListener, watch::Receiver<bool>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(listener) = self.listener.take() {
            self.tasks.spawn(serve(listener, self.stop.subscribe()));
        }
    }

    /// Starts to answer HTTP.
    pub fn spawn_http(&mut self, parts: &Parts) {
        let state = Arc::clone(&parts.http);
        self.spawn(|listener, mut stop| {
            // An error means that nobody is left who could say stop.
            let stopped = async move {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            http::server::serve(listener, state, stopped)
        });
    }

    /// Takes no more connections, finishes what is open, and returns when the socket is closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
