//! Replies that lead out of our zones.
//!
//! Two questions wait for others: one for a name outside our zones, and one whose chain of CNAME records leads out of
//! them, which a client that relies on us to resolve cannot follow by itself.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};

use super::super::forward::{Found, Wanted, special};
use super::super::message::OnLack;
use super::super::name;
use super::super::responder::{Asked, Reply};
use super::super::zone::Found as InZone;
use super::{Call, Outcome};

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
}

impl Outcome {
    /// Takes what others said behind the chain that is there. RFC 6604, 3: the RCODE is that of the last name in it.
    pub(super) fn take(&mut self, found: Found) {
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
