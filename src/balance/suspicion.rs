//! Suspicion: a member whose answers are followed by `again` fails, though nobody says so.
//!
//! Each member of a farm has a [`Ledger`]: how many answers gave it, and how many of these were followed, in each of the
//! last seconds. Most farms are never asked for a second try, so ledgers are [kept](Ledgers) from a farm's first one on; what
//! gave a member in the [`WINDOW`] before that is reckoned by what gave it since the farm is there, as if that had come
//! evenly. If at least [`LEAST`] were followed within the window, and at least half of all that gave it, the query that
//! finds this out leaves a word in the ledger and wakes the engine's sweeper; it takes no lock itself. The engine makes the member suspect for [`FIRST_SPAN`], doubling each time up to [`LONGEST_SPAN`]; one that was
//! free of suspicion for as long as the longest starts anew. A suspect is not available, but only while at least half of the
//! farm's weight remains without it: a fault of the proxy's own, or somebody who plays tricks, must not take a farm down.
//!
//! An `again` without labels may follow somebody else's choice: where many requests are under way, it blames everybody
//! alike. So it counts against a member only if the farm's others are followed less than half as often.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};
use std::time::Duration;

use super::algorithm::MemberId;
use super::farm::Farm;
use super::moment::Moment;
use super::view::View;

/// Answers of a member that were followed by `again`, at least.
pub const LEAST: u32 = 3;
/// Within this time; counted in steps of about a second.
pub const WINDOW: Duration = Duration::from_secs(10);
/// How long a member is suspect the first time.
pub const FIRST_SPAN: Duration = Duration::from_secs(10);
/// How long at most.
pub const LONGEST_SPAN: Duration = Duration::from_secs(300);

/// Steps that are kept.
const STEPS: usize = 12;
/// Steps that make the window: with 2^30 ns each, 9.7 to 10.7 s.
const LOOK_BACK: u32 = 10;
/// Bits of a step that count; the others tell which step it is, and come round after an hour.
const COUNT_BITS: u32 = 20;
const COUNT: u32 = (1 << COUNT_BITS) - 1;
const NAME: u32 = !0 >> COUNT_BITS;

/// Events of the last seconds.
#[derive(Debug, Default)]
struct Steps([AtomicU32; STEPS]);

/// Which step a moment is in.
fn step(now: Moment) -> u32 {
    (now.nanos() >> 30) as u32
}

impl Steps {
    /// Counts one event. Two cores that count at the same instant may lose one of the two: that is cheaper than an
    /// atomic addition, and half is not a fine measure.
    #[inline]
    fn count(&self, now: Moment) {
        let step = step(now);
        let cell = &self.0[step as usize % STEPS];
        let held = cell.load(Relaxed);
        let name = (step & NAME) << COUNT_BITS;
        let more = if held & !COUNT == name { held + u32::from(held & COUNT != COUNT) } else { name | 1 };
        cell.store(more, Relaxed);
    }

    /// Counts so many at once, where nothing was counted before.
    fn begin(&self, events: u64, now: Moment) {
        let (step, events) = (step(now), events.min(u64::from(COUNT)) as u32);
        self.0[step as usize % STEPS].store((step & NAME) << COUNT_BITS | events, Relaxed);
    }

    /// Events within the window.
    fn sum(&self, now: Moment) -> u32 {
        let step = step(now);
        let recent = |held: u32| (step.wrapping_sub(held >> COUNT_BITS) & NAME) < LOOK_BACK;
        let held = self.0.iter().map(|cell| cell.load(Relaxed));
        held.filter(|&held| recent(held)).map(|held| held & COUNT).sum()
    }

    fn clear(&self) {
        self.0.iter().for_each(|cell| cell.store(0, Relaxed));
    }
}

/// What is known of one member of a farm: on a cache line of its own, since every choice writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Ledger {
    given: Steps,
    /// Only of members that an `again` ever followed.
    doubt: OnceLock<Box<Doubt>>,
}

#[derive(Debug, Default)]
struct Doubt {
    followed: Steps,
    /// An [`Evidence`] that the engine has not seen yet; 0: none.
    word: AtomicU64,
    /// Until when nothing more need be said: the member is suspect. Nanoseconds, as in [`Moment`].
    quiet: AtomicU64,
}

/// Why a member is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Answers that were followed by `again` within [`WINDOW`].
    pub followed: u32,
    /// Answers that gave the member, in the same time.
    pub given: u32,
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { followed, given } = self;
        write!(formatter, "{followed} of {given} answers in {} s", WINDOW.as_secs())?;
        formatter.write_str(" were followed by a second try")
    }
}

impl Evidence {
    fn is_enough(self) -> bool {
        self.followed >= LEAST && self.followed.saturating_mul(2) >= self.given
    }
}

impl Ledger {
    /// One that begins at `now` with so many answers.
    fn begin(given: u64, now: Moment) -> Self {
        let ledger = Self::default();
        ledger.given.begin(given, now);
        ledger
    }

    /// Counts an answer that gave the member.
    #[inline]
    pub(super) fn give(&self, now: Moment) {
        self.given.count(now);
    }

    fn evidence(&self, now: Moment) -> Evidence {
        let followed = self.doubt.get().map_or(0, |doubt| doubt.followed.sum(now));
        // More cannot have been followed than were given; but see `Steps::count`.
        Evidence { followed, given: self.given.sum(now).max(followed) }
    }

    /// Counts an answer that was followed; gives the evidence if it is enough.
    fn follow(&self, now: Moment) -> Option<Evidence> {
        let doubt = self.doubt.get_or_init(Box::default);
        doubt.followed.count(now);
        let evidence = Some(self.evidence(now)).filter(|evidence| evidence.is_enough());
        evidence.filter(|_| now.nanos() >= doubt.quiet.load(Relaxed) && doubt.word.load(Relaxed) == 0)
    }

    /// Leaves word for the engine; gives whether this is news.
    fn accuse(&self, evidence: Evidence) -> bool {
        let word = u64::from(evidence.followed) << 32 | u64::from(evidence.given);
        let doubt = self.doubt.get_or_init(Box::default);
        doubt.word.compare_exchange(0, word, Relaxed, Relaxed).is_ok()
    }

    /// Takes the word that was left.
    pub(super) fn take(&self) -> Option<Evidence> {
        let word = self.doubt.get()?.word.swap(0, Relaxed);
        (word != 0).then_some(Evidence { followed: (word >> 32) as u32, given: word as u32 })
    }

    /// Starts to count anew, and says nothing before `until`.
    pub(super) fn hush(&self, until: Moment) {
        let doubt = self.doubt.get_or_init(Box::default);
        doubt.quiet.store(until.nanos(), Relaxed);
        doubt.followed.clear();
        self.given.clear();
    }
}

/// A suspicion, as the engine keeps it for a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    pub evidence: Evidence,
    pub since: Moment,
    pub until: Moment,
    /// Whether the member is still taken for a suspect; the rest is kept to double the next span.
    pub holds: bool,
}

impl Suspicion {
    /// The next suspicion after `last`, if there was one.
    pub(super) fn next(last: Option<Self>, evidence: Evidence, now: Moment) -> Self {
        let span = match last {
            Some(last) if now.since(last.until) < LONGEST_SPAN => {
                (last.until.since(last.since) * 2).min(LONGEST_SPAN)
            }
            _ => FIRST_SPAN,
        };
        Self { evidence, since: now, until: now + span, holds: true }
    }
}

/// The ledgers of a farm's members, in their order.
#[derive(Debug)]
pub(super) struct Ledgers {
    /// Whether anybody is suspected in this farm.
    wanted: bool,
    /// Answers of each member before these ledgers could have been kept; none if there were none of any.
    before: Box<[u64]>,
    /// Since when they could have been.
    since: Moment,
    kept: OnceLock<Box<[Ledger]>>,
}

impl Ledgers {
    /// Of a farm in which nobody is suspected.
    pub(super) fn none() -> Self {
        Self::new(false, std::iter::empty(), Moment::ZERO)
    }

    /// Of a farm in which members are suspected if `wanted`; not kept yet. `before`: answers that gave each one until `now`.
    pub(super) fn new(wanted: bool, before: impl Iterator<Item = u64> + Clone, now: Moment) -> Self {
        let some = wanted && before.clone().any(|answers| answers > 0);
        let before = if some { before.collect() } else { Box::default() };
        Self { wanted, before, since: now, kept: OnceLock::new() }
    }

    /// All of them; none while none are kept.
    pub(super) fn all(&self) -> &[Ledger] {
        self.kept.get().map_or(&[], |kept| kept)
    }

    /// Keeps them from `now` on, if anybody is suspected here; `given` are the answers that gave each member until then.
    fn keep(&self, given: impl Iterator<Item = u64>, now: Moment) -> &[Ledger] {
        if !self.wanted {
            return &[];
        }
        let before = self.before.iter().copied().chain(std::iter::repeat(0));
        let part = (WINDOW.as_secs_f64() / now.seconds_since(self.since)).min(1.0);
        let lately = |given: u64, before: u64| (given.saturating_sub(before) as f64 * part).ceil() as u64;
        let begin = |(given, before)| Ledger::begin(lately(given, before), now);
        self.kept.get_or_init(|| given.zip(before).map(begin).collect())
    }
}

impl Farm {
    /// Counts an answer that gave `member`, once ledgers are kept. Until then it reads nothing of them.
    #[inline]
    pub(super) fn count_given(&self, view: &View, member: MemberId, now: Moment) {
        if self.hot.doubts.load(Relaxed)
            && let Some(ledger) = view.ledgers.all().get(member.0 as usize)
        {
            ledger.give(now);
        }
    }

    /// Counts that an answer which gave `member` was followed by `again`, and tells the engine if that is too often.
    pub(super) fn doubt(&self, view: &View, member: MemberId, labelled: bool, now: Moment) {
        let ledgers = view.ledgers.keep(view.crew.answers(), now);
        self.hot.doubts.store(true, Relaxed);
        let Some(ledger) = ledgers.get(member.0 as usize) else { return };
        let Some(evidence) = ledger.follow(now) else { return };
        if !labelled && !stands_out(view, member, now) {
            return;
        }
        if ledger.accuse(evidence) {
            self.has_word.store(true, Ordering::Release);
            self.hot.common.call();
        }
    }
}

/// Whether the other members of a farm are followed less than half as often as a suspect must be.
fn stands_out(view: &View, member: MemberId, now: Moment) -> bool {
    let others = view.ledgers.all().iter().enumerate().filter(|(place, _)| *place != member.0 as usize);
    let (followed, given) = others.map(|(_, ledger)| ledger.evidence(now)).fold((0, 0), |sum, evidence| {
        (sum.0 + u64::from(evidence.followed), sum.1 + u64::from(evidence.given))
    });
    followed * 4 < given.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_unix(Duration::from_millis(1_795_000_000_000 + millis))
    }

    #[test]
    fn three_within_ten_seconds_and_half_of_what_was_given() {
        let ledger = Ledger::default();
        let fail = |now| {
            ledger.give(now);
            ledger.follow(now)
        };
        assert_eq!((fail(at(0)), fail(at(4_000))), (None, None));
        let third = fail(at(8_000));
        assert_eq!(third, Some(Evidence { followed: 3, given: 3 }));
        assert_eq!(third.unwrap().to_string(), "3 of 3 answers in 10 s were followed by a second try");
        // Half is enough, less is not.
        (0..3).for_each(|_| ledger.give(at(8_100)));
        ledger.give(at(8_100));
        assert_eq!(fail(at(8_200)), Some(Evidence { followed: 4, given: 8 }));
        ledger.give(at(8_300));
        ledger.give(at(8_300));
        assert_eq!(fail(at(8_400)), None);
        // What is older than the window counts no more.
        assert_eq!(fail(at(60_000)), None);
    }

    #[test]
    fn slow_failures_are_no_suspicion() {
        let ledger = Ledger::default();
        for round in 0..100 {
            let now = at(round * 5_500);
            ledger.give(now);
            assert_eq!(ledger.follow(now), None);
        }
    }

    #[test]
    fn word_is_left_once_and_taken_once() {
        let ledger = Ledger::default();
        let evidence = Evidence { followed: 4, given: 6 };
        assert!(ledger.accuse(evidence) && !ledger.accuse(evidence));
        assert_eq!((ledger.take(), ledger.take()), (Some(evidence), None));
        // A suspect's further failures are no news, and what was before is forgotten.
        ledger.hush(at(10_000));
        for now in [at(100), at(200), at(300), at(400)] {
            ledger.give(now);
            assert_eq!(ledger.follow(now), None);
        }
        assert!(ledger.follow(at(10_000)).is_some());
    }

    #[test]
    fn a_busy_member_never_overflows_its_count() {
        let ledger = Ledger::default();
        (0..COUNT + 10).for_each(|_| ledger.give(at(0)));
        assert_eq!(ledger.evidence(at(0)).given, COUNT);
    }

    #[test]
    fn what_was_given_before_the_first_second_try_counts_for_the_window_then() {
        let ledgers = Ledgers::new(true, [7, 0].into_iter(), at(0));
        assert!(ledgers.all().is_empty(), "nobody keeps what nobody asked for");
        let kept = ledgers.keep([10, 4].into_iter(), at(0));
        assert_eq!([kept[0].evidence(at(9_000)).given, kept[1].evidence(at(9_000)).given], [3, 4]);
        assert_eq!(kept[1].evidence(at(11_000)).given, 0, "that is over");
        // Four were given, so three that fail are enough; ten were, so they are not, until the window has passed.
        (0..2).for_each(|_| assert_eq!(kept[1].follow(at(100)), None));
        assert_eq!(kept[1].follow(at(100)), Some(Evidence { followed: 3, given: 4 }));
        assert!(std::ptr::eq(kept, ledgers.keep([99, 99].into_iter(), at(200))), "once, and then counted");
        let busy = Ledgers::new(true, [0].into_iter(), at(0));
        let kept = busy.keep([10].into_iter(), at(0));
        (0..3).for_each(|_| assert_eq!(kept[0].follow(at(100)), None));
        assert_eq!(kept[0].follow(at(10_900)), None);
        assert!((0..3).any(|_| kept[0].follow(at(11_000)).is_some()));
        assert!(Ledgers::new(false, [0].into_iter(), at(0)).keep([3].into_iter(), at(0)).is_empty());
    }

    #[test]
    fn a_long_past_does_not_hide_a_member_that_fails_now() {
        let ledgers = Ledgers::new(true, [0].into_iter(), at(0));
        let busy = &ledgers.keep([360_000].into_iter(), at(3_600_000))[0];
        assert_eq!(busy.evidence(at(3_600_000)).given, 1_000, "ten seconds of an hour");
        let mut told = (0..1_000).map(|tenth| {
            let now = at(3_600_000 + 10 * tenth);
            busy.give(now);
            busy.follow(now)
        });
        assert_eq!(
            told.position(|told| told.is_some()),
            Some(999),
            "as soon as they are half of what was given"
        );
    }

    #[test]
    fn spans_double_up_to_five_minutes_and_five_quiet_minutes_forgive() {
        let evidence = Evidence { followed: 3, given: 3 };
        let mut last = None;
        let mut now = at(0);
        let spans: Vec<u64> = (0..7)
            .map(|_| {
                let next = Suspicion::next(last, evidence, now);
                now = next.until + Duration::from_secs(20);
                last = Some(next);
                next.until.since(next.since).as_secs()
            })
            .collect();
        assert_eq!(spans, [10, 20, 40, 80, 160, 300, 300]);
        let forgiven = Suspicion::next(last, evidence, now + LONGEST_SPAN);
        assert_eq!(forgiven.until.since(forgiven.since), FIRST_SPAN);
    }
}
