//! What an answer needs of the member that it gives: its IPv4 address and where its tally stands, in eight octets.
//!
//! Members of a farm mostly have their tallies beside each other, in one chunk or two. So a member's place there is one number,
//! a farm of ten lies on two lines of the cache, and whoever is given needs one of them. All else of a member stands
//! elsewhere ([`Machine`]).

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::ahead::{want_all, want_at};
use super::algorithm::MemberId;
use super::gauge::{Tallies, Tally};
use super::slot::CHUNK;
use super::view::Machine;

/// The members of a view, in the farm's order.
#[derive(Debug, Default)]
pub(super) struct Crew {
    hands: Box<[Hand]>,
    /// The chunk of tallies that the first one has a place in, and those that others have.
    first: Option<Arc<Tallies>>,
    more: Box<[Arc<Tallies>]>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct Hand {
    v4: u32,
    /// The number of a chunk × [`CHUNK`] + a place there, and whether there is an IPv4 address.
    at: u32,
}

/// Set in [`Hand::at`] where there is an IPv4 address.
const HAS_V4: u32 = 1 << 31;
/// Hands on a line, and tallies.
const STRIDE: usize = 8;

/// From so many members on, what choices read of them does not stay in a second cache of half a megabyte, and it pays to ask
/// for it ahead.
const CROWD: usize = 4096;

impl Crew {
    /// Of members in the farm's order, with their tallies.
    pub(super) fn new<'a>(members: impl Iterator<Item = (&'a Machine, &'a Tally)>) -> Self {
        let mut chunks: Vec<&Arc<Tallies>> = Vec::new();
        let mut hand = |(machine, tally): (&Machine, &'a Tally)| {
            let (chunk, place) = (tally.slot().chunk(), tally.slot().place());
            // Those of neighbours mostly are the same.
            let last = chunks.len().saturating_sub(4);
            let known = chunks[last..].iter().position(|other| Arc::ptr_eq(other, chunk));
            let number = known.map_or(chunks.len(), |known| last + known);
            if known.is_none() {
                chunks.push(chunk);
            }
            let at = (number * CHUNK + place) as u32;
            let v4 = machine.v4();
            Hand { v4: v4.map_or(0, Ipv4Addr::to_bits), at: if v4.is_some() { at | HAS_V4 } else { at } }
        };
        let hands = members.map(&mut hand).collect();
        let mut chunks = chunks.into_iter().cloned();
        Self { hands, first: chunks.next(), more: chunks.collect() }
    }

    #[inline]
    fn hand(&self, id: MemberId) -> Hand {
        self.hands[id.0 as usize]
    }

    #[inline]
    fn tally(&self, hand: Hand) -> Option<(&Tallies, usize)> {
        let at = (hand.at & !HAS_V4) as usize;
        let chunk = match (at / CHUNK).checked_sub(1) {
            None => self.first.as_ref(),
            Some(more) => self.more.get(more),
        };
        chunk.map(|chunk| (&**chunk, at % CHUNK))
    }

    /// A member's preferred IPv4 address.
    #[inline]
    pub(super) fn v4(&self, id: MemberId) -> Option<Ipv4Addr> {
        let hand = self.hand(id);
        (hand.at & HAS_V4 != 0).then(|| Ipv4Addr::from_bits(hand.v4))
    }

    /// Counts an answer that gives a member.
    #[inline]
    pub(super) fn count(&self, id: MemberId) {
        if let Some((chunk, place)) = self.tally(self.hand(id)) {
            chunk.count(place);
        }
    }

    /// Answers that gave each backend so far, over all farms.
    pub(super) fn answers(&self) -> impl Iterator<Item = u64> {
        self.hands.iter().map(|&hand| self.tally(hand).map_or(0, |(chunk, place)| chunk.answers(place)))
    }

    /// Whether any member has an IPv4 address.
    pub(super) fn has_v4(&self) -> bool {
        self.hands.iter().any(|hand| hand.at & HAS_V4 != 0)
    }

    /// Asks for what a choice will read of the first `most`: what is here, or, once that has come, with `behind` their tallies.
    #[inline]
    pub(super) fn fetch(&self, most: usize, behind: bool) {
        let few = &self.hands[..self.hands.len().min(most)];
        if !behind {
            return want_all(few);
        }
        for &hand in few.iter().step_by(STRIDE).chain(few.last()) {
            if let Some((chunk, place)) = self.tally(hand) {
                chunk.want(place);
            }
        }
    }

    /// Whether they are too many to stay in the cache.
    #[inline]
    pub(super) fn is_crowd(&self) -> bool {
        self.hands.len() >= CROWD
    }

    /// Asks for a member and the neighbours behind it.
    #[inline]
    pub(super) fn want(&self, id: MemberId) {
        let at = id.0 as usize;
        want_at(&self.hands, at);
        want_at(&self.hands, at + STRIDE - 1);
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
        // In an order in which chunks come back, and one of them twice.
        let tallies: Vec<&Tally> = own.iter().rev().step_by(3).chain(&own[..20]).collect();
        let machine = |number: u32| Machine {
            name: Name::parse("a").unwrap(),
            addresses: match number % 3 {
                0 => [Ipv4Addr::from_bits(number).into()].as_slice().into(),
                1 => ["2001:db8::1".parse().unwrap(), Ipv4Addr::from_bits(number).into()].as_slice().into(),
                _ => ["2001:db8::1".parse().unwrap()].as_slice().into(),
            },
            port: None,
        };
        let machines: Vec<Machine> = (0..tallies.len() as u32).map(machine).collect();
        let crew = Crew::new(machines.iter().zip(tallies.iter().copied()));
        for (number, (machine, tally)) in machines.iter().zip(&tallies).enumerate() {
            let (id, before) = (MemberId(number as u32), tally.answers());
            (0..=number).for_each(|_| crew.count(id));
            assert_eq!(tally.answers(), before + number as u64 + 1);
            assert_eq!((crew.v4(id), crew.v4(id).is_some()), (machine.v4(), number % 3 != 2));
        }
        assert!(crew.answers().eq(tallies.iter().map(|tally| tally.answers())));
        assert_eq!(own.iter().map(Tally::answers).sum::<u64>(), (1..=tallies.len() as u64).sum::<u64>());
        assert!(crew.has_v4() && !Crew::default().has_v4());
    }
}
