//! Randomness as an argument, so that every choice can be repeated in a test.

use std::hash::{BuildHasher, RandomState};

/// A source of uniform random bits.
pub trait Random {
    /// 64 uniform bits.
    fn next(&mut self) -> u64;

    /// The bits that [`next`](Self::next) will give after so many others, where they can be told: only for asking for
    /// memory ahead, for somebody else may draw them.
    fn foresee(&self, _after: u64) -> Option<u64> {
        None
    }

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
pub const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Hashes a key without regard to the case of its ASCII letters (DNS labels come in any), the same on every machine:
/// eight octets a step, each folded by a multiplication to 128 bits. Not for secrets.
#[inline]
pub fn hash_key(seed: u64, key: &[u8]) -> u64 {
    mix(fold(seed, key, lower))
}

/// Hashes octets, each bit of them, in the same way. Not for secrets.
#[inline]
pub fn hash_octets(seed: u64, octets: &[u8]) -> u64 {
    mix(fold(seed, octets, |word| word))
}

/// The same as [`hash_key`], of other numbers and cheaper, for who can do with less: of two octets that differ in the bit
/// that tells `a` from `A` and in nothing else it makes no difference, letters or not.
#[inline]
pub fn hash_label(seed: u64, label: &[u8]) -> u64 {
    fold(seed, label, |word| word | 0x2020_2020_2020_2020)
}

#[inline(always)]
fn fold(seed: u64, octets: &[u8], read: impl Fn(u64) -> u64) -> u64 {
    let step = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(0xd1b5_4a32_d192_ed03_u64);
        (product >> 64) as u64 ^ product as u64
    };
    let (words, rest) = octets.as_chunks::<8>();
    let begun = seed ^ (octets.len() as u64).wrapping_mul(GOLDEN);
    let hash = words.iter().fold(begun, |hash, word| step(hash, read(u64::from_le_bytes(*word))));
    if rest.is_empty() {
        return step(hash, read(0));
    }
    let last = rest.iter().rev().fold(0, |word, &octet| word << 8 | u64::from(octet));
    step(hash, read(last))
}

/// Eight octets with their ASCII letters in lower case.
#[inline]
pub fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (EACH * 0x7f);
    // The top bit of an octet of each is set from `A` on, and beyond `Z`.
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let beyond_z = low + EACH * (0x7f - b'Z' as u64);
    let letters = (from_a ^ beyond_z) & !word & (EACH * 0x80);
    word | letters >> 2
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

    #[inline]
    fn foresee(&self, after: u64) -> Option<u64> {
        Some(mix(self.0.wrapping_add(GOLDEN.wrapping_mul(after + 1))))
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
    fn what_is_foreseen_comes() {
        let mut random = SplitMix::new(5);
        let foreseen = [0, 1, 7].map(|after| random.foresee(after));
        let numbers: Vec<_> = (0..8).map(|_| Some(random.next())).collect();
        assert_eq!(foreseen, [numbers[0], numbers[1], numbers[7]]);
    }

    #[test]
    fn a_key_is_hashed_whole_and_without_regard_to_case() {
        let every: Vec<u8> = (0..=255).collect();
        for octets in every.chunks(8) {
            let word = u64::from_le_bytes(octets.try_into().unwrap());
            let expected = u64::from_le_bytes(octets.to_ascii_lowercase().try_into().unwrap());
            assert_eq!(lower(word), expected, "{octets:?}");
        }
        let long = b"Session-42.of.somebody";
        assert_eq!(hash_key(1, long), hash_key(1, &long.to_ascii_uppercase()));
        assert_ne!(hash_key(1, long), hash_key(2, long));
        assert_ne!(hash_octets(1, long), hash_octets(1, &long.to_ascii_uppercase()));
        let mut seen = std::collections::HashSet::new();
        assert!((0..=long.len()).all(|end| seen.insert(hash_key(1, &long[..end]))), "each octet counts");
        assert!(seen.insert(hash_key(1, b"Session-42.of.somebody\0")), "and so does a zero at the end");
        // What people write down must not change with a release: the same key, the same member.
        assert_eq!(hash_key(0, b"session-42"), 2_133_435_939_957_074_063);
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
