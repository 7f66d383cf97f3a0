//! The least of a panel's candidates, found line by line.

use super::super::contest::{Contest, PLACES};
use super::draw::Sample;
use super::*;

/// Stretches of which one contest can hold all, each with the places of its line.
const ROWS: usize = PLACES / LANES;

/// The least of some.
#[derive(Clone, Copy)]
struct Least {
    found: Found,
    measure: f64,
    /// How many measure as little.
    even: usize,
}

impl Least {
    fn found(self) -> (Found, f64) {
        (self.found, self.measure)
    }
}

impl<O: Beside> Panel<O> {
    /// The candidate of least measure among those of a sample, and that measure; of equal ones each with the same chance. `LOADS`:
    /// whether a measure looks at loads.
    #[inline(always)]
    pub fn least<const LOADS: bool>(
        &self,
        sample: &mut Sample,
        measure: impl Fn(&Lane<'_, O>) -> f64,
        random: &mut dyn Random,
    ) -> Option<(Found, f64)> {
        if self.draw.is_some() {
            let drawn = &sample.drawn[..sample.count];
            let stretch = |row: usize| &self.stretches[drawn[row] as usize];
            return self
                .least_of::<LOADS>(drawn.len(), stretch, &measure, &mut sample.rest)
                .map(Least::found);
        }
        let (stretches, count) = (&*self.stretches, self.stretches.len());
        if count > ROWS {
            return self.least_of_many::<LOADS>(&measure, random);
        }
        self.least_of::<LOADS>(count, |row| &stretches[row], &measure, random).map(Least::found)
    }

    /// The same of all in more stretches than a contest has rows.
    #[cold]
    fn least_of_many<const LOADS: bool>(
        &self,
        measure: &impl Fn(&Lane<'_, O>) -> f64,
        random: &mut dyn Random,
    ) -> Option<(Found, f64)> {
        let mut best: Option<Least> = None;
        for stretches in self.stretches.chunks(ROWS) {
            let Some(next) = self.least_of::<LOADS>(stretches.len(), |row| &stretches[row], measure, random)
            else {
                continue;
            };
            best = match best {
                Some(best) if best.measure < next.measure => Some(best),
                Some(best) if best.measure == next.measure => {
                    let even = best.even + next.even;
                    let stays = random.below(even) < best.even;
                    Some(Least { even, ..if stays { best } else { next } })
                }
                _ => Some(next),
            };
        }
        best.map(Least::found)
    }

    /// The least of so many stretches, no more than a contest has rows.
    #[inline(always)]
    fn least_of<'a, const LOADS: bool>(
        &'a self,
        count: usize,
        stretch: impl Fn(usize) -> &'a Stretch,
        measure: &impl Fn(&Lane<'_, O>) -> f64,
        random: &mut dyn Random,
    ) -> Option<Least> {
        let mut contest = Contest::new();
        let mut sum = 0.0;
        match &self.uneven {
            None => (0..count).for_each(|row| {
                sum += self.look::<LOADS, false>(stretch(row), row, &mut contest, measure, |_| self.inverse);
            }),
            Some(uneven) => (0..count).for_each(|row| {
                let inverse = |index: usize| uneven.inverses.get(index).copied().unwrap_or(self.inverse);
                sum += self.look::<LOADS, false>(stretch(row), row, &mut contest, measure, inverse);
            }),
        }
        // Unless all are finite.
        if LOADS && !sum.is_finite() {
            contest = self.look_with_care(count, &stretch, measure);
        }
        let winner = contest.winner(random)?;
        let stretch = stretch(winner.place / LANES);
        let found = self.found(stretch, winner.place % LANES - stretch.at.place() % LANES);
        Some(Least { found, measure: winner.least, even: winner.even })
    }

    /// Looks at stretches of which some have loads that are not known, or that failed.
    #[cold]
    fn look_with_care<'a>(
        &'a self,
        count: usize,
        stretch: &impl Fn(usize) -> &'a Stretch,
        measure: &impl Fn(&Lane<'_, O>) -> f64,
    ) -> Contest {
        let mut contest = Contest::new();
        for row in 0..count {
            let inverse = |index: usize| self.inverse(index);
            self.look::<true, true>(stretch(row), row, &mut contest, measure, inverse);
        }
        contest
    }

    /// Enters a stretch as a row, each candidate at its place on the line, and gives the sum of their loads. `CARE`: some may not
    /// be finite, as they stand. `inverse` tells one over the weight of a candidate.
    #[inline(always)]
    fn look<const LOADS: bool, const CARE: bool>(
        &self,
        stretch: &Stretch,
        row: usize,
        contest: &mut Contest,
        measure: &impl Fn(&Lane<'_, O>) -> f64,
        inverse: impl Fn(usize) -> f64,
    ) -> f64 {
        let (board, own) = &self.boards[stretch.at.chunk()];
        let (line, own) = (board.line(stretch.at.place()), own.line(stretch.at.place()));
        let begin = stretch.at.place() % LANES;
        let end = begin + stretch.length as usize;
        let lane = |place: usize| {
            let load = match LOADS {
                true if CARE => self.pool.load(line.load(place)),
                true => line.load(place),
                false => 0.0,
            };
            let inverse = inverse((stretch.first as usize + place).wrapping_sub(begin));
            Lane { line, place, load, own, inverse }
        };
        contest.go_to(row * LANES + begin);
        let mut sum = 0.0;
        // One by one: unrolled and made pairs of by the compiler, this takes a quarter more time.
        for place in begin..end {
            let lane = lane(place);
            contest.enter(measure(&lane));
            sum += lane.load;
        }
        sum
    }
}
