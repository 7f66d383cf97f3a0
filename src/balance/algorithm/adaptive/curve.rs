//! What the numbers of a virtual queue mean: loads for their x, and what loads count in a comparison.
//!
//! x is the load less the knee where all workers are busy, and below it what falls as fast for ever, so that nothing is
//! clamped. The logarithm that the idea has there is a fourth root: it is as close as the estimates are, and takes no call.

use super::super::pair::{Pair, greater, lesser};
use super::virtual_queue::EIGHT;

/// x of a load.
#[inline]
pub fn x_of(load: f64, knee: f64) -> f64 {
    if load >= knee {
        load - knee
    } else {
        4.0 * knee * (1.0 - (knee / load.max(knee * LEAST)).sqrt().sqrt())
    }
}

/// Loads below this part of the knee are told apart no more.
const LEAST: f64 = 1e-12;

/// How much a load counts while workers are free, compared to one beyond. Not less, so that a small difference in
/// speed, which may be chance, does not decide between an idle member and a full one.
const EASE: f64 = 0.125;

/// What no load at all counts, if workers are free up to `free`.
#[inline]
pub fn ease(free: f64) -> f64 {
    free * (1.0 - EASE)
}

/// What loads count: as long as workers are free, they hardly matter.
#[inline(always)]
pub fn prices(loads: Pair, ease: Pair) -> Pair {
    greater(loads * Pair::splat(EASE) + ease, loads)
}

/// The load of a price.
#[inline]
pub fn load_at(price: f64, ease: f64) -> f64 {
    let load = (price - ease) * (1.0 / EASE);
    if price < load { price } else { load }
}

/// The load of an x.
#[inline]
pub fn load_of(x: f64, knee: f64) -> f64 {
    loads_of(Pair::splat(x), Pair::splat(knee)).to_array()[0]
}

/// The loads of two x. Without a branch: whether a member is busy cannot be foretold.
#[inline(always)]
pub fn loads_of(x: Pair, knee: Pair) -> Pair {
    let (below, four) = (lesser(x, Pair::splat(0.0)), knee * Pair::splat(4.0));
    let root = four / (four - below);
    let square = root * root;
    knee * square * square + (x - below)
}

/// The loads of eight x. While all of them are busy, which of many they mostly are or never, that is not much.
#[inline(always)]
pub fn loads_of_eight(x: [Pair; EIGHT / 2], knee: f64) -> [Pair; EIGHT / 2] {
    let least = lesser(lesser(x[0], x[1]), lesser(x[2], x[3]));
    let knee = Pair::splat(knee);
    if least.simd_ge(Pair::splat(0.0)).all() { x.map(|x| x + knee) } else { x.map(|x| loads_of(x, knee)) }
}

#[cfg(test)]
mod tests {
    use std::array::from_fn;

    use super::super::super::super::random::{Random, SplitMix};
    use super::*;

    #[test]
    fn loads_of_eight_are_those_of_each() {
        let mut random = SplitMix::new(3);
        for round in 0..1000 {
            // From all idle to all busy.
            let mut x = || random.unit() * 8.0 - f64::from(round % 9);
            let x: [Pair; EIGHT / 2] = from_fn(|_| Pair::new([x(), x()]));
            let loads = loads_of_eight(x, 4.0).map(Pair::to_array);
            assert_eq!(loads, x.map(|x| x.to_array().map(|x| load_of(x, 4.0))), "{x:?}");
        }
    }

    #[test]
    fn a_load_is_that_of_its_x_and_the_load_of_its_price() {
        for knee in [1e-3, 1.0, 32.0] {
            for load in [0.001, 0.2, 0.999, 1.0, 1.5, 40.0].map(|times| times * knee) {
                assert!((load_of(x_of(load, knee), knee) / load - 1.0).abs() < 1e-9, "{load} at {knee}");
                let ease = ease(2.0 * knee);
                let [price, _] = prices(Pair::splat(load), Pair::splat(ease)).to_array();
                assert!((load_at(price, ease) / load - 1.0).abs() < 1e-9, "{load} at {knee}");
            }
        }
    }
}
