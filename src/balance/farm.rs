//! A farm: a name, an immutable [`View`] behind one atomic pointer, and the choice.
//!
//! Everything that asks for a member (a DNS query, a text query, JSON, the simulator) goes through [`Farm::choose`], so
//! they cannot disagree. A choice loads one pointer, asks the prepared selector and counts one
//! answer; it takes no lock and allocates nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use arc_swap::{ArcSwap, Guard};

use super::again::{Last, Mark};
use super::algorithm::{MemberId, Pick, Ticket};
use super::choice::{Choice, Chosen, Elsewhere, Lack};
use super::common::Common;
use super::moment::Moment;
use super::name::Name;
use super::random::Random;
use super::repeat::Packet;
use super::sight::Uncounted;
use super::sticky::Stick;
use super::view::{Family, Seat, View, ViewSource};

/// Who asks, for what.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Only members with an address of this family; `None`: any.
    pub family: Option<Family>,
    /// The key for rules that hash, and what the request is remembered by: the labels in front of the farm, as text;
    /// empty if there are none.
    pub key: &'a [u8],
    /// Whom it wants, if it says so: see [`Farm::read_label`].
    pub stick: Stick<'a>,
    /// Whether it is `again.LABELS.farm`: the member that was given for these labels a moment ago has failed.
    pub again: bool,
    /// The packet that it came in, where packets get lost: the same one once more is the same request.
    pub packet: Option<Packet<'a>>,
    /// When.
    pub now: Moment,
}

impl Ask<'_> {
    /// Who was given for the same packet a moment ago.
    #[inline]
    fn given(&self) -> Option<MemberId> {
        self.packet.as_ref()?.given(self.now)
    }

    /// For a member with any address, without a key.
    pub fn any(now: Moment) -> Self {
        Self { family: None, key: &[], stick: Stick::No, again: false, packet: None, now }
    }
}

/// A farm: its name, its view, its counters.
pub struct Farm {
    pub(super) hot: Hot,
    name: Name,
    /// Whether a member's ledger has word for the engine.
    pub(super) has_word: AtomicBool,
}

/// What every choice needs of the farm itself, on one cache line that is no other farm's: it is written by every choice.
#[repr(align(64))]
pub(super) struct Hot {
    view: ArcSwap<View>,
    /// How many views there were before this one; the view is replaced first.
    version: AtomicU32,
    /// Whether ledgers of suspicion are kept, since there was a second try.
    pub(super) doubts: AtomicBool,
    /// A rotation for each family and one for questions without: proxies ask for A and AAAA in turn, and one rotation for
    /// both would show each of them only every other member.
    tickets: [AtomicU64; 3],
    answers: AtomicU64,
    pub(super) last: Last,
    pub(super) common: Arc<Common>,
}

impl Farm {
    pub(super) fn new(name: Name, view: Arc<View>, common: Arc<Common>) -> Self {
        let hot = Hot {
            view: ArcSwap::new(view),
            version: AtomicU32::new(0),
            doubts: AtomicBool::new(false),
            tickets: Default::default(),
            answers: AtomicU64::new(0),
            last: Last::default(),
            common,
        };
        Self { hot, name, has_word: AtomicBool::new(false) }
    }

    pub(super) fn replace_view(&self, view: View) {
        self.hot.view.store(Arc::new(view));
        self.hot.version.fetch_add(1, Release);
    }

    /// A number that is another one after the view was replaced.
    #[inline]
    pub(super) fn version(&self) -> u32 {
        self.hot.version.load(Acquire)
    }

    /// The view in force, or one that has just replaced it, and its number or that of the one before.
    pub(super) fn versioned_view(&self) -> (u32, Arc<View>) {
        // In this order: a view that came in between is looked for once more.
        let version = self.version();
        (version, self.hot.view.load_full())
    }

    /// The farm's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The view in force.
    pub fn view(&self) -> Guard<Arc<View>> {
        self.hot.view.load()
    }

    /// Answers given so far, those on behalf of farms that fall back on this one included.
    pub fn answers(&self) -> u64 {
        self.hot.answers.load(Relaxed)
    }

    /// Counts answers: those that [`choose_seat`](Self::choose_seat) left uncounted, or those of a process before this one.
    pub fn count_on(&self, answers: u64) {
        self.hot.answers.fetch_add(answers, Relaxed);
    }

    /// Chooses for one question. Only a choice that gives an address moves the rotation and is counted.
    #[inline]
    pub fn choose(&self, ask: &Ask<'_>, random: &mut dyn Random) -> Choice {
        self.choose_several(ask, 1, random)
    }

    /// The same, with up to `most` different members, best first. Only the first of them is counted as chosen.
    pub fn choose_several(&self, ask: &Ask<'_>, most: usize, random: &mut dyn Random) -> Choice {
        if let Some(member) = ask.given()
            && let Some(choice) = self.repeat(member, ask, most, random)
        {
            return choice;
        }
        self.choose_in(self.view(), ask, most, random)
    }

    /// The same as [`choose`](Self::choose), from this farm's `view`, which the caller holds in a
    /// [`Sight`](super::sight::Sight): what `take` makes of the member that was chosen. `None` if no member was; then
    /// nothing was counted, and `choose` says what there is instead. Not for a farm whose answers come from
    /// [elsewhere](View::elsewhere). What the farm and its members have given is only noted in `uncounted`: the caller must
    /// [settle](super::sight::Sight::settle) it before anybody who has the answer may ask for counts.
    #[inline]
    pub fn choose_seat<R>(
        &self,
        view: &View,
        ask: &Ask<'_>,
        random: &mut dyn Random,
        uncounted: &mut Uncounted,
        take: impl FnOnce(Seat<'_>) -> R,
    ) -> Option<R> {
        if let Some(member) = ask.given()
            && let Some(choice) = self.repeat(member, ask, 1, random)
        {
            return choice.into_first().map(|(view, first)| take(view.seat(first)));
        }
        match (&ask.stick, &view.source) {
            (Stick::Token(_) | Stick::Failed(_), _) => {
                let (view, first) = self.choose_by_token(ask, 1, random).into_first()?;
                Some(take(view.seat(first)))
            }
            (_, ViewSource::Members) => {
                uncounted.settle_member(view);
                let count = |member| uncounted.note_member(view, member);
                let member = self.choose_one(view, ask, random, count).ok()?;
                Some(take(view.seat(member)))
            }
            (_, ViewSource::Farm(farm)) => {
                let view = farm.view();
                matches!(view.source, ViewSource::Members).then_some(())?;
                let member = farm.choose_one(&view, ask, random, |member| view.crew.count(member)).ok()?;
                farm.count_on(1);
                uncounted.note();
                Some(take(view.seat(member)))
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn choose_in(
        &self,
        view: Guard<Arc<View>>,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Choice {
        match ask.stick {
            Stick::No | Stick::Key(_) => self.choose_freely(view, ask, most, random),
            Stick::Token(_) | Stick::Failed(_) => self.choose_by_token(ask, most, random),
        }
    }

    /// The choice, whatever a token says. All of the plain choice is one function: a view and a choice are large things
    /// to hand from one to the next.
    #[inline(always)]
    pub(super) fn choose_freely(
        &self,
        view: Guard<Arc<View>>,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Choice {
        let choice = self.at_source(view, ask, |farm, view| {
            let choice = farm.choose_member(view, ask, most, random);
            // Both count what one gives for the other.
            if matches!(choice, Choice::Member(_)) && !std::ptr::eq(farm, self) {
                farm.count_on(1);
            }
            choice
        });
        if matches!(choice, Choice::Member(_) | Choice::Elsewhere(_)) {
            self.count_on(1);
        }
        choice
    }

    /// Everybody who may be chosen, best first as the rule sees them now. Moves no rotation and counts nothing: it tells
    /// what a choice would look at.
    pub fn rank(&self, ask: &Ask<'_>, random: &mut dyn Random) -> Choice {
        self.at_source(self.view(), ask, |farm, view| farm.rank_members(view, ask, random))
    }

    /// Asks `members` of the farm whose members are given, or tells what there is instead.
    #[inline(always)]
    fn at_source(
        &self,
        view: Guard<Arc<View>>,
        ask: &Ask<'_>,
        members: impl FnOnce(&Self, Guard<Arc<View>>) -> Choice,
    ) -> Choice {
        match &view.source {
            ViewSource::Members => members(self, view),
            ViewSource::Farm(farm) => match farm.view() {
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

    pub(super) fn tickets(&self, family: Option<Family>) -> &AtomicU64 {
        &self.hot.tickets[family.map_or(0, |family| 1 + family as usize)]
    }

    /// What a choice depends on; takes a ticket only if the rule does.
    #[inline]
    pub(super) fn pick<'a>(&'a self, ask: &Ask<'a>) -> Pick<'a> {
        Pick { now: ask.now, ticket: Ticket::Next(self.tickets(ask.family)), key: ask.key }
    }

    fn rank_members(&self, view: Guard<Arc<View>>, ask: &Ask<'_>, random: &mut dyn Random) -> Choice {
        let Some(select) = view.select(ask.family) else { return Choice::NoAddress };
        let mut order = Vec::new();
        select.rank(&self.pick(ask), random, &mut order);
        let preferred = view.preferred(ask).or(order.first().copied());
        let Some(first) = preferred else { return Choice::Nobody };
        order.retain(|&id| id != first);
        Choice::Member(Chosen { view, first, spares: order })
    }

    #[inline(always)]
    fn choose_member(
        &self,
        view: Guard<Arc<View>>,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Choice {
        match self.choose_one(&view, ask, random, |member| view.crew.count(member)) {
            Ok(first) => self.with_spares(view, first, ask, most, random),
            Err(Lack::Address) => Choice::NoAddress,
            Err(Lack::Member) => Choice::Nobody,
        }
    }

    /// Chooses among the members of `view`, which is this farm's, and notes who it was; `count` counts for the member, and the
    /// caller for the farm.
    #[inline(always)]
    fn choose_one(
        &self,
        view: &View,
        ask: &Ask<'_>,
        random: &mut dyn Random,
        count: impl FnOnce(MemberId),
    ) -> Result<MemberId, Lack> {
        let select = view.select(ask.family).ok_or(Lack::Address)?;
        let mark = self.mark(view, ask);
        let member = if ask.again || matches!(ask.stick, Stick::Key(_)) {
            self.choose_specially(view, select, ask, random)?
        } else {
            view.foresee(select, random);
            select.select(&self.pick(ask), random).ok_or(Lack::Member)?
        };
        count(member);
        self.note(view, member, ask, mark);
        Ok(member)
    }

    /// Remembers that a member was given. After it was counted: the count would wait for what this writes.
    #[inline(always)]
    fn note(&self, view: &View, member: MemberId, ask: &Ask<'_>, mark: Option<Mark<'_>>) {
        if let Some(packet) = &ask.packet {
            packet.note(member, ask.now);
        }
        self.remember(view, ask, mark, member);
    }

    /// Counts a member as given, notes it, and adds its spares.
    pub(super) fn give(
        &self,
        view: Guard<Arc<View>>,
        first: MemberId,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Choice {
        if let Some(select) = view.select(ask.family) {
            select.gave(first, ask.now);
        }
        view.crew.count(first);
        self.note(&view, first, ask, self.mark(&view, ask));
        self.with_spares(view, first, ask, most, random)
    }

    #[inline(always)]
    pub(super) fn with_spares(
        &self,
        view: Guard<Arc<View>>,
        first: MemberId,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Choice {
        let spares = if most > 1 { self.spares(&view, first, ask, most, random) } else { Vec::new() };
        Choice::Member(Chosen { view, first, spares })
    }

    #[cold]
    fn spares(
        &self,
        view: &View,
        first: MemberId,
        ask: &Ask<'_>,
        most: usize,
        random: &mut dyn Random,
    ) -> Vec<MemberId> {
        let mut spares = Vec::new();
        if let Some(select) = view.select(ask.family) {
            select.rank(&self.pick(ask), random, &mut spares);
        }
        spares.retain(|&id| id != first);
        spares.truncate(most - 1);
        spares
    }
}
