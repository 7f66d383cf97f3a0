//! `least-load`: the member with the lowest load, counting what was handed out since it reported.
//!
//! Idea: a report is old when it is used, so every answer given since adds `answer_load` to it; without that, all
//! choices between two reports would fall on one member. The measure is (load + answers × answer_load) / weight, ties
//! are broken at random. From lbnamed (Schemers 1995) and mod_athena. Cost: one look at every member up to
//! [`LOOK_AT_ALL`]; beyond that the best of [`SAMPLE`] drawn by weight. Not when: reports are rare (many service times
//! apart): answers are only added, never taken off as work is done, so it turns into a round robin with a bias.

use super::super::gauge::{Meter, Pool};
use super::contest::least;
use super::sample::Alias;
use super::*;

/// Farms up to this size are looked at as a whole.
pub const LOOK_AT_ALL: usize = 32;
/// How many members of a larger farm one choice looks at.
pub const SAMPLE: usize = 8;

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
        let large = candidates.len() > LOOK_AT_ALL;
        Box::new(Prepared {
            contenders: Contenders::new(candidates),
            alias: large.then(|| Alias::new(candidates.iter().map(|candidate| candidate.weight))),
            answer_load: self.answer_load,
        })
    }
}

struct Prepared {
    contenders: Contenders,
    /// Only for farms that are too large to be looked at as a whole.
    alias: Option<Alias>,
    answer_load: f64,
}

/// A candidate as rules see it that compare loads: two in a line of the cache.
pub struct Contender {
    meter: Meter,
    inverse: f64,
}

impl Contender {
    /// Who it is.
    pub fn id(&self) -> MemberId {
        self.meter.id
    }
}

/// All of a farm's, and what they have in common.
pub struct Contenders {
    each: Box<[Contender]>,
    pool: Arc<Pool>,
}

impl std::ops::Deref for Contenders {
    type Target = [Contender];

    fn deref(&self) -> &[Contender] {
        &self.each
    }
}

impl Contenders {
    /// Prepares candidates for comparison.
    pub fn new(candidates: &[Candidate]) -> Self {
        let prepare = |candidate: &Candidate| Contender {
            meter: Meter::new(&candidate.gauge, candidate.id),
            inverse: 1.0 / candidate.weight,
        };
        let pool = candidates.first().map_or_else(Arc::default, |first| Arc::clone(first.gauge.pool()));
        Self { each: candidates.iter().map(prepare).collect(), pool }
    }

    /// See [`Select::fetch`]. Nothing of a large farm, of which nobody knows at whom a choice will look.
    pub fn fetch(&self, step: u32) -> u64 {
        let few = if self.each.len() > LOOK_AT_ALL { &[] } else { &*self.each };
        let number = |one: &Contender| match step {
            1 => one.inverse.to_bits(),
            _ => self.measure(one, 1.0).to_bits(),
        };
        few.iter().map(number).fold(0, u64::wrapping_add)
    }

    /// (load + answers since × `answer_load`) / weight
    #[inline]
    pub fn measure(&self, one: &Contender, answer_load: f64) -> f64 {
        (one.meter.load(&self.pool) + one.meter.handed_out() as f64 * answer_load) * one.inverse
    }

    /// load / weight
    fn reported(&self, one: &Contender) -> f64 {
        one.meter.load(&self.pool) * one.inverse
    }
}

/// Best first by measure, ties at random.
pub fn rank_by_measure(
    contenders: &Contenders,
    answer_load: f64,
    random: &mut dyn Random,
    order: &mut Vec<MemberId>,
) {
    let measure = |one: &Contender| (contenders.measure(one, answer_load), random.next(), one.id());
    let mut measured: Vec<(f64, u64, MemberId)> = contenders.iter().map(measure).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.extend(measured.into_iter().map(|(_, _, id)| id));
}

/// What members may expect by their reports alone (what was handed out since moves with every answer, and whoever is
/// told weights by us would be told others each second): those below a water level are filled up to it. The level is
/// one average answer a member above the mean, so equal loads give shares by weight, and a member far above the others
/// gets nothing.
pub fn shares_by_load(contenders: &Contenders, answer_load: f64) -> Vec<(MemberId, f64)> {
    let measures: Vec<f64> = contenders.iter().map(|one| contenders.reported(one)).collect();
    let weight = |one: &Contender| 1.0 / one.inverse;
    let weights: f64 = contenders.iter().map(weight).sum();
    let mean =
        contenders.iter().zip(&measures).map(|(one, measure)| measure * weight(one) / weights).sum::<f64>();
    let level = mean + answer_load.max(mean.abs() * 0.1).max(f64::MIN_POSITIVE);
    let room = |measure: f64, weight: f64| ((level - measure) * weight).max(0.0);
    let rooms: Vec<f64> =
        contenders.iter().zip(&measures).map(|(one, &measure)| room(measure, weight(one))).collect();
    let sum: f64 = rooms.iter().sum();
    let share =
        |room: f64| if sum.is_finite() && sum > 0.0 { room / sum } else { 1.0 / contenders.len() as f64 };
    contenders.iter().zip(rooms).map(|(one, room)| (one.id(), share(room))).collect()
}

impl Select for Prepared {
    fn select(&self, _: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let measure = |one: &Contender| self.contenders.measure(one, self.answer_load);
        let chosen = match &self.alias {
            None => least(self.contenders.iter(), measure, random),
            Some(alias) => {
                let drawn: [usize; SAMPLE] = std::array::from_fn(|_| alias.draw(random));
                least(drawn.iter().map(|&index| &self.contenders[index]), measure, random)
            }
        };
        chosen.map(Contender::id)
    }

    fn rank(&self, _: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        rank_by_measure(&self.contenders, self.answer_load, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        shares_by_load(&self.contenders, self.answer_load)
    }

    fn fetch(&self, step: u32) -> u64 {
        self.contenders.fetch(step)
    }
}
