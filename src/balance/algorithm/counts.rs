//! The tallies of candidates, found by their place in the order of the candidates.

use super::super::ahead::want_all;
use super::super::gauge::Tallies;
use super::super::slot::CHUNK;
use super::*;
use smallvec::SmallVec;

/// Tallies on a line.
const STRIDE: usize = 8;

/// Where each candidate's tally stands.
pub struct Counts {
    chunks: SmallVec<[Arc<Tallies>; 2]>,
    /// A chunk by its number, and a place there; none where each tally follows the one before, as they mostly do.
    at: Box<[u32]>,
    /// Where the first one is.
    first: u32,
}

impl Counts {
    /// Of candidates in their order.
    pub fn new(candidates: &[Candidate]) -> Self {
        let mut chunks = SmallVec::<[Arc<Tallies>; 2]>::new();
        let place = |candidate: &Candidate| {
            let slot = candidate.gauge.tally().slot();
            let number = panel::number(&mut chunks, slot.chunk(), |other| Arc::ptr_eq(other, slot.chunk()));
            (number * CHUNK + slot.place()) as u32
        };
        let at: Box<[u32]> = candidates.iter().map(place).collect();
        let first = at.first().copied().unwrap_or(0);
        let follow = at.iter().zip(first..).all(|(&at, due)| at == due);
        Self { chunks, at: if follow { Box::default() } else { at }, first }
    }

    /// Answers that gave the candidate so far, over all farms.
    #[inline]
    pub fn answers(&self, index: usize) -> u64 {
        let at = self.at(index);
        self.chunks[at / CHUNK].answers(at % CHUNK)
    }

    #[inline]
    fn at(&self, index: usize) -> usize {
        self.at.get(index).copied().unwrap_or(self.first + index as u32) as usize
    }

    /// Asks for what tells where tallies stand.
    pub fn want_chunks(&self) {
        if self.chunks.spilled() {
            want_all(&self.chunks);
        }
    }

    /// Asks for the tallies of so many candidates.
    pub fn want_first(&self, count: usize) {
        (0..count).step_by(STRIDE).chain(count.checked_sub(1)).for_each(|index| self.want(index));
    }

    /// Asks for a candidate's tally and those beside it.
    #[inline]
    pub fn want(&self, index: usize) {
        let at = self.at(index);
        self.chunks[at / CHUNK].want(at % CHUNK);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gauge::{Gauges, Pool};
    use super::*;

    #[test]
    fn tallies_are_found_in_any_order_and_with_gaps() {
        let (mut gauges, pool) = (Gauges::default(), Arc::new(Pool::default()));
        let candidate = |index: u32| {
            let tally = gauges.tally();
            tally.count_on(1000 + u64::from(index));
            let gauge = gauges.gauge(&tally, &pool);
            Candidate { id: MemberId(index), weight: 1.0, seed: 0, gauge }
        };
        let all: Vec<Candidate> = (0..200).map(candidate).collect();
        let mixed: Vec<Candidate> = (0..200).map(|index| all[index * 37 % 200].clone()).collect();
        let some: Vec<Candidate> = all.iter().skip(70).step_by(3).cloned().collect();
        for candidates in [all, mixed, some] {
            let counts = Counts::new(&candidates);
            for (index, candidate) in candidates.iter().enumerate() {
                assert_eq!(counts.answers(index), 1000 + u64::from(candidate.id.0));
            }
        }
    }
}
