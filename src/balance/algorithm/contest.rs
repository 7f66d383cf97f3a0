//! Comparing candidates: the least of some, everybody in order. For rules that look at members one by one.

use super::*;

/// Most members that a choice compares.
pub const MOST: usize = 32;

/// Measures that come one after another, at most [`MOST`], and the least of them. No branch depends on a measure.
pub struct Contest {
    least: f64,
    /// A bit for the place of each measure that is as little as the least.
    even: u32,
    place: u32,
}

impl Contest {
    /// Before the first measure.
    #[inline]
    pub fn new() -> Self {
        Self { least: f64::INFINITY, even: 0, place: 0 }
    }

    /// The next measure.
    #[inline]
    pub fn enter(&mut self, measure: f64) {
        let (less, no_more) = (measure < self.least, measure <= self.least);
        self.even = self.even & u32::from(less).wrapping_sub(1) | u32::from(no_more) << (self.place % 32);
        self.least = if less { measure } else { self.least };
        self.place += 1;
    }

    /// The next eight measures at once, of which the first `there` count; none of the others may be less than all of these. Theirs
    /// is a tree of comparisons and no chain.
    #[inline(always)]
    pub fn enter_eight(&mut self, measures: [f64; 8], there: usize) {
        // This one order of operands is one instruction.
        let lesser = |one: f64, other: f64| if one < other { one } else { other };
        let pair = |lane: usize| lesser(measures[lane], measures[lane + 4]);
        let least = lesser(lesser(pair(0), pair(2)), lesser(pair(1), pair(3)));
        let as_little = |even, lane: usize| even | u32::from(measures[lane] <= least) << lane;
        let even = (0..8).fold(0, as_little) & ((1 << there) - 1);
        if even == 0 {
            return self.enter_with_care(&measures[..there]);
        }
        let even = even << (self.place % 32);
        let kept = if least <= self.least { even } else { 0 };
        self.even = if least < self.least { kept } else { self.even | kept };
        self.least = lesser(least, self.least);
        self.place += there as u32;
    }

    /// The next measures, of which some are no numbers.
    #[cold]
    fn enter_with_care(&mut self, measures: &[f64]) {
        measures.iter().for_each(|&measure| self.enter(measure));
    }

    /// The least measure; infinite if there was none.
    #[inline]
    pub fn least(&self) -> f64 {
        self.least
    }

    /// The place of the least measure; of equal ones each with the same chance, for one random number. `None` if there was
    /// no measure, or none that is a number.
    #[inline]
    pub fn winner(self, random: &mut dyn Random) -> Option<usize> {
        let mut even = self.even;
        if even & even.wrapping_sub(1) != 0 {
            for _ in 0..random.below(even.count_ones() as usize) {
                even &= even - 1;
            }
        }
        (even != 0).then(|| even.trailing_zeros() as usize)
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

    fn least(measures: &[f64], random: &mut SplitMix) -> Option<usize> {
        let mut contest = Contest::new();
        measures.iter().for_each(|&measure| contest.enter(measure));
        contest.winner(random)
    }

    #[test]
    fn eight_at_once_are_as_eight_one_by_one() {
        let mut random = SplitMix::new(2);
        let some = [1.0, 2.0, 2.0, 3.0, f64::INFINITY];
        for _ in 0..100_000 {
            let (mut single, mut together) = (Contest::new(), Contest::new());
            for there in [8, 8, random.below(8) + 1] {
                let mut measures: [f64; 8] = std::array::from_fn(|_| some[random.below(some.len())]);
                let first = measures[0];
                measures[there..].fill(if random.below(2) == 0 { first } else { f64::INFINITY });
                measures[..there].iter().for_each(|&measure| single.enter(measure));
                together.enter_eight(measures, there);
                assert_eq!((single.even, single.place), (together.even, together.place), "{measures:?}");
                assert_eq!(single.least(), together.least());
            }
        }
        // What is no number wins nothing, and does not keep others from it.
        for place in 0..8 {
            let measures = std::array::from_fn(|lane| if lane == place { 1.0 } else { f64::NAN });
            let mut contest = Contest::new();
            contest.enter_eight(measures, 8);
            assert_eq!(contest.winner(&mut random), Some(place));
        }
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
