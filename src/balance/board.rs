//! The numbers that choices compare, of members that stand side by side.
//!
//! A choice looks at the load of each member and at what was handed out since it was reported. Eight members' worth of both
//! is one line of the cache: that is enough to compare them, so a farm of ten is seen in two or three lines and a farm
//! of 100,000 takes less than a megabyte. What only the chosen one needs, and what only reports and people read, stands apart.
//!
//! Everything is an atomic on its own, changed by plain stores. What is handed out is counted twice: in the backend's
//! [`Tally`](super::gauge::Tally), where none is lost, and here by the farm that chooses. Other farms count only in the tally; so
//! whoever is about to be chosen is [compared](Board::catch_up) with its tally first, if another farm has it too. Of two choices of
//! the same member in the same nanoseconds one may be missing here; for that, everybody is compared once in a while.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::ahead::want;
use super::gauge::AtomicF64;
use super::slot::{CHUNK, Slot};

/// Members that share a line.
pub const LANES: usize = 8;
/// Choices that threads may have written here and not yet in the tally; more is an error to be put right.
const AHEAD: u32 = 64;

/// What is compared of [`LANES`] members.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Line {
    /// Bits of an `f32`, which tells loads apart to seven digits: NaN if unknown, infinite if the formula failed.
    loads: [AtomicU32; LANES],
    given: [AtomicU32; LANES],
}

impl Line {
    /// The load of a place as choices see it: NaN if unknown, infinite if the formula failed.
    #[inline]
    pub fn load(&self, place: usize) -> f64 {
        f64::from(f32::from_bits(self.loads[place % LANES].load(Relaxed)))
    }

    /// Answers handed out since the report, as far as choices know.
    #[inline]
    pub fn given(&self, place: usize) -> u32 {
        self.given[place % LANES].load(Relaxed)
    }
}

/// What a choice reads of [`LANES`] members: two lines beside each other, which come from memory together.
#[derive(Debug)]
#[repr(C)]
struct Row {
    line: Line,
    /// The backends' tallies when the loads were reported.
    baselines: [AtomicU64; LANES],
}

/// The numbers of as many members of farms as a chunk has places.
#[derive(Debug)]
#[repr(C)]
pub struct Board {
    rows: [Row; CHUNK / LANES],
    /// The formula's results: finite, NaN if unknown, infinite if the formula gave nothing finite.
    loads: [AtomicF64; CHUNK],
    /// What rules keep of their own; only where one does.
    own: OnceLock<Arc<Own>>,
}

/// What a rule keeps of [`LANES`] members beside their loads, side by side.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct OwnLine {
    /// When they had their last turn.
    pub turns: [AtomicF64; LANES],
    /// A figure of theirs; NaN if there is none.
    pub figures: [AtomicF64; LANES],
    /// From when on the figure holds, and until when: nanoseconds since the epoch.
    pub from: [AtomicU64; LANES],
    /// See `from`.
    pub until: [AtomicU64; LANES],
}

/// What a rule keeps of the members of a [`Board`].
#[derive(Debug)]
pub struct Own([OwnLine; CHUNK / LANES]);

impl Own {
    /// The line of a place, in which it is the place's remainder by [`LANES`].
    #[inline]
    pub fn line(&self, place: usize) -> &OwnLine {
        &self.0[place / LANES % (CHUNK / LANES)]
    }

    fn forget(&self, place: usize) {
        let (line, lane) = (self.line(place), place % LANES);
        line.turns[lane].set(0.0);
        line.figures[lane].set(f64::NAN);
        line.from[lane].store(0, Relaxed);
        line.until[lane].store(0, Relaxed);
    }
}

impl Default for Own {
    fn default() -> Self {
        let line = |_| OwnLine {
            turns: std::array::from_fn(|_| AtomicF64::new(0.0)),
            figures: std::array::from_fn(|_| AtomicF64::new(f64::NAN)),
            from: std::array::from_fn(|_| AtomicU64::new(0)),
            until: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self(std::array::from_fn(line))
    }
}

impl Default for Board {
    fn default() -> Self {
        let line = || Line {
            loads: std::array::from_fn(|_| AtomicU32::new(f32::NAN.to_bits())),
            given: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        let row = |_| Row { line: line(), baselines: std::array::from_fn(|_| AtomicU64::new(0)) };
        Self {
            rows: std::array::from_fn(row),
            loads: std::array::from_fn(|_| AtomicF64::new(f64::NAN)),
            own: OnceLock::new(),
        }
    }
}

impl Board {
    #[inline]
    fn row(&self, place: usize) -> &Row {
        &self.rows[place / LANES % (CHUNK / LANES)]
    }

    /// The line of a place.
    #[inline]
    pub fn line(&self, place: usize) -> &Line {
        &self.row(place).line
    }

    /// The backend's tally when the load of a place was reported.
    #[inline]
    fn baseline(&self, place: usize) -> &AtomicU64 {
        &self.row(place).baselines[place % LANES]
    }

    /// Asks for what a choice compares of a place and its neighbours on the line.
    #[inline]
    pub fn want(&self, place: usize) {
        want(&self.row(place).line);
    }

    /// Asks for the tallies that they had at their reports.
    #[inline]
    pub fn want_baselines(&self, place: usize) {
        want(&self.row(place).baselines);
    }

    /// The load of a place, to the last digit: NaN if unknown, infinite if the formula failed.
    pub fn exact(&self, place: usize) -> f64 {
        self.loads[place].get()
    }

    /// Answers handed out since the report, if `tally` is the backend's.
    #[inline]
    pub fn handed_out(&self, place: usize, tally: u64) -> u64 {
        tally.saturating_sub(self.baseline(place).load(Relaxed))
    }

    /// Takes a load; what was handed out counts from `tally` on.
    pub fn report(&self, place: usize, load: f64, tally: u64) {
        let seen = if load.is_finite() { (load as f32).clamp(f32::MIN, f32::MAX) } else { load as f32 };
        self.loads[place].set(load);
        self.line(place).loads[place % LANES].store(seen.to_bits(), Relaxed);
        self.count_from(place, tally, tally);
    }

    /// What was handed out counts from `baseline` on, if the backend's tally is `tally`.
    pub fn count_from(&self, place: usize, baseline: u64, tally: u64) {
        self.baseline(place).store(baseline, Relaxed);
        self.line(place).given[place % LANES].store(count(tally.saturating_sub(baseline)), Relaxed);
    }

    /// Takes in answers that others gave, by the backend's tally. Gives whether there were some, so that it must be
    /// compared anew.
    #[inline]
    pub fn catch_up(&self, place: usize, tally: u64) -> bool {
        let (due, given) = (count(self.handed_out(place, tally)), self.line(place).given(place));
        if given.wrapping_sub(due) <= AHEAD {
            return false;
        }
        self.line(place).given[place % LANES].store(due, Relaxed);
        due > given
    }

    /// Counts an answer, which is about to be counted in the tally.
    #[inline]
    pub fn give(&self, place: usize) {
        let given = &self.line(place).given[place % LANES];
        given.store(given.load(Relaxed).saturating_add(1), Relaxed);
    }

    /// What the farms' rules keep of these members.
    pub fn own(&self) -> &Arc<Own> {
        self.own.get_or_init(Arc::default)
    }

    /// Forgets what the last rule kept of a member, for another one will use the place.
    pub fn forget(&self, place: usize) {
        if let Some(own) = self.own.get() {
            own.forget(place);
        }
    }
}

/// One member's place.
impl Slot<Board> {
    /// The formula's result: finite, NaN if unknown, infinite if the formula gave nothing finite.
    pub fn exact(&self) -> f64 {
        self.chunk().exact(self.place())
    }

    /// The finite load that was reported, if one was.
    pub fn reported(&self) -> Option<f64> {
        Some(self.exact()).filter(|load| load.is_finite())
    }

    /// Whether no load is known at all.
    pub fn is_unknown(&self) -> bool {
        self.exact().is_nan()
    }

    /// Takes a report's load (finite, NaN if unknown, infinite if the formula gave nothing finite) and starts to count
    /// answers anew, if the backend's tally is `tally`.
    pub fn report(&self, load: f64, tally: u64) {
        self.chunk().report(self.place(), load, tally);
    }

    /// Goes on from `handed_out` answers since the report, if the backend's tally is `tally`.
    pub fn count_on(&self, handed_out: u64, tally: u64) {
        self.chunk().count_from(self.place(), tally.saturating_sub(handed_out), tally);
    }

    /// Forgets what the farm's rule kept of the member: it has another one from now on.
    pub fn forget_rule(&self) {
        self.chunk().forget(self.place());
    }
}

/// As many, or as many as there is room to count.
#[inline]
fn count(answers: u64) -> u32 {
    answers.min(u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_cache_holds_all_that_is_compared_of_eight() {
        assert_eq!(size_of::<Line>(), 64);
        assert_eq!(align_of::<Board>(), 64);
    }

    #[test]
    fn loads_beyond_single_precision_stay_finite_and_exact() {
        let board = Board::default();
        assert!(board.line(9).load(9).is_nan() && board.exact(9).is_nan());
        for load in [0.1, -1e300, 1e300, 16_777_217.0] {
            board.report(9, load, 0);
            assert!(board.line(9).load(9).is_finite(), "{load}");
            assert_eq!(board.exact(9), load);
        }
        board.report(9, f64::INFINITY, 0);
        assert_eq!(board.line(9).load(9), f64::INFINITY);
        assert!(
            board.line(8).load(8).is_nan() && board.line(10).load(10).is_nan(),
            "neighbours are left alone"
        );
    }

    #[test]
    fn answers_of_others_are_taken_in_and_those_under_way_waited_for() {
        let board = Board::default();
        board.report(3, 1.0, 100);
        (0..5).for_each(|_| board.give(3));
        assert!(!board.catch_up(3, 105), "all of them are counted");
        assert!(!board.catch_up(3, 104), "one is about to be");
        assert_eq!(board.line(3).given(3), 5);
        assert!(board.catch_up(3, 109));
        assert_eq!((board.line(3).given(3), board.handed_out(3, 109)), (9, 9));
        // A choice that began before a report and ended after it.
        board.report(3, 1.0, 500);
        (0..1000).for_each(|_| board.give(3));
        assert!(!board.catch_up(3, 500), "it needs no second comparison: it has become less");
        assert_eq!(board.line(3).given(3), 0);
    }

    #[test]
    fn what_a_rule_kept_is_forgotten_of_one_member_alone() {
        let board = Board::default();
        let line = board.own().line(17);
        line.turns.iter().for_each(|turn| turn.set(5.0));
        board.forget(17);
        let turns: Vec<f64> = line.turns.iter().map(AtomicF64::get).collect();
        assert_eq!(turns, [5.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
    }
}
