//! `least-load`: the member with the lowest load, counting what was handed out since it reported.
//!
//! Idea: a report is old when it is used, so every answer given since adds `answer_load` to it; without that, all
//! choices between two reports would fall on one member. The measure is (load + answers × answer_load) / weight, ties
//! are broken at random. From lbnamed (Schemers 1995) and mod_athena. Cost: one look at every member up to
//! [`LOOK_AT_ALL`]; beyond that the best of sixteen, two runs of neighbours
//! ([`panel`]). Not when: reports are rare (many service times
//! apart): answers are only added, never taken off as work is done, so it turns into a round robin with a bias.

use super::super::board::LANES;
use super::panel::{LOOK_AT_ALL, Lane, Panel, nothing};
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "least-load",
    summary: "the lowest load plus what was handed out since the report",
    source: "lbnamed 1995, mod_athena",
    sees_load: true,
    sees_key: false,
    build: |params| Box::new(LeastLoad { answer_load: params.answer_load.unwrap_or(1.0) }),
};

struct LeastLoad {
    answer_load: f64,
}

impl Algorithm for LeastLoad {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        Box::new(Prepared(Contenders::new(candidates, self.answer_load)))
    }
}

#[repr(align(64))]
struct Prepared(Contenders);

/// Candidates that are compared by their loads.
#[repr(C)]
pub struct Contenders {
    panel: Panel<()>,
    answer_load: f64,
}

impl std::ops::Deref for Contenders {
    type Target = Panel<()>;

    fn deref(&self) -> &Panel<()> {
        &self.panel
    }
}

impl Contenders {
    /// Prepares candidates for comparison.
    pub fn new(candidates: &[Candidate], answer_load: f64) -> Self {
        Self { panel: Panel::new(candidates, LANES, nothing), answer_load }
    }

    /// (load + answers since × `answer_load`) / weight
    #[inline(always)]
    pub fn measure(&self, lane: &Lane<'_, ()>) -> f64 {
        (lane.load + lane.given() * self.answer_load) * lane.inverse
    }

    /// Best first by measure, with all that others gave, ties at random.
    pub fn rank(&self, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let measure = |index: usize| {
            let load = self.panel.load(index) + self.panel.handed_out(index) as f64 * self.answer_load;
            (load * self.panel.inverse(index), self.panel.id(index))
        };
        let measured: Vec<(f64, MemberId)> = (0..self.panel.len()).map(measure).collect();
        contest::rank(&measured, |one| *one, random, order);
    }

    /// What members may expect by their reports alone (what was handed out since moves with every answer, and whoever is
    /// told weights by us would be told others each second): those below a water level are filled up to it. The level is
    /// one average answer a member above the mean, so equal loads give shares by weight, and a member far above the others
    /// gets nothing.
    pub fn shares(&self) -> Vec<(MemberId, f64)> {
        let all = 0..self.panel.len();
        let measure = |index: usize| self.panel.load(index) * self.panel.inverse(index);
        let weight = |index: usize| 1.0 / self.panel.inverse(index);
        let weights: f64 = all.clone().map(weight).sum();
        let mean = all.clone().map(|index| measure(index) * weight(index) / weights).sum::<f64>();
        let level = mean + self.answer_load.max(mean.abs() * 0.1).max(f64::MIN_POSITIVE);
        let room = |index: usize| ((level - measure(index)) * weight(index)).max(0.0);
        contest::shares(all.map(|index| (self.panel.id(index), room(index))))
    }
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let Self(contenders) = self;
        let mut sample = contenders.sample(random);
        let mut looks = LOOK_AT_ALL;
        loop {
            let (best, _) = contenders.least::<true>(&mut sample, |lane| contenders.measure(lane), random)?;
            // Answers that others gave only make a measure greater: it is enough to look for them at the best one.
            if contenders.give(best, looks > 0) {
                return Some(contenders.id(best.index));
            }
            looks -= 1;
        }
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        self.0.rank(random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        self.0.shares()
    }

    fn gave(&self, id: MemberId, _: Moment) {
        self.0.gave(id);
    }

    fn fetch(&self, step: u32) {
        self.0.fetch(step, |_, _| {});
    }

    fn foresee(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        self.0.foresee(random, |_, _| {})
    }
}
