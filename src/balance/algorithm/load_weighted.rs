//! `load-weighted`: in turn, by weight × 1/(1 + load).
//!
//! Idea: a smooth weighted round robin whose weights follow the reports: a member with load 3 gets a quarter of what an
//! idle one gets. Turns are given by earliest deadline, so nobody is flooded between two reports, however old they
//! are. It is what scripts do that set the weights of HAProxy or nginx from a load average. Cost: one look at every
//! member up to [`LOOK_AT_ALL`]; beyond that the first due of [`SAMPLE`] drawn by weight. Limits: a load below 0 counts
//! as 0; loads must be near 1 where it matters, percents or megabytes make the rule deaf or shrill. Not when: loads are
//! queues: one that is long for a moment is starved long after it is empty, and `adaptive` knows better.

use super::contest::{self, LOOK_AT_ALL};
use super::kept::Kept;
use super::sample::Alias;
use super::turns::{Turn, VirtualClock};
use super::*;

/// How many members of a larger farm one choice looks at.
const SAMPLE: usize = 8;
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
    turns: Kept<Turn>,
    clock: Arc<VirtualClock>,
}

impl Algorithm for LoadWeighted {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let contender = |candidate: &Candidate| Contender {
            id: candidate.id,
            weight: candidate.weight,
            gauge: Arc::clone(&candidate.gauge),
            turn: self.turns.entry(candidate.seed, || self.clock.newcomer()),
        };
        let contenders: Box<[Contender]> = candidates.iter().map(contender).collect();
        self.turns.tidy();
        let large = contenders.len() > LOOK_AT_ALL;
        Box::new(Prepared {
            alias: large.then(|| Alias::new(candidates.iter().map(|candidate| candidate.weight))),
            contenders,
            clock: Arc::clone(&self.clock),
        })
    }
}

struct Contender {
    id: MemberId,
    weight: f64,
    gauge: Arc<Gauge>,
    turn: Arc<Turn>,
}

impl Contender {
    /// One over the weight in force.
    #[inline]
    fn cost(&self) -> f64 {
        (1.0 + self.gauge.load().clamp(0.0, MOST)) / self.weight
    }

    fn due(&self) -> f64 {
        self.turn.due(self.cost())
    }
}

struct Prepared {
    contenders: Box<[Contender]>,
    /// Only for farms that are too large to be looked at as a whole.
    alias: Option<Alias>,
    clock: Arc<VirtualClock>,
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let next = match &self.alias {
            None => contest::least(self.contenders.iter(), Contender::due, random),
            Some(alias) => {
                let drawn: [usize; SAMPLE] = std::array::from_fn(|_| alias.draw(random));
                contest::least(drawn.iter().map(|&index| &self.contenders[index]), Contender::due, random)
            }
        }?;
        next.turn.take(next.cost(), &self.clock);
        Some(next.id)
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        contest::rank(&self.contenders, |one| (one.due(), one.id), random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        contest::shares(self.contenders.iter().map(|one| (one.id, 1.0 / one.cost())))
    }
}
