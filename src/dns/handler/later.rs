//! Replies that wait for others: what is put aside, and how it becomes a reply.
//!
//! Two questions wait: one for a name outside our zones, and one whose chain of CNAME records leads out of them, which a
//! client that relies on us to resolve cannot follow by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};

use super::super::authority::Authority;
use super::super::forward::{Forwarder, Found, Place, Wanted, special};
use super::super::name;
use super::super::query::Query;
use super::super::responder::{Asked, Reply};
use super::super::transport::Transport;
use super::super::zone::Found as InZone;
use super::{Call, Handler, OnLack, Outcome};
use crate::balance::Moment;

/// How far a reply has come.
pub enum Begun {
    /// There is none.
    Nothing,
    /// It is written.
    Written,
    /// It waits for others.
    Later(Box<Later>),
}

/// A reply that waits for others. Dropping it gives it up.
pub struct Later {
    message: Vec<u8>,
    client: SocketAddr,
    transport: Transport,
    now: Moment,
    authority: Arc<Authority>,
    forwarder: Arc<Forwarder>,
    outcome: Outcome,
    wanted: Wanted,
    place: Place,
}

impl Later {
    /// Who will answer: it knows the runtime on which that goes on.
    pub fn forwarder(&self) -> &Arc<Forwarder> {
        &self.forwarder
    }
}

impl Handler {
    /// Waits for others and gives the reply, with the zones and options of when the question came. Counts one outcome.
    pub async fn complete(&self, later: Later) -> Vec<u8> {
        let Later { message, client, transport, now, authority, forwarder, mut outcome, wanted, place } =
            later;
        let found = forwarder.look_up(&wanted, client).await;
        outcome.take(found);
        let mut out = Vec::new();
        // It could be read when it came.
        if let Some(query) = Query::read(&message) {
            let call = Call::new(self, &authority, &query, client.ip(), transport, now, true);
            call.finish(outcome, &mut out);
        }
        drop(place);
        out
    }
}

impl Call<'_> {
    /// What a reply of our own zones comes to, where they end: with nobody to ask, it is that reply.
    pub(super) fn beyond(&self, reply: Reply, asked: &Asked<'_>) -> Outcome {
        let is_outside = matches!(reply, Reply::Refused);
        let mut outcome = self.outcome_of(reply);
        let wanted = match is_outside {
            true => Some(asked.name.clone()),
            false => self.loose_end(&outcome, asked.kind),
        };
        let Some(name) = wanted else { return outcome };
        let forwarder = self.forwarder.filter(|_| self.query.recursion_desired && is_for_others(asked.kind));
        let Some(forwarder) = forwarder else {
            if is_outside && self.authority.options.forward.is_some() {
                self.handler.metrics.forward.refused.count();
            }
            return outcome;
        };
        if is_outside {
            outcome = Outcome::default();
        }
        let wanted = Wanted {
            name,
            kind: asked.kind,
            dnssec_ok: self.query.edns.is_some_and(|edns| edns.dnssec_ok),
            checking_disabled: self.query.checking_disabled,
        };
        match special::answer(&wanted, forwarder.is_of_site()) {
            Some(found) => {
                self.handler.metrics.forward.special.count();
                outcome.take(found);
            }
            None => outcome.wanted = Some(wanted),
        }
        outcome
    }

    /// The name outside our zones that an answer's chain of CNAME records ends in.
    fn loose_end(&self, outcome: &Outcome, kind: RecordType) -> Option<Name> {
        if self.forwarder.is_none() || matches!(kind, RecordType::CNAME | RecordType::ANY) {
            return None;
        }
        let RData::CNAME(target) = &outcome.answers.last()?.data else { return None };
        let is_outside = matches!(self.authority.zones.find(&name::to_lower_wire(target)), InZone::Outside);
        (is_outside && outcome.authorities.is_empty()).then(|| target.0.clone())
    }

    /// Puts the question aside, if there is a place.
    pub(super) fn put_aside(
        &self,
        message: &[u8],
        client: SocketAddr,
        authority: &Arc<Authority>,
        outcome: Outcome,
        wanted: Wanted,
    ) -> Option<Box<Later>> {
        let forwarder = self.forwarder?;
        let place = forwarder.place(self.client)?;
        Some(Box::new(Later {
            message: message.to_vec(),
            client,
            transport: self.transport,
            now: self.now,
            authority: Arc::clone(authority),
            forwarder: Arc::clone(forwarder),
            outcome,
            wanted,
            place,
        }))
    }
}

impl Outcome {
    /// Takes what others said behind the chain that is there. RFC 6604, 3: the RCODE is that of the last name in it.
    fn take(&mut self, found: Found) {
        if found.code == ResponseCode::ServFail {
            *self = Self::of(found.code);
            return;
        }
        self.code = found.code;
        self.answers.extend(found.answers);
        self.authorities = found.authorities;
        self.additionals = found.additionals;
        self.on_lack = OnLack::Ask;
    }
}

/// Whether a type may be asked of others: no pseudo type (RFC 6895, 3.1) but ANY.
fn is_for_others(kind: RecordType) -> bool {
    let code = u16::from(kind);
    !matches!(code, 0 | 41 | 128..=254)
}
