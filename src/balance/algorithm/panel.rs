//! Candidates as rules see them that compare: by the line, not one by one.
//!
//! The numbers of members stand side by side on [`Board`]s, [`LANES`] on a line of the cache, in the order in which the
//! engine made them, which is that of the configuration. A *stretch* is as much of one line as belongs to candidates that
//! follow each other. Farms up to [`LOOK_AT_ALL`] are looked at as a whole, in a few lines. Of a larger farm a choice looks at two
//! stretches that are drawn by weight (at up to four, if they are short), and
//! takes the best of all in them. That such a best of two runs of neighbours balances as well as one of as many drawn one by one,
//! as long as runs are as long as the logarithm of how many there are: Kenthapadi and Panigrahy, "Balanced Allocation on
//! Graphs", SODA 2006; Godfrey, "Balls and Bins with Structure", SODA 2008. What it saves is memory that nobody has touched
//! lately: two lines instead of sixteen.

mod ahead;
mod compare;
mod draw;

use self::draw::Draw;
use super::super::board::{Board, LANES, Line, Own, OwnLine};
use super::super::gauge::{Pool, Tallies};
use super::super::slot::CHUNK;
use super::contest;
use super::sample::Alias;
use super::*;
use smallvec::{Array, SmallVec};

/// Farms up to this size are looked at as a whole.
pub const LOOK_AT_ALL: usize = contest::MOST;

/// Candidates that follow each other on one line.
struct Stretch {
    /// The first of them, in the order of the candidates.
    first: u32,
    /// Where its numbers are.
    at: At,
    length: u32,
    /// Where the first one's tally is; those of the others follow it, but for what [`Uneven::tally_of`] says.
    tally: At,
}

/// A chunk by its number and a place there.
#[derive(Clone, Copy, PartialEq)]
struct At(u32);

impl At {
    fn new(chunk: usize, place: usize) -> Self {
        Self((chunk * CHUNK + place) as u32)
    }

    /// So many places on.
    #[inline]
    fn plus(self, places: usize) -> Self {
        Self(self.0.wrapping_add(places as u32))
    }

    #[inline]
    fn chunk(self) -> usize {
        self.0 as usize / CHUNK
    }

    #[inline]
    fn place(self) -> usize {
        self.0 as usize % CHUNK
    }
}

/// The candidate that is the least of a sample.
#[derive(Clone, Copy)]
pub struct Found {
    /// Its place in the order of the candidates.
    pub index: usize,
    at: At,
    tally: At,
}

/// What a rule finds beside a board: nothing, or what it keeps [of its own](Own).
pub trait Beside: Clone {
    /// What belongs to a line of the board.
    type Line;

    /// What belongs to the line of a place.
    fn line(&self, place: usize) -> &Self::Line;
}

impl Beside for () {
    type Line = ();

    #[inline]
    fn line(&self, _: usize) -> &() {
        self
    }
}

impl Beside for Arc<Own> {
    type Line = OwnLine;

    #[inline]
    fn line(&self, place: usize) -> &OwnLine {
        Own::line(self, place)
    }
}

/// All candidates of a farm, in the order of need. `O` is what a rule finds beside a board.
///
/// Of a farm of ten, all of it lies here and not behind pointers: on two lines of the cache, if it begins on one.
#[repr(C)]
pub struct Panel<O> {
    stretches: SmallVec<[Stretch; 2]>,
    boards: SmallVec<[(Arc<Board>, O); 2]>,
    tallies: SmallVec<[Arc<Tallies>; 2]>,
    pool: Arc<Pool>,
    /// One over each one's weight where all weigh the same.
    inverse: f64,
    /// Only for farms that are too large to be looked at as a whole.
    draw: Option<Box<Draw>>,
    /// Only where candidates differ.
    uneven: Option<Box<Uneven>>,
}

/// In what candidates differ.
struct Uneven {
    ids: Ids,
    /// Each one's one over its weight; none where all weigh the same.
    inverses: Box<[f64]>,
    /// Where each one's tally is; none where tallies follow each other along every stretch, as they mostly do.
    tally_of: Box<[At]>,
    /// Whether other farms give some of them too.
    is_shared: bool,
}

/// What a measure may look at of one candidate.
pub struct Lane<'a, O: Beside> {
    line: &'a Line,
    place: usize,
    /// The load that counts; 0 for a rule that does not see it.
    pub load: f64,
    /// What the rule finds beside the line.
    pub own: &'a O::Line,
    /// One over its weight.
    pub inverse: f64,
}

impl<O: Beside> Lane<'_, O> {
    /// Answers handed out since the report.
    #[inline(always)]
    pub fn given(&self) -> f64 {
        f64::from(self.line.given(self.place))
    }

    /// Its place on the line.
    #[inline(always)]
    pub fn place(&self) -> usize {
        self.place % LANES
    }
}

/// The number of a chunk in a list, where it is put if it is not there. Those of neighbours mostly are the same.
pub fn number<A: Array<Item: Clone>>(
    chunks: &mut SmallVec<A>,
    chunk: &A::Item,
    same: impl Fn(&A::Item) -> bool,
) -> usize {
    let last = chunks.len().saturating_sub(4);
    chunks[last..].iter().position(same).map_or_else(
        || {
            chunks.push(chunk.clone());
            chunks.len() - 1
        },
        |place| last + place,
    )
}

impl<O: Beside> Panel<O> {
    /// Of candidates in their order; `own` finds what the rule keeps beside a board. `run`: members of a stretch of a large
    /// farm at most, a divisor of [`LANES`]; a choice looks at two such runs.
    pub fn new(candidates: &[Candidate], run: usize, own: impl Fn(&Board) -> O) -> Self {
        let large = candidates.len() > LOOK_AT_ALL;
        let run = if large { run } else { LANES };
        let mut stretches = SmallVec::<[Stretch; 2]>::new();
        let (mut boards, mut tallies) = (SmallVec::new(), SmallVec::new());
        let mut tally_of = Vec::new();
        for (candidate, index) in candidates.iter().zip(0..) {
            let (board, tally) = (candidate.gauge.board(), candidate.gauge.tally().slot());
            let chunk = (Arc::clone(board.chunk()), own(board.chunk()));
            let chunk = number(&mut boards, &chunk, |(other, _)| Arc::ptr_eq(other, board.chunk()));
            let at = At::new(chunk, board.place());
            let chunk = number(&mut tallies, tally.chunk(), |other| Arc::ptr_eq(other, tally.chunk()));
            let tally = At::new(chunk, tally.place());
            match stretches.last_mut() {
                Some(last) if last.at.plus(last.length as usize) == at && !at.place().is_multiple_of(run) => {
                    last.length += 1;
                }
                _ => stretches.push(Stretch { first: index, at, length: 1, tally }),
            }
            tally_of.push(tally);
        }
        let follow = |stretch: &Stretch| {
            (0..stretch.length as usize)
                .all(|more| tally_of[stretch.first as usize + more] == stretch.tally.plus(more))
        };
        if stretches.iter().all(follow) {
            tally_of.clear();
        }
        let weight = |index: usize| candidates[index].weight;
        let stretch = |stretch: &Stretch| -> f64 {
            let first = stretch.first as usize;
            (first..first + stretch.length as usize).map(weight).sum()
        };
        let draw = large.then(|| Box::new(Draw { alias: Alias::new(stretches.iter().map(stretch)), run }));
        let first = candidates.first();
        let alike = candidates.iter().all(|one| first.is_some_and(|first| first.weight == one.weight));
        let inverses = candidates.iter().filter(|_| !alike).map(|one| 1.0 / one.weight).collect();
        let is_shared = candidates.iter().any(|one| one.gauge.is_shared());
        let uneven = Uneven { ids: Ids::of(candidates), inverses, tally_of: tally_of.into(), is_shared };
        let lists = [uneven.ids.0.is_empty(), uneven.inverses.is_empty(), uneven.tally_of.is_empty()];
        let is_even = lists == [true; 3] && !is_shared;
        stretches.shrink_to_fit();
        Self {
            stretches,
            boards,
            tallies,
            pool: first.map_or_else(Arc::default, |first| Arc::clone(first.gauge.pool())),
            inverse: first.map_or(1.0, |first| 1.0 / first.weight),
            draw,
            uneven: (!is_even).then(|| Box::new(uneven)),
        }
    }
}

impl<O: Beside> Panel<O> {
    /// How many candidates there are.
    pub fn len(&self) -> usize {
        self.stretches.last().map_or(0, |last| (last.first + last.length) as usize)
    }

    /// Who a candidate is.
    #[inline]
    pub fn id(&self, index: usize) -> MemberId {
        self.uneven.as_ref().map_or(MemberId(index as u32), |uneven| uneven.ids.get(index))
    }

    /// One over a candidate's weight.
    #[inline]
    pub fn inverse(&self, index: usize) -> f64 {
        let own = self.uneven.as_ref().and_then(|uneven| uneven.inverses.get(index));
        own.copied().unwrap_or(self.inverse)
    }

    /// A candidate by its place in their order.
    #[inline]
    pub fn find(&self, index: usize) -> Found {
        let stretch = self.stretch_of(index);
        self.found(stretch, index - stretch.first as usize)
    }

    /// The stretch that a candidate is in.
    #[inline]
    fn stretch_of(&self, index: usize) -> &Stretch {
        // Where all of them are full, that is where it is.
        if let Some(guess) = self.stretches.get(self.guess(index))
            && index.wrapping_sub(guess.first as usize) < guess.length as usize
        {
            return guess;
        }
        let after = self.stretches.partition_point(|stretch| stretch.first as usize <= index);
        &self.stretches[after - 1]
    }

    /// In which stretch a candidate is if all of them are full.
    #[inline]
    fn guess(&self, index: usize) -> usize {
        // A division by what is known is a shift.
        match &self.draw {
            Some(draw) if draw.run != LANES => index / draw.run,
            _ => index / LANES,
        }
    }

    /// What a measure looks at of one candidate.
    #[inline]
    pub fn lane(&self, index: usize) -> Lane<'_, O> {
        self.lane_of(self.find(index))
    }

    /// The same of one that was found.
    #[inline]
    pub fn lane_of(&self, found: Found) -> Lane<'_, O> {
        let (board, own) = &self.boards[found.at.chunk()];
        let place = found.at.place();
        let (line, own) = (board.line(place), own.line(place));
        Lane { line, place, load: self.pool.load(line.load(place)), own, inverse: self.inverse(found.index) }
    }

    /// The reported load, to the last digit; NaN or infinite if there is none.
    pub fn reported(&self, index: usize) -> f64 {
        let at = self.find(index).at;
        self.boards[at.chunk()].0.exact(at.place())
    }

    /// The load that counts, to the last digit.
    pub fn load(&self, index: usize) -> f64 {
        self.pool.load(self.reported(index))
    }

    /// Answers handed out since the report, those that others gave included.
    pub fn handed_out(&self, index: usize) -> u64 {
        let found = self.find(index);
        self.boards[found.at.chunk()].0.handed_out(found.at.place(), self.tally(found))
    }

    #[inline]
    fn tally(&self, found: Found) -> u64 {
        self.tallies[found.tally.chunk()].answers(found.tally.place())
    }

    /// Gives one that was found an answer, which is about to be counted in the tally. With `look_again` it does not if others
    /// gave it some that were not seen: these are now, and it must be compared anew. Gives whether it did.
    #[inline(always)]
    pub fn give(&self, found: Found, look_again: bool) -> bool {
        let ((board, _), place) = (&self.boards[found.at.chunk()], found.at.place());
        let is_lag_likely = self.is_shared() || is_time_to_look(board.line(place).given(place).into());
        let is_due = !(is_lag_likely && board.catch_up(place, self.tally(found)) && look_again);
        if is_due {
            board.give(place);
        }
        is_due
    }

    /// See [`Select::gave`].
    pub fn gave(&self, id: MemberId) {
        let index = match &self.uneven {
            Some(uneven) => uneven.ids.find(id, self.len()),
            None => Some(id.0 as usize).filter(|&index| index < self.len()),
        };
        if let Some(index) = index {
            self.give(self.find(index), false);
        }
    }

    /// Whether other farms give some of the candidates too.
    #[inline]
    fn is_shared(&self) -> bool {
        self.uneven.as_ref().is_some_and(|uneven| uneven.is_shared)
    }

    /// What a rule keeps of one that was found, and its place on that line.
    #[inline]
    pub fn own(&self, found: Found) -> (&O::Line, usize) {
        let (_, own) = &self.boards[found.at.chunk()];
        (own.line(found.at.place()), found.at.place() % LANES)
    }

    #[inline]
    fn found(&self, stretch: &Stretch, place: usize) -> Found {
        let index = stretch.first as usize + place;
        let own = self.uneven.as_ref().and_then(|uneven| uneven.tally_of.get(index));
        let tally = own.copied().unwrap_or_else(|| stretch.tally.plus(place));
        Found { index, at: stretch.at.plus(place), tally }
    }
}

/// What a rule finds that keeps nothing.
pub fn nothing(_: &Board) {}

/// What a rule finds that keeps something.
pub fn own(board: &Board) -> Arc<Own> {
    Arc::clone(board.own())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::super::gauge::{Gauges, Tally};
    use super::super::super::random::SplitMix;
    use super::*;

    /// So many candidates, of whom `skip` leaves some out, with their tallies.
    fn made(count: usize, skip: impl Fn(usize) -> bool) -> (Vec<Candidate>, Vec<Tally>) {
        let (mut gauges, pool) = (Gauges::default(), Arc::new(Pool::default()));
        pool.average.set(3.0);
        pool.highest.set(7.0);
        let each = |index: usize| {
            let tally = gauges.tally();
            let gauge = gauges.gauge(&tally, &pool);
            (Candidate { id: MemberId(index as u32), weight: 1.0, seed: index as u64, gauge }, tally)
        };
        let all: Vec<_> = (0..count).map(each).collect();
        all.into_iter().enumerate().filter(|(index, _)| !skip(*index)).map(|(_, made)| made).unzip()
    }

    #[test]
    fn a_lane_says_what_its_gauge_says() {
        let (candidates, tallies) = made(200, |_| false);
        let loads = [1.5, f64::INFINITY, f64::NAN];
        for (number, (candidate, tally)) in candidates.iter().zip(&tallies).enumerate() {
            candidate.gauge.report(number as f64 + loads[number % 3]);
            (0..number).for_each(|_| tally.count());
        }
        let panel = Panel::new(&candidates, LANES, nothing);
        for (number, candidate) in candidates.iter().enumerate() {
            assert_eq!(panel.give(panel.find(number), true), number == 0);
            let lane = panel.lane(number);
            assert_eq!((lane.load, panel.load(number)), (candidate.gauge.load(), candidate.gauge.load()));
            assert_eq!((panel.handed_out(number), panel.id(number)), (number as u64, candidate.id));
            assert_eq!(candidate.gauge.handed_out(), number as u64);
        }
    }

    #[test]
    fn the_least_of_all_is_found_wherever_it_stands() {
        let mut random = SplitMix::new(1);
        for count in 1..=LOOK_AT_ALL {
            for gap in [usize::MAX, 2, 3, 11] {
                let (candidates, _) = made(count + 5, |index| index % gap == 1 || index >= count);
                let panel = Panel::new(&candidates, LANES, nothing);
                for (index, best) in candidates.iter().enumerate() {
                    candidates.iter().for_each(|one| one.gauge.report(1.0));
                    best.gauge.report(0.5);
                    let mut sample = panel.sample(&mut random);
                    let least =
                        panel.least::<true>(&mut sample, |lane| lane.load * lane.inverse, &mut random);
                    let found = least.map(|(found, _)| (found.index, panel.id(found.index)));
                    assert_eq!(found, Some((index, best.id)), "{count} without each {gap}th");
                }
            }
        }
    }

    #[test]
    fn two_runs_of_neighbours_fill_a_thousand_evenly() {
        let (candidates, tallies) = made(1000, |_| false);
        candidates.iter().for_each(|one| one.gauge.report(0.0));
        let panel = Panel::new(&candidates, LANES, nothing);
        let mut random = SplitMix::new(1);
        for _ in 0..50_000 {
            let mut sample = panel.sample(&mut random);
            let (found, _) = panel.least::<false>(&mut sample, |lane| lane.given(), &mut random).unwrap();
            panel.give(found, false);
            tallies[found.index].count();
        }
        // 50 are due; eight or sixteen that are drawn one by one leave everybody at 49 to 51 as well.
        let given = tallies.iter().map(Tally::answers);
        let (least, most) = (given.clone().min().unwrap(), given.max().unwrap());
        assert!(least >= 48 && most <= 52, "{least} to {most}");
    }

    #[test]
    fn tallies_are_found_wherever_they_stand() {
        let (candidates, tallies) = made(100, |_| false);
        let mixed: Vec<Candidate> = (0..100).map(|index| candidates[index * 37 % 100].clone()).collect();
        (0..100).for_each(|index| tallies[index].count_on(1000 * index as u64));
        let of = |candidates: &[Candidate]| {
            let panel = Panel::new(candidates, LANES, nothing);
            (0..100).map(|index| panel.handed_out(index)).collect::<Vec<u64>>()
        };
        assert!((0..100).all(|index| of(&candidates)[index] == 1000 * index as u64));
        assert!((0..100).all(|index| of(&mixed)[index] == 1000 * (index as u64 * 37 % 100)));
        // Of backends that come in another order than members, tallies do not follow each other.
        let mut gauges = Gauges::default();
        let backwards: Vec<Candidate> = (0..100)
            .map(|index| {
                let gauge = gauges.gauge(&tallies[99 - index], candidates[0].gauge.pool());
                Candidate { gauge, ..candidates[index].clone() }
            })
            .collect();
        (0..100).for_each(|index| tallies[index].count_on(7 * index as u64));
        assert!((0..100).all(|index| of(&backwards)[index] == 7 * (99 - index as u64)));
    }

    #[test]
    fn of_a_large_farm_everybody_is_looked_at_in_time_and_by_weight() {
        for gap in [usize::MAX, 2, 5] {
            let (mut candidates, _) = made(500, |index| index % gap == 1);
            candidates.iter_mut().enumerate().for_each(|(index, one)| one.weight = 1.0 + (index % 2) as f64);
            let panel = Panel::new(&candidates, LANES, nothing);
            let mut random = SplitMix::new(1);
            let mut seen = HashSet::new();
            for _ in 0..20_000 {
                let mut sample = panel.sample(&mut random);
                // All measure the same.
                let least = panel.least::<false>(&mut sample, |_| 1.0, &mut random);
                seen.extend(least.map(|(found, _)| found.index));
            }
            assert_eq!(seen.len(), candidates.len());
            let inverse = |index: usize| panel.lane(index).inverse;
            assert!((0..panel.len()).all(|index| inverse(index) == 1.0 / candidates[index].weight));
        }
    }
}
