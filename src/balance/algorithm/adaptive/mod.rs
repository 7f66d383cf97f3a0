//! `adaptive`

mod bank;
mod fluid;
mod learner;
mod member;
mod scale;
mod virtual_queue;

use std::sync::{Mutex, PoisonError};

use self::learner::Learner;
use self::virtual_queue::{Contender, Drive};
use super::super::gauge::AtomicF64;
use super::sample::Alias;
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "adaptive",
    summary: "least virtual queue, under hypotheses learned from the reports",
    source: "Athena",
    sees_load: true,
    sees_key: false,
    build: |params| Box::new(Adaptive::new(params)),
};

/// Farms up to this size are looked at as a whole.
const LOOK_AT_ALL: usize = 32;
/// How many members of a larger farm one choice looks at.
const SAMPLE: usize = 16;

struct Adaptive {
    learner: Mutex<Learner>,
    drive: Arc<Drive>,
}

impl Adaptive {
    fn new(params: &Params) -> Self {
        let drive = Arc::new(Drive { knee: AtomicF64::new(1.0), gain: AtomicF64::new(1.0) });
        Self { learner: Mutex::new(Learner::new(params, Arc::clone(&drive))), drive }
    }
}

impl Algorithm for Adaptive {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let contenders = self.learner.lock().unwrap_or_else(PoisonError::into_inner).enlist(candidates);
        let large = contenders.len() > LOOK_AT_ALL;
        let alias = large.then(|| Alias::new(contenders.iter().map(|contender| contender.weight)));
        Box::new(Prepared { contenders, alias, drive: Arc::clone(&self.drive) })
    }

    fn observe(&self, report: &Observation<'_>) {
        self.learner.lock().unwrap_or_else(PoisonError::into_inner).observe(report);
    }
}

struct Prepared {
    contenders: Box<[Contender]>,
    /// Only for farms that are too large to be looked at as a whole.
    alias: Option<Alias>,
    drive: Arc<Drive>,
}

impl Prepared {
    fn least<'a>(
        &'a self,
        contenders: impl Iterator<Item = &'a Contender>,
        now: Moment,
        random: &mut dyn Random,
    ) -> Option<&'a Contender> {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let measure = |one: &Contender| one.queue.measure(now, knee, gain, &one.gauge);
        let mut best: Option<&Contender> = None;
        let (mut least, mut equals) = (f64::INFINITY, 1);
        for contender in contenders {
            let measure = measure(contender);
            if measure < least || best.is_none() {
                (best, least, equals) = (Some(contender), measure, 1);
            } else if measure == least {
                equals += 1;
                if random.below(equals) == 0 {
                    best = Some(contender);
                }
            }
        }
        best.inspect(|best| best.queue.answer(now, knee, gain))
    }
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let best = match &self.alias {
            None => self.least(self.contenders.iter(), pick.now, random),
            Some(alias) => {
                let drawn: [usize; SAMPLE] = std::array::from_fn(|_| alias.draw(random));
                self.least(drawn.iter().map(|&index| &self.contenders[index]), pick.now, random)
            }
        };
        best.map(|best| best.id)
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let measure = |one: &Contender| {
            (one.queue.measure(pick.now, knee, gain, &one.gauge), random.next(), one.id)
        };
        let mut measured: Vec<(f64, u64, MemberId)> = self.contenders.iter().map(measure).collect();
        measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.extend(measured.into_iter().map(|(_, _, id)| id));
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        let rates: Vec<f64> = self.contenders.iter().map(|one| one.queue.capacity()).collect();
        let weights: f64 = self.contenders.iter().map(|one| one.weight).sum();
        let sum: f64 = rates.iter().sum();
        let share = |(one, rate): (&Contender, f64)| {
            (one.id, if sum > 0.0 { rate / sum } else { one.weight / weights })
        };
        self.contenders.iter().zip(rates).map(share).collect()
    }
}
