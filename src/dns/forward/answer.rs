//! What an upstream said, cut down to what belongs to the question, in the form in which the cache keeps it, and from there
//! to what a client gets.

use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::net::{DnsError, NetError, NoRecords};

use super::{Found, Wanted};

/// How long an answer is believed, at most (RFC 8767, 4 recommends to cap at days; a day is hickory's cap as well).
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The same of what is not there (RFC 2308, 5 recommends one to three hours).
pub const LONGEST_NEGATIVE: Duration = Duration::from_secs(3600);
/// Longest chain of CNAME records that is believed.
const LONGEST_CHAIN: usize = 16;

/// Types of which hickory knows the number alone (RFC 6672, RFC 4034, RFC 5155).
const DNAME: u16 = 39;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;

/// An answer of use.
pub struct Answered {
    /// As the cache keeps it.
    pub message: Result<Message, NetError>,
    /// Whether it may.
    pub keep: bool,
}

/// Takes an answer with records in the answer section; `None` if none of them belongs to the question.
pub fn positive(mut message: Message, wanted: &Wanted) -> Option<Answered> {
    let claimed = message.answers.len();
    let names = chain(&message.answers, &wanted.name);
    message.answers.retain(|record| belongs(record, &names));
    if message.answers.is_empty() && (claimed > 0 || wanted.kind != RecordType::SOA) {
        return None;
    }
    cap(&mut message.answers, LONGEST);
    message.edns = None;
    message.signature = None;
    let code = message.metadata.response_code;
    let is_there = code == ResponseCode::NoError
        && message
            .answers
            .iter()
            .any(|record| wanted.kind == RecordType::ANY || record.record_type() == wanted.kind);
    if is_there {
        message.authorities.clear();
        message.additionals.retain(|record| record.record_type().is_ip_addr());
        cap(&mut message.additionals, LONGEST);
        return Some(Answered { message: Ok(message), keep: true });
    }
    // The chain leads to nothing (RFC 2308, 2.1 and 2.2): what says so lives no longer than that holds.
    message.additionals.clear();
    let lifetime = proof(&mut message.authorities);
    if message.answers.is_empty() {
        let mut none = NoRecords::new(message.queries.pop().unwrap_or_default(), code);
        none.authorities = Some(message.authorities.into());
        return negative(none);
    }
    cap(&mut message.answers, Duration::from_secs(lifetime.unwrap_or(0).into()));
    Some(Answered { message: Ok(message), keep: lifetime.is_some() })
}

/// Takes an answer without; `None` if it is a referral, for then whoever gave it does not resolve.
pub fn negative(mut negative: NoRecords) -> Option<Answered> {
    let mut authorities = negative.authorities.as_deref().unwrap_or_default().to_vec();
    let lifetime = proof(&mut authorities);
    if lifetime.is_none() && negative.ns.is_some() && negative.response_code == ResponseCode::NoError {
        return None;
    }
    negative.negative_ttl = lifetime;
    negative.authorities = Some(authorities.into());
    negative.soa = None;
    negative.ns = None;
    let message = Err(NetError::Dns(DnsError::NoRecordsFound(negative)));
    Some(Answered { message, keep: lifetime.is_some() })
}

/// What a client gets: owners that are the question's name are spelled as the question spells it, and without DO there are
/// no signatures.
pub fn found(kept: Result<Message, NetError>, wanted: &Wanted) -> Found {
    let mut found = match kept {
        Ok(message) => Found {
            code: message.metadata.response_code,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        },
        Err(NetError::Dns(DnsError::NoRecordsFound(negative))) => Found {
            code: negative.response_code,
            authorities: negative.authorities.as_deref().unwrap_or_default().to_vec(),
            ..Found::default()
        },
        Err(_) => return Found::nothing(),
    };
    for record in &mut found.answers {
        if record.name == wanted.name {
            record.name = wanted.name.clone();
        }
    }
    if !wanted.dnssec_ok {
        found.answers.retain(|record| record.record_type() == wanted.kind || !is_proof(record.record_type()));
        found.authorities.retain(|record| record.record_type() == RecordType::SOA);
    }
    found
}

/// The names that a chain of CNAME records leads over, from `name` on.
fn chain(answers: &[Record], name: &Name) -> Vec<Name> {
    let mut names = vec![name.clone()];
    while names.len() <= LONGEST_CHAIN {
        let last = &names[names.len() - 1];
        let next = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *last => Some(&target.0),
            _ => None,
        });
        match next {
            Some(next) if !names.contains(next) => names.push(next.clone()),
            _ => break,
        }
    }
    names
}

/// Whether a record is about one of these names. DNAME (RFC 6672), and its signature, stand above the name that it redirects.
fn belongs(record: &Record, names: &[Name]) -> bool {
    let redirects = match &record.data {
        RData::Unknown { code, rdata } if u16::from(*code) == RRSIG => {
            rdata.anything.first_chunk().is_some_and(|covered| u16::from_be_bytes(*covered) == DNAME)
        }
        _ => u16::from(record.record_type()) == DNAME,
    };
    names.contains(&record.name) || redirects && names.iter().any(|name| record.name.zone_of(name))
}

/// Cuts the authority section of a negative answer down to its SOA and what proves it, and gives how long that holds, in
/// seconds (RFC 2308, 5); `None`: nothing says so.
fn proof(authorities: &mut Vec<Record>) -> Option<u32> {
    authorities.retain(|record| is_proof(record.record_type()) || record.record_type() == RecordType::SOA);
    let lifetime = authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })?;
    let longest = Duration::from_secs(lifetime.into()).min(LONGEST_NEGATIVE);
    cap(authorities, longest);
    Some(longest.as_secs() as u32)
}

/// Signatures, and what proves that nothing is there.
fn is_proof(kind: RecordType) -> bool {
    matches!(u16::from(kind), RRSIG | NSEC | NSEC3)
}

fn cap(records: &mut [Record], longest: Duration) {
    let longest = longest.as_secs() as u32;
    records.iter_mut().for_each(|record| record.ttl = record.ttl.min(longest));
}
