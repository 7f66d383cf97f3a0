//! Name servers that resolve for us: hickory's connections to them, hickory's cache of what they said, and whom to ask next.
//!
//! Each upstream is a pool of hickory's with one server in it, which sends again over UDP, goes on over TCP where an answer is
//! cut short, and merges equal questions in flight. It is not one pool over all of them, for that one asks two at a time,
//! and takes a SERVFAIL or REFUSED of the first to answer for the last word.
//!
//! An upstream that did not answer rests: for a while it is asked only when the others have no answer either. What
//! upstreams say is cut down to what belongs to the question, so that nothing else reaches a client or the cache.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::xfer::{DnsHandle, FirstAnswer};
use hickory_server::net::{DnsError, NetError};
use hickory_server::resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_server::resolver::{
    NameServerPool, NameServerTransportState, PoolContext, ResponseCache, TlsConfig, TtlConfig,
};
use tokio::time::timeout;

use super::answer::{self, Answered};
use super::{ForwardOptions, Found, Wanted};
use crate::clock::Clock;
use crate::metrics::{Metrics, UpstreamMetrics};

/// Octets that an upstream may send over UDP (DNS flag day 2020).
const PAYLOAD: u16 = 1232;
/// Most upstreams that one question is put to: with more there is too little time for each.
const TRIES: usize = 3;
/// How long an upstream that did not answer rests.
const REST: Duration = Duration::from_secs(10);
/// So many failures in a row are worth a line in the log.
const LOUD: u32 = 3;

/// Which upstream is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first of the list.
    Listed,
    /// Each in turn.
    Rotate,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Listed, Self::Rotate];
}

/// Name servers that resolve for us.
pub struct Upstreams {
    servers: Vec<Upstream>,
    order: Order,
    /// How long a question may take.
    timeout: Duration,
    /// What they said, without and with signatures; questions with CD set are not kept, for their answers are unproven.
    caches: Option<[ResponseCache; 2]>,
    turn: AtomicUsize,
    metrics: Arc<Metrics>,
    clock: Clock,
}

struct Upstream {
    address: SocketAddr,
    pool: NameServerPool<TokioRuntimeProvider>,
    /// In a row, without an answer.
    failures: AtomicU32,
    /// Until when, in nanoseconds of [`Moment`](crate::balance::Moment).
    rests: AtomicU64,
    metrics: Arc<UpstreamMetrics>,
}

/// Why an upstream gave nothing of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    TimedOut,
    Unreachable,
    Declined,
    Nonsense,
}

impl Upstreams {
    /// Those of the options. Nothing is sent before the first question.
    pub fn new(options: &ForwardOptions, metrics: &Arc<Metrics>, clock: Clock) -> Self {
        let tries = options.upstreams.len().clamp(1, TRIES);
        let share = options.timeout / tries as u32;
        let known = metrics.forward.upstreams.load();
        let servers: Vec<_> =
            options.upstreams.iter().map(|&address| Upstream::new(address, share, &known)).collect();
        let counted = servers.iter().map(|server| Arc::clone(&server.metrics)).collect();
        metrics.forward.upstreams.store(Arc::new(counted));
        let cache = || ResponseCache::new(options.cache, TtlConfig::from_opts(&resolver_options(share)));
        Self {
            servers,
            order: options.order,
            timeout: options.timeout,
            caches: (options.cache > 0).then(|| [cache(), cache()]),
            turn: AtomicUsize::new(0),
            metrics: Arc::clone(metrics),
            clock,
        }
    }

    /// Answers from the cache or asks. Counts one outcome.
    pub async fn look_up(&self, wanted: &Wanted) -> Found {
        let query = Query::query(wanted.name.clone(), wanted.kind);
        let cache = self.caches.as_ref().filter(|_| !wanted.checking_disabled);
        let cache = cache.map(|caches| &caches[usize::from(wanted.dnssec_ok)]);
        let metrics = &self.metrics.forward;
        if let Some(kept) = cache.and_then(|cache| cache.get(&query, self.clock.instant())) {
            metrics.cached.count();
            return answer::found(kept, wanted);
        }
        let answered = timeout(self.timeout, self.ask(&query, wanted)).await;
        match answered.unwrap_or(Err(Failure::TimedOut)) {
            Ok(Answered { message, keep }) => {
                metrics.answered.count();
                if let (true, Some(cache)) = (keep, cache) {
                    cache.insert(query, message.clone(), self.clock.instant());
                }
                answer::found(message, wanted)
            }
            Err(Failure::TimedOut) => {
                metrics.timed_out.count();
                Found::nothing()
            }
            Err(_) => {
                metrics.failed.count();
                Found::nothing()
            }
        }
    }

    /// Asks one after the other until one has a sensible answer.
    async fn ask(&self, query: &Query, wanted: &Wanted) -> Result<Answered, Failure> {
        let mut last = Failure::Unreachable;
        for server in self.in_order().take(TRIES) {
            match server.ask(query, wanted).await {
                Ok(answered) => {
                    server.metrics.answered.count();
                    server.is_back();
                    return Ok(answered);
                }
                Err(failure) => {
                    server.note(failure, self.clock);
                    last = failure;
                }
            }
        }
        Err(last)
    }

    /// All of them in the order in which they are asked: those that rest come last.
    fn in_order(&self) -> impl Iterator<Item = &Upstream> {
        let first = match self.order {
            Order::Listed => 0,
            Order::Rotate => self.turn.fetch_add(1, Relaxed) % self.servers.len().max(1),
        };
        let now = self.clock.now().nanos();
        let turned = self.servers[first..].iter().chain(&self.servers[..first]);
        let (awake, resting): (Vec<_>, Vec<_>) = turned.partition(|server| server.rests.load(Relaxed) <= now);
        awake.into_iter().chain(resting)
    }
}

impl Upstream {
    /// One of `known` goes on counting where it was.
    fn new(address: SocketAddr, patience: Duration, known: &[Arc<UpstreamMetrics>]) -> Self {
        let on_port = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(on_port);
        let config = NameServerConfig::new(address.ip(), true, connections.to_vec());
        // Without encryption there is nothing in it that could be wrong.
        let tls = TlsConfig::new().expect("without tls there is nothing to set up");
        let context = PoolContext::new(resolver_options(patience), tls)
            .with_transport_state(NameServerTransportState::default());
        let pool = NameServerPool::from_config([config], Arc::new(context), TokioRuntimeProvider::default());
        let shown = address.to_string();
        let metrics = known.iter().find(|known| known.address == shown).map(Arc::clone);
        let metrics = metrics.unwrap_or_else(|| Arc::new(UpstreamMetrics::new(shown)));
        Self { address, pool, failures: AtomicU32::new(0), rests: AtomicU64::new(0), metrics }
    }

    async fn ask(&self, query: &Query, wanted: &Wanted) -> Result<Answered, Failure> {
        let patience = self.pool.context().options.timeout;
        let asked = self.pool.send(request(query, wanted)).first_answer();
        let response = timeout(patience, asked).await.unwrap_or(Err(NetError::Timeout));
        judge(response, wanted)
    }

    /// Counts a failure, and lets who did not answer rest.
    fn note(&self, failure: Failure, clock: Clock) {
        let counter = match failure {
            Failure::TimedOut => &self.metrics.timed_out,
            Failure::Unreachable => &self.metrics.unreachable,
            Failure::Declined => &self.metrics.declined,
            Failure::Nonsense => &self.metrics.nonsense,
        };
        counter.count();
        if !matches!(failure, Failure::TimedOut | Failure::Unreachable) {
            return;
        }
        self.rests.store((clock.now() + REST).nanos(), Relaxed);
        if self.failures.fetch_add(1, Relaxed) + 1 == LOUD {
            tracing::warn!("forward: upstream {} does not answer", self.address);
        }
    }

    fn is_back(&self) {
        self.rests.store(0, Relaxed);
        if self.failures.swap(0, Relaxed) >= LOUD {
            tracing::info!("forward: upstream {} answers again", self.address);
        }
    }
}

/// How hickory is to ask: with EDNS, from ports that the system chooses at random, and with an end.
fn resolver_options(patience: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = patience;
    options.edns_payload_len = PAYLOAD;
    options.os_port_selection = true;
    options.num_concurrent_reqs = 1;
    options.positive_max_ttl = Some(answer::LONGEST);
    options.negative_max_ttl = Some(answer::LONGEST_NEGATIVE);
    options
}

fn request(query: &Query, wanted: &Wanted) -> DnsRequest {
    let mut options = DnsRequestOptions::default();
    options.edns_payload_len = PAYLOAD;
    options.edns_set_dnssec_ok = wanted.dnssec_ok;
    let request = DnsRequest::from_query(query.clone(), options);
    let (mut message, options) = request.into_parts();
    message.metadata.checking_disabled = wanted.checking_disabled;
    DnsRequest::new(message, options)
}

/// What an upstream's answer is worth.
fn judge(response: Result<DnsResponse, NetError>, wanted: &Wanted) -> Result<Answered, Failure> {
    match response {
        Ok(response) => positive(response.into_message(), wanted),
        Err(NetError::Dns(DnsError::NoRecordsFound(negative))) => {
            answer::negative(negative).ok_or(Failure::Nonsense)
        }
        // SERVFAIL, REFUSED and the like: another one may know better.
        Err(NetError::Dns(DnsError::ResponseCode(_))) => Err(Failure::Declined),
        Err(NetError::Timeout) => Err(Failure::TimedOut),
        Err(NetError::Io(_) | NetError::NoConnections | NetError::Busy) => Err(Failure::Unreachable),
        Err(_) => Err(Failure::Nonsense),
    }
}

fn positive(message: Message, wanted: &Wanted) -> Result<Answered, Failure> {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {
            answer::positive(message, wanted).ok_or(Failure::Nonsense)
        }
        _ => Err(Failure::Nonsense),
    }
}
