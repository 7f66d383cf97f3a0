//! `adaptive`: the least virtual queue, under hypotheses that are learned from the reports.
//!
//! Idea: a report is old when it is used. So for each member Athena keeps an estimate q of its load, in the units of
//! the farm's formula: a report sets it, an answer adds g to it, and in between it falls as the member works: at the
//! member's capacity µ while q is above a knee c (the load at which all its workers are busy), more slowly below. The
//! choice is the least **(c/µ) · ((q + g)/c)³**: the service time, times a steep price for crowding (the price is C3's
//! idea, Suresh et al., NSDI 2015; the fluid that q follows is that of Tipper and Sundareshan, IEEE JSAC 8(9), 1990). Crowding
//! has a price only where all workers are busy: while reports are fresh enough to tell that some are free, the service time
//! decides, and loads count an eighth ([`crowd`]).
//!
//! Nothing of this is configured. c, g, µ and how late the requests of an answer come are learned from reports alone, by
//! a bank of hypotheses: each predicts every report from the one before it, and those that predict well drive. So
//! bursts behind one answer, answers that are cached for a time, other Athenas that use the same members, several
//! workers, unequal machines and machines whose speed drifts are found out without being told, in whatever unit and
//! with whatever offset loads come. `answer_load` fixes g; a reported counter `n` of requests taken tells how many
//! requests an answer brings; `load_smoothing` takes out an average that the sender makes first ([`smooth`]); the farm's `ttl` says how
//! late requests may come. Members that report `q` and `u`, as ORCA has them, say how fast they are: a hypothesis too, and
//! what finds changes of speed where reports are rare and loads small.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`virtual_queue`] | q between reports: what choices read and move |
//! | [`curve`] | what its numbers mean |
//! | [`present`] | the loads of a small farm at one moment |
//! | [`learner`] | what happens when a report comes |
//! | [`bank`] | the hypotheses |
//! | [`crowd`] | up to which load members have free workers |
//! | [`gain`] | the load of one arrival |
//! | [`delay`] | how late requests may come |
//! | [`member`] | what is known of one member |
//! | [`capacity`] | how fast it works |
//! | [`pace`] | how fast a member says it is |
//! | [`fluid`] | the prediction |
//! | [`smooth`] | what loads were before senders averaged them |
//! | [`scale`] | where idle lies, and how large a usual load is |
//!
//! Cost: a choice looks at all members up to [`LOOK_AT_ALL`], at loads that are worked out once a moment ([`present`]); beyond that
//! at the best of 16, two groups of [`EIGHT`] neighbours drawn by weight, as in [`panel`]:
//! one number and two that change only with reports are read of each. No lock is taken, nothing allocated. A report
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

mod ahead;
mod bank;
mod capacity;
mod crowd;
mod curve;
mod delay;
mod fluid;
mod gain;
mod learner;
mod member;
mod pace;
mod present;
mod scale;
mod smooth;
mod virtual_queue;

#[cfg(test)]
mod tests;

use std::array::from_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::curve::loads_of_eight;
use self::learner::Learner;
use self::virtual_queue::{Drive, EIGHT, Queue, Slab, Terms, Two};
use super::super::random::SplitMix;
use super::contest::{self, PairContest, Winner};
use super::counts::Counts;
use super::pair::Pair;
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
        let (slab, places) = self.learner().enlist(candidates);
        let weights = candidates.iter().map(|candidate| candidate.weight).collect::<Box<[f64]>>();
        let large = weights.len() > LOOK_AT_ALL;
        let told = |candidate: &Candidate| candidate.gauge.reported().is_some();
        let silent = self.drive.known.load(Relaxed) == 0 && !candidates.iter().any(told);
        Box::new(Prepared {
            turns: silent.then(|| RoundRobin.prepare(candidates)),
            places: Places::new(&places, &slab),
            ids: Ids::of(candidates),
            counts: Counts::new(candidates),
            alias: large.then(|| Box::new(Alias::new(weights.chunks(EIGHT).map(|group| group.iter().sum())))),
            count: weights.len() as u32,
            weights,
            slab,
            drive: Arc::clone(&self.drive),
            is_shared: candidates.iter().any(|one| one.gauge.is_shared()),
        })
    }

    fn observe(&self, report: &Observation<'_>) {
        self.learner().observe(report);
    }

    fn part(&self, stays: &dyn Fn(u64) -> bool) {
        self.learner().part(stays);
    }
}

/// Where the candidates' virtual queues stand, by groups of [`EIGHT`]; the last one is filled up with its first. None where
/// all queues are candidates' and stand in their order, as they mostly do.
struct Places(Box<[[u32; EIGHT]]>);

impl Places {
    fn new(places: &[u32], slab: &Slab) -> Self {
        if places.len() == slab.len() && places.iter().zip(0..).all(|(&place, due)| place == due) {
            return Self(Box::default());
        }
        let group = |group: &[u32]| std::array::from_fn(|lane| *group.get(lane).unwrap_or(&group[0]));
        Self(places.chunks(EIGHT).map(group).collect())
    }

    #[inline]
    fn get(&self, index: usize) -> u32 {
        self.0.get(index / EIGHT).map_or(index as u32, |group| group[index % EIGHT])
    }
}

/// Pairs in a group.
const PAIRS: usize = EIGHT / 2;

/// In the order of need: what a choice in a small farm reads is the first two lines of the cache.
#[repr(C, align(64))]
struct Prepared {
    slab: Arc<Slab>,
    drive: Arc<Drive>,
    counts: Counts,
    places: Places,
    ids: Ids,
    /// Only for farms that are too large to be looked at as a whole: draws a group.
    alias: Option<Box<Alias>>,
    /// How many candidates there are.
    count: u32,
    /// Whether other farms give some of them too.
    is_shared: bool,
    /// For as long as nobody has reported.
    turns: Option<Box<dyn Select>>,
    /// The candidates' weights.
    weights: Box<[f64]>,
}

impl Prepared {
    fn len(&self) -> usize {
        self.count as usize
    }

    /// How many candidates a group has.
    #[inline]
    fn size(&self, group: usize) -> usize {
        (self.len() - group * EIGHT).min(EIGHT)
    }

    /// Whether nobody has reported yet.
    #[inline]
    fn is_silent(&self) -> bool {
        self.turns.is_some() && self.drive.known.load(Relaxed) == 0
    }

    fn queue(&self, index: usize) -> Queue<'_> {
        self.slab.queue(self.places.get(index))
    }

    /// Compares a group of candidates as the `row`-th one. `read` tells something of two queues, and `loads` what loads that means.
    #[inline(always)]
    fn look(
        &self,
        group: usize,
        row: usize,
        contest: &mut PairContest,
        terms: &Terms,
        (read, loads): (&impl Fn(Two<'_>) -> Pair, &impl Fn([Pair; PAIRS]) -> [Pair; PAIRS]),
    ) {
        let (there, places) = (self.size(group), self.places.0.get(group));
        if places.is_none() && there == EIGHT {
            let queues = self.slab.group(group);
            let both = |pair: usize| Two::of(queues, group, pair);
            let loads = loads(from_fn(|pair| read(both(pair))));
            (0..PAIRS)
                .for_each(|pair| contest.enter(row * PAIRS + pair, both(pair).measure(loads[pair], terms)));
            return;
        }
        let both = |pair: usize| match places {
            Some(places) => {
                let at = |place: u32| (place as usize / EIGHT, place as usize % EIGHT);
                self.slab.two([at(places[2 * pair]), at(places[2 * pair + 1])])
            }
            None => Two::of(self.slab.group(group), group, pair),
        };
        let pairs = there.div_ceil(2).min(PAIRS);
        let loads = loads(from_fn(|pair| if pair < pairs { read(both(pair)) } else { Pair::splat(0.0) }));
        for (pair, &loads) in loads.iter().enumerate().take(pairs) {
            let measures = both(pair).measure(loads, terms);
            // What fills the last group up is nobody.
            let whole = 2 * pair + 1 < there;
            let measures = if whole { measures } else { Pair::new([measures.to_array()[0], f64::NAN]) };
            contest.enter(row * PAIRS + pair, measures);
        }
    }

    /// The least of some groups by what [`look`](Self::look) asks for; `answer` takes in answers of a place
    /// that measures so much. Answers that others gave count: but they only make a member's measure greater, so it is enough to
    /// look for them at the least one, and to compare anew if there are some.
    #[inline(always)]
    fn least(
        &self,
        groups: &[usize],
        terms: &Terms,
        (read, loads): (impl Fn(Two<'_>) -> Pair, impl Fn([Pair; PAIRS]) -> [Pair; PAIRS]),
        answer: impl Fn(u32, u64, f64),
        random: &mut dyn Random,
    ) -> Option<MemberId> {
        let mut looks = LOOK_AT_ALL;
        loop {
            let mut contest = PairContest::new();
            for (row, &group) in groups.iter().enumerate() {
                self.look(group, row, &mut contest, terms, (&read, &loads));
            }
            let Winner { place, least, .. } = contest.winner(random)?;
            let index = groups[place / EIGHT] * EIGHT + place % EIGHT;
            let place = self.places.get(index);
            let is_lag_likely = self.is_shared || is_time_to_look(self.slab.seen(place as usize));
            match is_lag_likely.then(|| self.slab.missed(place, self.counts.answers(index))).flatten() {
                Some(missed) if looks > 0 => {
                    looks -= 1;
                    answer(place, missed, least);
                }
                _ => {
                    answer(place, 1, least);
                    return Some(self.ids.get(index));
                }
            }
        }
    }

    /// The least of all, in a farm that is looked at as a whole.
    #[inline]
    fn least_of_all(&self, now: Moment, random: &mut dyn Random) -> Option<MemberId> {
        let (slab, terms) = (&*self.slab, self.slab.terms(now, &self.drive));
        let groups = &[0, 1, 2, 3][..self.len().div_ceil(EIGHT)];
        let Some(present) = slab.present(now, &self.drive) else {
            return self.least_as_queues_say(groups, &terms, random);
        };
        let read = |two: Two<'_>| present.two(two.places());
        let answer = |place, answers, _| slab.answer_now(present, place, answers, &terms);
        self.least(groups, &terms, (read, |loads| loads), answer, random)
    }

    /// The least of some groups, of members whose loads are not kept.
    #[inline(always)]
    fn least_as_queues_say(
        &self,
        groups: &[usize],
        terms: &Terms,
        random: &mut dyn Random,
    ) -> Option<MemberId> {
        let x = |two: Two<'_>| two.x(terms);
        // With one more it is what was compared.
        let answer = |place, answers, least| self.slab.answer(place, answers, least, terms);
        self.least(groups, terms, (x, |x| loads_of_eight(x, terms.knee)), answer, random)
    }

    /// Every candidate, where it is in their order, and the load believed in, with all that others gave.
    fn loads(&self, now: Moment) -> impl Iterator<Item = (MemberId, usize, f64)> {
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        (0..self.len()).map(move |index| {
            let missed = self.slab.missed(self.places.get(index), self.counts.answers(index)).unwrap_or(0);
            (self.ids.get(index), index, self.queue(index).load(now, knee) + missed as f64 * gain)
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
        let Some(alias) = &self.alias else {
            return self.least_of_all(pick.now, random);
        };
        // One number a choice, so that what the next one will draw can be foreseen.
        let bits = random.next();
        let drawn = alias.two_at(bits);
        let terms = self.slab.terms(pick.now, &self.drive);
        self.least_as_queues_say(&drawn, &terms, &mut SplitMix::new(bits))
    }

    fn rank(&self, pick: &Pick<'_>, random: &mut dyn Random, order: &mut Vec<MemberId>) {
        if let Some(turns) = &self.turns
            && self.drive.known.load(Relaxed) == 0
        {
            return turns.rank(pick, random, order);
        }
        let (gain, free) = (self.drive.gain.get(), self.drive.free.get());
        let measured: Vec<(f64, MemberId)> = self
            .loads(pick.now)
            .map(|(id, index, load)| (self.queue(index).measure_of(load, gain, free), id))
            .collect();
        contest::rank(&measured, |one| *one, random, order);
    }

    fn shares(&self) -> Vec<(MemberId, f64)> {
        // In the long run each gets what it can serve; while that is not known, what its weight says.
        let capacity = |index: usize| self.queue(index).capacity();
        let known = (0..self.len()).all(|index| capacity(index) > 0.0);
        let part = |index: usize| if known { capacity(index) } else { self.weights[index] };
        contest::shares((0..self.len()).map(|index| (self.ids.get(index), part(index))))
    }

    fn gave(&self, id: MemberId, now: Moment) {
        if self.is_silent() {
            return;
        }
        let Some(index) = self.ids.find(id, self.len()) else { return };
        let (slab, place) = (&*self.slab, self.places.get(index));
        let terms = slab.terms(now, &self.drive);
        match slab.present(now, &self.drive) {
            Some(present) => slab.answer_now(present, place, 1, &terms),
            None => {
                let (queue, knee) = (slab.queue(place), self.drive.knee.get());
                let (gain, free) = (self.drive.gain.get(), self.drive.free.get());
                slab.answer(place, 1, queue.measure_of(queue.load(now, knee), gain, free), &terms);
            }
        }
    }

    fn fetch(&self, step: u32) {
        self.ask_ahead(step);
    }

    fn foresee(&self, random: &dyn Random) -> Option<[MemberId; 2]> {
        self.ask_for_later(random)
    }

    fn beliefs(&self, now: Moment) -> Vec<(MemberId, Belief)> {
        let gain = self.drive.gain.get();
        let (unit, idle) = (self.drive.unit.get(), self.drive.idle.get());
        let belief = |(id, index, load): (MemberId, usize, f64)| {
            let answers_a_second = self.queue(index).capacity() / gain;
            (id, Belief { load: idle + load * unit, answers_a_second })
        };
        self.loads(now).map(belief).collect()
    }
}
