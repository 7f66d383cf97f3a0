//! From reports to beliefs: everything that happens under the engine's lock.
//!
//! A report sets a member's virtual queue; where little of what it tells lasts until the next one it only moves it
//! ([`lasting`]).

mod lasting;
mod places;
mod pool;
mod steer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use self::lasting::Lasting;
use super::super::super::late::Late;
use super::super::super::moment::Moment;
use super::super::{Candidate, Observation, Params};
use super::bank::Bank;
use super::capacity::POOLED;
use super::crowd::{Crowd, Seen};
use super::member::{Interval, Last, Member, Sums};
use super::pace::Pace;
use super::scale::{MOST, Scale, idle_of};
use super::smooth::{Readings, Smoothing};
use super::virtual_queue::{Drive, Slab};

/// What a farm has learned.
#[derive(Debug)]
pub struct Learner {
    members: Vec<Member>,
    /// Where they stand, if there are many.
    by_seed: HashMap<u64, usize>,
    /// Places of the farm's list, where they stand in `members`; a reload may make them wrong, the seed tells.
    by_id: Vec<u32>,
    /// The members' virtual queues. Who reports without ever having been a candidate has none.
    slab: Arc<Slab>,
    pool: Sums,
    pace: Pace,
    bank: Bank,
    crowd: Late<Crowd>,
    lasting: Lasting,
    scale: Scale,
    /// Averaging that senders do.
    smoothing: Option<Smoothing>,
    /// Requests that one answer brings, where backends count them: requests, answers.
    counted: Option<(f64, f64)>,
    /// When the first report came, and the answers given by then; answers a second since, at weight 1.
    start: Option<(Moment, f64)>,
    answer_rate: f64,
    /// Reports until the idle load is looked at again.
    idle_wait: usize,
    /// Arrivals from report to report, averaged over the members.
    arrivals_a_report: f64,
    drive: Arc<Drive>,
}

/// Requests over which it is learned how many one answer brings.
const COUNTED: f64 = 4096.0;
/// A counter that grew by more than this since the last report was not counting.
const MOST_REQUESTS: f64 = 1e9;
/// Arrivals that an interval must hold on average to be worth judging.
const WORTH: f64 = 1.0;
/// Most reports put together to one interval.
const MOST_TOGETHER: f64 = 32.0;
/// An interval longer than this, in seconds, teaches nothing but where the member stands now.
const LONGEST: f64 = 86_400.0;
/// Before anything is learned an answer is taken to bring this load, as for rules that don't learn, but no less than
/// this part of the usual load, so that loads in bytes don't send everybody to one member.
const FIRST_GAIN: f64 = 1.0;
const FIRST_PART: f64 = 1.0 / 64.0;
/// Virtual queues are made anew when the load of an answer, or the knee in such loads, is not within these multiples of what
/// it was when they were made.
const HELD: std::ops::RangeInclusive<f64> = 1.0 / 1.1..=1.1;
/// The exponent to which crowding counts against speed: (c/µ)·((q+g)/c)^3.
const STEEPNESS: f64 = 3.0;

impl Learner {
    pub fn new(params: &Params, drive: Arc<Drive>) -> Self {
        let fixed = params.answer_load.filter(|gain| gain.is_finite() && *gain > 0.0);
        let bank = Bank::new(fixed).caching(params.ttl.as_secs_f64());
        drive.gain.set(bank.gain());
        let smoothing = params.load_smoothing.map(|span| span.as_secs_f64()).filter(|span| *span > 0.0);
        Self {
            members: Vec::new(),
            by_seed: HashMap::new(),
            by_id: Vec::new(),
            slab: Arc::default(),
            pool: Sums::default(),
            pace: Pace::NONE,
            bank,
            crowd: Late::default(),
            lasting: Lasting::default(),
            scale: Scale::default(),
            smoothing: smoothing.map(Smoothing::new),
            counted: None,
            start: None,
            answer_rate: 0.0,
            idle_wait: 0,
            arrivals_a_report: 0.0,
            drive,
        }
    }

    /// Gives every candidate a virtual queue and tells where it stands; who is new starts with the average load of the
    /// others. A candidate that has none yet moves all of them, so the whole farm comes before a part of it.
    pub fn enlist(&mut self, candidates: &[Candidate]) -> (Arc<Slab>, Box<[u32]>) {
        let now = self.latest();
        if self.members.is_empty() {
            self.members.reserve_exact(candidates.len());
            self.by_id.reserve_exact(candidates.len());
        }
        self.make_room(candidates);
        self.take_over(candidates, now);
        let average = self.average(now);
        let mut places = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let index = self.find_or_add(candidate.id.0 as usize, candidate.seed, candidate.weight);
            let member = &mut self.members[index];
            let fresh = member.tally.is_none();
            member.tally = Some(candidate.gauge.tally().clone());
            member.is_gone = false;
            if member.last.is_none() {
                member.weight = candidate.weight;
            }
            member.part = (candidate.weight / member.weight).clamp(1e-3, 1.0) as f32;
            let answers = candidate.gauge.answers();
            let seen = if fresh { answers } else { self.slab.seen(index) };
            match (self.members[index].last, candidate.gauge.reported()) {
                (Some(_), _) => self.put(index, self.load(index, now), seen, now),
                (None, Some(told)) => self.put(index, self.scale.normal(told), answers, now),
                (None, None) => self.put(index, average, answers, now),
            }
            places.push(index as u32);
        }
        (Arc::clone(&self.slab), places.into())
    }

    /// Makes a new row of virtual queues, if there are candidates without one. Those of members that are gone go.
    fn make_room(&mut self, candidates: &[Candidate]) {
        let has = |candidate: &Candidate| {
            self.place_of(candidate.seed).is_some_and(|index| index < self.slab.len())
        };
        if candidates.iter().all(has) {
            return;
        }
        let stayed = self.forget_the_gone();
        let more = candidates.len().saturating_sub(self.members.len());
        self.members.reserve_exact(more);
        let ids = candidates.iter().map(|candidate| candidate.id.0 as usize + 1).max().unwrap_or(0);
        self.by_id.reserve_exact(ids.saturating_sub(self.by_id.len()));
        for candidate in candidates {
            self.find_or_add(candidate.id.0 as usize, candidate.seed, candidate.weight);
        }
        let places = (0..self.members.len()).map(|index| stayed.get(index).copied());
        let slab = Slab::from_old(&self.slab, places);
        self.slab = Arc::new(slab);
    }

    /// The load believed in of a member.
    pub(super) fn load(&self, index: usize, now: Moment) -> f64 {
        match (self.slab.get(index), self.members[index].last) {
            (Some(queue), _) => queue.load(now, self.drive.knee.get()) / self.stretch(),
            (None, last) => last.map_or(0.0, |last| last.load),
        }
    }

    fn known(&self) -> usize {
        self.drive.known.load(Relaxed) as usize
    }

    /// Loads that were known before this rule was in force (it was changed, or Athena was restarted) tell at least what
    /// loads are like.
    fn take_over(&mut self, candidates: &[Candidate], now: Moment) {
        if self.known() > 0 {
            return;
        }
        let mut loads: Vec<f64> =
            candidates.iter().filter_map(|candidate| candidate.gauge.reported()).collect();
        let Some(idle) = idle_of(&mut loads) else { return };
        self.scale.settle_idle(idle);
        loads.into_iter().for_each(|load| self.rescale(load, now));
    }

    /// The moment of the last report.
    fn latest(&self) -> Moment {
        self.members.iter().filter_map(|member| member.last).map(|last| last.at).max().unwrap_or(Moment::ZERO)
    }

    /// The average load of the members that reported, as it is believed to be now; 0 as long as fewer than two did, for
    /// one alone says nothing of the others.
    fn average(&self, now: Moment) -> f64 {
        let known = self.known();
        if known < 2 {
            return 0.0;
        }
        let reported = |&index: &usize| self.members[index].last.is_some();
        let loads = (0..self.members.len()).filter(reported).map(|index| self.load(index, now).min(MOST));
        loads.sum::<f64>() / known as f64
    }

    /// Learns from a report.
    pub fn observe(&mut self, report: &Observation<'_>) {
        let Some(told) = report.load else { return };
        self.slab.begin();
        let index = self.find_or_add(report.id.0 as usize, report.seed, report.weight);
        self.reweigh(index, report.weight);
        let now = report.now;
        let Some(last) = self.members[index].last else {
            self.first_report(index, told, report);
            return;
        };
        let span = now.seconds_since(last.at);
        let Some(load) = self.unsmooth(index, told, now) else { return };
        let given = report.answers.saturating_sub(last.answers) as f64;
        self.members[index].least.see(load, given);
        self.see_scale(load, now);
        let load = self.scale.normal(load);
        // The unit may just have moved.
        let last = self.members[index].last.unwrap_or(last);
        let arrivals = self.arrivals(&last, report);
        let since = match (&self.smoothing, arrivals) {
            (Some(_), Some(arrivals)) => (0.5 * arrivals, 0.5 * span),
            _ => (0.0, 0.0),
        };
        // From the moment that the load before is of to the one that this load is of.
        let between = span + last.since.1 - since.1;
        let interval = arrivals
            .map(|arrivals| arrivals + last.since.0 - since.0)
            .filter(|_| span > 0.0 && between > 0.0 && span <= LONGEST)
            .map(|arrivals| self.members[index].take_effect(arrivals, between))
            .map(|arrivals| Interval { before: last.load, after: load, arrivals, span: between });
        let mut changed = false;
        let mut weight = 1.0;
        match interval {
            Some(interval) => {
                self.lasting.take(interval.before, interval.arrivals[0], interval.after);
                weight = self.lasting.weight();
                changed = self.judge(index, &interval);
                self.see_crowd(index, &interval, now);
                self.take_pace(index, report);
                let usual = self.members[index].arrivals_a_report();
                self.arrivals_a_report += (usual - self.arrivals_a_report) * 0.01;
            }
            None => self.members[index].take(POOLED, &mut self.pool),
        }
        let counter = report.counter.or(last.counter);
        let last = Last { load, at: now, since, answers: report.answers, counter };
        self.members[index].last = Some(last);
        // How many requests an answer brings may have changed as well.
        if changed || !HELD.contains(&self.stretch()) {
            self.steer(now);
        }
        let load = self.load_at_report(&self.members[index], &last);
        let to_come = self.bank.to_come(&self.members[index]);
        let told = load * self.bank.stays() + to_come;
        let load = if weight < 1.0 { self.mixed(index, told, weight, report) } else { told };
        self.put(index, load, report.answers, now);
    }

    /// What was believed of a member until it reported, moved by this part towards what the report says.
    fn mixed(&self, index: usize, told: f64, part: f64, report: &Observation<'_>) -> f64 {
        let Some(queue) = self.slab.get(index) else { return told };
        let missed = self.slab.missed(index as u32, report.answers).unwrap_or(0) as f64;
        let (knee, gain) = (self.drive.knee.get(), self.drive.gain.get());
        let believed = (queue.load(report.now, knee) + missed * gain) / self.stretch();
        believed + part * (told - believed)
    }

    fn first_report(&mut self, index: usize, told: f64, report: &Observation<'_>) {
        self.members[index].least.see(told, 0.0);
        if self.known() < 2 {
            self.idle_wait = 0;
        }
        self.see_scale(told, report.now);
        let load = self.scale.normal(told);
        let (at, answers, counter) = (report.now, report.answers, report.counter);
        self.members[index].last = Some(Last { load, at, since: (0.0, 0.0), answers, counter });
        let readings = || Box::new(Readings::new(told, at));
        self.members[index].readings = self.smoothing.is_some().then(readings);
        let known = self.drive.known.fetch_add(1, Relaxed) + 1;
        self.put(index, load, report.answers, report.now);
        if known.is_power_of_two() {
            self.get_to_know(report.now);
        }
    }

    /// While first reports come: who has not spoken yet is taken to be like those who have, and until capacities are
    /// known work is taken to go as it comes.
    fn get_to_know(&mut self, now: Moment) {
        let tallies = self.members.iter().filter_map(|member| member.tally.as_ref());
        let answers = tallies.map(|tally| tally.answers() as f64).sum::<f64>();
        let weights: f64 = self.members.iter().map(|member| member.weight).sum();
        let (start, before) = *self.start.get_or_insert((now, answers));
        let span = now.seconds_since(start);
        if span > 0.0 {
            self.answer_rate = (answers - before).max(0.0) / (span * weights);
        }
        let average = self.average(now);
        for index in 0..self.slab.len() {
            let member = &self.members[index];
            match (member.last, &member.tally) {
                (None, Some(tally)) => self.put(index, average, tally.answers(), now),
                (None, None) => {}
                (Some(_), _) => self.put(index, self.load(index, now), self.slab.seen(index), now),
            }
        }
    }

    /// The load; where the sender averages, its mean since the last report, or `None` if the time is too short to tell.
    fn unsmooth(&mut self, index: usize, told: f64, now: Moment) -> Option<f64> {
        let Some(smoothing) = &mut self.smoothing else { return Some(told) };
        let readings = self.members[index].readings.get_or_insert_with(|| Box::new(Readings::new(told, now)));
        smoothing.read(readings, told, now)
    }

    /// Requests or answers since the last report; `None` if a counter fell, because the backend was restarted, or
    /// grew beyond all measure.
    fn arrivals(&mut self, last: &Last, report: &Observation<'_>) -> Option<f64> {
        let answers = report.answers.saturating_sub(last.answers) as f64;
        match (last.counter, report.counter) {
            (Some(before), Some(now)) => {
                let requests =
                    Some(now - before).filter(|requests| (0.0..=MOST_REQUESTS).contains(requests))?;
                let (all, given) = self.counted.unwrap_or((0.0, 0.0));
                let keep = 1.0 - (requests / COUNTED).min(0.5);
                self.counted = Some((all * keep + requests, given * keep + answers));
                Some(requests)
            }
            _ => Some(answers * self.requests_an_answer()),
        }
    }

    /// Requests that one answer brings; 1 where backends don't count them.
    fn requests_an_answer(&self) -> f64 {
        match self.counted {
            Some((requests, answers)) if answers >= 8.0 => (requests / answers).clamp(1e-3, 1e6),
            _ => 1.0,
        }
    }

    fn see_scale(&mut self, load: f64, now: Moment) {
        self.settle_idle(now);
        self.rescale(load, now);
    }

    /// Lets the unit of load follow what was told.
    fn rescale(&mut self, load: f64, now: Moment) {
        let Some(powers) = self.scale.see(load) else { return };
        let factor = 2f64.powi(-powers);
        let loads: Vec<f64> = self.loads(now).map(|load| load * factor).collect();
        self.bank.rescale(powers);
        if !self.crowd.is_blank() {
            self.crowd.rescale(powers);
        }
        self.members.iter_mut().for_each(|member| member.rescale(powers));
        self.pool.rescale(powers);
        self.lasting.rescale(powers);
        if self.bank.is_new() {
            self.bank.begin_with(
                FIRST_GAIN.max(self.scale.unit() * self.scale.usual() * FIRST_PART) / self.scale.unit(),
            );
        }
        self.put_all(&loads, now);
    }

    /// Looks at the idle load from time to time: about once a round. One member alone does not tell what idle is: if it
    /// says 9, it may well be busy.
    fn settle_idle(&mut self, now: Moment) {
        if self.idle_wait > 0 {
            self.idle_wait -= 1;
            return;
        }
        self.idle_wait = self.members.len().max(16);
        self.add_up();
        let mut least: Vec<f64> =
            self.members.iter().map(|member| member.least.get()).filter(|least| least.is_finite()).collect();
        if least.len() < 2 {
            return;
        }
        let Some(growth) = idle_of(&mut least).and_then(|idle| self.scale.settle_idle(idle)) else { return };
        let moved = |load: f64| (load + growth).clamp(0.0, MOST);
        let loads: Vec<f64> = self.loads(now).map(moved).collect();
        for member in self.members.iter_mut().filter(|member| !member.is_silent()) {
            member.take(POOLED, &mut self.pool);
            if let Some(last) = &mut member.last {
                last.load = moved(last.load);
            }
        }
        self.put_all(&loads, now);
    }
}
