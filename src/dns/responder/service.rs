//! A farm as a service: SRV for proxies that keep a list of servers (RFC 2782), HTTPS and SVCB for clients that want address
//! and port at once (RFC 9460). None of them is a choice: nothing moves.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::rdata::svcb::{IpHint, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, HTTPS, SRV, SVCB};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::balance::Farm;
use crate::balance::choice::Choice;
use crate::balance::plan::Fallback;
use crate::balance::random::Random;
use crate::balance::view::{Machine, View};

use super::super::zone::Zone;
use super::farm::{FarmAsked, Target, host_name, nobody, without_members};
use super::{Answer, Reply, Responder, Step, machine_records};

/// HAProxy takes the weight through 256, nginx as it is.
const STEP: u16 = 256;
/// Steps of the largest weight: 65280.
pub const STEPS: u16 = 255;

impl Responder<'_> {
    /// Members with their shares at priority 0, those of the fallback at priority 1. Members without a port cannot stand
    /// in an SRV record and are left out.
    pub(super) fn service(&self, query: &FarmAsked<'_>) -> Step {
        let view = query.farm.view();
        let mut rows = self.rows(query, query.farm, &view, 0);
        let backup = view.relay().or(view.backup());
        if let Some(backup) = backup {
            rows.extend(self.rows(query, backup, &backup.view(), 1));
        }
        let elsewhere = view.elsewhere().and_then(|fallback| elsewhere(query, fallback));
        let mut answer = Answer::default();
        for (record, machine) in rows {
            if let RData::SRV(srv) = &record.data {
                answer.additional.extend(machine_records(&srv.target, &machine));
            }
            answer.records.push(record);
        }
        if let Some((record, address)) = elsewhere {
            answer.additional.extend(address);
            answer.additional.extend(self.additional(std::slice::from_ref(&record)));
            answer.records.push(record);
        }
        if !answer.records.is_empty() {
            return Step::End(Reply::Answer(answer));
        }
        // No member has a port: the farm offers no service. Otherwise nobody is left, and SERVFAIL keeps a proxy's list.
        let somebody =
            !view.shares().is_empty() || backup.is_some_and(|farm| !farm.view().shares().is_empty());
        if somebody || view.elsewhere().is_some() { Step::no_data(query.zone) } else { nobody(query.farm) }
    }

    fn rows(
        &self,
        query: &FarmAsked<'_>,
        farm: &Farm,
        view: &View,
        priority: u16,
    ) -> Vec<(Record, Arc<Machine>)> {
        let shares = view.shares();
        let shares: Vec<(&Arc<Machine>, f64)> = shares
            .iter()
            .map(|(id, share)| (view.machine(*id), *share))
            .filter(|(machine, _)| machine.port.is_some())
            .collect();
        let steps = self.damper.steps(farm.name(), &shares);
        let ttl = query.farm.view().ttl();
        let row = |((machine, _), steps): (&(&Arc<Machine>, f64), u16)| {
            let target = target(query.zone, machine)?;
            let srv = SRV::new(priority, steps * STEP, machine.port?, target);
            Some((Record::from_rdata(query.owner.clone(), ttl, RData::SRV(srv)), Arc::clone(machine)))
        };
        shares.iter().zip(steps).filter_map(row).collect()
    }

    /// The member that would be chosen, with its port and its addresses as hints.
    pub(super) fn binding(&self, query: &FarmAsked<'_>, kind: RecordType, random: &mut dyn Random) -> Step {
        let choice = query.farm.rank(&query.ask, random);
        let ttl = query.farm.view().ttl();
        let wrap =
            |svcb| if kind == RecordType::HTTPS { RData::HTTPS(HTTPS(svcb)) } else { RData::SVCB(svcb) };
        let record = |svcb| Record::from_rdata(query.owner.clone(), ttl, wrap(svcb));
        match &choice {
            Choice::Member(chosen) => {
                let machine = chosen.machine();
                let Some(target) = target(query.zone, machine) else { return Step::no_data(query.zone) };
                let additional = machine_records(&target, machine).collect();
                let records = vec![record(svcb(target, machine.port, &machine.addresses))];
                let by_subnet = query.by_subnet;
                Step::End(Reply::Answer(Answer { records, additional, by_subnet, ..Answer::default() }))
            }
            Choice::Elsewhere(elsewhere) => match elsewhere.fallback() {
                // The owner itself is the target (RFC 9460, 2.5.2): its A or AAAA record is that address.
                Fallback::Address(address, port) => {
                    Step::answer(vec![record(svcb(Name::root(), *port, &[*address]))])
                }
                _ => without_members(query, &choice),
            },
            _ => without_members(query, &choice),
        }
    }
}

/// The record of a fallback that is no farm, and its address if it is one. A URL's port is the client's business.
fn elsewhere(query: &FarmAsked<'_>, fallback: &Fallback) -> Option<(Record, Option<Record>)> {
    let (Fallback::Address(_, Some(port)) | Fallback::Host(_, Some(port))) = fallback else { return None };
    let ttl = query.farm.view().ttl();
    let (target, address) = match Target::of(fallback)? {
        // The farm's own name has that address now.
        Target::Address(address) => {
            let name = query.zone.apex.prepend_label(query.farm.name().as_str().as_bytes()).ok()?;
            let address = super::address_record(&name, ttl, address);
            (name, Some(address))
        }
        Target::Host(host) => (host_name(host)?, None),
    };
    let srv = RData::SRV(SRV::new(1, STEP, *port, target));
    Some((Record::from_rdata(query.owner.clone(), ttl, srv), address))
}

/// `app01.phys.ZONE`
fn target(zone: &Zone, machine: &Machine) -> Option<Name> {
    zone.phys.prepend_label(machine.name.as_str().as_bytes()).ok()
}

/// Parameters in the order of their keys (RFC 9460, 2.2).
fn svcb(target: Name, port: Option<u16>, addresses: &[IpAddr]) -> SVCB {
    let mut params = Vec::new();
    params.extend(port.map(|port| (SvcParamKey::Port, SvcParamValue::Port(port))));
    let v4: Vec<A> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(A(*address)),
            IpAddr::V6(_) => None,
        })
        .collect();
    let v6: Vec<AAAA> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V6(address) => Some(AAAA(*address)),
            IpAddr::V4(_) => None,
        })
        .collect();
    if !v4.is_empty() {
        params.push((SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(v4))));
    }
    if !v6.is_empty() {
        params.push((SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(IpHint(v6))));
    }
    SVCB::new(1, target, params)
}
