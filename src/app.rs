//! The only file that knows everybody: it binds, wires, spawns, reloads, drains and stops.
//!
//! A start goes in the order of what needs what: engine, zones, sockets, listeners, and only then ready. Everything that can
//! fail is tried before anything answers. A reload is the same, aside: what is wrong leaves all as it was. A stop goes
//! backwards: not ready, a while of service for those who have not noticed, no more queries, open answers finished.

mod listeners;
mod options;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{error, info, warn};

use crate::balance::Engine;
use crate::balance::plan::PlanError;
use crate::balance::status::{Change, Source, Subject};
use crate::clock::Clock;
use crate::config::{Config, Problems};
use crate::dns::handler::NoSecret;
use crate::dns::server::TcpServer;
use crate::dns::udp::UdpError;
use crate::dns::{Handler, ZoneError};
use crate::http::{Readiness, State};
use crate::metrics::Metrics;
use crate::resolve;

use listeners::{DnsListener, HttpListener};
pub use options::{dns_options, http_options, zones};

/// Why Athena cannot start, or a reload was refused.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] Problems),
    /// Farms and backends do not fit together.
    #[error("{}", lines(.0))]
    Plan(Vec<PlanError>),
    /// A zone file.
    #[error("{}", lines(.0))]
    Zones(Vec<ZoneError>),
    /// A UDP socket.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// A TCP socket of DNS or HTTP.
    #[error("{service} {address}: cannot listen: {cause}")]
    Listen {
        /// `dns over tcp` or `http`.
        service: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// Random octets.
    #[error(transparent)]
    NoSecret(#[from] NoSecret),
    /// Signals.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// Whether what was typed is wrong, and not what the system made of it.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Plan(_) | Self::Zones(_))
    }
}

fn lines(problems: &[impl ToString]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What every part shares.
#[derive(Clone)]
pub(crate) struct Parts {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    clock: Clock,
    handler: Arc<Handler>,
    tcp: Arc<TcpServer>,
    http: Arc<State>,
    readiness: Arc<Readiness>,
}

/// Athena at work. Dropping it stops everything at once; [`stop`](Self::stop) does so in order.
pub struct Running {
    parts: Parts,
    dns: Vec<DnsListener>,
    http: Vec<HttpListener>,
    hosts: JoinSet<()>,
    sweeper: AbortHandle,
    lameduck: Duration,
}

/// Starts everything that `config` describes and returns when all of it answers.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let clock = Clock::start();
    let engine = Arc::new(Engine::new(config.plan.clone(), clock.now()).map_err(StartError::Plan)?);
    let metrics = Arc::new(Metrics::default());
    let zones = zones(&config, &engine).map_err(StartError::Zones)?;
    let readiness = Arc::new(Readiness::new(["listeners"]));
    let handler =
        Arc::new(Handler::new(Arc::clone(&engine), zones, dns_options(&config), Arc::clone(&metrics))?);
    let http = Arc::new(State::new(
        Arc::clone(&engine),
        Arc::clone(&metrics),
        clock,
        Arc::clone(&readiness),
        http_options(&config),
        Box::new(log_changes),
    ));
    let tcp = Arc::new(TcpServer::new(Arc::clone(&handler), clock));
    let parts = Parts { engine, metrics, clock, handler, tcp, http, readiness };

    let mut dns = Vec::new();
    for &address in &config.dns.listen {
        dns.push(DnsListener::bind(address, config.dns.threads).await?);
    }
    let mut http = Vec::new();
    for &address in &config.http.listen {
        http.push(HttpListener::bind(address).await?);
    }
    for listener in &mut dns {
        listener.spawn(&parts)?;
    }
    http.iter_mut().for_each(|listener| listener.spawn(&parts));
    let sweeper = tokio::spawn(sweep(Arc::clone(&parts.engine), clock)).abort_handle();
    let hosts = resolve::watch(hosts(&config), &parts.engine, clock);
    parts.readiness.done("listeners");
    Ok(Running { parts, dns, http, hosts, sweeper, lameduck: config.shutdown.lameduck })
}

impl Running {
    /// Where DNS answers, over UDP and TCP alike.
    pub fn dns(&self) -> Vec<SocketAddr> {
        self.dns.iter().map(DnsListener::address).collect()
    }

    /// Where HTTP answers.
    pub fn http(&self) -> Vec<SocketAddr> {
        self.http.iter().map(HttpListener::address).collect()
    }

    /// Takes another configuration. Everything is tried aside first; on an error all stays as it was. What still exists
    /// keeps its states, statistics, rotation and counters; listeners that stay are not touched. Gives what changed.
    pub async fn reload(&mut self, config: Config) -> Result<Vec<String>, StartError> {
        let mut dns = Vec::new();
        for address in
            config.dns.listen.iter().filter(|address| !self.dns.iter().any(|old| old.is(**address)))
        {
            dns.push(DnsListener::bind(*address, config.dns.threads).await?);
        }
        let mut http = Vec::new();
        for address in
            config.http.listen.iter().filter(|address| !self.http.iter().any(|old| old.is(**address)))
        {
            http.push(HttpListener::bind(*address).await?);
        }
        // The zones are read against farms that only the engine can make, so they are tried on a throw-away engine first.
        let now = self.parts.clock.now();
        let trial = Engine::new(config.plan.clone(), now).map_err(StartError::Plan)?;
        zones(&config, &trial).map_err(StartError::Zones)?;
        drop(trial);

        let reloaded = self.parts.engine.reload(config.plan.clone(), now).map_err(StartError::Plan)?;
        let zones = zones(&config, &self.parts.engine).map_err(StartError::Zones)?;
        self.parts.handler.replace(zones, dns_options(&config));
        self.parts.http.replace_options(http_options(&config));
        for listener in &mut dns {
            listener.spawn(&self.parts)?;
        }
        http.iter_mut().for_each(|listener| listener.spawn(&self.parts));
        let (stay, go) = self.dns.drain(..).partition(|old| config.dns.listen.iter().any(|new| old.is(*new)));
        self.dns = stay;
        let (stay, gone) =
            self.http.drain(..).partition(|old| config.http.listen.iter().any(|new| old.is(*new)));
        self.http = stay;
        self.dns.extend(dns);
        self.http.extend(http);
        for listener in go {
            listener.stop().await;
        }
        for listener in gone {
            listener.stop().await;
        }
        self.hosts = resolve::watch(hosts(&config), &self.parts.engine, self.parts.clock);
        self.lameduck = config.shutdown.lameduck;
        log_changes(&reloaded.changes);
        Ok(reloaded.summary)
    }

    /// Stops in order: not ready any more, DNS goes on for the time of lameduck, open answers are finished.
    pub async fn stop(mut self) {
        self.parts.readiness.stop();
        if !self.lameduck.is_zero() {
            let _ = tokio::time::timeout(self.lameduck, std::future::pending::<()>()).await;
        }
        for listener in self.dns.drain(..) {
            listener.stop().await;
        }
        for listener in self.http.drain(..) {
            listener.stop().await;
        }
        self.hosts.abort_all();
        self.sweeper.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

fn hosts(config: &Config) -> Vec<resolve::Host> {
    let host = |host: &crate::config::Host| resolve::Host {
        backend: host.backend.clone(),
        host: host.host.clone(),
        refresh: host.refresh,
    };
    config.hosts.iter().map(host).collect()
}

/// Lets silence count: sleeps until the engine would have something to do, or is told that it has sooner.
async fn sweep(engine: Arc<Engine>, clock: Clock) {
    let sooner = Arc::new(Notify::new());
    let wake = Arc::clone(&sooner);
    engine.on_sooner(move || wake.notify_one());
    loop {
        let now = clock.now();
        let expired = engine.expire(now);
        log_changes(&expired.changes);
        match expired.next {
            Some(next) => {
                let _ = tokio::time::timeout(next.since(clock.now()), sooner.notified()).await;
            }
            None => sooner.notified().await,
        }
    }
}

/// One line for each state that changed, at the level of who must act: an operator's own order is news, a member that is
/// lost wants somebody soon, a farm without members wants somebody now.
fn log_changes(changes: &[Change]) {
    for change in changes {
        match (&change.subject, change.axis) {
            (Subject::Farm(_), "source") if change.to == Source::None.to_string() => error!("{change}"),
            (Subject::Farm(_), "source") if change.to != Source::Members.to_string() => warn!("{change}"),
            (Subject::Backend(_), "health" | "feed") if matches!(change.to.as_str(), "down" | "out") => {
                warn!("{change}")
            }
            _ => info!("{change}"),
        }
    }
}

/// Serves `first` until SIGTERM or SIGINT. SIGHUP reloads what `load` gives. `started` is told once, when everything
/// answers.
pub async fn run(
    first: Config,
    load: impl Fn() -> Result<Config, Problems>,
    started: impl FnOnce(&Running),
) -> Result<(), StartError> {
    let listen = |kind| signal(kind).map_err(StartError::Signals);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut running = start(first).await?;
    for address in running.dns() {
        info!("dns answers on {address}");
    }
    for address in running.http() {
        info!("http answers on {address}");
    }
    started(&running);
    loop {
        let why = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => {
                reload(&mut running, &load).await;
                continue;
            }
        };
        info!("{why}: stopping");
        running.stop().await;
        info!("stopped");
        return Ok(());
    }
}

async fn reload(running: &mut Running, load: &impl Fn() -> Result<Config, Problems>) {
    let loaded = match load() {
        Ok(config) => running.reload(config).await,
        Err(problems) => Err(StartError::Config(problems)),
    };
    match loaded {
        Ok(summary) if summary.is_empty() => info!("reloaded: no farm or backend changed"),
        Ok(summary) => summary.iter().for_each(|line| info!("reloaded: {line}")),
        Err(problem) => error!("not reloaded, the old configuration goes on: {problem}"),
    }
}
