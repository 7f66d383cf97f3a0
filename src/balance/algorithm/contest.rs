//! Comparing candidates: the least of some, everybody in order. For rules that look at members one by one.

use super::pair::{Pair, lesser};
use super::*;

/// Most members that a choice compares.
pub const MOST: usize = 32;

/// Measures that come one after another, each at a place below [`PLACES`], and the least of them. No branch depends on a measure.
pub struct Contest {
    least: f64,
    /// A bit for the place of each measure that is as little as the least.
    even: u64,
    place: usize,
}

/// Places for measures.
pub const PLACES: usize = 64;

impl Contest {
    /// Before the first measure.
    #[inline]
    pub fn new() -> Self {
        Self { least: f64::INFINITY, even: 0, place: 0 }
    }

    /// The place of the next measure, which is not before that of the last one.
    #[inline]
    pub fn go_to(&mut self, place: usize) {
        self.place = place;
    }

    /// The next measure.
    #[inline]
    pub fn enter(&mut self, measure: f64) {
        let (less, no_more) = (measure < self.least, measure <= self.least);
        self.even = self.even & u64::from(less).wrapping_sub(1) | u64::from(no_more) << (self.place % PLACES);
        self.least = if less { measure } else { self.least };
        self.place += 1;
    }

    /// Who has the least measure; of equal ones each with the same chance, for one random number. `None` if there was
    /// no measure, or none that is a number.
    #[inline]
    pub fn winner(self, random: &mut dyn Random) -> Option<Winner> {
        let place = one_of(self.even, random)?;
        Some(Winner { place, least: self.least, even: self.even.count_ones() as usize })
    }
}

/// Who won.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Winner {
    /// Where.
    pub place: usize,
    /// What it measures.
    pub least: f64,
    /// How many measure as little.
    pub even: usize,
}

/// One of the bits that are set, each with the same chance.
#[inline]
fn one_of(mut bits: u64, random: &mut dyn Random) -> Option<usize> {
    if bits & bits.wrapping_sub(1) != 0 {
        for _ in 0..random.below(bits.count_ones() as usize) {
            bits &= bits - 1;
        }
    }
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

/// The same of measures that come in pairs, below [`PLACES`] in all: where they are worked out side by side.
pub struct PairContest {
    least: Pair,
    /// Of each side, a bit for every pair in which it is as little as the side's least.
    even: Pair,
}

const PAIRS: usize = PLACES / 2;

/// A bit for each pair, on both sides.
static BITS: [Pair; PAIRS] = {
    let mut bits = [Pair::new([0.0; 2]); PAIRS];
    let mut pair = 0;
    while pair < PAIRS {
        bits[pair] = Pair::new([f64::from_bits(1 << pair); 2]);
        pair += 1;
    }
    bits
};

impl PairContest {
    /// Before the first measures.
    #[inline]
    pub fn new() -> Self {
        Self { least: Pair::splat(f64::INFINITY), even: Pair::splat(0.0) }
    }

    /// Takes the measures that are at twice the place `pair` and next to it. One that is not a number is none.
    #[inline(always)]
    pub fn enter(&mut self, pair: usize, measures: Pair) {
        let (less, no_more) = (measures.simd_lt(self.least), measures.simd_le(self.least));
        self.even = !less & self.even | no_more & BITS[pair % PAIRS];
        self.least = lesser(measures, self.least);
    }

    /// As [`Contest::winner`].
    #[inline]
    pub fn winner(self, random: &mut dyn Random) -> Option<Winner> {
        let ([one, other], [ones, others]) = (self.least.to_array(), self.even.to_array().map(f64::to_bits));
        let least = if one < other { one } else { other };
        let (left, right) = (if one <= other { ones } else { 0 }, if other <= one { others } else { 0 });
        let even = left | right << PAIRS;
        let bit = one_of(even, random)?;
        Some(Winner { place: bit % PAIRS * 2 + bit / PAIRS, least, even: even.count_ones() as usize })
    }
}

/// Everybody, least first, ties at random.
pub fn rank<T>(
    contenders: &[T],
    measure: impl Fn(&T) -> (f64, MemberId),
    random: &mut dyn Random,
    order: &mut Vec<MemberId>,
) {
    let measured = |contender: &T| {
        let (measure, id) = measure(contender);
        (measure, random.next(), id)
    };
    let mut measured: Vec<(f64, u64, MemberId)> = contenders.iter().map(measured).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.extend(measured.into_iter().map(|(_, _, id)| id));
}

/// Shares in proportion to parts; equal ones if all parts are 0 or their sum is not finite.
pub fn shares(parts: impl Iterator<Item = (MemberId, f64)> + Clone) -> Vec<(MemberId, f64)> {
    let sum: f64 = parts.clone().map(|(_, part)| part).sum();
    let even = 1.0 / parts.clone().count().max(1) as f64;
    let share = |part: f64| if sum.is_finite() && sum > 0.0 { part / sum } else { even };
    parts.map(|(id, part)| (id, share(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::random::SplitMix;
    use super::*;

    /// Where the least is, by a contest of single ones and by one of pairs, which agree but on whom chance takes of equal ones.
    fn least(measures: &[f64], random: &mut SplitMix) -> Option<usize> {
        let mut single = Contest::new();
        measures.iter().for_each(|&measure| single.enter(measure));
        let mut paired = PairContest::new();
        for (pair, measures) in measures.chunks(2).enumerate() {
            paired.enter(pair, Pair::new([measures[0], *measures.get(1).unwrap_or(&f64::NAN)]));
        }
        let (single, paired) = (single.winner(random), paired.winner(random));
        assert_eq!(single.is_some(), paired.is_some());
        let even = |least: f64| measures.iter().filter(|&&measure| measure == least).count();
        for Winner { place, least, even: count } in single.iter().chain(&paired) {
            assert_eq!((*least, *count), (measures[*place], even(*least)));
        }
        assert_eq!(single.map(|one| one.least), paired.map(|one| one.least));
        if random.below(2) == 0 { single } else { paired }.map(|winner| winner.place)
    }

    #[test]
    fn what_is_no_number_wins_nothing_and_does_not_keep_others_from_it() {
        let mut random = SplitMix::new(2);
        for count in 1..=9 {
            for place in 0..count {
                for other in [f64::NAN, f64::INFINITY, 2.0] {
                    let mut measures = vec![other; count];
                    measures[place] = 1.0;
                    assert_eq!(least(&measures, &mut random), Some(place), "{measures:?}");
                }
            }
        }
    }

    #[test]
    fn places_may_be_left_out() {
        let mut contest = Contest::new();
        for (place, measure) in [(1, 4.0), (9, 2.0), (61, 3.0), (63, 2.5)] {
            contest.go_to(place);
            contest.enter(measure);
        }
        assert_eq!(contest.winner(&mut SplitMix::new(1)), Some(Winner { place: 9, least: 2.0, even: 1 }));
    }

    #[test]
    fn the_least_is_found_and_ties_are_even() {
        let mut random = SplitMix::new(1);
        assert_eq!(least(&[], &mut random), None);
        for count in 1..=MOST {
            for place in 0..count {
                let mut measures = vec![2.0; count];
                measures[place] = -1.0;
                assert_eq!(least(&measures, &mut random), Some(place));
            }
        }
        let measures: Vec<f64> = (0..MOST).map(|place| if place % 5 == 3 { 1.0 } else { 2.0 }).collect();
        let mut seen = [0u32; MOST];
        (0..60_000).for_each(|_| seen[least(&measures, &mut random).unwrap()] += 1);
        let even =
            |(place, &count): (usize, &u32)| count.abs_diff(if place % 5 == 3 { 10_000 } else { 0 }) < 400;
        assert!(seen.iter().enumerate().all(even), "{seen:?}");
        assert!(least(&[f64::INFINITY; 3], &mut random).is_some());
        assert_eq!(least(&[f64::NAN; 3], &mut random), None);
    }
}
