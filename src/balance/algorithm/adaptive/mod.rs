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
//! requests an answer brings; `load_smoothing` takes out an average that the sender makes first; the farm's `ttl` says how
//! late requests may come. Members that report `q` and `u`, as ORCA has them, say how fast they are: a hypothesis too, and
//! what finds changes of speed where reports are rare and loads small.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`virtual_queue`] | q between reports: what choices read and move |
//! | [`learner`] | what happens when a report comes |
//! | [`bank`] | the hypotheses |
//! | [`gain`] | the load of one arrival |
//! | [`delay`] | how late requests may come |
//! | [`member`] | what is known of one member, above all its capacity |
//! | [`pace`] | how fast a member says it is |
//! | [`fluid`] | the prediction |
//! | [`scale`] | where idle lies, and how large a usual load is |
//!
//! Cost: a choice looks at all members up to [`LOOK_AT_ALL`]; beyond that at the best of 16, [`GROUPS`] groups of
//! [`GROUP`] neighbours drawn by weight, as in [`panel`];
//! one number and two that change only with reports are read of each, no lock is taken, nothing allocated. A report
//! costs one or two microseconds, under the engine's lock, whatever the farm's size. A member takes
//! about 300 octets, and about 800 from its first report on.
//!
//! As long as nobody reports, this is `round-robin`.
//!
//! Weights: as long as members are alike by weight, weights say how fast they are. Where they are found not to be, what
//! was learned counts, and the weight is where learning starts. Slow start and a weight that is changed count at once.
//!
//! Limits: it must see reports that answers have to do with. Loads that answers do not move are followed only so far
//! that nobody gets more than about his share of an interval on top of it. A member that always says it is idle
//! looks like a fast one: it gets up to 16 times what others get, where a rule that learns nothing gives it a few times
//! as much. In a farm that is all but idle what little loads say is about chance: members are taken for alike there unless
//! much speaks against it, and still the busiest one may get two or three times its share for a while. Loads that stay the same whatever comes say nothing of capacities, and
//! everybody gets his share. Not when: reports' numbers mean nothing otherwise; then `round-robin` does better.

mod bank;
mod delay;
mod fluid;
mod gain;
mod learner;
mod member;
mod pace;
mod scale;
mod virtual_queue;

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::learner::Learner;
use self::virtual_queue::{Drive, Slab};
use super::super::gauge::Tally;
use super::contest;
use super::panel::LOOK_AT_ALL;
use super::round_robin::RoundRobin;
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

/// A choice in a larger farm looks at so many groups of so many members, who stand together in memory.
const GROUPS: usize = 2;
const GROUP: usize = 8;

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
        let (slab, mut places) = self.learner().enlist(candidates);
        let dense = places.iter().max().map_or(0, |&last| last as usize + 1);
        let mut rows: Vec<Option<Row>> = Vec::new();
        rows.resize_with(dense, || None);
        for (&place, candidate) in places.iter().zip(candidates) {
            let (id, tally) = (candidate.id, candidate.gauge.tally().clone());
            rows[place as usize] = Some(Row { id, tally });
        }
        let weights = candidates.iter().map(|candidate| candidate.weight).collect::<Box<[f64]>>();
        let alias = (weights.len() > LOOK_AT_ALL).then(|| {
            let alias = Alias::new(weights.chunks(GROUP).map(|group| group.iter().sum()));
            // The last group is filled up with those who stand in it.
            let last = places.len() / GROUP * GROUP;
            let rest = places[last..].to_vec();
            let filled = places.iter().copied().chain(rest.iter().copied().cycle());
            places = filled.take(places.len().next_multiple_of(GROUP)).collect();
            alias
        });
        let told = |candidate: &Candidate| candidate.gauge.reported().is_some();
        let silent = self.drive.known.load(Relaxed) == 0 && !candidates.iter().any(told);
        Box::new(Prepared {
            turns: silent.then(|| RoundRobin.prepare(candidates)),
            places,
            weights,
            rows: rows.into(),
            slab,
            alias,
            drive: Arc::clone(&self.drive),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        self.learner().observe(report);
    }
}

/// What a choice needs of the chosen one alone.
struct Row {
    id: MemberId,
    tally: Tally,
}

struct Prepared {
    /// For as long as nobody has reported.
    turns: Option<Box<dyn Select>>,
    /// Where the candidates' virtual queues stand; in farms that are too large to be looked at as a whole, in full groups.
    places: Box<[u32]>,
    /// The candidates' weights.
    weights: Box<[f64]>,
    /// Candidates by the place of their queues.
    rows: Box<[Option<Row>]>,
    slab: Arc<Slab>,
    /// Only for farms that are too large to be looked at as a whole: draws a group.
    alias: Option<Alias>,
    drive: Arc<Drive>,
}

impl Prepared {
    #[inline]
    fn row(&self, place: u32) -> Option<&Row> {
        self.rows.get(place as usize)?.as_ref()
    }

    /// The least of some. Answers that others gave count: but they only make a member's measure greater, so it is enough
    /// to look for them at the least one, and to compare anew if there are some.
    #[inline]
    fn least(&self, places: &[u32], now: Moment, random: &mut dyn Random) -> Option<MemberId> {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let mut looks = LOOK_AT_ALL;
        loop {
            let mut contest = contest::Contest::new();
            let mut loads = [0.0; contest::MOST];
            for (load, &place) in loads.iter_mut().zip(places) {
                let queue = self.slab.queue(place);
                *load = queue.load(now, knee);
                contest.enter(queue.measure_of(*load, gain));
            }
            let winner = contest.winner(random)?;
            let (place, load) = (places[winner], loads[winner]);
            let row = self.row(place)?;
            match self.slab.missed(place, row.tally.answers()) {
                Some(missed) if looks > 0 => {
                    looks -= 1;
                    self.take_missed(place, missed, now, (knee, gain));
                }
                _ => {
                    self.slab.answer_at(place, load, now, knee, gain);
                    return Some(row.id);
                }
            }
        }
    }

    #[cold]
    fn take_missed(&self, place: u32, missed: u64, now: Moment, (knee, gain): (f64, f64)) {
        self.slab.answer(place, missed, now, knee, gain);
    }

    /// Every candidate, where its queue stands, and the load believed in, with all that others gave.
    fn loads(&self, now: Moment) -> impl Iterator<Item = (MemberId, u32, f64)> {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        self.places[..self.weights.len()].iter().filter_map(move |&place| {
            let row = self.row(place)?;
            let missed = self.slab.missed(place, row.tally.answers()).unwrap_or(0) as f64;
            Some((row.id, place, self.slab.queue(place).load(now, knee) + missed * gain))
        })
    }
}

impl Select for Prepared {
    fn select(&self, pick: &Pick<'_>, random: &mut dyn Random) -> Option<MemberId> {
        if let Some(turns) = &self.turns
            && self.drive.known.load(Relaxed) == 0
        {
            return turns.select(pick, random);
        }
        let Some(alias) = &self.alias else { return self.least(&self.places, pick.now, random) };
        let mut drawn = [0; GROUPS * GROUP];
        for room in drawn.chunks_exact_mut(GROUP) {
            let first = alias.draw(random) * GROUP;
            room.copy_from_slice(&self.places[first..first + GROUP]);
        }
        self.least(&drawn, pick.now, random)
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        if let Some(turns) = &self.turns
            && self.drive.known.load(Relaxed) == 0
        {
            return turns.rank(pick, random, order);
        }
        let gain = self.drive.gain.get();
        let measured: Vec<(f64, MemberId)> = self
            .loads(pick.now)
            .map(|(id, place, load)| (self.slab.queue(place).measure_of(load, gain), id))
            .collect();
        contest::rank(&measured, |one| *one, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        // In the long run each gets what it can serve; while that is not known, what its weight says.
        let capacity = |place: u32| self.slab.queue(place).capacity();
        let candidates = self.places.iter().zip(&self.weights);
        let known = candidates.clone().all(|(&place, _)| capacity(place) > 0.0);
        let part = |place: u32, weight: f64| if known { capacity(place) } else { weight };
        let parts = candidates
            .filter_map(|(&place, &weight)| self.row(place).map(|row| (row.id, part(place, weight))));
        contest::shares(parts)
    }

    fn fetch(&self, step: u32) -> u64 {
        if self.alias.is_some() {
            return 0;
        }
        let turns = || self.turns.as_ref().filter(|_| self.drive.known.load(Relaxed) == 0);
        match step {
            1 => (self.places.len() + self.rows.len()) as u64,
            2 => {
                let (place, turns) = (self.places.first(), self.turns.as_ref());
                let own = self.slab.len() as u64 + u64::from(place.map_or(0, |place| *place));
                self.drive.known.load(Relaxed) + own + turns.map_or(0, |turns| turns.fetch(1))
            }
            3 => turns().map_or_else(|| self.slab.fetch_queues(), |turns| turns.fetch(2)),
            _ => turns().map_or_else(|| self.slab.fetch_seen(), |_| 0),
        }
    }

    fn beliefs(&self, now: Moment) -> Vec<(MemberId, Belief)> {
        let gain = self.drive.gain.get();
        let (unit, idle) = (self.drive.unit.get(), self.drive.idle.get());
        let belief = |(id, place, load): (MemberId, u32, f64)| {
            let answers_a_second = self.slab.queue(place).capacity() / gain;
            (id, Belief { load: idle + load * unit, answers_a_second })
        };
        self.loads(now).map(belief).collect()
    }
}
