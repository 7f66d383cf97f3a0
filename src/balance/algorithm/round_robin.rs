//! `round-robin` and `weighted`: smooth weighted round robin.
//!
//! Idea: everybody in turn, by weight, spread out evenly: weights 5, 1, 1 give a a b a c a a and not a a a a a b c. From
//! nginx (2012). nginx works it out at each choice; here one whole period is worked out when candidates change, and a
//! ticket is a place in it, so a choice costs one look-up and any number of threads share one rotation. `weighted` is the
//! same rule under the name by which whoever sets weights looks for it. Not when: requests or machines are uneven in
//! ways the weights don't tell.
//!
//! Weights that are no multiples of one another are rounded so that the period stays below [`PERIOD`] turns (or 16 a
//! member in large farms). Farms above [`SMOOTH`] members are spread by earliest deadline instead, which is as even but
//! costs n log n to prepare rather than n².

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::ahead::{want, want_all};
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "round-robin",
    summary: "everybody in turn, by weight",
    source: "nginx, smooth weighted round robin",
    sees_load: false,
    sees_key: false,
    build: |_| Box::new(RoundRobin),
};

pub const WEIGHTED: AlgorithmSpec =
    AlgorithmSpec { name: "weighted", summary: "the same as round-robin: in turn, by weight", ..SPEC };

/// Longest period of unequal weights.
const PERIOD: usize = 4096;
/// Largest farm whose period is nginx's to the letter.
const SMOOTH: usize = 64;
/// Largest multiple at which weights are tried as whole numbers.
const DENOMINATORS: u32 = 100;

pub(super) struct RoundRobin;

impl Algorithm for RoundRobin {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let turns = turns(candidates);
        let period = if turns.iter().all(|&count| count == turns[0]) {
            (0..candidates.len() as u32).collect()
        } else if candidates.len() <= SMOOTH {
            smooth(&turns)
        } else {
            earliest_deadline(&turns)
        };
        let weights = match &*turns {
            [first, others @ ..] if others.iter().any(|count| count != first) => {
                candidates.iter().map(|candidate| candidate.weight).collect()
            }
            _ => Box::default(),
        };
        Box::new(Prepared { ids: Ids::of(candidates), count: candidates.len(), weights, period })
    }
}

/// How many turns of a period each candidate has.
fn turns(candidates: &[Candidate]) -> Vec<u64> {
    let least = candidates.iter().map(|candidate| candidate.weight).fold(f64::INFINITY, f64::min);
    let sum: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
    let longest = PERIOD.max(16 * candidates.len());
    for denominator in 1..=DENOMINATORS {
        let scale = f64::from(denominator) / least;
        let scaled = |candidate: &Candidate| candidate.weight * scale;
        let whole = |turns: f64| (turns - turns.round()).abs() <= 1e-9 * turns;
        if sum * scale <= longest as f64 && candidates.iter().all(|candidate| whole(scaled(candidate))) {
            return candidates.iter().map(|candidate| scaled(candidate).round() as u64).collect();
        }
    }
    let scale = longest as f64 / 2.0 / sum;
    candidates.iter().map(|candidate| ((candidate.weight * scale).round() as u64).max(1)).collect()
}

/// nginx's rule: everybody gains his weight, the richest is chosen and pays the sum.
fn smooth(turns: &[u64]) -> Box<[u32]> {
    let sum: i64 = turns.iter().map(|&count| count as i64).sum();
    let mut wealth = vec![0i64; turns.len()];
    let next = |_| {
        let mut richest = 0;
        for (index, &gain) in turns.iter().enumerate() {
            wealth[index] += gain as i64;
            if wealth[index] > wealth[richest] {
                richest = index;
            }
        }
        wealth[richest] -= sum;
        richest as u32
    };
    (0..sum).map(next).collect()
}

/// Turn k of a member with n turns is due at (k + ½)/n of the period; earlier dues come first.
fn earliest_deadline(turns: &[u64]) -> Box<[u32]> {
    // Dues are compared as fractions of 2^64, exact enough for periods far below 2^32.
    let due = |turn: u64, count: u64| ((u128::from(2 * turn + 1) << 63) / u128::from(count)) as u64;
    let first = |(index, &count): (usize, &u64)| Reverse((due(0, count), index as u32, 0));
    let mut queue: BinaryHeap<Reverse<(u64, u32, u64)>> = turns.iter().enumerate().map(first).collect();
    let mut period = Vec::with_capacity(turns.iter().sum::<u64>() as usize);
    while let Some(Reverse((_, index, turn))) = queue.pop() {
        period.push(index);
        let count = turns[index as usize];
        if turn + 1 < count {
            queue.push(Reverse((due(turn + 1, count), index, turn + 1)));
        }
    }
    period.into()
}

struct Prepared {
    ids: Ids,
    count: usize,
    /// None where all have as many turns.
    weights: Box<[f64]>,
    /// Indices of candidates, in the order of their turns.
    period: Box<[u32]>,
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, _: &mut dyn Random) -> Option<MemberId> {
        if self.period.is_empty() {
            return None;
        }
        let place = pick.ticket.take() % self.period.len() as u64;
        Some(self.ids.get(self.period[place as usize] as usize))
    }

    fn rank(&self, pick: &Pick<'_>, _: &mut dyn Random, order: &mut Vec<MemberId>) {
        let start = pick.ticket.look().checked_rem(self.period.len() as u64).unwrap_or(0) as usize;
        let mut seen = vec![false; self.count];
        for &index in self.period[start..].iter().chain(&self.period[..start]) {
            if !std::mem::replace(&mut seen[index as usize], true) {
                order.push(self.ids.get(index as usize));
            }
        }
    }

    fn fetch(&self, step: u32) {
        match step {
            1 => {
                want(&self.ids);
                want(&self.period);
            }
            2 if self.count <= contest::MOST => want_all(&self.period),
            _ => {}
        }
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let part = |index| (self.ids.get(index), self.weights.get(index).copied().unwrap_or(1.0));
        contest::shares((0..self.count).map(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_nginx() {
        let order: String = smooth(&[5, 1, 1]).iter().map(|&index| char::from(b'a' + index as u8)).collect();
        assert_eq!(order, "aabacaa");
    }

    #[test]
    fn deadlines_spread_turns_evenly() {
        let period = earliest_deadline(&[4, 2, 2]);
        assert_eq!(period.len(), 8);
        let places: Vec<_> = (0..8).filter(|&place| period[place] == 0).collect();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] <= 3), "{period:?}");
    }
}
