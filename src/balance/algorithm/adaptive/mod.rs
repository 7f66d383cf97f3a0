//! `adaptive`: the least virtual queue, under hypotheses that are learned from the reports.
//!
//! Idea: a report is old when it is used. So for each member Athena keeps an estimate q of its load, in the units of
//! the farm's formula: a report sets it, an answer adds g to it, and in between it falls as the member works: at the
//! member's capacity µ while q is above a knee c (the load at which all its workers are busy), more slowly below. The
//! choice is the least **(c/µ) · ((q + g)/c)³**: the service time, times a steep price for crowding (the price is C3's
//! idea, Suresh et al., NSDI 2015; the fluid that q follows is that of Tipper and Sundareshan, IEEE JSAC 8(9), 1990).
//!
//! Nothing of this is configured. c, g, µ and how late the requests of an answer come are learned from reports alone, by
//! a bank of hypotheses: each predicts every report from the one before it, and those that predict well drive. So
//! bursts behind one answer, answers that are cached for a time, other Athenas that use the same members, several
//! workers, unequal machines and machines whose speed drifts are found out without being told, in whatever unit and
//! with whatever offset loads come. `answer_load` fixes g; a reported counter `n` of requests taken tells how many
//! requests an answer brings; `load_smoothing` takes out an average that the sender makes first.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`virtual_queue`] | q between reports: what choices read and move |
//! | [`learner`] | what happens when a report comes |
//! | [`bank`] | the hypotheses |
//! | [`member`] | what is known of one member, above all its capacity |
//! | [`fluid`] | the prediction |
//! | [`scale`] | where idle lies, and how large a usual load is |
//!
//! Cost: a choice looks at all members up to [`LOOK_AT_ALL`], beyond that at the best of [`SAMPLE`] drawn by weight (in a
//! farm of 100 under a load of 0.9 that costs 1 % of the mean response time); some nanoseconds a member, no lock, nothing
//! allocated. A report costs one or two microseconds, under the engine's lock, whatever the farm's size. A member
//! takes about a kilobyte.
//!
//! Weights: as long as members are alike by weight, weights say how fast they are. Where they are found not to be, what
//! was learned counts, and the weight is where learning starts. Slow start and a weight that is changed count at once.
//!
//! Limits: it must see reports that answers have to do with. Loads that answers do not move are followed only so far
//! that nobody gets more than about his share of an interval on top of it. A member that always says it is idle gets
//! as much as any rule would give it that believes reports. Not when: reports don't come at all, or their numbers
//! mean nothing; then `round-robin` does the same for less.

mod bank;
mod fluid;
mod learner;
mod member;
mod scale;
mod virtual_queue;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use self::learner::Learner;
use self::virtual_queue::{Contender, Drive};
use super::contest::{self, LOOK_AT_ALL};
use super::sample::Alias;
use super::*;

pub const SPEC: AlgorithmSpec = AlgorithmSpec {
    name: "adaptive",
    summary: "the least virtual queue, under hypotheses learned from the reports",
    source: "Athena; C3 2015, fluid queues 1990",
    sees_load: true,
    sees_key: false,
    build: |params| Box::new(Adaptive::new(params)),
};

/// How many members of a larger farm one choice looks at.
const SAMPLE: usize = 16;

struct Adaptive {
    learner: Mutex<Learner>,
    drive: Arc<Drive>,
}

impl Adaptive {
    fn new(params: &Params) -> Self {
        let drive = Arc::new(Drive::default());
        Self { learner: Mutex::new(Learner::new(params, Arc::clone(&drive))), drive }
    }

    fn learner(&self) -> MutexGuard<'_, Learner> {
        self.learner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Algorithm for Adaptive {
    fn prepare(&self, candidates: &[Candidate]) -> Box<dyn Select> {
        let contenders = self.learner().enlist(candidates);
        let large = contenders.len() > LOOK_AT_ALL;
        let alias = large.then(|| Alias::new(contenders.iter().map(|contender| contender.weight)));
        Box::new(Prepared { contenders, alias, drive: Arc::clone(&self.drive) })
    }

    fn observe(&self, report: &Observation<'_>) {
        self.learner().observe(report);
    }
}

struct Prepared {
    contenders: Box<[Contender]>,
    /// Only for farms that are too large to be looked at as a whole.
    alias: Option<Alias>,
    drive: Arc<Drive>,
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let measure = |one: &Contender| one.queue.measure(pick.now, knee, gain, &one.gauge);
        let best = match &self.alias {
            None => contest::least(self.contenders.iter(), measure, random),
            Some(alias) => {
                let drawn: [usize; SAMPLE] = std::array::from_fn(|_| alias.draw(random));
                contest::least(drawn.iter().map(|&index| &self.contenders[index]), measure, random)
            }
        }?;
        best.queue.answer(pick.now, knee, gain);
        Some(best.id)
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let measure = |one: &Contender| (one.queue.measure(pick.now, knee, gain, &one.gauge), one.id);
        contest::rank(&self.contenders, measure, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        // In the long run each gets what it can serve; while that is not known, what its weight says.
        let known = self.contenders.iter().all(|one| one.queue.capacity() > 0.0);
        let part = |one: &Contender| if known { one.queue.capacity() } else { one.weight };
        contest::shares(self.contenders.iter().map(|one| (one.id, part(one))))
    }

    fn beliefs(&self, now: Moment) -> Vec<(MemberId, Belief)> {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let (unit, idle) = (self.drive.unit.get(), self.drive.idle.get());
        let belief = |one: &Contender| Belief {
            load: idle + one.queue.load(now, knee) * unit,
            answers_a_second: one.queue.capacity() / gain,
        };
        self.contenders.iter().map(|one| (one.id, belief(one))).collect()
    }
}
