//! `again.LABELS.farm`: who was given for the request that was known as LABELS a moment ago.
//!
//! A proxy whose try on a member failed asks once more, under the same labels with `again.` in front, and wants another
//! member. So every choice with labels is noted in a memory of fixed size that all farms of an engine share: 2^18 slots
//! of eight octets, each a tag of the labels' hash, a time and a member, in one atomic word; later labels overwrite
//! earlier ones. It takes no lock and allocates nothing but, once, itself, at the first query with labels. A try that is
//! refused comes back within milliseconds. At 20,000 queries with labels a second a slot lives 13 s on average; at 200,000,
//! 1.3 s. What was overwritten is simply a fresh choice, and says nothing against anybody.
//!
//! Without labels (`again.farm`, Apache's standby member) the farm's last choice without labels counts as the first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::ahead::want;
use super::algorithm::{MemberId, Pick, Select, Ticket};
use super::farm::{Ask, Farm};
use super::moment::Moment;
use super::note::Note;
use super::random::{Random, hash_key, hash_label, mix};
use super::view::View;

/// How long a first choice is remembered.
pub const MEMORY: Duration = Duration::from_secs(10);
/// Slots, a power of two.
const SLOTS: usize = 1 << 18;
/// Draws that may fall on the first member before everybody is ranked.
const DRAWS: u64 = 4;
/// What tells notes of the same labels apart: IPv4, IPv6, no family.
const FAMILIES: [u64; 3] = [mix(0), mix(1), mix(2)];
/// What stands in front of labels.
const PREFIX: &[u8] = b"again.";

/// What an `again` follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    /// Who was given first.
    pub member: MemberId,
    /// Whether this is the first `again` that follows it: a proxy asks for A and AAAA, and asks again when an answer is lost.
    pub is_news: bool,
}

/// Marks a note as followed, if it is about these labels, and gives it.
fn follow(slot: &AtomicU64, hash: u64, now: Moment) -> Option<First> {
    let note = Note::from_bits(slot.load(Relaxed));
    if !note.is_about(hash, MEMORY, now) {
        return None;
    }
    let mark = || slot.compare_exchange(note.bits(), note.followed().bits(), Relaxed, Relaxed).is_ok();
    Some(First { member: note.member(), is_news: !note.is_followed() && mark() })
}

type Slots = Box<[AtomicU64; SLOTS]>;

/// The memory.
pub(super) struct Recent {
    slots: OnceLock<Slots>,
    /// Drawn at the start, so that nobody can make labels that push out each other.
    seed: u64,
}

impl Recent {
    /// A memory that nothing is in.
    pub(super) fn new(seed: u64) -> Self {
        Self { slots: OnceLock::new(), seed }
    }

    /// Where what `ask` is answered is noted, and as what.
    #[inline]
    fn mark(&self, salt: u64, ask: &Ask<'_>) -> Mark<'_> {
        let hash = self.hash(salt, ask);
        Mark { slot: self.slot(hash), hash }
    }

    #[inline]
    fn slot(&self, hash: u64) -> &AtomicU64 {
        let slots = self.slots.get_or_init(empty);
        // The tag is made of the upper bits, the place of the lower ones.
        &slots[hash as usize % SLOTS]
    }

    /// The hash of labels in one farm (by its [`View::salt`]) and family. `again.` in front of labels, as it is when a
    /// second try failed as well, changes it in a way that needs no copy of them.
    #[inline]
    fn hash(&self, salt: u64, ask: &Ask<'_>) -> u64 {
        let (labels, depth) = match ask.key.get(PREFIX.len() - 1) {
            // The dot first: it alone tells nearly all other labels.
            Some(b'.') => without_prefix(ask.key),
            _ => (ask.key, 0),
        };
        let family = FAMILIES[ask.family.map_or(2, |family| family as usize)];
        let hash = hash_label((self.seed ^ salt).wrapping_add(family), labels);
        match depth + u64::from(ask.again) {
            0 => hash,
            depth => mix(hash ^ depth),
        }
    }
}

/// Slots that nothing is in.
#[cold]
fn empty() -> Slots {
    let slots: Box<[AtomicU64]> = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
    slots.try_into().expect("as many as were made")
}

/// Labels without the `again.` in front of them, and how many of these there were.
#[cold]
fn without_prefix(mut labels: &[u8]) -> (&[u8], u64) {
    let mut depth = 0;
    while labels.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) {
        labels = &labels[PREFIX.len()..];
        depth += 1;
    }
    (labels, depth)
}

/// Where a choice will be noted, and the hash of its labels: see [`Farm::mark`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark<'a> {
    slot: &'a AtomicU64,
    hash: u64,
}

impl Mark<'_> {
    /// Notes who was given.
    #[inline]
    fn note(self, member: MemberId, now: Moment) {
        if let Some(note) = Note::new(self.hash, member, now) {
            self.slot.store(note.bits(), Relaxed);
        }
    }
}

/// A farm's last choice without labels.
#[derive(Debug, Default)]
pub(super) struct Last(AtomicU64);

impl Last {
    #[inline]
    pub(super) fn note(&self, member: MemberId, now: Moment) {
        self.0.store(Note::new(0, member, now).map_or(0, Note::bits), Relaxed);
    }

    /// Forgets it: members may have other places now.
    pub(super) fn forget(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Farm {
    /// By what a choice for `ask` will be remembered, if it has labels. It does not depend on the choice, so whoever
    /// asks for it first works it out while the choice waits for memory.
    #[inline]
    pub(super) fn mark(&self, view: &View, ask: &Ask<'_>) -> Option<Mark<'_>> {
        (!ask.key.is_empty()).then(|| {
            let mark = self.hot.common.recent.mark(view.salt, ask);
            // The next choice would wait for what is written there.
            want(mark.slot);
            mark
        })
    }

    /// Notes a choice that was made for `ask`, by its [mark](Self::mark).
    #[inline]
    pub(super) fn remember(&self, view: &View, ask: &Ask<'_>, mark: Option<Mark<'_>>, member: MemberId) {
        self.count_given(view, member, ask.now);
        if let Some(mark) = mark {
            mark.note(member, ask.now);
        } else if !ask.again {
            self.hot.last.note(member, ask.now);
        }
    }

    /// What an `again` follows, if that is known. Who was given first is doubted from now on.
    pub(super) fn first_choice(&self, view: &View, ask: &Ask<'_>) -> Option<MemberId> {
        let labelled = !ask.key.is_empty();
        let first = if labelled {
            let first = self.hot.common.recent.mark(view.salt, &Ask { again: false, ..*ask });
            follow(first.slot, first.hash, ask.now)?
        } else {
            follow(&self.hot.last.0, 0, ask.now)?
        };
        if first.is_news {
            self.doubt(view, first.member, labelled, ask.now);
        }
        Some(first.member)
    }

    /// Somebody else than `first`, if anybody else may be chosen. The farm's rule draws a few times, for another key that
    /// depends on the labels alone; a rule that insists on its member is asked for its whole order.
    pub(super) fn second_choice(
        &self,
        view: &View,
        select: &dyn Select,
        ask: &Ask<'_>,
        first: MemberId,
        random: &mut dyn Random,
    ) -> Option<MemberId> {
        let ticket = self.tickets(ask.family).fetch_add(1, Relaxed);
        let hash = hash_key(view.salt, ask.key);
        for draw in 0..DRAWS {
            let key = hash.wrapping_add(draw).to_le_bytes();
            let key = if ask.key.is_empty() { &[][..] } else { &key };
            let pick = Pick { now: ask.now, ticket: Ticket::Of(ticket.wrapping_add(draw)), key };
            match select.select(&pick, random) {
                Some(member) if member == first => {}
                other => return other,
            }
        }
        let mut order = Vec::new();
        select.rank(&Pick { now: ask.now, ticket: Ticket::Of(ticket), key: ask.key }, random, &mut order);
        let member = order.into_iter().find(|&member| member != first).unwrap_or(first);
        select.gave(member, ask.now);
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_unix(Duration::from_millis(1_795_000_000_000 + millis))
    }

    fn ask(labels: &'static str, again: bool) -> Ask<'static> {
        Ask { key: labels.as_bytes(), again, ..Ask::any(at(0)) }
    }

    fn find(recent: &Recent, hash: u64, now: Moment) -> Option<First> {
        follow(recent.slot(hash), hash, now)
    }

    #[test]
    fn a_first_choice_is_remembered_for_ten_seconds_and_followed_once() {
        let recent = Recent::new(1);
        let mark = recent.mark(7, &ask("request-1", false));
        let hash = mark.hash;
        assert_eq!(find(&recent, hash, at(0)), None);
        mark.note(MemberId(41), at(0));
        let first = |is_news| Some(First { member: MemberId(41), is_news });
        assert_eq!(find(&recent, hash, at(9_900)), first(true));
        assert_eq!(find(&recent, hash, at(9_950)), first(false));
        assert_eq!(find(&recent, hash, at(10_100)), None);
        mark.note(MemberId(0), at(20_000));
        // Another thread that read its clock a little earlier.
        assert_eq!(find(&recent, hash, at(19_999)), Some(First { member: MemberId(0), is_news: true }));
    }

    #[test]
    fn other_labels_other_farms_and_other_families_are_strangers() {
        let recent = Recent::new(1);
        let family = Some(super::super::view::Family::V6);
        let mut hashes = vec![
            recent.hash(mix(1), &ask("a", false)),
            recent.hash(mix(2), &ask("a", false)),
            recent.hash(mix(1), &ask("b", false)),
            recent.hash(mix(1), &Ask { family, ..ask("a", false) }),
            recent.hash(mix(1), &Ask { family, ..ask("b", false) }),
            recent.hash(mix(1), &ask("a", true)),
            recent.hash(mix(1), &ask("again.a", true)),
        ];
        assert_eq!(recent.hash(1, &ask("a", true)), recent.hash(1, &ask("AGAIN.A", false)));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 7);
    }
}
