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
use super::random::{Random, hash_key, mix};
use super::view::View;

/// How long a first choice is remembered.
pub const MEMORY: Duration = Duration::from_secs(10);
/// Slots, a power of two.
const SLOTS: usize = 1 << 18;
/// Draws that may fall on the first member before everybody is ranked.
const DRAWS: u64 = 4;
/// What tells notes of the same labels apart: no family, IPv4, IPv6.
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

/// The memory.
pub(super) struct Recent {
    slots: OnceLock<Box<[AtomicU64]>>,
    /// Drawn at the start, so that nobody can make labels that push out each other.
    seed: u64,
}

impl Recent {
    /// A memory that nothing is in.
    pub(super) fn new(seed: u64) -> Self {
        Self { slots: OnceLock::new(), seed }
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        let slots = self.slots.get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        // The tag is made of the upper bits, the place of the lower ones.
        &slots[hash as usize % SLOTS]
    }

    /// Notes who was given.
    fn note(&self, hash: u64, member: MemberId, now: Moment) {
        if let Some(note) = Note::new(hash, member, now) {
            self.slot(hash).store(note.bits(), Relaxed);
        }
    }

    /// The hash of labels in one farm (by its [`View::salt`]) and family. `again.` in front of labels, as it is when a
    /// second try failed as well, changes it in a way that needs no copy of them.
    fn hash(&self, salt: u64, ask: &Ask<'_>) -> u64 {
        let (mut labels, mut depth) = (ask.key, u64::from(ask.again));
        while labels.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) {
            labels = &labels[PREFIX.len()..];
            depth += 1;
        }
        let family = ask.family.map_or(0, |family| 1 + family as usize);
        let seed = (self.seed ^ salt).wrapping_add(FAMILIES[family]);
        let hash = hash_key(seed, labels);
        if depth == 0 { hash } else { mix(hash ^ depth) }
    }
}

/// The hash of labels: see [`Farm::mark`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

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
    pub(super) fn mark(&self, view: &View, ask: &Ask<'_>) -> Option<Mark> {
        (!ask.key.is_empty()).then(|| {
            let hash = self.hot.common.recent.hash(view.salt, ask);
            // The next choice would wait for what is written there.
            want(self.hot.common.recent.slot(hash));
            Mark(hash)
        })
    }

    /// Notes a choice that was made for `ask`, by its [mark](Self::mark).
    #[inline]
    pub(super) fn remember(&self, view: &View, ask: &Ask<'_>, mark: Option<Mark>, member: MemberId) {
        self.count_given(view, member, ask.now);
        if let Some(Mark(hash)) = mark {
            self.hot.common.recent.note(hash, member, ask.now);
        } else if !ask.again {
            self.hot.last.note(member, ask.now);
        }
    }

    /// What an `again` follows, if that is known. Who was given first is doubted from now on.
    pub(super) fn first_choice(&self, view: &View, ask: &Ask<'_>) -> Option<MemberId> {
        let labelled = !ask.key.is_empty();
        let first = if labelled {
            let recent = &self.hot.common.recent;
            let hash = recent.hash(view.salt, &Ask { again: false, ..*ask });
            follow(recent.slot(hash), hash, ask.now)?
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
        order.into_iter().find(|&member| member != first).or(Some(first))
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
        let hash = recent.hash(7, &ask("request-1", false));
        assert_eq!(find(&recent, hash, at(0)), None);
        recent.note(hash, MemberId(41), at(0));
        let first = |is_news| Some(First { member: MemberId(41), is_news });
        assert_eq!(find(&recent, hash, at(9_900)), first(true));
        assert_eq!(find(&recent, hash, at(9_950)), first(false));
        assert_eq!(find(&recent, hash, at(10_100)), None);
        recent.note(hash, MemberId(0), at(20_000));
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
