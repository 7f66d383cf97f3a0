//! The only file that knows everybody: it binds, wires, spawns, reloads, drains and stops.
//!
//! A start goes in the order of what needs what: engine, zones, sockets, listeners, and only then ready. Everything that can
//! fail is tried before anything answers. A reload is the same, aside: what is wrong leaves all as it was. A stop goes
//! backwards: not ready, a while of service for those who have not noticed, no more queries, open answers finished, states saved.

mod agent;
mod announce;
mod forward;
mod listeners;
mod memory;
mod options;
mod probe;
mod reload;
mod secure;
mod sweeper;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use crate::balance::Engine;
use crate::balance::plan::PlanError;
use crate::clock::Clock;
use crate::config::{Config, Problems};
use crate::dns::handler::NoSecret;
use crate::dns::server::TcpServer;
use crate::dns::udp::UdpError;
use crate::dns::{Handler, ZoneError};
use crate::http::{self, Readiness, State};
use crate::metrics::Metrics;
use crate::mirror::Mirror;
use crate::probe::Probes;
use crate::resolve;
use crate::state::StateError;
use crate::systemd::{self, Inherited};
use crate::tls::Certificates;

use agent::AgentChecks;
use listeners::{DnsListener, StreamListener};
use memory::Memory;
pub use options::{dns_options, http_options, mirror_options, registration, token_keys, zones};
pub use secure::Secure;
use secure::{SecureDns, show_http};
use sweeper::{log_changes, sweep};

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
        /// `dns over tcp`, `http` and so on.
        service: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// Random octets.
    #[error(transparent)]
    NoSecret(#[from] NoSecret),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
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
    certificates: Arc<Certificates>,
    http: Arc<State>,
    readiness: Arc<Readiness>,
    mirror: Arc<Mirror>,
}

/// Athena at work. Dropping it stops everything at once; [`stop`](Self::stop) does so in order.
pub struct Running {
    parts: Parts,
    dns: Vec<DnsListener>,
    secure: SecureDns,
    http: Vec<StreamListener>,
    agent: AgentChecks,
    hosts: JoinSet<()>,
    probes: Probes,
    _first_looks: Option<AbortOnDrop>,
    _sweeper: AbortOnDrop,
    memory: Option<Memory>,
    mirror: UnlinkOnDrop,
    lameduck: Duration,
    settings: reload::Settings,
    /// Listeners that take nothing more and finish their last answers.
    closing: JoinSet<()>,
}

/// Starts everything that `config` describes, on sockets that were `inherited` where they are at hand, and returns when
/// all of it answers.
pub async fn start(mut config: Config, mut inherited: Inherited) -> Result<Running, StartError> {
    let clock = Clock::start();
    let engine =
        Arc::new(Engine::new(std::mem::take(&mut config.plan), clock.now()).map_err(StartError::Plan)?);
    engine.set_token_keys(token_keys(&config));
    engine.set_registration(registration(&config), clock.now());
    let memory = match &config.state_dir {
        Some(folder) => Some(Memory::open(folder, &engine, clock).await?),
        None => None,
    };
    let metrics = Arc::new(Metrics::default());
    let zones = zones(&config, &engine).map_err(StartError::Zones)?;
    let readiness = Arc::new(Readiness::new(["listeners"]));
    if let Some(state) = memory.as_ref().map(|memory| Arc::clone(memory.state())) {
        readiness.watch(move || state.trouble());
    }
    let options = forward::dns_options(&config, &metrics, clock, None);
    let handler = Arc::new(Handler::new(Arc::clone(&engine), zones, options, Arc::clone(&metrics))?);
    let certificates = Arc::default();
    let http = Arc::new(State::new(
        Arc::clone(&engine),
        Arc::clone(&metrics),
        clock,
        Arc::clone(&readiness),
        http::Options { tls: show_http(&config, &certificates), ..http_options(&config) },
        Box::new(log_changes),
    ));
    let tcp = Arc::new(TcpServer::new(Arc::clone(&handler), clock));
    let mut secure = SecureDns::new(&tcp);
    let mirror = Mirror::new(Arc::clone(&engine), Arc::clone(&metrics), clock, Box::new(log_changes));
    http.mirror_by(Arc::clone(&mirror) as _);
    let parts = Parts { engine, metrics, clock, handler, tcp, certificates, http, readiness, mirror };

    let mut dns = Vec::new();
    for &address in &config.dns.listen {
        dns.push(DnsListener::bind(address, config.dns.threads, &mut inherited).await?);
    }
    let bound = secure.bind(&config, &mut inherited).await?;
    let mut http = Vec::new();
    for &address in &config.http.listen {
        http.push(StreamListener::bind("http", address, &mut inherited).await?);
    }
    let mut agent = AgentChecks::new(&parts, &config);
    let checks = agent.bind(&config, &mut inherited).await?;
    for socket in inherited.rest() {
        warn!("{socket}: inherited, but no listener of the configuration");
    }
    for listener in &mut dns {
        listener.spawn(&parts)?;
    }
    secure.serve(&config, bound).await;
    http.iter_mut().for_each(|listener| listener.spawn_http(&parts));
    agent.serve(&config, &parts, checks);
    let sweeper = AbortOnDrop(tokio::spawn(sweep(Arc::clone(&parts.engine), clock)).abort_handle());
    let hosts = resolve::watch(hosts(&config), &parts.engine, clock);
    parts.mirror.follow(&mirror_options(&config), Some(&parts.readiness));
    let (probes, first_looks) = probe::begin(&config, &parts).await;
    parts.readiness.done("listeners");
    let (lameduck, settings) = (config.shutdown.lameduck, reload::Settings::of(&config));
    let (mirror, closing) = (UnlinkOnDrop(Arc::clone(&parts.mirror)), JoinSet::new());
    Ok(Running {
        parts,
        dns,
        secure,
        http,
        agent,
        hosts,
        probes,
        _first_looks: first_looks,
        _sweeper: sweeper,
        memory,
        mirror,
        lameduck,
        settings,
        closing,
    })
}

impl Running {
    /// Where DNS answers, over UDP and TCP alike.
    pub fn dns(&self) -> Vec<SocketAddr> {
        self.dns.iter().map(DnsListener::address).collect()
    }

    /// Where encrypted DNS answers, and in which way.
    pub fn secure(&self) -> Vec<(Secure, SocketAddr)> {
        self.secure.addresses()
    }

    /// Where HTTP answers.
    pub fn http(&self) -> Vec<SocketAddr> {
        self.http.iter().map(StreamListener::address).collect()
    }

    /// Where HAProxy's agent-checks are answered.
    pub fn agent_checks(&self) -> Vec<SocketAddr> {
        self.agent.addresses()
    }

    /// Takes another configuration. Everything is tried aside first; on an error all stays as it was. What still exists
    /// keeps its states, statistics, rotation and counters; listeners that stay are not touched. Gives what changed.
    pub async fn reload(&mut self, mut config: Config) -> Result<Vec<String>, StartError> {
        let mut none = Inherited::default();
        let mut dns = Vec::new();
        for address in
            config.dns.listen.iter().filter(|address| !self.dns.iter().any(|old| old.is(**address)))
        {
            dns.push(DnsListener::bind(*address, config.dns.threads, &mut none).await?);
        }
        let secure = self.secure.bind(&config, &mut none).await?;
        let mut http = Vec::new();
        for address in
            config.http.listen.iter().filter(|address| !self.http.iter().any(|old| old.is(**address)))
        {
            http.push(StreamListener::bind("http", *address, &mut none).await?);
        }
        let checks = self.agent.bind(&config, &mut none).await?;
        // Farms are bound into the zones, so that is tried with such as have nothing but their names.
        let farms = Engine::rehearse(&config.plan).map_err(StartError::Plan)?;
        options::zones_with(&config, &farms).map_err(StartError::Zones)?;

        // Here and not on another thread, though it may wait for a decision that is on its way to the disk: glibc keeps a
        // store for each thread, and what a reload makes has room in what the one before left.
        let now = self.parts.clock.now();
        let plan = std::mem::take(&mut config.plan);
        let reloaded = self.parts.engine.reload(plan, now).map_err(StartError::Plan)?;
        let zones = zones(&config, &self.parts.engine).map_err(StartError::Zones)?;
        self.parts.engine.set_token_keys(token_keys(&config));
        log_changes(&self.parts.engine.set_registration(registration(&config), now));
        // Held to the end, when no query is under way that began before it: so none has to free it.
        let (metrics, former) = (&self.parts.metrics, Arc::clone(&self.parts.handler.authority()));
        let options = forward::dns_options(&config, metrics, self.parts.clock, Some(&former.options));
        self.parts.handler.replace(zones, options);
        let tls = show_http(&config, &self.parts.certificates);
        self.parts.http.replace_options(http::Options { tls, ..http_options(&config) });
        for listener in &mut dns {
            listener.spawn(&self.parts)?;
        }
        http.iter_mut().for_each(|listener| listener.spawn_http(&self.parts));
        let (stay, go) = self.dns.drain(..).partition(|old| config.dns.listen.iter().any(|new| old.is(*new)));
        self.dns = stay;
        let (stay, gone): (_, Vec<_>) =
            self.http.drain(..).partition(|old| config.http.listen.iter().any(|new| old.is(*new)));
        self.http = stay;
        self.dns.extend(dns);
        self.http.extend(http);
        for listener in go {
            listener.stop().await;
        }
        self.secure.serve(&config, secure).await;
        // Not waited for: one of their open answers may be the one that says how this went.
        for listener in gone.into_iter().chain(self.agent.serve(&config, &self.parts, checks)) {
            self.closing.spawn(listener.stop());
        }
        self.hosts = resolve::watch(hosts(&config), &self.parts.engine, self.parts.clock);
        self.parts.mirror.follow(&mirror_options(&config), None);
        self.lameduck = config.shutdown.lameduck;
        log_changes(&reloaded.changes);
        let mut summary = reloaded.summary;
        summary.extend(self.probes.follow(&config.probes).await.0);
        summary.extend(self.settings.replace(&config));
        Ok(summary)
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
        self.secure.stop().await;
        self.finish_forwarding().await;
        self.agent.stop().await;
        for listener in self.http.drain(..) {
            listener.stop().await;
        }
        self.mirror.0.stop().await;
        while self.closing.join_next().await.is_some() {}
        self.hosts.abort_all();
        drop(self.probes);
        if let Some(memory) = self.memory.take() {
            memory.close(&self.parts.engine, self.parts.clock).await;
        }
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

/// Serves `first` until SIGTERM or SIGINT. SIGHUP, or a request over HTTP, reloads what `load` gives. `started` is told once, when everything
/// answers.
pub async fn run(
    first: Config,
    inherited: Inherited,
    load: impl Fn() -> Result<Config, Problems>,
    started: impl FnOnce(&Running),
) -> Result<(), StartError> {
    let listen = |kind| signal(kind).map_err(StartError::Signals);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut running = start(first, inherited).await?;
    let mut asked = reload::requests(&running.parts.http);
    announce::announce(&running);
    started(&running);
    systemd::ready("answering");
    let _watchdog =
        systemd::watchdog().map(|every| AbortOnDrop(tokio::spawn(keep_alive(every)).abort_handle()));
    loop {
        let why = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => {
                let _ = reload::reload(&mut running, &load).await;
                continue;
            }
            Some(asker) = asked.recv() => {
                // Whoever asked may have left; what changed has changed.
                let _ = asker.send(reload::reload(&mut running, &load).await);
                continue;
            }
        };
        info!("{why}: stopping");
        systemd::stopping();
        // Whoever waits for a reload is told that there will be none.
        drop(asked);
        running.stop().await;
        info!("stopped");
        return Ok(());
    }
}

/// A task that ends with whoever holds this.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Links to peers that end with whoever holds this.
struct UnlinkOnDrop(Arc<Mirror>);

impl Drop for UnlinkOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Signs of life for systemd's watchdog.
async fn keep_alive(every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        systemd::alive();
    }
}
