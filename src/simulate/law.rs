//! How long requests take: the laws of service times, each of mean 1.

use crate::balance::random::Random;

/// A law of service times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// All alike.
    Constant,
    /// Without memory: the usual model.
    Exponential,
    /// Bounded Pareto: most are short, few are very long, as file sizes and real requests are (Harchol-Balter 1999).
    Pareto(Pareto),
}

impl Law {
    /// The heavy tail of the experiments: exponent 1.5, the longest [`SPREAD`] times the shortest.
    pub fn heavy() -> Self {
        Self::Pareto(Pareto::new(1.5, SPREAD))
    }

    /// One service time.
    #[inline]
    pub fn draw(&self, random: &mut dyn Random) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Exponential => exponential(random),
            Self::Pareto(pareto) => pareto.draw(random),
        }
    }
}

/// Longest over shortest time of the heavy tail: the shortest is a third of the mean, the longest a thousand times it.
const SPREAD: f64 = 3000.0;

/// Pareto's law between two bounds, scaled to mean 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pareto {
    shortest: f64,
    /// (shortest / longest)^exponent
    tail: f64,
    inverse: f64,
}

impl Pareto {
    /// Takes the exponent, greater than 0 and not 1, and the longest time as a multiple of the shortest.
    pub fn new(exponent: f64, spread: f64) -> Self {
        let tail = spread.powf(-exponent);
        let mean = exponent / (exponent - 1.0) * (1.0 - spread.powf(1.0 - exponent)) / (1.0 - tail);
        Self { shortest: 1.0 / mean, tail, inverse: -1.0 / exponent }
    }

    fn draw(&self, random: &mut dyn Random) -> f64 {
        // The inverse of its distribution function.
        self.shortest * (1.0 - random.unit() * (1.0 - self.tail)).powf(self.inverse)
    }
}

/// A number from the exponential law of mean 1.
#[inline]
pub fn exponential(random: &mut dyn Random) -> f64 {
    -(1.0 - random.unit()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::random::SplitMix;

    #[test]
    fn every_law_has_mean_one() {
        for (law, slack) in [(Law::Constant, 0.0), (Law::Exponential, 0.01), (Law::heavy(), 0.03)] {
            let mut random = SplitMix::new(3);
            let mean = (0..400_000).map(|_| law.draw(&mut random)).sum::<f64>() / 4e5;
            assert!((mean - 1.0).abs() <= slack, "{law:?}: {mean}");
        }
    }

    #[test]
    fn the_heavy_tail_is_bounded_and_heavy() {
        let mut random = SplitMix::new(3);
        let mut drawn: Vec<f64> = (0..100_000).map(|_| Law::heavy().draw(&mut random)).collect();
        drawn.sort_by(f64::total_cmp);
        let shortest = drawn[0];
        assert!(drawn.last().is_some_and(|&longest| longest <= shortest * SPREAD * 1.001));
        let top: f64 = drawn[99_000..].iter().sum::<f64>() / drawn.iter().sum::<f64>();
        assert!(top > 0.15, "one request in a hundred is {top} of the work");
    }
}
