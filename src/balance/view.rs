//! What a farm answers, fixed until the next change of who is available.
//!
//! A view is made by the engine, under its lock, and read by queries behind one atomic pointer ([`Farm`]). Nothing in it
//! changes but the numbers behind its selectors ([`Gauge`](super::gauge::Gauge)s), which reports move in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::addresses::Addresses;
use super::ahead::want;
use super::algorithm::{AlgorithmSpec, Belief, LOOK_AT_ALL, MemberId, Select};
use super::crew::Crew;
use super::farm::Farm;
use super::moment::Moment;
use super::name::Name;
use super::plan::Fallback;
use super::random::Random;
use super::sticky::{Rendezvous, Standing};
use super::suspicion::Ledgers;

/// Address family of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A
    V4,
    /// AAAA
    V6,
}

/// The facts of one backend that answers are made of.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: Name,
    /// Its addresses, the preferred one of each family first; maybe none while its host name is not resolved.
    pub addresses: Addresses,
    /// Its port.
    pub port: Option<u16>,
}

impl Machine {
    /// The preferred IPv4 address.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    /// The preferred IPv6 address.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        })
    }

    /// The preferred address of `family`, or of any family.
    pub fn address(&self, family: Option<Family>) -> Option<IpAddr> {
        match family {
            None => self.addresses.first().copied(),
            Some(Family::V4) => self.v4().map(IpAddr::V4),
            Some(Family::V6) => self.v6().map(IpAddr::V6),
        }
    }
}

/// A member of a view.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    view: &'a View,
    id: MemberId,
}

impl Seat<'_> {
    /// The preferred IPv4 address.
    #[inline]
    pub fn v4(self) -> Option<Ipv4Addr> {
        self.view.crew.v4(self.id)
    }

    /// The preferred IPv6 address.
    #[inline]
    pub fn v6(self) -> Option<Ipv6Addr> {
        self.view.machine(self.id).v6()
    }
}

/// What a farm answers, fixed until the next change of who is available.
///
/// In the order of need: what a plain choice for IPv4 reads is the first line of the cache, what its answer reads the second.
#[repr(C, align(64))]
pub struct View {
    pub(super) v4: Option<Arc<dyn Select>>,
    pub(super) source: ViewSource,
    pub(super) ttl: u32,
    pub(super) answers: u16,
    pub(super) has_v4: bool,
    pub(super) has_v6: bool,
    pub(super) crew: Crew,
    pub(super) v6: Option<Arc<dyn Select>>,
    pub(super) any: Option<Arc<dyn Select>>,
    /// A number that depends on the farm's name and the names of its members, in order.
    pub(super) salt: u64,
    pub(super) algorithm: &'static AlgorithmSpec,
    pub(super) members: Box<[Arc<Machine>]>,
    pub(super) ledgers: Arc<Ledgers>,
    /// What a token or a KEY may expect of each member.
    pub(super) standing: Box<[Standing]>,
    /// Places of members in the order of their names.
    pub(super) by_name: Arc<[u32]>,
    pub(super) rendezvous: Arc<Rendezvous>,
    /// The first farm of the fallback chain, for SRV records of lower priority.
    pub(super) backup: Option<Arc<Farm>>,
}

/// Members that are fetched ahead, at most: whoever looks at some of many does not say at whom before he does.
const FEW: usize = LOOK_AT_ALL;

/// Steps of [`View::fetch`].
pub const STEPS: u32 = 4;

/// Where a view's answers come from.
pub enum ViewSource {
    /// Its own members: the available ones, or as a last resort the silent ones.
    Members,
    /// Another farm.
    Farm(Arc<Farm>),
    /// An address, host or URL.
    Elsewhere(Box<Fallback>),
    /// Nobody is left.
    Nobody,
}

impl View {
    /// Time to live of answers, in seconds.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// How many members one DNS answer holds.
    pub fn answers(&self) -> usize {
        usize::from(self.answers)
    }

    /// Whether any member is configured with an address of this family, available or not.
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.has_v4,
            Family::V6 => self.has_v6,
        }
    }

    /// The rule that chooses.
    pub fn algorithm(&self) -> &'static AlgorithmSpec {
        self.algorithm
    }

    /// The farm whose members are given instead of its own, while it falls back on one.
    pub fn relay(&self) -> Option<&Arc<Farm>> {
        match &self.source {
            ViewSource::Farm(farm) => Some(farm),
            _ => None,
        }
    }

    /// The address, host or URL that is given instead of members, while the farm falls back on one.
    pub fn elsewhere(&self) -> Option<&Fallback> {
        match &self.source {
            ViewSource::Elsewhere(fallback) => Some(fallback),
            _ => None,
        }
    }

    /// The first farm of the fallback chain.
    pub fn backup(&self) -> Option<&Arc<Farm>> {
        self.backup.as_ref()
    }

    /// The facts of a member that was chosen from this view.
    pub fn machine(&self, id: MemberId) -> &Arc<Machine> {
        &self.members[id.0 as usize]
    }

    /// A member.
    #[inline]
    pub(super) fn seat(&self, id: MemberId) -> Seat<'_> {
        Seat { view: self, id }
    }

    /// Every member that may be chosen, with its share of the answers in the algorithm's eyes.
    pub fn shares(&self) -> Vec<(MemberId, f64)> {
        self.any.as_ref().map(|select| select.shares()).unwrap_or_default()
    }

    /// What a token may expect of the member at this place of the configuration.
    pub(super) fn standing(&self, place: usize) -> Standing {
        self.standing[place]
    }

    /// What the algorithm believes at `now` of every member that may be chosen, if it is one that learns.
    pub fn beliefs(&self, now: Moment) -> Vec<(MemberId, Belief)> {
        self.any.as_ref().map(|select| select.beliefs(now)).unwrap_or_default()
    }

    /// [Asks](super::ahead) for the view itself.
    #[inline]
    pub fn want(&self) {
        want(&self.v4);
        self.crew.want_addresses();
    }

    /// Asks for what a plain choice will read behind the view, in [`STEPS`] steps, each of which reads only what the one before
    /// asked for: step 1 for what the view points to, 2 for what that points to, and so on.
    #[inline]
    pub fn fetch(&self, step: u32) {
        self.crew.fetch(FEW, step);
        if let Some(select) = self.v4.as_ref().or(self.v6.as_ref()) {
            select.fetch(step);
        }
    }

    /// Asks for what a choice soon after the next one by one of the selectors will read, if that can be foreseen.
    #[inline]
    pub(super) fn foresee(&self, select: &dyn Select, random: &dyn Random) {
        if self.crew.is_crowd()
            && let Some(runs) = select.foresee(random)
        {
            runs.iter().for_each(|&first| self.crew.want(first));
        }
    }

    pub(super) fn select(&self, family: Option<Family>) -> Option<&dyn Select> {
        match family {
            None => self.any.as_deref(),
            Some(Family::V4) => self.v4.as_deref(),
            Some(Family::V6) => self.v6.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn a_choice_reads_one_line_of_a_view_and_its_answer_another() {
        assert_eq!(offset_of!(View, v4), 0);
        assert_eq!(offset_of!(View, crew) + Crew::HEAD, 64);
        assert_eq!(offset_of!(View, v6), 128);
    }
}
