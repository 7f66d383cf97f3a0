//! Names that are not ours, for clients that may ask for them: so that Athena can be the only name server of a proxy.
//!
//! A question for a name outside our zones is REFUSED, at once, unless `[forward]` names the client's network. Then it is put
//! aside with a place of its own ([`places`]: so many in all, so many a client, none means SERVFAIL at once), and a task of
//! the runtime asks the [`upstreams`] through hickory's resolver and its cache. Nothing that answers for farms waits for
//! any of it. [`special`] names never leave the machine.
//!
//! The reply is written as every other one is: AA clear, RA set, the question as it came, our EDNS, our sizes. AD is never
//! set, for we have not validated; DO and CD are passed on, and with DO the signatures come back, so that a validator
//! behind us can do its work.

mod answer;
pub mod places;
pub mod special;
pub mod upstreams;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use ipnet::IpNet;
use tokio::runtime::Handle;

use super::authority::is_local;
use crate::clock::Clock;
use crate::metrics::Metrics;

pub use places::Place;
pub use upstreams::Order;

use places::{Limits, Places};
use upstreams::Upstreams;

/// Libraries whose lines in the log are for whoever forges datagrams: what comes of them is counted here.
pub const UNHEARD: [&str; 3] = ["hickory_net", "hickory_proto", "hickory_resolver"];

/// The configuration's section `forward` in this module's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardOptions {
    /// Name servers that resolve for us; at least one.
    pub upstreams: Vec<SocketAddr>,
    /// Which of them is asked first.
    pub order: Order,
    /// How long a question may take in all, greater than 0.
    pub timeout: Duration,
    /// Answers kept; 0: none.
    pub cache: u64,
    /// Networks that may ask.
    pub access: Vec<IpNet>,
    /// Questions in flight, in all.
    pub queries: usize,
    /// Questions in flight of one IPv4 address, or of one IPv6 network of 64 bits.
    pub queries_per_client: usize,
}

/// A question for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name, in the letter case in which its owner shall be spelled.
    pub name: Name,
    /// The type.
    pub kind: RecordType,
    /// DO: whether signatures are wanted.
    pub dnssec_ok: bool,
    /// CD: whether the upstream shall leave validation to the client.
    pub checking_disabled: bool,
}

/// What others said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// NOERROR, NXDOMAIN, or SERVFAIL if they said nothing of use.
    pub code: ResponseCode,
    /// The chain of CNAME records and what is at its end.
    pub answers: Vec<Record>,
    /// Of a negative answer: SOA, and its proof if signatures were wanted.
    pub authorities: Vec<Record>,
    /// Addresses of names in the answers.
    pub additionals: Vec<Record>,
}

impl Found {
    /// Nothing of use.
    pub fn nothing() -> Self {
        Self { code: ResponseCode::ServFail, ..Self::default() }
    }
}

/// Who may ask, and whom we ask. Replaced as a whole by a reload.
pub struct Forwarder {
    options: ForwardOptions,
    upstreams: Arc<Upstreams>,
    places: Arc<Places>,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

impl Forwarder {
    /// With these options, on this runtime. Questions in flight are counted with those of the `former` one; its cache and
    /// what it knows of upstreams go on if those are the same.
    pub fn new(
        options: ForwardOptions,
        metrics: &Arc<Metrics>,
        clock: Clock,
        runtime: Handle,
        former: Option<&Self>,
    ) -> Self {
        let same = former.filter(|former| former.options.asks_as(&options));
        let upstreams = match same {
            Some(former) => Arc::clone(&former.upstreams),
            None => Arc::new(Upstreams::new(&options, metrics, clock)),
        };
        let places = former.map_or_else(Arc::default, |former| Arc::clone(&former.places));
        Self { options, upstreams, places, metrics: Arc::clone(metrics), runtime }
    }

    /// How it forwards.
    pub fn options(&self) -> &ForwardOptions {
        &self.options
    }

    /// Whether this client may ask for names that are not ours.
    pub fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.options.access.iter().any(|network| network.contains(&client))
    }

    /// Whether all upstreams are the site's own, so that names without a meaning beyond the site mean something to them.
    pub fn is_of_site(&self) -> bool {
        self.options.upstreams.iter().all(|upstream| is_local(upstream.ip()))
    }

    /// A place for one question of this client; `None`, and it is counted: there is none.
    pub fn place(&self, client: IpAddr) -> Option<Place> {
        let limits = Limits { all: self.options.queries, client: self.options.queries_per_client };
        let place = Places::take(&self.places, client, limits, &self.metrics);
        if place.is_none() {
            self.metrics.forward.dropped.count();
        }
        place
    }

    /// What waits for others runs here.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Asks. Takes no longer than the options' time, and always gives something that can be answered.
    pub async fn look_up(&self, wanted: &Wanted) -> Found {
        self.upstreams.look_up(wanted).await
    }

    /// Waits until no question is in flight, which takes no longer than the options' time once no more are taken.
    pub async fn finish(&self) {
        self.places.empty().await;
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Forwarder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ForwardOptions {
    /// Whether the same upstreams are asked in the same way.
    fn asks_as(&self, other: &Self) -> bool {
        let key = |options: &Self| (options.order, options.timeout, options.cache);
        self.upstreams == other.upstreams && key(self) == key(other)
    }
}
