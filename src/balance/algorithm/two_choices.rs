//! `two-choices`: draw two members at random, by weight, and take the one that is less loaded.
//!
//! Idea: comparing two is nearly as good as comparing all, and it never sends everybody to the one that looks best
//! in an old report. The measure is that of `least-load`: (load + what was handed out since the report) / weight.
//! From Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996. Cost: one random number and two
//! members, whatever the farm's size. Not when: the farm is small and reports are fresh; then looking at all is better.

use super::least_load::Contenders;
use super::sample::Alias;
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "two-choices",
    summary: "the less loaded of two drawn at random",
    source: "Mitzenmacher 1996",
    sees_load: true,
    sees_key: false,
    build: |params| Box::new(TwoChoices { answer_load: params.answer_load.unwrap_or(1.0) }),
};

struct TwoChoices {
    answer_load: f64,
}

impl Algorithm for TwoChoices {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        Box::new(Prepared {
            alias: Alias::new(candidates.iter().map(|candidate| candidate.weight)),
            contenders: Contenders::new(candidates, self.answer_load),
        })
    }
}

struct Prepared {
    alias: Alias,
    contenders: Contenders,
}

impl Prepared {
    fn measure(&self, index: usize) -> f64 {
        self.contenders.measure(&self.contenders.lane(index))
    }

    /// The less loaded of two.
    fn better(&self, first: usize, second: usize) -> usize {
        // On a tie the first draw stands, which was at random already.
        if self.measure(second) < self.measure(first) { second } else { first }
    }
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        if self.contenders.len() < 2 {
            return (self.contenders.len() == 1).then(|| self.contenders.id(0));
        }
        let [first, mut second] = self.alias.two_at(random.next());
        // The second may not be the first again: some tries by weight, then its neighbour.
        if second == first {
            let other = (0..3).map(|_| self.alias.draw(random)).find(|&draw| draw != first);
            second = other.unwrap_or((first + 1) % self.contenders.len());
        }
        let mut best = self.contenders.find(self.better(first, second));
        if !self.contenders.give(best, true) {
            best = self.contenders.find(self.better(first, second));
            self.contenders.give(best, false);
        }
        Some(self.contenders.id(best.index))
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        self.contenders.rank(random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        self.contenders.shares()
    }

    fn gave(&self, id: MemberId, _: Moment) {
        self.contenders.gave(id);
    }

    fn fetch(&self, step: u32) {
        self.contenders.fetch(step, |_, _| {});
    }

    fn foresee(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        if let Some(later) = random.foresee(FAR) {
            self.alias.want_two(later);
            self.alias.two_at(later).iter().for_each(|&index| self.contenders.want_stretch(index));
        }
        let drawn = self.alias.two_at(random.foresee(NEAR)?);
        drawn.iter().for_each(|&index| self.contenders.want(index));
        Some(drawn.map(|index| self.contenders.id(index)))
    }
}
