//! What an answer needs of the member that it gives: its IPv4 address, and where its tally stands.
//!
//! Members of a farm mostly have their tallies one after another, and all of them have addresses. So four octets a member
//! are enough, and those of a farm of ten lie in its view, on one line of the cache; what differs stands apart. All else of a
//! member stands elsewhere ([`Machine`]).

use std::net::Ipv4Addr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::ahead::{want, want_all, want_at};
use super::algorithm::MemberId;
use super::gauge::{Tallies, Tally};
use super::slot::CHUNK;
use super::view::Machine;

/// The members of a view, in the farm's order. In a view the addresses begin on a line.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Crew {
    /// The chunk of tallies that the first one has a place in.
    first: Option<Arc<Tallies>>,
    apart: Option<Box<Apart>>,
    /// Where the first one's tally is. Those of the others follow it, but for what stands apart.
    start: u32,
    /// IPv4 addresses.
    v4: SmallVec<[u32; 14]>,
}

/// Only where not all tallies follow each other in one chunk, or somebody has no IPv4 address.
#[derive(Debug)]
struct Apart {
    /// Each one's tally: the number of a chunk × [`CHUNK`] + a place there. None if they follow each other.
    at: Box<[u32]>,
    /// The chunks behind the first one.
    more: Box<[Arc<Tallies>]>,
    /// Who has an IPv4 address. None if all have.
    has_v4: Box<[bool]>,
}

/// Tallies on a line.
const STRIDE: usize = 8;

/// From so many members on, what choices read of them does not stay in a second cache of half a megabyte, and it pays to ask
/// for it ahead.
const CROWD: usize = 4096;

impl Crew {
    /// Octets before the addresses.
    #[cfg(test)]
    pub(super) const HEAD: usize = std::mem::offset_of!(Crew, v4);

    /// Of members in the farm's order, with their tallies.
    pub(super) fn new<'a>(members: impl Iterator<Item = (&'a Machine, &'a Tally)>) -> Self {
        let mut chunks: Vec<&Arc<Tallies>> = Vec::new();
        let (mut v4, mut at, mut has_v4) = (SmallVec::new(), Vec::new(), Vec::new());
        for (machine, tally) in members {
            let (chunk, place) = (tally.slot().chunk(), tally.slot().place());
            // Those of neighbours mostly are the same.
            let last = chunks.len().saturating_sub(4);
            let known = chunks[last..].iter().position(|other| Arc::ptr_eq(other, chunk));
            let number = known.map_or(chunks.len(), |known| last + known);
            if known.is_none() {
                chunks.push(chunk);
            }
            at.push((number * CHUNK + place) as u32);
            has_v4.push(machine.v4().is_some());
            v4.push(machine.v4().map_or(0, Ipv4Addr::to_bits));
        }
        v4.shrink_to_fit();
        let start = at.first().copied().unwrap_or(0);
        if at.iter().zip(start..).all(|(&at, due)| at == due) {
            at.clear();
        }
        if has_v4.iter().all(|&has| has) {
            has_v4.clear();
        }
        let mut chunks = chunks.into_iter().cloned();
        let (first, more) = (chunks.next(), chunks.collect());
        let apart = Apart { at: at.into(), more, has_v4: has_v4.into() };
        let is_plain = apart.at.is_empty() && apart.more.is_empty() && apart.has_v4.is_empty();
        Self { first, apart: (!is_plain).then(|| Box::new(apart)), start, v4 }
    }

    /// Where a member's tally is.
    #[inline]
    fn tally(&self, index: usize) -> Option<(&Tallies, usize)> {
        let apart = self.apart.as_deref();
        let own = apart.and_then(|apart| apart.at.get(index));
        let at = own.map_or(self.start as usize + index, |&at| at as usize);
        let chunk = match (at / CHUNK).checked_sub(1) {
            None => self.first.as_ref(),
            Some(more) => apart.and_then(|apart| apart.more.get(more)),
        };
        chunk.map(|chunk| (&**chunk, at % CHUNK))
    }

    /// A member's preferred IPv4 address.
    #[inline]
    pub(super) fn v4(&self, id: MemberId) -> Option<Ipv4Addr> {
        let index = id.0 as usize;
        let has = self.apart.as_ref().and_then(|apart| apart.has_v4.get(index)).is_none_or(|&has| has);
        has.then(|| Ipv4Addr::from_bits(self.v4[index]))
    }

    /// Counts an answer that gives a member.
    #[inline]
    pub(super) fn count(&self, id: MemberId) {
        if let Some((chunk, place)) = self.tally(id.0 as usize) {
            chunk.count(place);
        }
    }

    /// Answers that gave each backend so far, over all farms.
    pub(super) fn answers(&self) -> impl Iterator<Item = u64> {
        (0..self.v4.len()).map(|index| self.tally(index).map_or(0, |(chunk, place)| chunk.answers(place)))
    }

    /// Whether any member has an IPv4 address.
    pub(super) fn has_v4(&self) -> bool {
        (0..self.v4.len() as u32).any(|id| self.v4(MemberId(id)).is_some())
    }

    /// Asks for the addresses, if they are here.
    #[inline]
    pub(super) fn want_addresses(&self) {
        want(&self.v4);
    }

    /// Asks for the tally of a member.
    #[inline]
    pub(super) fn want_tally(&self, id: MemberId) {
        if let Some((chunk, place)) = self.tally(id.0 as usize) {
            chunk.want(place);
        }
    }

    /// Asks for what an answer will read of the first `most` behind what is here, in the first step.
    #[inline]
    pub(super) fn fetch(&self, most: usize, step: u32) {
        if step == 1 && self.v4.spilled() {
            want_all(&self.v4[..self.v4.len().min(most)]);
        }
        if step == 1
            && let Some(apart) = &self.apart
        {
            want(&**apart);
        }
    }

    /// Whether they are too many to stay in the cache.
    #[inline]
    pub(super) fn is_crowd(&self) -> bool {
        self.v4.len() >= CROWD
    }

    /// Asks for a member and the neighbours behind it.
    #[inline]
    pub(super) fn want(&self, id: MemberId) {
        let at = id.0 as usize;
        want_at(&self.v4, at);
        want_at(&self.v4, at + STRIDE - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Name;
    use super::super::gauge::Gauges;
    use super::*;

    #[test]
    fn each_member_has_its_own_address_and_tally_wherever_those_stand() {
        let mut gauges = Gauges::default();
        let own: Vec<Tally> = (0..150).map(|_| gauges.tally()).collect();
        // One after another, from chunk to chunk too.
        for (tallies, is_plain) in [(&own[..10], true), (&own[3..40], true), (&own[60..70], false)] {
            check(&tallies.iter().collect::<Vec<_>>(), 1, is_plain);
        }
        // In an order in which chunks come back, and one of them twice.
        let tallies: Vec<&Tally> = own.iter().rev().step_by(3).chain(&own[..20]).collect();
        let before: u64 = own.iter().map(Tally::answers).sum();
        check(&tallies, 1, false);
        check(&tallies[..1], 3, true);
        check(&own[..10].iter().collect::<Vec<_>>(), 3, false);
        let counted = [tallies.len(), 1, 10].map(|count| (1..=count as u64).sum::<u64>());
        assert_eq!(own.iter().map(Tally::answers).sum::<u64>(), before + counted.iter().sum::<u64>());
        assert!(!Crew::default().has_v4());
    }

    /// Members with these tallies; with three `kinds` of them every third has no IPv4 address.
    fn check(tallies: &[&Tally], kinds: u32, is_plain: bool) {
        let machine = |number: u32| Machine {
            name: Name::parse("a").unwrap(),
            addresses: match number % kinds {
                0 => [Ipv4Addr::from_bits(number).into()].as_slice().into(),
                1 => ["2001:db8::1".parse().unwrap(), Ipv4Addr::from_bits(number).into()].as_slice().into(),
                _ => ["2001:db8::1".parse().unwrap()].as_slice().into(),
            },
            port: None,
        };
        let machines: Vec<Machine> = (0..tallies.len() as u32).map(machine).collect();
        let crew = Crew::new(machines.iter().zip(tallies.iter().copied()));
        assert_eq!(crew.apart.is_none(), is_plain);
        for (number, (machine, tally)) in machines.iter().zip(tallies).enumerate() {
            let (id, before) = (MemberId(number as u32), tally.answers());
            (0..=number).for_each(|_| crew.count(id));
            assert_eq!(tally.answers(), before + number as u64 + 1);
            assert_eq!((crew.v4(id), crew.v4(id).is_some()), (machine.v4(), number as u32 % kinds != 2));
        }
        assert!(crew.answers().eq(tallies.iter().map(|tally| tally.answers())));
        assert!(crew.has_v4());
        (1..3).for_each(|step| crew.fetch(100, step));
    }
}
