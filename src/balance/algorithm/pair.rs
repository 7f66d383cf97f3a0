//! Numbers of two members side by side, in one register.
//!
//! A choice does the same sums for each of ten or sixteen members, and what it takes is how many instructions that is. Every
//! processor that we run on does two such sums at once; compilers make that of loops over plain numbers, but not where the
//! numbers are atomics. It pays where there is much to do with each number, a division above all: atomics come in one by one, through
//! the registers of whole numbers, and to put them side by side takes as long as a few sums.

pub use wide::f64x2 as Pair;

/// The lesser of each; where `one` is not a number, the `other`.
#[inline(always)]
pub fn lesser(one: Pair, other: Pair) -> Pair {
    match IS_X86 {
        true => one.fast_min(other),
        false => one.simd_lt(other).bitselect(one, other),
    }
}

/// The greater of each; where `one` is not a number, the `other`.
#[inline(always)]
pub fn greater(one: Pair, other: Pair) -> Pair {
    match IS_X86 {
        true => one.fast_max(other),
        false => other.simd_lt(one).bitselect(one, other),
    }
}

/// Where one instruction does just that. Elsewhere such an instruction gives what is not a number.
const IS_X86: bool = cfg!(target_arch = "x86_64");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_neither_lesser_nor_greater() {
        let (one, other) = (Pair::new([1.0, f64::NAN]), Pair::new([2.0, 5.0]));
        assert_eq!((lesser(one, other).to_array(), greater(one, other).to_array()), ([1.0, 5.0], [2.0, 5.0]));
        assert_eq!(lesser(other, Pair::splat(3.0)).to_array(), [2.0, 3.0]);
        assert_eq!(greater(other, Pair::splat(3.0)).to_array(), [3.0, 5.0]);
    }
}
