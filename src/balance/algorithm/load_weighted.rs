//! `load-weighted`: in turn, by weight × 1/(1 + load).
//!
//! Idea: a smooth weighted round robin whose weights follow the reports: a member with load 3 gets a quarter of what an
//! idle one gets. Turns are given by earliest deadline, so nobody is flooded between two reports, however old they
//! are. It is what scripts do that set the weights of HAProxy or nginx from a load average. Cost: one look at every
//! member up to [`LOOK_AT_ALL`]; beyond that the first due of eight, two runs of neighbours
//! ([`panel`]). Limits: a load below 0 counts as 0; loads must be near 1 where it matters, percents or
//! megabytes make the rule deaf or shrill. Not when: loads are queues: one that is long for a moment is starved long
//! after it is empty, and `adaptive` knows better.

use super::super::ahead::want;
use super::super::board::Own;
use super::super::gauge::AtomicF64;
use super::panel::{Lane, Panel, own};
use super::turns::{self, VirtualClock};
use super::*;

/// Members in a run of neighbours. Of more, a choice would find one that was idle in an old report too often.
const RUN: usize = 4;
/// Loads above this count as this.
const MOST: f64 = 1e6;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "load-weighted",
    summary: "in turn, by weight × 1/(1 + load)",
    source: "smooth weighted round robin with weights from loads",
    sees_load: true,
    sees_key: false,
    build: |_| Box::new(LoadWeighted::default()),
};

#[derive(Default)]
struct LoadWeighted {
    clock: Arc<VirtualClock>,
}

impl Algorithm for LoadWeighted {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let panel = Panel::new(candidates, RUN, own);
        (0..panel.len()).for_each(|index| self.clock.begin(turn(&panel.lane(index))));
        Box::new(Prepared { panel, clock: Arc::clone(&self.clock) })
    }
}

type Kept = Arc<Own>;

/// When the member had its last turn.
#[inline(always)]
fn turn<'a>(lane: &Lane<'a, Kept>) -> &'a AtomicF64 {
    &lane.own.turns[lane.place()]
}

/// Asks for a place's turn and its neighbours'.
#[inline]
fn want_own(own: &Kept, place: usize) {
    want(&own.line(place).turns);
}

/// One over the weight that a load gives; `inverse`: one over the configured one.
#[inline(always)]
fn cost(load: f64, inverse: f64) -> f64 {
    (1.0 + load.clamp(0.0, MOST)) * inverse
}

/// When the member is due.
#[inline(always)]
fn due(lane: &Lane<'_, Kept>) -> f64 {
    turns::due(turn(lane), cost(lane.load, lane.inverse))
}

struct Prepared {
    panel: Panel<Kept>,
    clock: Arc<VirtualClock>,
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let mut sample = self.panel.sample(random);
        let (next, due) = self.panel.least::<true>(&mut sample, due, random)?;
        let (own, place) = self.panel.own(next);
        self.clock.take(&own.turns[place], due);
        Some(self.panel.id(next.index))
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let measured = |index: usize| (due(&self.panel.lane(index)), self.panel.id(index));
        let measured: Vec<(f64, MemberId)> = (0..self.panel.len()).map(measured).collect();
        contest::rank(&measured, |one| *one, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let part = |index: usize| 1.0 / cost(self.panel.load(index), self.panel.inverse(index));
        contest::shares((0..self.panel.len()).map(|index| (self.panel.id(index), part(index))))
    }

    fn fetch(&self, step: u32) {
        match step {
            1 => want(&self.clock),
            2 => want(&*self.clock),
            _ => {}
        }
        self.panel.fetch(step, want_own);
    }

    fn foresee(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        self.panel.foresee(random, want_own)
    }
}
