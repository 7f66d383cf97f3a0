//! Outcomes made replies: sections, EDNS, size, truncation, cookies, and what is counted and logged of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_proto::op::{self, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};

use super::super::message::{OnLack, Queries, Sheet, Size};
use super::super::name;
use super::super::query::{Edns, option};
use super::super::transport::Transport;
use super::{Call, Outcome};
use crate::metrics::Counter;

/// Octets that the length of a padded reply is a multiple of (RFC 8467, 4.1).
const PADDED: usize = 468;

impl Call<'_> {
    /// Makes the reply, counts it, and logs it if it is due.
    pub(super) fn finish<'q>(&self, outcome: Outcome, queries: &'q Queries) -> Sheet<'q> {
        let query = self.query;
        self.counter(&outcome).count();
        self.log(outcome.code, &self.handler.seen);
        let mut metadata = Metadata::new(query.id, MessageType::Response, OpCode::from_u8(query.opcode));
        metadata.recursion_desired = query.recursion_desired;
        metadata.checking_disabled = query.checking_disabled;
        metadata.authoritative = outcome.authoritative;
        metadata.recursion_available = self.forwarder.is_some();
        metadata.response_code = outcome.code;
        let edns = query.edns.map(|asked| self.opt(&asked, outcome.by_subnet));
        let size = self.size(outcome.on_lack);
        let Outcome { answers, authorities, additionals, .. } = outcome;
        Sheet { queries, metadata, answers, authorities, additionals, edns, size }
    }

    fn size(&self, on_lack: OnLack) -> Size {
        let edns = self.query.edns;
        let limit = match self.transport {
            Transport::Udp => self.authority.udp_limit(self.client, edns.map(|edns| edns.payload)),
            _ => usize::from(u16::MAX),
        };
        // RFC 7830, 4 and 6: only who pads is padded, and only where it hides something.
        let pads = self.transport.is_encrypted() && edns.is_some_and(|edns| edns.padding);
        Size { limit, block: pads.then_some(PADDED), on_lack }
    }

    /// What OPT says. Its options stand in the order of their codes: only those that were asked for (RFC 6891, 6.1.2).
    fn opt(&self, asked: &Edns<'_>, by_subnet: bool) -> op::Edns {
        let mut opt = op::Edns::new();
        opt.set_max_payload(self.authority.options.max_udp).set_dnssec_ok(asked.dnssec_ok);
        // Options of a version that we do not know mean nothing to us.
        if asked.version != 0 {
            return opt;
        }
        let options = opt.options_mut();
        let mut add = |code: u16, parts: &[&[u8]]| options.insert(EdnsOption::Unknown(code, parts.concat()));
        if let (true, Some(nsid)) = (asked.nsid, &self.authority.options.nsid) {
            add(option::NSID, &[nsid]);
        }
        if let Some(subnet) = self.subnet() {
            // RFC 7871, 7.2.1: the scope is what the answer depends on; 0 if it is the same for everybody.
            let scope = if by_subnet { subnet.prefix } else { 0 };
            add(option::SUBNET, &[&[0, subnet.family, subnet.prefix, scope], subnet.address]);
        }
        let checked = match (&self.authority.cookies, asked.cookie) {
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
        opt
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
