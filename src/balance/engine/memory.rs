//! What was reported and counted, written down and found again after a restart.
//!
//! The time in which we were away is not the silence of a backend: who was in when we left and would be out by now is
//! new, with its time of grace; who was out already stays out. What a backend reported counts again only while a farm
//! of it would still trust it (`balance.md`: younger than `expect_update`).

use std::collections::HashMap;

use super::super::durable::{BackendMemory, Durable, FarmMemory, Memory};
use super::super::moment::Moment;
use super::super::statistics::Amount;
use super::super::status::Change;
use super::super::update::{BackendUpdate, Health};
use super::{Engine, Truth};

/// Backends or farms that are copied out under one hold of the lock, so that reports never wait long for it.
const SLICE: usize = 256;

impl Engine {
    /// What was reported and counted up to `now`; backends of which nothing is known are left out. Takes the lock once for each few hundred backends; a reload in
    /// between may leave some out or give some twice.
    pub fn remember(&self, now: Moment) -> Memory {
        let mut memory = Memory { taken: now, ..Memory::default() };
        for slice in 0.. {
            let range = slice * SLICE..(slice + 1) * SLICE;
            let truth = self.lock();
            let backends = truth.backends.iter().take(range.end).skip(range.start);
            let speaks =
                |backend: &&super::Backend| backend.last_report.is_some() || backend.tally.answers() > 0;
            memory.backends.extend(backends.filter(speaks).map(super::Backend::remember));
            let farms = truth.farms.iter().take(range.end).skip(range.start);
            memory.farms.extend(farms.map(|farm| FarmMemory {
                name: farm.name().clone(),
                answers: farm.farm.answers(),
                not_finite: farm.not_finite,
            }));
            if range.end >= truth.backends.len().max(truth.farms.len()) {
                break;
            }
        }
        memory
    }

    /// Takes up what a process before this one kept: `decisions` count whatever their age, `memory` as far as it is
    /// fresh. To be called once, before the first query and the first report. Gives the states that differ from those
    /// of a first start. Blocks while decisions that the configuration overruled are kept; that they cannot be does no
    /// harm, as the next start will overrule them again.
    pub fn recall(&self, decisions: Vec<Durable>, memory: &Memory, now: Moment) -> Vec<Change> {
        let _turn = self.administration.turn();
        let (changes, overruled) = {
            let mut truth = self.lock();
            truth.read_in(decisions);
            truth.abide(now);
            truth.recall(memory, now);
            self.show_roster(&mut truth);
            self.wake_if_sooner(&truth);
            (std::mem::take(&mut truth.changes), std::mem::take(&mut truth.ledger.overruled))
        };
        let _ = self.administration.keep(&overruled);
        changes
    }
}

impl super::Backend {
    fn remember(&self) -> BackendMemory {
        let answers = self.tally.answers();
        BackendMemory {
            name: self.name().clone(),
            statistics: self.statistics.clone(),
            health: self.reported_health,
            health_since: self.health_since,
            feed: self.feed,
            feed_since: self.feed_since,
            last_report: self.last_report,
            left: self.left,
            returned: self.rare.returned,
            reports: self.reports,
            answers,
            answers_since_report: answers.saturating_sub(self.answers_at_report),
            whereabouts: self.rare.registered.map(|_| self.whereabouts()),
        }
    }
}

impl Truth {
    fn recall(&mut self, memory: &Memory, now: Moment) {
        for farm in &memory.farms {
            if let Some(&index) = self.farm_index.get(&farm.name) {
                self.farms[index].farm.count_on(farm.answers);
                self.farms[index].not_finite += farm.not_finite;
            }
        }
        self.rejoin(memory, now);
        let mut remembered: HashMap<usize, &BackendMemory> = HashMap::new();
        for backend in &memory.backends {
            if let Some(index) = self.backend_number(backend.name.as_str()) {
                remembered.insert(index, backend);
            }
        }
        let mut fresh = Vec::new();
        for (&index, then) in &remembered {
            if self.take_up(index, then, memory.taken, now) {
                fresh.push((self.backends[index].last_report.unwrap_or(now), index));
            }
        }
        // What stands on the agenda was reckoned from the start; the last report may be due sooner.
        self.agenda.clear();
        self.watch_all_registered();
        for farm in &mut self.farms {
            farm.rising = false;
            farm.members.iter_mut().for_each(|place| place.watched = false);
        }
        self.settle(now);
        for (index, then) in remembered {
            let tally = self.backends[index].tally.answers();
            for (farm, member) in self.backends[index].places.iter() {
                self.farms[farm].members[member].board.count_on(then.answers_since_report, tally);
            }
        }
        // Rules that learn see reports in the order in which they came.
        fresh.sort_unstable();
        for (at, index) in fresh {
            let report = self.last_word(index);
            for place in 0..self.backends[index].places.len() {
                let (farm, member) = self.backends[index].places.at(place);
                self.teach(farm, member, &report, true, at);
            }
        }
    }

    /// Takes up what is known of one backend; gives whether its statistics are fresh.
    fn take_up(&mut self, index: usize, then: &BackendMemory, taken: Moment, now: Moment) -> bool {
        let expectations: Vec<_> =
            self.backends[index].places.iter().map(|(farm, _)| self.farms[farm].plan.expect_update).collect();
        let counts_at = |at: Moment| {
            let in_time = |last: Moment| {
                let trusts = |expect: &Option<_>| expect.is_none_or(|expect| at.since(last) <= expect);
                expectations.is_empty() || expectations.iter().any(trusts)
            };
            !then.left && then.last_report.is_some_and(in_time)
        };
        let fresh = counts_at(now);
        let was_out = then.last_report.is_some() && !counts_at(taken);
        let backend = &mut self.backends[index];
        backend.tally.count_on(then.answers);
        backend.reports += then.reports;
        if backend.rare.returned != then.returned {
            backend.rare.returned = then.returned;
        }
        backend.answers_at_report = backend.tally.answers().saturating_sub(then.answers_since_report);
        if fresh || was_out {
            // A clock that was set back must not make a report last longer.
            backend.last_report = then.last_report.map(|last| last.min(now));
            backend.left = then.left;
            (backend.feed, backend.feed_since) = (then.feed, then.feed_since);
        }
        if fresh {
            backend.statistics = then.statistics.clone();
            backend.reported_health = then.health;
        }
        if backend.rare.mark != Some(Health::Down) && (fresh || then.health == Health::Up) {
            backend.health_since = then.health_since;
        }
        fresh
    }

    /// A backend's last report, as one that names everything it ever named.
    fn last_word(&self, index: usize) -> BackendUpdate {
        let backend = &self.backends[index];
        let mut report = BackendUpdate::new(backend.name().clone());
        let statistics = backend.statistics.iter();
        report.statistics = statistics.map(|(name, value)| (name.clone(), Amount::Set(value))).collect();
        report
    }
}

#[cfg(test)]
mod tests;
