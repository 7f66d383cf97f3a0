//! `failover`: the first available member, in the order of the configuration.
//!
//! From gdnsd's simplefo. Cost: none. Not when: the others should carry anything before the first one dies. Weights
//! say nothing here but 0, which takes a member out.

use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "failover",
    summary: "the first available member in order",
    source: "gdnsd simplefo",
    sees_load: false,
    sees_key: false,
    build: |_| Box::new(First),
};

struct First;

impl Algorithm for First {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        Box::new(Prepared { ids: candidates.iter().map(|candidate| candidate.id).collect() })
    }
}

struct Prepared {
    ids: Box<[MemberId]>,
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, _: &mut dyn Random) -> Option<MemberId> {
        self.ids.first().copied()
    }

    fn rank(&self, _: &Pick<'_>, _: &mut dyn Random, order: &mut Vec<MemberId>) {
        order.extend_from_slice(&self.ids);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let share = |place| if place == 0 { 1.0 } else { 0.0 };
        self.ids.iter().enumerate().map(|(place, &id)| (id, share(place))).collect()
    }
}
