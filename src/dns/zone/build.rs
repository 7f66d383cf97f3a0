//! How the index of zones comes to be: every name of every file in its place, the ends between them, the farms.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hashbrown::HashTable;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::balance::Farm;

use super::super::name::{self, Labels, ROOT_HASH};
use super::super::zonefile::{Problem, ZoneContent, ZoneError};
use super::farms::{Apex, FarmTable};
use super::{Form, Kind, NONE, Node, RrSet, Zone, Zones, name_in};

/// An index in the making.
#[derive(Default)]
struct Build {
    zones: Vec<Zone>,
    nodes: Vec<Node>,
    names: Vec<u8>,
    numbers: HashMap<Box<[u8]>, u32>,
    errors: Vec<ZoneError>,
}

/// Builds the index: see [`Zones::new`].
pub fn build(contents: &[ZoneContent], farms: &[Arc<Farm>]) -> Result<Zones, Vec<ZoneError>> {
    let mut build = Build::default();
    build.zones(contents);
    for (number, content) in contents.iter().enumerate() {
        build.records(number, content, contents);
    }
    if let Some(first) = contents.first() {
        build.check_reserved(contents, farms);
        build.gates(first);
    }
    if build.errors.is_empty() { Ok(build.finish(farms)) } else { Err(build.errors) }
}

impl Build {
    fn zones(&mut self, contents: &[ZoneContent]) {
        for content in contents {
            let wire = name::to_lower_wire(&content.apex);
            if let Some(other) = self.zones.iter().find(|zone| *zone.wire == *wire) {
                let problem =
                    Problem::ZoneTwice { apex: content.apex.to_string(), other: other.file.clone() };
                self.errors.push(ZoneError { file: content.file.clone(), line: 0, problem });
            }
            let minimum = match &content.soa.data {
                RData::SOA(SOA { minimum, .. }) => *minimum,
                _ => 0,
            };
            let mut negative = content.soa.clone();
            negative.ttl = negative.ttl.min(minimum);
            let phys = content.apex.prepend_label("phys").unwrap_or_else(|_| content.apex.clone());
            let file = content.file.clone();
            self.zones.push(Zone { apex: content.apex.clone(), phys, negative, wire: wire.into(), file });
        }
        // Every name above an apex is there, so that a walk from the root finds its way.
        for number in 0..self.zones.len() {
            let wire = self.zones[number].wire.clone();
            suffixes(&wire).for_each(|above| self.node(above, 0, Kind::Above));
        }
        for number in 0..self.zones.len() {
            let wire = self.zones[number].wire.clone();
            let apex = self.numbers[&wire] as usize;
            self.nodes[apex].zone = number as u32;
            self.nodes[apex].kind = Kind::Records(Box::default());
        }
        self.within();
    }

    /// Names above one apex may be inside another zone.
    fn within(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.kind == Kind::Above) {
            let within = |zone: &usize| {
                suffixes(name_in(&self.names, node)).any(|above| *above == *self.zones[*zone].wire)
            };
            let length = |zone: &usize| self.zones[*zone].wire.len();
            if let Some(zone) = (0..self.zones.len()).filter(within).max_by_key(length) {
                node.zone = zone as u32;
                node.kind = Kind::Records(Box::default());
            }
        }
    }

    /// Adds a node, unless there is one of this name.
    fn node(&mut self, wire: &[u8], zone: u32, kind: Kind) {
        if !self.numbers.contains_key(wire) {
            self.numbers.insert(wire.into(), self.nodes.len() as u32);
            let hash = hash(wire);
            let name = (self.names.len() as u32, wire.len() as u8);
            self.names.extend(wire);
            self.nodes.push(Node { hash, name, zone, wildcard: NONE, kind });
        }
    }

    fn records(&mut self, number: usize, content: &ZoneContent, all: &[ZoneContent]) {
        let apex = self.zones[number].wire.clone();
        let mut names: BTreeMap<Vec<u8>, Vec<RrSet>> = BTreeMap::new();
        for entry in &content.entries {
            let wire = name::to_lower_wire(&entry.record.name);
            // What belongs to another of our zones is that one's; the parent has it only as glue.
            let deepest = all
                .iter()
                .filter(|other| other.apex.zone_of(&entry.record.name))
                .map(|other| other.apex.len())
                .max();
            if deepest == Some(content.apex.len()) {
                add(names.entry(wire).or_default(), &entry.record);
            }
        }
        let has_ns = |sets: &[RrSet]| sets.iter().any(|set| set.kind == RecordType::NS);
        let cuts: HashSet<Vec<u8>> = names
            .iter()
            .filter(|(wire, sets)| ***wire != *apex && has_ns(sets))
            .map(|(wire, _)| wire.clone())
            .collect();
        let zone = number as u32;
        for (wire, sets) in names {
            let below = suffixes(&wire).skip(1).any(|above| cuts.contains(above));
            let is_cut = cuts.contains(&wire);
            let sets = sets.into_boxed_slice();
            if !below {
                let above = suffixes(&wire).take_while(|above| **above != *apex);
                above.skip(1).for_each(|above| self.node(above, zone, Kind::Records(Box::default())));
            }
            let kind = match (below, is_cut) {
                (true, _) => Kind::Glue(sets),
                (_, true) => Kind::Cut(sets),
                _ => Kind::Records(sets),
            };
            match self.numbers.get(wire.as_slice()) {
                Some(&node) => self.nodes[node as usize].kind = kind,
                None => self.node(&wire, zone, kind),
            }
        }
    }

    /// Farms and reserved names are children of the first zone's apex, so the label next to it tells: of a record there, and of
    /// another zone.
    fn check_reserved(&mut self, contents: &[ZoneContent], farms: &[Arc<Farm>]) {
        let Some((content, others)) = contents.split_first() else { return };
        let apex = name::to_lower_wire(&content.apex);
        let by_label: HashMap<&[u8], &Arc<Farm>> =
            farms.iter().map(|farm| (farm.name().as_str().as_bytes(), farm)).collect();
        let records = content.entries.iter().map(|entry| (content, entry.line, "", &entry.record.name));
        let zones = others.iter().map(|other| (other, 0, "zone ", &other.apex));
        for (content, line, what, name) in records.chain(zones) {
            let wire = name::to_lower_wire(name);
            let below: Vec<_> = suffixes(&wire).take_while(|above| **above != *apex).collect();
            // A zone that is not below the apex has no such name among its own.
            let Some(top) = below.last().filter(|top| top.len() > 1) else { continue };
            let label = &top[1..=usize::from(top[0])];
            let owner = format!("{what}{name}");
            let problem = if [&b"phys"[..], b"all", b"spares"].contains(&label) {
                Problem::Reserved { owner, word: String::from_utf8_lossy(label).into_owned() }
            } else if let Some(farm) = by_label.get(label) {
                Problem::FarmName { owner, farm: farm.name().clone() }
            } else {
                continue;
            };
            self.errors.push(ZoneError { file: content.file.clone(), line, problem });
        }
    }

    fn gates(&mut self, content: &ZoneContent) {
        let apex = name::to_lower_wire(&content.apex);
        let child = |label: &str| [&[label.len() as u8], label.as_bytes(), &apex].concat();
        self.node(&child("spares"), 0, Kind::Gate(Form::Spares));
        self.node(&child("all"), 0, Kind::Gate(Form::All));
        self.node(&child("phys"), 0, Kind::Phys);
    }

    fn finish(mut self, farms: &[Arc<Farm>]) -> Zones {
        let mut wildcards = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            if let (Some(parent), Kind::Records(_)) =
                (name_in(&self.names, node).strip_prefix(b"\x01*"), &node.kind)
            {
                wildcards.extend(self.numbers.get(parent).map(|&parent| (parent, number as u32)));
            }
        }
        for (parent, wildcard) in wildcards {
            self.nodes[parent as usize].wildcard = wildcard;
        }
        let mut index = HashTable::with_capacity(self.nodes.len());
        for number in 0..self.nodes.len() as u32 {
            let hash = |&number: &u32| self.nodes[number as usize].hash;
            index.insert_unique(hash(&number), number, hash);
        }
        let wire = self.zones.first().map_or(&[][..], |zone| &zone.wire);
        let (apex, home) = (Apex::new(wire), self.numbers.get(wire).copied().unwrap_or(NONE));
        let table = FarmTable::new(farms.iter().map(|farm| farm.name().as_str()));
        let (names, farms) = (self.names.into(), farms.to_vec());
        Zones { zones: self.zones, nodes: self.nodes, names, index, farms, table, apex, home }
    }
}

fn add(sets: &mut Vec<RrSet>, record: &Record) {
    let kind = record.record_type();
    match sets.iter_mut().find(|set| set.kind == kind) {
        Some(set) => {
            set.ttl = set.ttl.min(record.ttl);
            // RFC 2181, 5: an RRset holds no two equal records.
            if !set.data.contains(&record.data) {
                set.data.push(record.data.clone());
            }
        }
        None => sets.push(RrSet { kind, ttl: record.ttl, data: vec![record.data.clone()] }),
    }
}

/// A name, its parent, and so on to the root.
fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    fn parent<'a>(wire: &&'a [u8]) -> Option<&'a [u8]> {
        match wire.first() {
            Some(&length) if length != 0 => wire.get(1 + usize::from(length)..),
            _ => None,
        }
    }
    std::iter::successors(Some(wire), parent)
}

fn hash(wire: &[u8]) -> u64 {
    let Some(labels) = Labels::of(wire) else { return ROOT_HASH };
    (0..labels.count())
        .rev()
        .fold(ROOT_HASH, |hash, index| name::extend_hash(hash, labels.label(wire, index)))
}
