//! Weighted sampling in constant time: Walker's alias method, built by Vose's algorithm (IEEE TSE 17(9), 1991).

use super::super::ahead::want_at;
use super::super::random::Random;

/// Draws an index with probability in proportion to its weight: one random number and one row a draw.
#[derive(Debug)]
pub struct Alias {
    /// How many weights there are.
    count: usize,
    /// Of each row: keep it if 32 random bits are below the threshold, else go to the other index. None where all weights
    /// are equal, which keep every row.
    rows: Box<[(u32, u32)]>,
}

impl Alias {
    /// Takes weights, each finite and greater than 0.
    pub fn new(weights: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let count = weights.len();
        let mut first = weights.clone();
        if first.next().is_none_or(|one| first.all(|other| other == one)) {
            return Self { count, rows: Box::default() };
        }
        let scale = count as f64 / weights.clone().sum::<f64>();
        let mut rows: Box<[(u32, u32)]> = (0..count as u32).map(|index| (u32::MAX, index)).collect();
        let mut parts: Vec<f64> = weights.map(|weight| weight * scale).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|&index| parts[index] < 1.0);
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            rows[less] = ((parts[less] * 2f64.powi(32)) as u32, more as u32);
            parts[more] -= 1.0 - parts[less];
            if parts[more] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Self { count, rows }
    }

    /// An index below the number of weights, which must not have been 0.
    #[inline]
    pub fn draw(&self, random: &mut dyn Random) -> usize {
        self.at(random.next())
    }

    /// Two such for one random number, of which each takes the half that the other hardly looks at.
    #[inline]
    pub fn two_at(&self, bits: u64) -> [usize; 2] {
        [self.at(bits), self.at(bits.rotate_left(32))]
    }

    /// Asks for what draws by these bits will read.
    #[inline]
    pub fn want_two(&self, bits: u64) {
        if !self.rows.is_empty() {
            let row = |bits: u64| ((u128::from(bits) * self.count as u128) >> 64) as usize;
            want_at(&self.rows, row(bits));
            want_at(&self.rows, row(bits.rotate_left(32)));
        }
    }

    /// The index that belongs to uniform bits; the upper ones count most.
    #[inline]
    fn at(&self, bits: u64) -> usize {
        // The product's upper half is the row, its lower half is uniform within the row.
        let product = u128::from(bits) * self.count as u128;
        let row = (product >> 64) as usize;
        match self.rows.get(row) {
            None => row,
            Some(&(threshold, other)) => {
                let within = (product as u64 >> 32) as u32;
                if within < threshold { row } else { other as usize }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::random::SplitMix;

    #[test]
    fn draws_follow_the_weights() {
        let weights = [1.0, 2.0, 0.5, 6.5, 10.0];
        let alias = Alias::new(weights.iter().copied());
        let mut random = SplitMix::new(7);
        let mut seen = [0.0; 5];
        for _ in 0..200_000 {
            seen[alias.draw(&mut random)] += 1.0;
        }
        let chi: f64 = weights
            .iter()
            .zip(seen)
            .map(|(weight, seen)| {
                let due = weight / 20.0 * 200_000.0;
                (seen - due) * (seen - due) / due
            })
            .sum();
        assert!(chi < 18.5, "chi-square with 4 degrees of freedom: {chi}, {seen:?}");
    }

    #[test]
    fn two_for_one_number_are_drawn_as_if_for_two() {
        let weights: Vec<f64> = (0..12_500).map(|index| 1.0 + f64::from(index % 3)).collect();
        let alias = Alias::new(weights.iter().copied());
        let mut random = SplitMix::new(7);
        // Pairs by what both weigh and by which quarter each is in.
        let mut seen = [[0.0; 12]; 12];
        let class = |index: usize| index % 3 * 4 + index / 3125;
        let draws = 1_000_000;
        for _ in 0..draws {
            let [one, other] = alias.two_at(random.next());
            seen[class(one)][class(other)] += 1.0;
        }
        let part = |class: usize| (1.0 + (class / 4) as f64) / 24.0;
        let due = |one: usize, other: usize| part(one) * part(other) * f64::from(draws);
        let apart = |one: usize, other: usize| (seen[one][other] - due(one, other)).powi(2) / due(one, other);
        let chi: f64 = (0..144).map(|pair| apart(pair / 12, pair % 12)).sum();
        assert!(chi < 199.0, "chi-square with 143 degrees of freedom, its 0.999 quantile: {chi}");
    }

    #[test]
    fn one_and_equal_weights_need_no_table() {
        let mut random = SplitMix::new(7);
        let one = Alias::new([0.3].into_iter());
        assert!((0..100).all(|_| one.draw(&mut random) == 0));
        let equal = Alias::new([2.0; 3].into_iter());
        let mut seen = [0u32; 3];
        (0..30_000).for_each(|_| seen[equal.draw(&mut random)] += 1);
        assert!(seen.iter().all(|&count| count.abs_diff(10_000) < 400), "{seen:?}");
    }
}
