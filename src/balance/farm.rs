//! A farm as queries see it: an immutable [`View`] behind one atomic pointer, and the choice.
//!
//! Everything that asks for a member (a DNS query, a text query, JSON, the simulator) goes through [`Farm::choose`], so
//! they cannot disagree. A choice loads one pointer, takes one ticket, asks the prepared selector and counts one
//! answer; it takes no lock and allocates nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};

use super::algorithm::{AlgorithmSpec, Belief, MemberId, Pick, Select};
use super::gauge::Tally;
use super::moment::Moment;
use super::name::Name;
use super::plan::Fallback;
use super::random::Random;

/// Address family of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A
    V4,
    /// AAAA
    V6,
}

/// Who asks, for what.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Only members with an address of this family; `None`: any.
    pub family: Option<Family>,
    /// The key for rules that hash; empty if there is none.
    pub key: &'a [u8],
    /// When.
    pub now: Moment,
}

impl Ask<'_> {
    /// For a member with any address, without a key.
    pub fn any(now: Moment) -> Self {
        Self { family: None, key: &[], now }
    }
}

/// The facts of one backend that answers are made of.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: Name,
    /// Its addresses, the preferred one of each family first; maybe none while its host name is not resolved.
    pub addresses: Box<[IpAddr]>,
    /// The preferred IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The preferred IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// Its port.
    pub port: Option<u16>,
    pub(super) tally: Arc<Tally>,
}

impl Machine {
    /// The preferred address of `family`, or of any family.
    pub fn address(&self, family: Option<Family>) -> Option<IpAddr> {
        match family {
            None => self.addresses.first().copied(),
            Some(Family::V4) => self.v4.map(IpAddr::V4),
            Some(Family::V6) => self.v6.map(IpAddr::V6),
        }
    }
}

/// What a farm answers, fixed until the next change of who is available.
pub struct View {
    pub(super) ttl: u32,
    pub(super) answers: usize,
    pub(super) members: Box<[Arc<Machine>]>,
    pub(super) source: ViewSource,
    pub(super) selectors: Selectors,
    pub(super) has_v4: bool,
    pub(super) has_v6: bool,
    pub(super) algorithm: &'static AlgorithmSpec,
    /// The first farm of the fallback chain, for SRV records of lower priority.
    pub(super) backup: Option<Arc<Farm>>,
}

/// Where a view's answers come from.
pub enum ViewSource {
    /// Its own members: the available ones, or as a last resort the silent ones.
    Members,
    /// Another farm.
    Farm(Arc<Farm>),
    /// An address, host or URL.
    Elsewhere(Fallback),
    /// Nobody is left.
    Nobody,
}

/// A selector for each family; the same one where the candidates are the same.
#[derive(Default, Clone)]
pub struct Selectors {
    pub(super) any: Option<Arc<dyn Select>>,
    pub(super) v4: Option<Arc<dyn Select>>,
    pub(super) v6: Option<Arc<dyn Select>>,
}

impl View {
    /// Time to live of answers, in seconds.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// How many members one DNS answer holds.
    pub fn answers(&self) -> usize {
        self.answers
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

    /// Every member that may be chosen, with its share of the answers in the algorithm's eyes.
    pub fn shares(&self) -> Vec<(MemberId, f64)> {
        self.selectors.any.as_ref().map(|select| select.shares()).unwrap_or_default()
    }

    /// What the algorithm believes at `now` of every member that may be chosen, if it is one that learns.
    pub fn beliefs(&self, now: Moment) -> Vec<(MemberId, Belief)> {
        self.selectors.any.as_ref().map(|select| select.beliefs(now)).unwrap_or_default()
    }

    fn select(&self, family: Option<Family>) -> Option<&dyn Select> {
        match family {
            None => self.selectors.any.as_deref(),
            Some(Family::V4) => self.selectors.v4.as_deref(),
            Some(Family::V6) => self.selectors.v6.as_deref(),
        }
    }
}

/// A farm: its name, its view, its counters.
pub struct Farm {
    name: Name,
    view: ArcSwap<View>,
    count: Count,
}

/// What every choice writes, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Count {
    /// A rotation for each family and one for questions without: proxies ask for A and AAAA in turn, and one rotation for
    /// both would show each of them only every other member.
    tickets: [AtomicU64; 3],
    /// Answers that took no ticket here: they came from a fallback.
    elsewhere: AtomicU64,
}

/// What a farm answers to one question.
pub enum Choice {
    /// One of the farm's members, or of the farm that it falls back on.
    Member(Chosen),
    /// A fallback that is no farm. Never [`Fallback::Farm`].
    Elsewhere(Elsewhere),
    /// There are members to give, but none of them has an address of the family asked for.
    NoAddress,
    /// Nobody is left.
    Nobody,
}

/// A member that was chosen, best first if several were asked for. Keeps the view that it belongs to alive.
pub struct Chosen {
    view: Guard<Arc<View>>,
    first: MemberId,
    spares: Vec<MemberId>,
}

impl Chosen {
    /// The chosen member.
    pub fn machine(&self) -> &Arc<Machine> {
        self.view.machine(self.first)
    }

    /// The chosen member, then the spares, best first.
    pub fn machines(&self) -> impl Iterator<Item = &Arc<Machine>> {
        std::iter::once(self.first).chain(self.spares.iter().copied()).map(|id| self.view.machine(id))
    }
}

/// A fallback that was taken.
pub struct Elsewhere(Guard<Arc<View>>);

impl Elsewhere {
    /// An address, host or URL.
    pub fn fallback(&self) -> &Fallback {
        match &self.0.source {
            ViewSource::Elsewhere(fallback) => fallback,
            _ => unreachable!("made from a view with this source only"),
        }
    }
}

impl Farm {
    pub(super) fn new(name: Name, view: View) -> Self {
        Self { name, view: ArcSwap::from_pointee(view), count: Count::default() }
    }

    pub(super) fn replace_view(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    /// The farm's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The view in force.
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Answers given so far, those on behalf of farms that fall back on this one included.
    pub fn answers(&self) -> u64 {
        let tickets = self.count.tickets.iter().map(|count| count.load(Relaxed)).sum::<u64>();
        tickets + self.count.elsewhere.load(Relaxed)
    }

    /// Goes on from what a process before this one counted.
    pub(super) fn count_on(&self, answers: u64) {
        self.count.elsewhere.fetch_add(answers, Relaxed);
    }

    /// Chooses for one question. Only a choice that gives an address moves the rotation and is counted.
    #[inline]
    pub fn choose(&self, ask: &Ask<'_>, random: &mut dyn Random) -> Choice {
        self.choose_several(ask, 1, random)
    }

    /// The same, with up to `most` different members, best first. Only the first of them is counted as chosen.
    pub fn choose_several(&self, ask: &Ask<'_>, most: usize, random: &mut dyn Random) -> Choice {
        let count_elsewhere = || self.count.elsewhere.fetch_add(1, Relaxed);
        let choice = self.at_source(ask, |farm, view| {
            let choice = farm.choose_member(view, ask, most, random);
            // Its own members' choices are counted by their tickets.
            if matches!(choice, Choice::Member(_)) && !std::ptr::eq(farm, self) {
                count_elsewhere();
            }
            choice
        });
        if matches!(choice, Choice::Elsewhere(_)) {
            count_elsewhere();
        }
        choice
    }

    /// Everybody who may be chosen, best first as the rule sees them now. Moves no rotation and counts nothing: it tells
    /// what a choice would look at.
    pub fn rank(&self, ask: &Ask<'_>, random: &mut dyn Random) -> Choice {
        self.at_source(ask, |farm, view| farm.rank_members(view, ask, random))
    }

    /// Asks `members` of the farm whose members are given, or tells what there is instead.
    #[inline]
    fn at_source(&self, ask: &Ask<'_>, members: impl FnOnce(&Self, Guard<Arc<View>>) -> Choice) -> Choice {
        let view = self.view.load();
        match &view.source {
            ViewSource::Members => members(self, view),
            ViewSource::Farm(farm) => match farm.view.load() {
                view if matches!(view.source, ViewSource::Members) => members(farm, view),
                // It lost its last member a moment ago; our own view is about to follow.
                _ => Choice::Nobody,
            },
            ViewSource::Elsewhere(_) => Choice::Elsewhere(Elsewhere(view)),
            ViewSource::Nobody => match ask.family {
                // A type that the farm never has is NODATA even now: an error for AAAA would spoil a proxy's A.
                Some(family) if !view.has(family) && (view.has_v4 || view.has_v6) => Choice::NoAddress,
                _ => Choice::Nobody,
            },
        }
    }

    fn tickets(&self, family: Option<Family>) -> &AtomicU64 {
        &self.count.tickets[family.map_or(0, |family| 1 + family as usize)]
    }

    fn rank_members(&self, view: Guard<Arc<View>>, ask: &Ask<'_>, random: &mut dyn Random) -> Choice {
        let Some(select) = view.select(ask.family) else { return Choice::NoAddress };
        let pick = Pick { now: ask.now, ticket: self.tickets(ask.family).load(Relaxed), key: ask.key };
        let mut order = Vec::new();
        select.rank(&pick, random, &mut order);
        if order.is_empty() {
            return Choice::Nobody;
        }
        let first = order.remove(0);
        Choice::Member(Chosen { view, first, spares: order })
    }

    fn choose_member(
        &self,
        view: Guard<Arc<View>>,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Choice {
        let Some(select) = view.select(ask.family) else { return Choice::NoAddress };
        let ticket = self.tickets(ask.family).fetch_add(1, Relaxed);
        let pick = Pick { now: ask.now, ticket, key: ask.key };
        let Some(first) = select.select(&pick, random) else { return Choice::Nobody };
        let mut spares = Vec::new();
        if most > 1 {
            select.rank(&pick, random, &mut spares);
            spares.retain(|&id| id != first);
            spares.truncate(most - 1);
        }
        view.machine(first).tally.count();
        Choice::Member(Chosen { view, first, spares })
    }
}
