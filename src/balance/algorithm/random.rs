//! `random`: every choice for itself, by weight.
//!
//! Idea: a backend of weight 2 is drawn twice as often. Nothing is remembered, so any number of Athenas agree
//! without speaking. Cost: one random number. Not when: backends are slow and few; a queue under random arrivals
//! is as long as queues get (mean response time 1/(1−ρ) of the service time), any other rule here is better.

use super::sample::Alias;
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "random",
    summary: "at random, by weight",
    source: "Walker 1977, Vose 1991 (alias method)",
    sees_load: false,
    sees_key: false,
    build: |_| Box::new(Weighted),
};

struct Weighted;

impl Algorithm for Weighted {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let alias = Alias::new(candidates.iter().map(|candidate| candidate.weight));
        let ids = Ids::of(candidates);
        Box::new(Prepared { ids, alias, candidates: candidates.into() })
    }
}

struct Prepared {
    ids: Ids,
    alias: Alias,
    candidates: Box<[Candidate]>,
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        if self.candidates.is_empty() {
            return None;
        }
        Some(self.ids.get(self.alias.draw(random)))
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        // Efraimidis and Spirakis 2006: sorting by an exponential draw over the weight is sampling by weight
        // without replacement.
        let mut drawn: Vec<(f64, MemberId)> = self
            .candidates
            .iter()
            .map(|candidate| (-(1.0 - random.unit()).ln() / candidate.weight, candidate.id))
            .collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.extend(drawn.into_iter().map(|(_, id)| id));
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        proportional(&self.candidates, |candidate| candidate.weight)
    }
}
