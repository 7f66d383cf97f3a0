//! Randomness as an argument, so that every choice can be repeated in a test.

use std::hash::{BuildHasher, RandomState};

/// A source of uniform random bits.
pub trait Random {
    /// 64 uniform bits.
    fn next(&mut self) -> u64;

    /// A uniform number in `[0, 1)` with 53 bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform index below `bound`, which must not be 0 (then the answer is 0). Lemire's multiplication (2019)
    /// without its rejection step: the bias is below `bound / 2^64`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// Mixes 64 bits into 64 that look independent of them: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
pub fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The odd number nearest to 2^64 / golden ratio: SplitMix64's step.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64: one addition and one mix a number, a period of 2^64. Fast and even, not for secrets.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence that nobody can foretell: seeded from the keys that the standard library draws from the system.
    pub fn from_system() -> Self {
        Self(RandomState::new().hash_one(GOLDEN))
    }
}

impl Random for SplitMix {
    #[inline]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_paper() {
        // First outputs of the reference implementation for seed 1234567.
        let mut random = SplitMix::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn indices_are_even_and_in_bounds() {
        let mut random = SplitMix::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[random.below(10)] += 1;
        }
        // Chi-square with 9 degrees of freedom; 27.9 is its 0.999 quantile.
        let chi: f64 = seen.iter().map(|&n| (f64::from(n) - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 27.9, "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
    }

    #[test]
    fn two_generators_from_the_system_differ() {
        assert_ne!(SplitMix::from_system().next(), SplitMix::from_system().next());
    }
}
