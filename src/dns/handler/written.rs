//! Outcomes written: sections, EDNS, size, truncation, cookies, and what is counted and logged of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};

use super::super::message::{Section, Writer};
use super::super::name;
use super::super::query::{Edns, option};
use super::super::transport::Transport;
use super::{Call, OnLack, Outcome};
use crate::metrics::Counter;

/// Octets that the length of a padded reply is a multiple of (RFC 8467, 4.1).
const PADDED: usize = 468;

impl Call<'_> {
    /// Writes the message, counts it, and logs it if it is due.
    pub(super) fn finish(&self, outcome: Outcome, out: &mut Vec<u8>) {
        let code = outcome.code;
        self.write(outcome, out);
        self.log(code, &self.handler.seen);
    }

    /// Writes the message and counts it.
    fn write(&self, outcome: Outcome, out: &mut Vec<u8>) {
        let payload = self.query.edns.map(|edns| edns.payload);
        let limit = match self.transport {
            Transport::Udp => self.authority.udp_limit(self.client, payload),
            _ => usize::from(u16::MAX),
        };
        let edns = self.query.edns.map(|edns| (edns, self.options(&edns, outcome.by_subnet)));
        let kept = edns.as_ref().map_or(0, |(_, options)| 11 + options.len());
        let mut writer = Writer::new(out, self.query, limit, kept);
        if outcome.authoritative {
            writer.authoritative();
        }
        if self.forwarder.is_some() {
            writer.recursion_available();
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
        writer.rcode(outcome.code);
        if let Some((edns, options)) = &edns {
            let (payload, dnssec_ok) = (self.authority.options.max_udp, edns.dnssec_ok);
            // RFC 7830, 4 and 6: only who pads is padded, and only where it hides something.
            if edns.padding && self.transport.is_encrypted() {
                writer.opt_padded(payload, outcome.code, dnssec_ok, options, PADDED);
            } else {
                writer.opt(payload, outcome.code, dnssec_ok, options);
            }
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
