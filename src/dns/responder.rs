//! What a question means: a name and a type in, a [`Reply`] out. No I/O, no clock, no message.
//!
//! Here are the zones' own records, CNAME chains and delegations; [`farm`] has the farms' addresses and explanations,
//! [`service`] their SRV, HTTPS and SVCB records.

mod farm;
mod service;

use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, HINFO};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::balance::damper::Damper;
use crate::balance::random::Random;
use crate::balance::repeat::Packet;
use crate::balance::view::Machine;
use crate::balance::{self, Engine, Moment};

use super::name;
use super::zone::{Cut, Found, RrSet, Zone, Zones};

pub use service::STEPS;

/// TTL of a backend's own addresses, in seconds.
pub const PHYS_TTL: u32 = 30;
/// TTL of the answer to ANY, in seconds (RFC 8482, 4.2 leaves it open: long, so that nobody asks again soon).
const ANY_TTL: u32 = 3600;
/// Longest chain of CNAME records that is followed.
const LONGEST_CHAIN: usize = 16;

/// A question of class IN, after transfers were refused.
pub struct Asked<'a> {
    /// The name, in the letter case it came in.
    pub name: Name,
    /// The same in wire format and lower case.
    pub wire: &'a [u8],
    /// The type.
    pub kind: RecordType,
    /// The client's network, where it may be the key of a hashing rule.
    pub subnet: Option<&'a [u8]>,
    /// The packet that it came in, if it may come once more.
    pub packet: Option<Packet<'a>>,
    /// When.
    pub now: Moment,
}

/// What is answered. An outcome, not an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// NOERROR with records.
    Answer(Answer),
    /// NOERROR without: the name is there, the type is not.
    NoData(Negative),
    /// NXDOMAIN
    NxDomain(Negative),
    /// NOERROR with the name servers of a child zone.
    Referral(Referral),
    /// REFUSED: not our zone.
    Refused,
    /// SERVFAIL
    ServFail(Reason),
}

/// Records in the answer section.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// CNAME records first, if any led here.
    pub records: Vec<Record>,
    /// Addresses of names in them.
    pub additional: Vec<Record>,
    /// Whether it is whole with as many records as fit, so that nobody has to ask again over TCP.
    pub as_many_as_fit: bool,
    /// Whether the client's network was the key, so that others may get another answer (RFC 7871, 7.2.1).
    pub by_subnet: bool,
}

/// A negative answer (RFC 2308).
#[derive(Debug, Clone, PartialEq)]
pub struct Negative {
    /// CNAME records that led here.
    pub chain: Vec<Record>,
    /// The zone's SOA record with the TTL of negative answers.
    pub soa: Record,
}

/// A delegation.
#[derive(Debug, Clone, PartialEq)]
pub struct Referral {
    /// CNAME records that led here.
    pub chain: Vec<Record>,
    /// The child zone's NS records.
    pub servers: Vec<Record>,
    /// Addresses of those that are in our zones.
    pub glue: Vec<Record>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No member, no fallback, no last resort.
    #[error("farm {0}: nobody is left")]
    NobodyLeft(balance::Name),
    /// A fallback host that is no domain name.
    #[error("farm {farm}: fallback {host} is no domain name")]
    FallbackHost {
        /// The farm.
        farm: balance::Name,
        /// The host.
        host: String,
    },
}

/// Answers questions over one set of zones and one engine.
pub struct Responder<'a> {
    /// The zones.
    pub zones: &'a Zones,
    /// The engine; only for backends by name and for explanations, farms are bound in the zones.
    pub engine: &'a Engine,
    /// Keeps SRV weights from twitching.
    pub damper: &'a Damper,
    /// Whether TXT of a farm explains the choice.
    pub explain: bool,
}

/// Where one name leads.
enum Step {
    /// To another name by this CNAME record.
    Follow(Record, Name),
    /// To an end.
    End(Reply),
}

impl Step {
    fn answer(records: Vec<Record>) -> Self {
        Self::End(Reply::Answer(Answer { records, ..Answer::default() }))
    }

    fn no_data(zone: &Zone) -> Self {
        Self::End(Reply::NoData(Negative { chain: Vec::new(), soa: zone.negative.clone() }))
    }

    fn nx_domain(zone: &Zone) -> Self {
        Self::End(Reply::NxDomain(Negative { chain: Vec::new(), soa: zone.negative.clone() }))
    }

    /// RFC 8482, 4.2: ANY is answered with one small record that says so.
    fn any(owner: &Name) -> Self {
        let content = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
        Self::answer(vec![Record::from_rdata(owner.clone(), ANY_TTL, content)])
    }
}

impl Responder<'_> {
    /// Answers a question. `random` draws ties and weighted choices.
    pub fn respond(&self, asked: &Asked<'_>, random: &mut dyn Random) -> Reply {
        let mut chain = Vec::new();
        let mut owner = asked.name.clone();
        let mut wire = asked.wire.to_vec();
        loop {
            let step = self.step(asked, &owner, &wire, random);
            let (cname, target) = match step {
                Step::Follow(cname, target) => (cname, target),
                Step::End(Reply::Refused) if !chain.is_empty() => break,
                Step::End(reply) => return reply.after(chain),
            };
            wire = name::to_lower_wire(&target);
            owner = target;
            chain.push(cname);
            // A circle of CNAME records ends here too; who follows chains sees it for himself.
            if chain.len() == LONGEST_CHAIN {
                break;
            }
        }
        Reply::Answer(Answer { records: chain, ..Answer::default() })
    }

    fn step(&self, asked: &Asked<'_>, owner: &Name, wire: &[u8], random: &mut dyn Random) -> Step {
        match self.zones.find(wire) {
            Found::Outside => Step::End(Reply::Refused),
            Found::Nothing(zone) => Step::nx_domain(zone),
            Found::Name(zone, sets) => self.records(asked.kind, owner, zone, sets),
            Found::Delegation(zone, cut) => self.delegation(asked.kind, owner, wire, zone, cut),
            Found::Machine(zone, label) => match self.machine(&wire[label]) {
                Some(machine) => phys(asked.kind, owner, zone, &machine),
                None => Step::nx_domain(zone),
            },
            Found::Farm(zone, farm) => self.farm(asked, owner, wire, zone, &farm, random),
        }
    }

    /// The records of a name in a zone file (RFC 1034, 4.3.2, step 3a).
    fn records(&self, kind: RecordType, owner: &Name, zone: &Zone, sets: &[RrSet]) -> Step {
        if kind == RecordType::ANY && !sets.is_empty() {
            return Step::any(owner);
        }
        if let Some(set) = sets.iter().find(|set| set.kind == kind) {
            let records = set.records(owner);
            let additional = self.additional(&records);
            return Step::End(Reply::Answer(Answer { records, additional, ..Answer::default() }));
        }
        let cname = sets.iter().find(|set| set.kind == RecordType::CNAME);
        match cname.and_then(|set| set.records(owner).into_iter().next()) {
            Some(cname) => match &cname.data {
                RData::CNAME(target) => {
                    let target = target.0.clone();
                    Step::Follow(cname, target)
                }
                _ => Step::no_data(zone),
            },
            None => Step::no_data(zone),
        }
    }

    /// Step 3b: a referral, unless the parent's own DS record is asked for (RFC 4035, 3.1.4.1).
    fn delegation(&self, kind: RecordType, owner: &Name, wire: &[u8], zone: &Zone, cut: Cut<'_>) -> Step {
        if kind == RecordType::DS && cut.start == 0 {
            return match cut.sets.iter().find(|set| set.kind == kind) {
                Some(set) => Step::answer(set.records(owner)),
                None => Step::no_data(zone),
            };
        }
        let child = name::Labels::of(&wire[cut.start..]).map_or(0, |labels| labels.count());
        let child = owner.trim_to(child);
        let servers = cut.sets.iter().find(|set| set.kind == RecordType::NS);
        let servers = servers.map(|set| set.records(&child)).unwrap_or_default();
        let glue = self.additional(&servers);
        Step::End(Reply::Referral(Referral { chain: Vec::new(), servers, glue }))
    }

    /// Addresses of the names in NS, MX and SRV records, as far as they are in our zones (RFC 1035, 3.3; RFC 2782). A farm's
    /// are left out: they would be a choice that nobody asked for.
    fn additional(&self, records: &[Record]) -> Vec<Record> {
        let mut additional = Vec::new();
        let mut seen: Vec<&Name> = Vec::new();
        for record in records {
            let target = match &record.data {
                RData::NS(server) => &server.0,
                RData::MX(mx) => &mx.exchange,
                RData::SRV(srv) => &srv.target,
                _ => continue,
            };
            if seen.contains(&target) {
                continue;
            }
            seen.push(target);
            let wire = name::to_lower_wire(target);
            if let Found::Machine(_, label) = self.zones.find(&wire) {
                let machine = self.machine(&wire[label]);
                additional.extend(machine.iter().flat_map(|machine| machine_records(target, machine)));
                continue;
            }
            let addresses = self.zones.records(&wire).iter().filter(|set| set.kind.is_ip_addr());
            additional.extend(addresses.flat_map(|set| set.records(target)));
        }
        additional
    }

    fn machine(&self, label: &[u8]) -> Option<std::sync::Arc<Machine>> {
        self.engine.machine(std::str::from_utf8(label).ok()?)
    }
}

impl Reply {
    /// Puts a chain of CNAME records in front.
    fn after(mut self, mut chain: Vec<Record>) -> Self {
        match &mut self {
            Self::Answer(answer) => {
                chain.append(&mut answer.records);
                answer.records = chain;
            }
            Self::NoData(negative) | Self::NxDomain(negative) => negative.chain = chain,
            Self::Referral(referral) => referral.chain = chain,
            Self::Refused | Self::ServFail(_) => {}
        }
        self
    }
}

impl RrSet {
    /// The records, under this owner: a wildcard's have the name that was asked for (RFC 4592, 3.3.1).
    fn records(&self, owner: &Name) -> Vec<Record> {
        let record = |content: &RData| Record::from_rdata(owner.clone(), self.ttl, content.clone());
        self.data.iter().map(record).collect()
    }
}

/// A backend's addresses, whatever its state.
fn phys(kind: RecordType, owner: &Name, zone: &Zone, machine: &Machine) -> Step {
    if kind == RecordType::ANY {
        return Step::any(owner);
    }
    let records: Vec<Record> =
        machine_records(owner, machine).filter(|record| record.record_type() == kind).collect();
    if records.is_empty() { Step::no_data(zone) } else { Step::answer(records) }
}

fn machine_records(owner: &Name, machine: &Machine) -> impl Iterator<Item = Record> {
    machine.addresses.iter().map(|&address| address_record(owner, PHYS_TTL, address))
}

fn address_record(owner: &Name, ttl: u32, address: IpAddr) -> Record {
    let content = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(owner.clone(), ttl, content)
}
