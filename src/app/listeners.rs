//! One address that somebody listens on: bound first, served later, stopped alone.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

use super::{Parts, StartError};
use crate::balance::random::SplitMix;
use crate::dns::udp::{self, Udp};
use crate::dns::wire::Wire;
use crate::http;

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
    /// Binds both sockets. With port 0 the system chooses one that is free for both.
    pub async fn bind(configured: SocketAddr, threads: usize) -> Result<Self, StartError> {
        let mut attempt = 0;
        let (udp, tcp) = loop {
            let udp = Udp::bind(&[configured], threads)?;
            let address = udp.local_addrs()[0];
            match TcpListener::bind(address).await {
                Ok(tcp) => break (udp, tcp),
                Err(_) if configured.port() == 0 && attempt < PORTS => attempt += 1,
                Err(cause) => return Err(StartError::Listen { service: "dns over tcp", address, cause }),
            }
        };
        let address = udp.local_addrs()[0];
        let (stop, _) = watch::channel(false);
        Ok(Self {
            configured,
            address,
            udp: Some(udp),
            answering: None,
            tcp: Some(tcp),
            tasks: JoinSet::new(),
            stop,
        })
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
            let wire = || Wire::new(Arc::clone(&parts.handler), SplitMix::from_system());
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

/// HTTP on one address.
pub struct HttpListener {
    configured: SocketAddr,
    address: SocketAddr,
    listener: Option<TcpListener>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl HttpListener {
    /// Binds the socket.
    pub async fn bind(configured: SocketAddr) -> Result<Self, StartError> {
        let refuse = |cause| StartError::Listen { service: "http", address: configured, cause };
        let listener = TcpListener::bind(configured).await.map_err(refuse)?;
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

    /// Starts to answer. Only the first call does.
    pub fn spawn(&mut self, parts: &Parts) {
        let Some(listener) = self.listener.take() else { return };
        let (state, mut stop) = (Arc::clone(&parts.http), self.stop.subscribe());
        self.tasks.spawn(async move {
            // An error means that nobody is left who could say stop.
            let stopped = async move {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            http::server::serve(listener, state, stopped).await;
        });
    }

    /// Takes no more requests, finishes what is open, and returns when the socket is closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
