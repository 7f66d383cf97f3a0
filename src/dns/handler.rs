//! The general way through the server: a message in, a message out. No I/O, no clock.
//!
//! Everything that is a query gets an answer (RFC 8906): this file decides which RCODE, with which flags, of which size. What
//! a question of class IN means, the responder knows.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use hickory_proto::op::{self, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use crate::balance::damper::Damper;
use crate::balance::random::{Random, SplitMix};
use crate::balance::repeat::{Packet, Repeats};
use crate::balance::{Engine, Moment};
use crate::metrics::{DnsMetrics, Metrics};

mod beyond;
mod exchange;
mod written;

pub use exchange::{Begun, Later};

use super::authority::Authority;
use super::forward::Wanted;
use super::query::{Query, Question, Subnet};
use super::responder::{self, Asked, Reply, Responder};
use super::transport::Transport;
use super::zone::Zones;
use super::{Forwarder, Options, message};
use exchange::{Desk, Exchange};
use message::{OnLack, Size};

/// Answers messages. Shared by every socket and thread.
pub struct Handler {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    authority: ArcSwap<Authority>,
    damper: Damper,
    /// Packets that went this way.
    repeats: Repeats,
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
        Ok(Self {
            engine,
            metrics,
            authority,
            damper: Damper::new(responder::STEPS),
            repeats: Repeats::default(),
            drawn,
            seen: AtomicU64::new(0),
        })
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
    /// and one outcome or `dropped`. For those who cannot wait: it answers as if nothing were forwarded.
    pub fn respond(
        self: &Arc<Self>,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        now: Moment,
        random: &mut SplitMix,
        out: &mut Vec<u8>,
    ) -> bool {
        let begun = self.reply((message, client), transport, now, random, out, false);
        matches!(begun, Begun::Written)
    }

    /// The same for those who can wait. What waits is counted when it is [completed](Later::complete).
    pub fn begin(
        self: &Arc<Self>,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        now: Moment,
        random: &mut SplitMix,
        out: &mut Vec<u8>,
    ) -> Begun {
        self.reply((message, client), transport, now, random, out, true)
    }

    fn reply(
        self: &Arc<Self>,
        (message, client): (&[u8], SocketAddr),
        transport: Transport,
        now: Moment,
        random: &mut SplitMix,
        out: &mut Vec<u8>,
        may_wait: bool,
    ) -> Begun {
        out.clear();
        transport.counter(&self.metrics.dns).count();
        let Some(query) = Query::read(message) else {
            self.metrics.dns.dropped.count();
            return Begun::Nothing;
        };
        let authority = self.authority.load_full();
        let request = match query.fault {
            Some(code) => Err(code),
            None => exchange::request(message, client, transport).ok_or(ResponseCode::FormErr),
        };
        match request {
            Ok(request) => {
                let exchange = Exchange {
                    request,
                    handler: Arc::clone(self),
                    authority,
                    transport,
                    now,
                    may_wait,
                    random: Mutex::new(random.clone()),
                    desk: Mutex::new(Desk { size: Size::default(), reply: std::mem::take(out) }),
                };
                exchange.begin(random, out)
            }
            Err(code) => {
                let call = Call::new(self, &authority, &query, client.ip(), transport, now, may_wait);
                call.refuse(code, out)
            }
        }
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
    /// What it came in, where that may come once more.
    packet: Option<Packet<'a>>,
    /// Who is asked for this client's names that are not ours; `None`: nobody.
    forwarder: Option<&'a Arc<Forwarder>>,
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
    /// What others are to be asked first.
    wanted: Option<Wanted>,
}

impl Outcome {
    fn of(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl<'a> Call<'a> {
    fn new(
        handler: &'a Handler,
        authority: &'a Authority,
        query: &'a Query<'a>,
        client: IpAddr,
        transport: Transport,
        now: Moment,
        may_wait: bool,
    ) -> Self {
        let client = client.to_canonical();
        let forwarder = authority.options.forward.as_ref();
        let forwarder = forwarder.filter(|forwarder| may_wait && forwarder.allows(client));
        Self { handler, authority, query, client, transport, now, packet: None, forwarder }
    }

    /// What cannot be a request gets its RCODE.
    fn refuse(&self, code: ResponseCode, out: &mut Vec<u8>) -> Begun {
        let question = self.query.question.map_or(&[][..], |question| question.bytes);
        let Some(queries) = message::queries(question) else { return Begun::Nothing };
        let sheet = self.finish(Outcome::of(code), &queries);
        match message::write(sheet.response(), question.len(), sheet.size, out) {
            Ok(_) => Begun::Written,
            Err(_) => Begun::Nothing,
        }
    }

    /// What a request comes to; `question` is its question as the library read it.
    fn outcome(&self, question: Option<&op::Query>, random: &mut dyn Random) -> Outcome {
        let query = self.query;
        // RFC 6891, 6.1.3
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Outcome::of(ResponseCode::BADVERS);
        }
        let (Some(question), Some(asked)) = (&query.question, question) else {
            // RFC 7873, 5.4: without a question a cookie may be asked for; with neither there is nothing to answer.
            let asks_for_cookie = query.edns.is_some_and(|edns| edns.cookie.is_some());
            let code = match &self.authority.cookies {
                Some(_) if asks_for_cookie => ResponseCode::NoError,
                _ => ResponseCode::FormErr,
            };
            return Outcome::of(code);
        };
        match asked.query_class() {
            DNSClass::IN => self.internet(question, asked, random),
            DNSClass::CH => self.chaos(question, asked),
            _ => Outcome::of(ResponseCode::Refused),
        }
    }

    fn internet(&self, question: &Question<'_>, asked: &op::Query, random: &mut dyn Random) -> Outcome {
        let kind = asked.query_type();
        if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Outcome::of(ResponseCode::Refused);
        }
        let name = asked.name().clone();
        let wire = question.name.to_ascii_lowercase();
        // RFC 7871, 7.1.2: a prefix of length 0 asks not to be told apart.
        let subnet = self.subnet().filter(|subnet| subnet.prefix > 0).map(|subnet| subnet.address);
        let asked = Asked { name, wire: &wire, kind, subnet, packet: self.packet, now: self.now };
        let responder = Responder {
            zones: &self.authority.zones,
            engine: &self.handler.engine,
            damper: &self.handler.damper,
            explain: self.authority.options.explain,
        };
        let reply = responder.respond(&asked, random);
        self.beyond(reply, &asked)
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
    fn chaos(&self, question: &Question<'_>, asked: &op::Query) -> Outcome {
        let options = &self.authority.options;
        let text = match question.name.to_ascii_lowercase().as_slice() {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => &options.version,
            b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => &options.server_id,
            _ => &None,
        };
        let Some(text) = text else { return Outcome::of(ResponseCode::Refused) };
        let mut outcome = Outcome { authoritative: true, ..Outcome::default() };
        if matches!(asked.query_type(), RecordType::TXT | RecordType::ANY) {
            let texts = text.as_bytes().chunks(255).collect();
            let mut record = Record::from_rdata(asked.name().clone(), 0, RData::TXT(TXT::from_bytes(texts)));
            record.dns_class = DNSClass::CH;
            outcome.answers.push(record);
        }
        outcome
    }

    fn subnet(&self) -> Option<Subnet<'_>> {
        self.query.edns.and_then(|edns| edns.subnet).filter(|_| self.authority.options.ecs)
    }
}
