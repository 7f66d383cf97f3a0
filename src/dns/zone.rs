//! The names that the server is authoritative for, and how one is found (RFC 1034, 4.3.2).
//!
//! All zones share one index: a hash table from lower-case wire names to nodes. A look-up walks down from the root, one
//! probe a label, and stops where nothing further can matter: at the label below the first zone's apex if it is a farm's, or
//! at the first label that is not there. So whoever asks for names of a hundred labels pays for the one that is missing. Nothing
//! is allocated. Farms have a table of their own ([`farms`]), and a way to it that does not walk. They are bound to
//! their names when the index is built; backends (`phys`) are looked up in the engine, because they come and go without us.
//!
//! In the first zone, `farm.spares` and `farm.all` are no nodes: the one node `spares` sends the label before it back to
//! the farms.

mod build;
mod farms;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashTable;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::balance::Farm;

use super::name::{self, Labels, ROOT_HASH};
use super::zonefile::{ZoneContent, ZoneError};
use farms::{Apex, FarmTable};
pub use farms::{Below, Key};

/// Every zone, ready to be asked.
pub struct Zones {
    zones: Vec<Zone>,
    nodes: Vec<Node>,
    /// The nodes' names, one after another: beside each other they are few lines of the cache.
    names: Box<[u8]>,
    index: HashTable<u32>,
    farms: Vec<Arc<Farm>>,
    /// The farms' names.
    table: FarmTable,
    /// Where farms are: the first zone's apex, and its node.
    apex: Apex,
    home: u32,
}

/// One zone.
#[derive(Debug)]
pub struct Zone {
    /// Its apex.
    pub apex: Name,
    /// `phys.APEX`, below which the backends are.
    pub phys: Name,
    /// The SOA record as negative answers carry it: its TTL is the lesser of its own and its minimum (RFC 2308, 3).
    pub negative: Record,
    wire: Box<[u8]>,
    file: PathBuf,
}

/// Records of one owner and type (RFC 9499, RRset).
#[derive(Debug, Clone, PartialEq)]
pub struct RrSet {
    /// Their type.
    pub kind: RecordType,
    /// Their one TTL (RFC 2181, 5.2): the least that the file gives any of them.
    pub ttl: u32,
    /// Their data, in the order of the file.
    pub data: Vec<RData>,
}

/// The label of a second choice.
const AGAIN: &[u8] = b"again";

/// The node's number where there is none.
const NONE: u32 = u32::MAX;

/// A name that is there, or one between such names; no farm's.
struct Node {
    hash: u64,
    /// Where its name begins, and how long it is.
    name: (u32, u8),
    zone: u32,
    /// The node of `*.` below this one (RFC 4592, 2.2.1: source of synthesis).
    wildcard: u32,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// Above every apex: not ours.
    Above,
    /// Authoritative; without records it is an empty non-terminal.
    Records(Box<[RrSet]>),
    /// A delegation.
    Cut(Box<[RrSet]>),
    /// Below a delegation: addresses for referrals only.
    Glue(Box<[RrSet]>),
    /// `spares` or `all`: the label in front is a farm's.
    Gate(Form),
    /// `phys`: the label in front is a backend's.
    Phys,
}

/// What a name below or beside a farm asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The farm, with or without labels in front.
    Plain,
    /// `again.LABELS.farm`: a second choice.
    Again,
    /// `farm.spares`: the choice, then the others.
    Spares,
    /// `farm.all`: everybody available.
    All,
    /// `_SERVICE._PROTO.farm`: its members as SRV records.
    Service,
    /// `_PROTO.farm`: nothing but services below it, an empty non-terminal.
    ServiceParent,
}

/// A name that means a farm.
#[derive(Clone)]
pub struct FarmName<'a> {
    /// The farm.
    pub farm: &'a Arc<Farm>,
    /// Its place in [`Zones::farms`].
    pub number: usize,
    /// What is asked of it.
    pub form: Form,
    /// Where in the wire name its LABELS stand, each with its length octet; empty if there are none. Neither `again` nor
    /// a service's labels are among them.
    pub labels: Range<usize>,
    /// Where the text of the last of them stands, the one next to the farm; empty if there is none.
    pub nearest: Range<usize>,
}

/// A name that may ask plainly for a farm: see [`Zones::plainly`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainName {
    key: Key,
    below: Below,
}

impl PlainName {
    /// The farm's name.
    #[inline]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where the farm's name stands.
    #[inline]
    pub fn below(&self) -> Below {
        self.below
    }
}

/// What a name is.
#[derive(Clone)]
pub enum Found<'a> {
    /// In none of our zones.
    Outside,
    /// A farm in one of its forms.
    Farm(&'a Zone, FarmName<'a>),
    /// `NAME.phys`, whether there is a backend of this name or not; where in the wire name the backend's stands.
    Machine(&'a Zone, Range<usize>),
    /// A name with these records, its own or a wildcard's; with none an empty non-terminal.
    Name(&'a Zone, &'a [RrSet]),
    /// At or below a delegation.
    Delegation(&'a Zone, Cut<'a>),
    /// Not there, though its zone is ours.
    Nothing(&'a Zone),
}

/// A delegation.
#[derive(Clone, Copy)]
pub struct Cut<'a> {
    /// Where the name of the child zone begins in the wire name that was asked for.
    pub start: usize,
    /// NS, and DS if there is one.
    pub sets: &'a [RrSet],
}

impl Zones {
    /// Builds the index. The farms live in the first zone. Refuses two zones of one name, and records in the first zone
    /// that bear the name of a farm or a name reserved below the apex, or stand below one.
    pub fn new(contents: &[ZoneContent], farms: &[Arc<Farm>]) -> Result<Self, Vec<ZoneError>> {
        build::build(contents, farms)
    }

    /// Every zone; the first is that of the farms.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Every farm, in the order in which they were given.
    pub fn farms(&self) -> &[Arc<Farm>] {
        &self.farms
    }

    /// Finds a name in wire format and lower case. Anything that is no uncompressed name is outside.
    pub fn find<'a>(&'a self, wire: &[u8]) -> Found<'a> {
        let Some(labels) = Labels::of(wire) else { return Found::Outside };
        let mut hash = ROOT_HASH;
        let Some(mut node) = self.node(hash, b"\0") else { return Found::Outside };
        let mut left = labels.count();
        let mut cut: Option<(&Node, usize)> = None;
        while left > 0 && !matches!(node.kind, Kind::Gate(_) | Kind::Phys) {
            if self.is_home(node)
                && let Some(farm) = self.farm_of(labels.label(wire, left - 1))
            {
                return Found::Farm(&self.zones[0], self.in_front(farm, wire, &labels, left - 1));
            }
            let next_hash = name::extend_hash(hash, labels.label(wire, left - 1));
            let Some(next) = self.node(next_hash, &wire[labels.start(left - 1)..]) else { break };
            (node, hash, left) = (next, next_hash, left - 1);
            match cut {
                None if matches!(node.kind, Kind::Cut(_)) => cut = Some((node, left)),
                // A zone of ours may begin below a delegation to others.
                Some((above, _)) if above.zone != node.zone => cut = None,
                _ => {}
            }
        }
        if let Some((Node { kind: Kind::Cut(sets), zone, .. }, left)) = cut {
            let start = if left < labels.count() { labels.start(left) } else { 0 };
            return Found::Delegation(&self.zones[*zone as usize], Cut { start, sets });
        }
        let zone = || &self.zones[node.zone as usize];
        match &node.kind {
            Kind::Above | Kind::Cut(_) | Kind::Glue(_) => Found::Outside,
            Kind::Records(sets) if left == 0 => Found::Name(zone(), sets),
            Kind::Records(_) => match self.nodes.get(node.wildcard as usize) {
                Some(Node { kind: Kind::Records(sets), .. }) => Found::Name(zone(), sets),
                _ => Found::Nothing(zone()),
            },
            Kind::Gate(_) | Kind::Phys if left == 0 => Found::Name(zone(), &[]),
            Kind::Gate(form) => match self.farm_of(labels.label(wire, left - 1)) {
                Some(number) => {
                    let (labels, nearest) = span(wire, &labels, 0, left - 1);
                    let farm = &self.farms[number];
                    Found::Farm(zone(), FarmName { farm, number, form: *form, labels, nearest })
                }
                None => Found::Nothing(zone()),
            },
            Kind::Phys if left == 1 => Found::Machine(zone(), labels.text(wire, 0)),
            Kind::Phys => Found::Nothing(zone()),
        }
    }

    /// The records that stand in a zone file under exactly this name, glue included; for additional sections.
    pub fn records(&self, wire: &[u8]) -> &[RrSet] {
        let Some(labels) = Labels::of(wire) else { return &[] };
        let extend = |hash, index| name::extend_hash(hash, labels.label(wire, index));
        let hash = (0..labels.count()).rev().fold(ROOT_HASH, extend);
        match self.node(hash, wire).map(|node| &node.kind) {
            Some(Kind::Records(sets) | Kind::Cut(sets) | Kind::Glue(sets)) => sets,
            _ => &[],
        }
    }

    #[inline]
    fn name(&self, node: &Node) -> &[u8] {
        name_in(&self.names, node)
    }

    #[inline]
    fn node(&self, hash: u64, wire: &[u8]) -> Option<&Node> {
        let is_it = |&number: &u32| {
            let node = &self.nodes[number as usize];
            node.hash == hash && *self.name(node) == *wire
        };
        self.index.find(hash, is_it).map(|&number| &self.nodes[number as usize])
    }

    /// The place of the farm whose name is this label, which has its length octet.
    #[inline]
    fn farm_of(&self, label: &[u8]) -> Option<usize> {
        let (_, text) = label.split_first()?;
        self.table.find(&Key::read(text, text.len())?)
    }

    /// Whether farms are below this node.
    #[inline]
    fn is_home(&self, node: &Node) -> bool {
        self.nodes.get(self.home as usize).is_some_and(|home| std::ptr::eq(home, node))
    }

    /// What the name which `octets` begin with asks for, if it asks in the form [`Form::Plain`] and if there is
    /// [such a farm](Self::named): the same that [`find`](Self::find) finds, in any letter case. Octets may go on behind the name,
    /// and it is faster if some do. Reads nothing of the farms.
    #[inline]
    pub fn plainly(&self, octets: &[u8]) -> Option<PlainName> {
        let below = self.plainly_below(octets)?;
        let (length, text) = octets.get(usize::from(below.label)..)?.split_first()?;
        Some(PlainName { key: Key::read(text, usize::from(*length))?, below })
    }

    /// The place in [`farms`](Self::farms) of the farm that has this name.
    pub fn named(&self, key: &Key) -> Option<usize> {
        self.table.find(key)
    }

    /// Where the label is that may be a farm's, if those in front of it ask for nothing but the farm.
    #[inline]
    fn plainly_below(&self, octets: &[u8]) -> Option<Below> {
        let below = self.apex.below(octets)?;
        if below.label > 0 {
            // Not a service's, nor `again`.
            let first = octets.get(1..=usize::from(octets[0]))?;
            (first.first() != Some(&b'_') && !first.eq_ignore_ascii_case(AGAIN)).then_some(())?;
        }
        Some(below)
    }

    /// What the first `count` labels of a name ask of the farm behind them. Labels that begin with an underscore are a
    /// service's (RFC 2782, RFC 8552).
    fn in_front(&self, number: usize, wire: &[u8], labels: &Labels, count: usize) -> FarmName<'_> {
        let text = |index: usize| &wire[labels.text(wire, index)];
        let is_service = |index: usize| index < count && text(index)[0] == b'_';
        let (form, skip) = match count {
            0 => (Form::Plain, 0),
            _ if is_service(0) && is_service(1) => (Form::Service, 2),
            _ if is_service(0) => (Form::ServiceParent, 1),
            _ if text(0) == AGAIN => (Form::Again, 1),
            _ => (Form::Plain, 0),
        };
        let (labels, nearest) = span(wire, labels, skip, count);
        FarmName { farm: &self.farms[number], number, form, labels, nearest }
    }
}

/// A node's name, in wire format and lower case.
#[inline]
fn name_in<'a>(names: &'a [u8], node: &Node) -> &'a [u8] {
    let (start, length) = (node.name.0 as usize, usize::from(node.name.1));
    &names[start..start + length]
}

/// Where labels `from..to` stand, and where the text of the last of them does.
fn span(wire: &[u8], labels: &Labels, from: usize, to: usize) -> (Range<usize>, Range<usize>) {
    if from >= to {
        return (0..0, 0..0);
    }
    let nearest = labels.text(wire, to - 1);
    (labels.start(from)..nearest.end, nearest)
}

#[cfg(test)]
mod tests;
