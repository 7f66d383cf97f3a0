//! A farm's addresses: the choice, the spares, everybody; what stands in when nobody is there; and the explanation.

use std::net::IpAddr;

use hickory_proto::rr::rdata::{CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::balance::choice::{Choice, Chosen};
use crate::balance::plan::{Fallback, UrlHost};
use crate::balance::random::Random;
use crate::balance::status::{LoadState, MemberStatus};
use crate::balance::view::View;
use crate::balance::{Ask, Family, Farm};

use super::super::name;
use super::super::zone::{FarmName, Form, Zone};
use super::{Answer, Asked, Reason, Reply, Responder, Step, address_record};

/// Most members that an explanation lists.
const EXPLAINED: usize = 16;

/// A question about a farm.
pub(super) struct FarmAsked<'a> {
    pub zone: &'a Zone,
    pub owner: &'a Name,
    pub farm: &'a Farm,
    /// For the core.
    pub ask: Ask<'a>,
    /// Whether the key is the client's network.
    pub by_subnet: bool,
}

impl Responder<'_> {
    pub(super) fn farm(
        &self,
        asked: &Asked<'_>,
        owner: &Name,
        wire: &[u8],
        zone: &Zone,
        found: &FarmName<'_>,
        random: &mut dyn Random,
    ) -> Step {
        let mut buffer = [0; 255];
        let labels = name::key(&wire[found.labels.clone()], &mut buffer);
        let subnet = asked.subnet.filter(|_| labels.is_empty() && found.farm.view().algorithm().sees_key);
        let family = match asked.kind {
            RecordType::A => Some(Family::V4),
            RecordType::AAAA => Some(Family::V6),
            _ => None,
        };
        let stick = found.farm.read_label(&wire[found.nearest.clone()], asked.now);
        let again = found.form == Form::Again;
        let key = subnet.unwrap_or(labels);
        let ask = Ask { family, key, stick, again, packet: asked.packet, now: asked.now };
        let query = FarmAsked { zone, owner, farm: found.farm, ask, by_subnet: subnet.is_some() };
        match (found.form, asked.kind) {
            (Form::ServiceParent, _) => Step::no_data(zone),
            (_, RecordType::ANY) => Step::any(owner),
            (Form::Service, RecordType::SRV) => self.service(&query),
            (Form::Service, _) => Step::no_data(zone),
            (Form::All, RecordType::A | RecordType::AAAA) => all(&query, random),
            (Form::Spares, RecordType::A | RecordType::AAAA) => addresses(&query, usize::MAX, random),
            (Form::Plain | Form::Again, RecordType::A | RecordType::AAAA) => {
                let most = found.farm.view().answers();
                addresses(&query, most, random)
            }
            (Form::Plain | Form::Again, RecordType::HTTPS | RecordType::SVCB) => {
                self.binding(&query, asked.kind, random)
            }
            (Form::Plain, RecordType::TXT) if self.explain => self.explanation(&query, random),
            _ => Step::no_data(zone),
        }
    }

    /// What the farm would answer, by which rule, and what the rule saw; best first. Moves nothing.
    fn explanation(&self, query: &FarmAsked<'_>, random: &mut dyn Random) -> Step {
        let now = query.ask.now;
        let Some(status) = self.engine.farm_status(query.farm.name().as_str(), now) else {
            return Step::no_data(query.zone);
        };
        let choice = query.farm.rank(&query.ask, random);
        let mut texts = vec![
            format!("choice: {}", words(&choice)),
            format!("rule: {}", status.algorithm),
            format!("source: {}", because(&status.source.value.to_string(), &status.source.reason)),
            format!("load: {}", status.load),
        ];
        let place = |member: &MemberStatus| match &choice {
            Choice::Member(chosen) => chosen.machines().position(|machine| machine.name == member.backend),
            _ => None,
        };
        let mut members: Vec<_> =
            status.members.iter().map(|member| (place(member).unwrap_or(usize::MAX), member)).collect();
        members.sort_by_key(|(place, _)| *place);
        texts.extend(members.iter().take(EXPLAINED).map(|(_, member)| member_words(member)));
        if members.len() > EXPLAINED {
            texts.push(format!("and {} more", members.len() - EXPLAINED));
        }
        let octets = texts.iter().map(|text| cut(text)).collect();
        let record = Record::from_rdata(query.owner.clone(), 0, RData::TXT(TXT::from_bytes(octets)));
        Step::answer(vec![record])
    }
}

/// The chosen member's address, and those of as many others as were asked for. This is what counts as a choice.
fn addresses(query: &FarmAsked<'_>, most: usize, random: &mut dyn Random) -> Step {
    // A fallback of the other family is no answer, so it must not be counted as one.
    if query.farm.view().elsewhere().is_some_and(|fallback| is_other_family(fallback, query.ask.family)) {
        return Step::no_data(query.zone);
    }
    match query.farm.choose_several(&query.ask, most, random) {
        Choice::Member(chosen) => {
            let family = query.ask.family;
            let chosen = chosen.machines().filter_map(|machine| machine.address(family));
            answer(query, chosen, most == usize::MAX)
        }
        other => without_members(query, &other),
    }
}

/// Everybody available, in the order of the configuration. No choice: it is for templates and for people.
fn all(query: &FarmAsked<'_>, random: &mut dyn Random) -> Step {
    match query.farm.rank(&query.ask, random) {
        Choice::Member(_) => {
            let view = serving(query.farm);
            let shares = view.shares();
            let machines = shares.iter().map(|(id, _)| view.machine(*id));
            answer(query, machines.filter_map(|machine| machine.address(query.ask.family)), false)
        }
        other => without_members(query, &other),
    }
}

/// The view whose members a farm gives: its own, or that of the farm it falls back on.
pub(super) fn serving(farm: &Farm) -> arc_swap::Guard<std::sync::Arc<View>> {
    let view = farm.view();
    match view.relay() {
        Some(relay) => relay.view(),
        None => view,
    }
}

fn answer(query: &FarmAsked<'_>, addresses: impl Iterator<Item = IpAddr>, as_many_as_fit: bool) -> Step {
    let ttl = query.farm.view().ttl();
    let mut given: Vec<IpAddr> = Vec::new();
    for address in addresses {
        // Backends may share an address; an RRset holds no two equal records (RFC 2181, 5).
        if !given.contains(&address) {
            given.push(address);
        }
    }
    if given.is_empty() {
        return Step::no_data(query.zone);
    }
    let records = given.into_iter().map(|address| address_record(query.owner, ttl, address)).collect();
    let answer = Answer { records, as_many_as_fit, by_subnet: query.by_subnet, ..Answer::default() };
    Step::End(Reply::Answer(answer))
}

/// What stands in for members: a fallback that is no farm, NODATA, or SERVFAIL.
pub(super) fn without_members(query: &FarmAsked<'_>, choice: &Choice) -> Step {
    match choice {
        Choice::Elsewhere(elsewhere) => match Target::of(elsewhere.fallback()) {
            Some(Target::Address(address)) => {
                let fits = query.ask.family.is_none_or(|family| is_of(address, family));
                answer(query, Some(address).filter(|_| fits).into_iter(), false)
            }
            Some(Target::Host(host)) => match host_name(host) {
                Some(target) => {
                    let cname = RData::CNAME(CNAME(target.clone()));
                    let ttl = query.farm.view().ttl();
                    Step::Follow(Record::from_rdata(query.owner.clone(), ttl, cname), target)
                }
                None => {
                    let (farm, host) = (query.farm.name().clone(), host.to_owned());
                    Step::End(Reply::ServFail(Reason::FallbackHost { farm, host }))
                }
            },
            None => nobody(query.farm),
        },
        Choice::NoAddress => Step::no_data(query.zone),
        Choice::Nobody | Choice::Member(_) => nobody(query.farm),
    }
}

pub(super) fn nobody(farm: &Farm) -> Step {
    Step::End(Reply::ServFail(Reason::NobodyLeft(farm.name().clone())))
}

/// A fallback in DNS's eyes: a URL is its host.
pub(super) enum Target<'a> {
    Address(IpAddr),
    Host(&'a str),
}

impl<'a> Target<'a> {
    pub(super) fn of(fallback: &'a Fallback) -> Option<Self> {
        match fallback {
            Fallback::Farm(_) => None,
            Fallback::Address(address, _) | Fallback::Url { host: UrlHost::Address(address), .. } => {
                Some(Self::Address(*address))
            }
            Fallback::Host(host, _) | Fallback::Url { host: UrlHost::Name(host), .. } => {
                Some(Self::Host(host))
            }
        }
    }
}

/// The domain name of a host that is written without its final dot.
pub(super) fn host_name(host: &str) -> Option<Name> {
    Name::from_labels(host.trim_end_matches('.').split('.').map(str::as_bytes)).ok()
}

fn is_of(address: IpAddr, family: Family) -> bool {
    address.is_ipv4() == (family == Family::V4)
}

fn is_other_family(fallback: &Fallback, family: Option<Family>) -> bool {
    match (Target::of(fallback), family) {
        (Some(Target::Address(address)), Some(family)) => !is_of(address, family),
        _ => false,
    }
}

fn words(choice: &Choice) -> String {
    let chosen = |chosen: &Chosen| {
        let machine = chosen.machine();
        let addresses: Vec<_> = machine.addresses.iter().map(IpAddr::to_string).collect();
        format!("{} {}", machine.name, addresses.join(" "))
    };
    match choice {
        Choice::Member(member) => chosen(member),
        Choice::Elsewhere(elsewhere) => elsewhere.fallback().to_string(),
        Choice::NoAddress | Choice::Nobody => "nobody".to_owned(),
    }
}

fn member_words(member: &MemberStatus) -> String {
    if !member.available {
        return because(&format!("{}: not available", member.backend), &member.reason);
    }
    let load = match &member.load {
        LoadState::Known(load) => format!("load {load}"),
        LoadState::Missing(statistic) => format!("load unknown, {statistic} was not reported"),
        LoadState::NotFinite => "load not finite".to_owned(),
    };
    let believed = member.belief.map_or_else(String::new, |belief| {
        let capacity = belief.capacity().map_or_else(
            || ", capacity not known yet".to_owned(),
            |capacity| format!(", capacity {capacity:.3} answers a second"),
        );
        format!(", believed load {:.3}{capacity}", belief.load)
    });
    format!("{}: {load}, weight {}, share {:.3}{believed}", member.backend, member.weight, member.share)
}

fn because(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}, {why}") }
}

/// At most the 255 octets of a character-string (RFC 1035, 3.3).
fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(255)]
}
