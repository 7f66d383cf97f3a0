//! The plain farm query, from bytes to bytes.
//!
//! Nearly every query asks for A or AAAA of a farm, with or without labels in front, without EDNS or with no more of it than
//! a cookie or the client's network. Its answer is the question with a header before it and one record behind it, which
//! points back to the question for its owner: so it is written over the query, where that arrived, and nothing is
//! allocated or copied. One pass reads the message, which is that of the general way, one probe finds the farm that the general
//! way walks to, one [`Farm::choose`](crate::balance::Farm::choose) chooses. Everything else, and every choice that is not a member, goes to
//! [`Handler::respond`]. For the same choice both ways give the same bytes and count the same; a property test holds that.
//!
//! What happens per batch and not per query: the clock, the configuration's pointer, the counters; and where there are
//! many farms, finding out which of them a batch needs ([`sights`]).

mod seats;
mod sights;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::Guard;

use super::authority::Authority;
use super::cookie::{self, Cookies};
use super::handler::{Begun, Handler, Later};
use super::query::{Edns, HEADER, MAX_NAME, Query, option};
use super::transport::Transport;
use super::udp::{Answer, Place, Reply, Way};
use super::{Options, name};
use crate::balance::random::SplitMix;
use crate::balance::repeat::Repeats;
use crate::balance::token::Mode;
use crate::balance::{Ask, Family, Moment, Stick};
use sights::Sights;

/// QTYPE and QCLASS (RFC 1035, 3.2.2 and 3.2.4; RFC 3596, 2.1).
const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;

/// Answers the datagrams of one thread.
pub struct Wire {
    handler: Arc<Handler>,
    random: SplitMix,
    repeats: Arc<Repeats>,
    /// Configuration in force, kept for one batch.
    authority: Option<Guard<Arc<Authority>>>,
    /// Its farms.
    sights: Sights,
    counts: Counts,
    /// What the last datagram has to wait for, until the way back is known.
    later: Option<Later>,
}

/// What the fast way has answered in this batch.
#[derive(Default)]
struct Counts {
    answered: u64,
    cookie_valid: u64,
    cookie_invalid: u64,
}

impl Wire {
    /// Answers in `handler`'s name; `random` draws ties and weighted choices. `repeats` knows the same packet again: the
    /// thread's own, or that of all threads which take turns on the same sockets.
    pub fn new(handler: Arc<Handler>, random: SplitMix, repeats: Arc<Repeats>) -> Self {
        let (sights, counts) = Default::default();
        Self { handler, random, repeats, authority: None, sights, counts, later: None }
    }

    /// Takes the configuration in force for this batch, if that has not been done.
    fn begin(&mut self) {
        if self.authority.is_none() {
            let authority = self.handler.authority();
            self.sights.attend(&authority);
            self.authority = Some(authority);
        }
    }

    /// Writes the answer over the query in the first `length` octets of `place`, the batch's datagram of this `number`, and gives
    /// its octets; `None`, and `place` is as it was: this is a matter for the general way. Where something is forwarded, and only there, RA depends on the
    /// client: that is `LOOKS`, so that nobody else pays for it.
    fn answer_plainly<const LOOKS: bool>(
        &mut self,
        number: usize,
        place: &mut Place,
        length: usize,
        client: SocketAddr,
        now: Moment,
    ) -> Option<usize> {
        self.begin();
        let Self { random, repeats, authority: Some(authority), sights, counts, .. } = self else {
            return None;
        };
        let query = Query::read(&place[..length]).filter(|query| query.fault.is_none() && !query.has_more)?;
        let question = query.question?;
        let family = match (question.class, question.kind) {
            (IN, A) => Family::V4,
            (IN, AAAA) => Family::V6,
            _ => return None,
        };
        if !LOOKS && authority.looks_twice {
            return None;
        }
        let edns = match &query.edns {
            Some(edns) if !is_plain(edns, &authority.options) => return None,
            edns => edns.as_ref(),
        };

        let asked = sights.asked(&authority.zones, number, &place[HEADER..])?;
        let (farm, view, uncounted) = sights.of(asked)?.look();
        if view.answers() != 1 || view.elsewhere().is_some() {
            return None;
        }
        let mut lower = [0; MAX_NAME];
        let lower = &mut lower[..asked.below.labels().end];
        lower.copy_from_slice(&question.name[asked.below.labels()]);
        lower.make_ascii_lowercase();
        let stick = farm.read_label(&lower[asked.below.nearest()], now);
        if matches!(stick, Stick::Token(token) if token.mode() == Mode::Farm) {
            return None;
        }
        let mut joined = [0; MAX_NAME];
        let labels = name::key(lower, &mut joined);
        let subnet = edns.and_then(|edns| edns.subnet).filter(|_| authority.options.ecs);
        // RFC 7871, 7.1.2: a prefix of length 0 asks not to be told apart.
        let subnet_key =
            subnet.filter(|subnet| labels.is_empty() && subnet.prefix > 0 && view.algorithm().sees_key);
        let key = subnet_key.map_or(labels, |subnet| subnet.address);
        let ttl = view.ttl();
        let packet = Some(repeats.packet(client, &place[..length]));
        let ask = Ask { family: Some(family), key, stick, again: false, packet, now };
        let (mut four, mut six) = ([0; 4], [0; 16]);
        let address = farm.choose_seat(view, &ask, random, uncounted, |seat| match family {
            Family::V4 => seat.v4().map(|address| {
                four = address.octets();
                &four[..]
            }),
            Family::V6 => seat.v6().map(|address| {
                six = address.octets();
                &six[..]
            }),
        })??;

        sights.note(asked);

        // From here on nothing of the query is read any more.
        let mut end = Opt::default();
        if let Some(edns) = edns {
            let cookies = authority.cookies.as_ref();
            end.begin(authority.options.max_udp, edns.dnssec_ok);
            if let Some(subnet) = subnet {
                // RFC 7871, 7.2.1: the scope is what the answer depends on; 0 if it is the same for everybody.
                let scope = if subnet_key.is_some() { subnet.prefix } else { 0 };
                end.option(option::SUBNET, &[&[0, subnet.family, subnet.prefix, scope], subnet.address]);
            }
            if let Some(checked) = checked(cookies, edns, client, now) {
                let count = if checked.valid { &mut counts.cookie_valid } else { &mut counts.cookie_invalid };
                *count += 1;
                end.option(option::COOKIE, &[&checked.reply]);
            }
        }
        let (recursion_desired, checking_disabled) = (query.recursion_desired, query.checking_disabled);
        let kind = question.kind;
        let at = HEADER + question.bytes.len();
        // QR, AA, RD as asked; CD as asked, RCODE 0; one question, one answer, OPT if there was one (RFC 1035, 4.1.1).
        place[2] = 0x84 | u8::from(recursion_desired);
        place[3] = u8::from(checking_disabled) << 4;
        if LOOKS && authority.options.forward.as_ref().is_some_and(|forward| forward.allows(client.ip())) {
            place[3] |= 0x80;
        }
        place[4..HEADER].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, u8::from(!end.is_empty())]);
        let at = write_record(place, at, kind, ttl, address);
        let at = put(place, at, end.octets());
        counts.answered += 1;
        Some(at)
    }
}

impl Wire {
    /// Whether plain answers depend on who asks, and no more than that.
    fn looks(&self) -> bool {
        self.authority.as_ref().is_some_and(|authority| {
            authority.options.forward.is_some() && authority.options.log_queries.is_none()
        })
    }
}

/// Whether the answer needs no more of EDNS than what is written here.
fn is_plain(edns: &Edns<'_>, options: &Options) -> bool {
    edns.version == 0 && !(edns.nsid && options.nsid.is_some())
}

fn checked(
    cookies: Option<&Cookies>,
    edns: &Edns<'_>,
    client: SocketAddr,
    now: Moment,
) -> Option<cookie::Checked> {
    cookies?.check(edns.cookie?, client.ip(), now)
}

/// Writes an address record whose owner is the question's name, by a pointer to it (RFC 1035, 4.1.4); gives where it ends.
#[inline]
fn write_record(place: &mut Place, at: usize, kind: u16, ttl: u32, address: &[u8]) -> usize {
    const OWNER: [u8; 2] = [0xc0, HEADER as u8];
    let ([kind_high, kind_low], [a, b, c, d]) = (kind.to_be_bytes(), ttl.to_be_bytes());
    let fixed = [OWNER[0], OWNER[1], kind_high, kind_low, 0, 1, a, b, c, d, 0, address.len() as u8];
    let at = put(place, at, &fixed);
    put(place, at, address)
}

#[inline]
fn put(place: &mut Place, at: usize, octets: &[u8]) -> usize {
    let end = at + octets.len();
    place[at..end].copy_from_slice(octets);
    end
}

/// The OPT record of an answer, last in it. Has room for the largest that is written here: a network of 16 octets and a
/// cookie of 24.
struct Opt {
    octets: [u8; 64],
    length: usize,
}

impl Default for Opt {
    fn default() -> Self {
        Self { octets: [0; 64], length: 0 }
    }
}

impl Opt {
    /// Octets before the options (RFC 6891, 6.1.2).
    const FIXED: usize = 11;

    fn begin(&mut self, payload: u16, dnssec_ok: bool) {
        let [high, low] = payload.to_be_bytes();
        self.put(&[0, 0, 41, high, low, 0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
    }

    /// Adds an option; their order is that of their codes.
    fn option(&mut self, code: u16, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() as u16;
        self.put(&code.to_be_bytes());
        self.put(&length.to_be_bytes());
        parts.iter().for_each(|part| self.put(part));
        let options = (self.length - Self::FIXED) as u16;
        self.octets[Self::FIXED - 2..Self::FIXED].copy_from_slice(&options.to_be_bytes());
    }

    fn put(&mut self, octets: &[u8]) {
        let end = self.length + octets.len();
        self.octets[self.length..end].copy_from_slice(octets);
        self.length = end;
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl Answer for Wire {
    fn answer(
        &mut self,
        number: usize,
        place: &mut Place,
        length: usize,
        client: SocketAddr,
        now: Moment,
        reply: &mut Vec<u8>,
    ) -> Reply {
        self.sights.go_on(number);
        if let Some(length) = self.answer_plainly::<false>(number, place, length, client, now) {
            return Reply::InPlace(length);
        }
        if self.looks()
            && let Some(length) = self.answer_plainly::<true>(number, place, length, client, now)
        {
            return Reply::InPlace(length);
        }
        let query = &place[..length];
        match self.handler.begin(query, client, Transport::Udp, now, &mut self.random, reply) {
            Begun::Written => Reply::Apart,
            Begun::Nothing => Reply::None,
            Begun::Later(later) => {
                self.later = Some(later);
                Reply::None
            }
        }
    }

    fn expect<'a>(&mut self, batch: impl Iterator<Item = &'a [u8]>) {
        self.begin();
        if let Some(authority) = &self.authority {
            self.sights.expect(&authority.zones, batch);
        }
    }

    fn waits(&self) -> bool {
        self.later.is_some()
    }

    /// Others are waited for on the runtime, never on this thread.
    fn wait(&mut self, way: Way) {
        let Some(later) = self.later.take() else { return };
        let handler = Arc::clone(&self.handler);
        let runtime = later.forwarder().runtime().clone();
        runtime.spawn(async move {
            let reply = later.complete().await;
            if way.send(&reply).is_err() {
                handler.metrics().send_failed.count();
            }
        });
    }

    fn settle(&mut self) {
        self.authority = None;
        self.sights.settle();
        let Counts { answered, cookie_valid, cookie_invalid } = std::mem::take(&mut self.counts);
        let metrics = self.handler.metrics();
        for (counter, count) in [
            (&metrics.udp, answered),
            (&metrics.answered, answered),
            (&metrics.cookie_valid, cookie_valid),
            (&metrics.cookie_invalid, cookie_invalid),
        ] {
            if count > 0 {
                counter.add(count);
            }
        }
    }
}

#[cfg(test)]
mod tests;
