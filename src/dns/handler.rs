//! The general way through the server: a message in, a message out. No I/O, no clock.
//!
//! Everything that is a query gets an answer (RFC 8906): this file decides which RCODE, with which flags, of which size. What
//! a question of class IN means, the responder knows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::balance::random::Random;
use crate::balance::{Engine, Moment};
use crate::metrics::{Counter, DnsMetrics, Metrics};

use super::authority::Authority;
use super::message::{Section, Writer};
use super::query::{Edns, Query, Question, Subnet, option};
use super::responder::{Asked, Damper, Reply, Responder};
use super::zone::Zones;
use super::{Options, name};

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A stream of messages.
    Tcp,
}

/// Answers messages. Shared by every socket and thread.
pub struct Handler {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    authority: ArcSwap<Authority>,
    damper: Damper,
    /// The cookie secret for configurations without one.
    drawn: [u8; 16],
    /// Queries seen, to log one in so many.
    seen: AtomicU64,
}

/// The system gave no random octets for the secret of cookies.
#[derive(Debug, thiserror::Error)]
#[error("dns: no random octets for the secret of cookies: {0}")]
pub struct NoSecret(getrandom::Error);

impl Handler {
    /// A handler over `engine`, for the farms of which `zones` were made. Fails if the system has no random octets.
    pub fn new(
        engine: Arc<Engine>,
        zones: Zones,
        options: Options,
        metrics: Arc<Metrics>,
    ) -> Result<Self, NoSecret> {
        let mut drawn = [0; 16];
        getrandom::fill(&mut drawn).map_err(NoSecret)?;
        let authority = ArcSwap::from_pointee(Authority::new(zones, options, drawn));
        Ok(Self { engine, metrics, authority, damper: Damper::default(), drawn, seen: AtomicU64::new(0) })
    }

    /// Takes other zones and options; queries under way finish with the old ones.
    pub fn replace(&self, zones: Zones, options: Options) {
        self.damper.retain(zones.farms());
        self.authority.store(Arc::new(Authority::new(zones, options, self.drawn)));
    }

    /// The zones and options in force.
    pub fn authority(&self) -> Guard<Arc<Authority>> {
        self.authority.load()
    }

    /// What is counted.
    pub fn metrics(&self) -> &DnsMetrics {
        &self.metrics.dns
    }

    /// Writes the reply to `message` into `out`, which is cleared first. Gives whether there is one: a message that is too
    /// short for a header, or a response itself, gets none. `random` draws ties and weighted choices. Counts one transport,
    /// and one outcome or `dropped`.
    pub fn respond(
        &self,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        now: Moment,
        random: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        match transport {
            Transport::Udp => self.metrics.dns.udp.count(),
            Transport::Tcp => self.metrics.dns.tcp.count(),
        }
        let Some(query) = Query::read(message) else {
            self.metrics.dns.dropped.count();
            return false;
        };
        let authority = self.authority.load();
        let client = client.ip().to_canonical();
        let call = Call { handler: self, authority: &authority, query: &query, client, transport, now };
        let outcome = call.outcome(random);
        let code = outcome.code;
        call.write(outcome, out);
        call.log(code, &self.seen);
        true
    }
}

/// One message being answered.
struct Call<'a> {
    handler: &'a Handler,
    authority: &'a Authority,
    query: &'a Query<'a>,
    client: IpAddr,
    transport: Transport,
    now: Moment,
}

/// What will be written.
#[derive(Default)]
struct Outcome {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    /// What a lack of room for a record means.
    on_lack: OnLack,
    /// Whether the client's network was the key.
    by_subnet: bool,
}

/// What it means that not everything fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum OnLack {
    /// TC if an answer is left out; additional records are only a courtesy (RFC 2181, 9).
    #[default]
    Ask,
    /// TC if anything is left out, for a referral without its glue leads nowhere (RFC 9471, 3).
    AskForGlue,
    /// Nothing: it is whole with what fits.
    Leave,
}

impl Outcome {
    fn of(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Call<'_> {
    fn outcome(&self, random: &mut dyn Random) -> Outcome {
        let query = self.query;
        if let Some(code) = query.fault {
            return Outcome::of(code);
        }
        // RFC 6891, 6.1.3
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Outcome::of(ResponseCode::BADVERS);
        }
        let Some(question) = &query.question else {
            // RFC 7873, 5.4: without a question a cookie may be asked for; with neither there is nothing to answer.
            let asks_for_cookie = query.edns.is_some_and(|edns| edns.cookie.is_some());
            let code = match &self.authority.cookies {
                Some(_) if asks_for_cookie => ResponseCode::NoError,
                _ => ResponseCode::FormErr,
            };
            return Outcome::of(code);
        };
        match DNSClass::from(question.class) {
            DNSClass::IN => self.internet(question, random),
            DNSClass::CH => self.chaos(question),
            _ => Outcome::of(ResponseCode::Refused),
        }
    }

    fn internet(&self, question: &Question<'_>, random: &mut dyn Random) -> Outcome {
        let kind = RecordType::from(question.kind);
        if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Outcome::of(ResponseCode::Refused);
        }
        let Some(name) = name::from_wire(question.name) else {
            return Outcome::of(ResponseCode::FormErr);
        };
        let wire = question.name.to_ascii_lowercase();
        // RFC 7871, 7.1.2: a prefix of length 0 asks not to be told apart.
        let subnet = self.subnet().filter(|subnet| subnet.prefix > 0).map(|subnet| subnet.address);
        let asked = Asked { name, wire: &wire, kind, subnet, now: self.now };
        let responder = Responder {
            zones: &self.authority.zones,
            engine: &self.handler.engine,
            damper: &self.handler.damper,
            explain: self.authority.options.explain,
        };
        self.outcome_of(responder.respond(&asked, random))
    }

    /// The one place that maps replies to RCODEs, flags and sections.
    fn outcome_of(&self, reply: Reply) -> Outcome {
        match reply {
            Reply::Answer(answer) => Outcome {
                authoritative: true,
                answers: answer.records,
                additionals: answer.additional,
                on_lack: if answer.as_many_as_fit { OnLack::Leave } else { OnLack::Ask },
                by_subnet: answer.by_subnet,
                ..Outcome::default()
            },
            Reply::NoData(negative) => Outcome {
                authoritative: true,
                answers: negative.chain,
                authorities: vec![negative.soa],
                ..Outcome::default()
            },
            // RFC 6604, 3: the RCODE is that of the last name in the chain.
            Reply::NxDomain(negative) => Outcome {
                code: ResponseCode::NXDomain,
                authoritative: true,
                answers: negative.chain,
                authorities: vec![negative.soa],
                ..Outcome::default()
            },
            // RFC 1035, 4.1.1: AA is about the first owner in the answer section.
            Reply::Referral(referral) => Outcome {
                authoritative: !referral.chain.is_empty(),
                answers: referral.chain,
                authorities: referral.servers,
                additionals: referral.glue,
                on_lack: OnLack::AskForGlue,
                ..Outcome::default()
            },
            Reply::Refused => Outcome::of(ResponseCode::Refused),
            Reply::ServFail(reason) => {
                tracing::debug!(%reason, "servfail");
                Outcome::of(ResponseCode::ServFail)
            }
        }
    }

    /// What the server says about itself (RFC 4892), where it is told to.
    fn chaos(&self, question: &Question<'_>) -> Outcome {
        let options = &self.authority.options;
        let text = match question.name.to_ascii_lowercase().as_slice() {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => &options.version,
            b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => &options.server_id,
            _ => &None,
        };
        let (Some(text), Some(owner)) = (text, name::from_wire(question.name)) else {
            return Outcome::of(ResponseCode::Refused);
        };
        let mut outcome = Outcome { authoritative: true, ..Outcome::default() };
        if matches!(RecordType::from(question.kind), RecordType::TXT | RecordType::ANY) {
            let texts = text.as_bytes().chunks(255).collect();
            let mut record = Record::from_rdata(owner, 0, RData::TXT(TXT::from_bytes(texts)));
            record.dns_class = DNSClass::CH;
            outcome.answers.push(record);
        }
        outcome
    }

    fn subnet(&self) -> Option<Subnet<'_>> {
        self.query.edns.and_then(|edns| edns.subnet).filter(|_| self.authority.options.ecs)
    }

    /// Writes the message and counts it.
    fn write(&self, mut outcome: Outcome, out: &mut Vec<u8>) {
        let payload = self.query.edns.map(|edns| edns.payload);
        let limit = match self.transport {
            Transport::Udp => self.authority.udp_limit(self.client, payload),
            Transport::Tcp => usize::from(u16::MAX),
        };
        let edns = self.query.edns.map(|edns| (edns, self.options(&edns, outcome.by_subnet)));
        let kept = edns.as_ref().map_or(0, |(_, options)| 11 + options.len());
        let mut writer = Writer::new(out, self.query, limit, kept);
        if outcome.authoritative {
            writer.authoritative();
        }
        let all = |writer: &mut Writer<'_>, section, records: &[Record]| {
            records.iter().all(|record| writer.record(section, record))
        };
        let whole = all(&mut writer, Section::Answer, &outcome.answers)
            && all(&mut writer, Section::Authority, &outcome.authorities);
        let glue_too = whole && all(&mut writer, Section::Additional, &outcome.additionals);
        let truncated = match outcome.on_lack {
            OnLack::Ask => !whole,
            OnLack::AskForGlue => !glue_too,
            OnLack::Leave => false,
        };
        if truncated {
            writer.truncated();
            self.handler.metrics.dns.truncated.count();
        }
        // Cannot happen: SOA is shorter than a message. A reply that lost its records would be read as NODATA.
        if !whole && !truncated && outcome.answers.is_empty() {
            outcome.code = ResponseCode::ServFail;
        }
        writer.rcode(outcome.code);
        if let Some((edns, options)) = &edns {
            writer.opt(self.authority.options.max_udp, outcome.code, edns.dnssec_ok, options);
        }
        self.counter(&outcome).count();
    }

    /// Options of the reply's OPT, in the order of their codes: only those that were asked for (RFC 6891, 6.1.2).
    fn options(&self, edns: &Edns<'_>, by_subnet: bool) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut add = |code: u16, parts: &[&[u8]]| {
            octets.extend(code.to_be_bytes());
            octets.extend((parts.iter().map(|part| part.len()).sum::<usize>() as u16).to_be_bytes());
            parts.iter().for_each(|part| octets.extend(*part));
        };
        // Options of a version that we do not know mean nothing to us.
        if edns.version != 0 {
            return octets;
        }
        if let (true, Some(nsid)) = (edns.nsid, &self.authority.options.nsid) {
            add(option::NSID, &[nsid]);
        }
        if let Some(subnet) = self.subnet() {
            // RFC 7871, 7.2.1: the scope is what the answer depends on; 0 if it is the same for everybody.
            let scope = if by_subnet { subnet.prefix } else { 0 };
            add(option::SUBNET, &[&[0, subnet.family, subnet.prefix, scope], subnet.address]);
        }
        let checked = match (&self.authority.cookies, edns.cookie) {
            (Some(cookies), Some(cookie)) => cookies.check(cookie, self.client, self.now),
            _ => None,
        };
        if let Some(checked) = checked {
            let metrics = &self.handler.metrics.dns;
            if checked.valid {
                metrics.cookie_valid.count()
            } else {
                metrics.cookie_invalid.count()
            }
            add(option::COOKIE, &[&checked.reply]);
        }
        octets
    }

    fn counter(&self, outcome: &Outcome) -> &Counter {
        let metrics = &self.handler.metrics.dns;
        match outcome.code {
            ResponseCode::NXDomain => &metrics.nxdomain,
            ResponseCode::Refused => &metrics.refused,
            ResponseCode::FormErr => &metrics.formerr,
            ResponseCode::NotImp => &metrics.notimp,
            ResponseCode::BADVERS => &metrics.badvers,
            ResponseCode::BADCOOKIE => &metrics.badcookie,
            ResponseCode::NoError if outcome.on_lack == OnLack::AskForGlue => &metrics.referral,
            // What has a SOA beside its CNAME records is a negative answer.
            ResponseCode::NoError if outcome.answers.is_empty() || !outcome.authorities.is_empty() => {
                &metrics.nodata
            }
            ResponseCode::NoError => &metrics.answered,
            _ => &metrics.servfail,
        }
    }

    /// One line for one in so many queries, if the operator asked for it.
    fn log(&self, code: ResponseCode, seen: &AtomicU64) {
        let Some(every) = self.authority.options.log_queries else { return };
        if !seen.fetch_add(1, Relaxed).is_multiple_of(u64::from(every.get())) {
            return;
        }
        let question = self.query.question.as_ref();
        let name = question.and_then(|question| name::from_wire(question.name)).unwrap_or_else(Name::root);
        let kind = question.map_or(0, |question| question.kind);
        tracing::info!(
            client = %self.client,
            transport = ?self.transport,
            name = %name,
            kind = %RecordType::from(kind),
            code = %code,
            "query"
        );
    }
}
