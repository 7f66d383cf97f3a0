//! Updates checked and carried out, and the passing of time. Every method runs under the engine's lock.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::super::algorithm::{MemberId, Observation};
use super::super::backend::Backend;
use super::super::load::Worked;
use super::super::moment::Moment;
use super::super::statistics::{MAX_KEPT, StatisticName, Statistics};
use super::super::status::{Change, Subject};
use super::super::update::{
    Admin, BackendUpdate, FarmUpdate, Feed, Health, Refusal, Switch, Update, WeightChange, is_weight,
};
use super::{Applied, Engine, Look, Truth};

impl Engine {
    /// Whether all of a list could be carried out; counts it if not.
    pub(super) fn check(&self, truth: &mut Truth, updates: &[Update]) -> Result<(), Refusal> {
        let each = updates.iter().try_for_each(|update| truth.check(update));
        each.and_then(|()| Self::check_room(truth, updates)).inspect_err(|_| self.count_refused())
    }

    /// Carries out a list that was checked, and makes the views follow.
    pub(super) fn carry_out(&self, truth: &mut Truth, updates: &[Update], now: Moment) -> Applied {
        let mut reports = 0;
        for update in updates {
            reports += u64::from(truth.carry_out(update, now));
        }
        truth.refresh(now);
        self.show_roster(truth);
        self.wake_if_sooner(truth);
        self.counters.reports.fetch_add(reports, Relaxed);
        Applied { changes: std::mem::take(&mut truth.changes), records: Vec::new() }
    }
}

impl Truth {
    /// Whether an update could be carried out as things are.
    pub(super) fn check(&self, update: &Update) -> Result<(), Refusal> {
        match update {
            Update::Backend(update) => self.check_backend(update),
            Update::Farm(FarmUpdate { farm, .. }) if !self.farm_index.contains_key(farm) => {
                Err(Refusal::UnknownFarm(farm.clone()))
            }
            Update::Farm(_) => Ok(()),
        }
    }

    pub(super) fn check_backend(&self, update: &BackendUpdate) -> Result<(), Refusal> {
        let name = || update.backend.clone();
        let none = Statistics::default();
        let kept = match self.backend_number(update.backend.as_str()) {
            Some(index) => &self.backends[index].statistics,
            None if self.would_register(update) => &none,
            None => return Err(Refusal::UnknownBackend(name())),
        };
        let mut fresh: Vec<&StatisticName> = Vec::new();
        for (statistic, amount) in &update.statistics {
            let argument = || statistic.to_string();
            if !amount.number().is_finite() {
                return Err(Refusal::NotFinite { backend: name(), argument: argument() });
            }
            if kept.get(statistic.as_str()).is_none() && !fresh.contains(&statistic) {
                fresh.push(statistic);
                if kept.len() + fresh.len() > MAX_KEPT {
                    return Err(Refusal::TooMany { backend: name(), argument: argument(), limit: MAX_KEPT });
                }
            }
        }
        match update.weight {
            Some(WeightChange::Override(weight)) if !is_weight(weight) => {
                Err(Refusal::Weight { backend: name(), weight })
            }
            _ => Ok(()),
        }
    }

    /// Carries out an update that was checked; gives whether it was a report.
    pub(super) fn carry_out(&mut self, update: &Update, now: Moment) -> bool {
        match update {
            Update::Backend(update) => self.carry_out_backend(update, now),
            Update::Farm(update) => {
                self.carry_out_farm(update, now);
                false
            }
        }
    }

    fn carry_out_farm(&mut self, update: &FarmUpdate, now: Moment) {
        if let (Some(&index), Some(switch)) = (self.farm_index.get(&update.farm), update.switch) {
            self.set_switch(index, switch, BY_AN_OPERATOR, now);
        }
    }

    pub(super) fn set_switch(&mut self, index: usize, switch: Switch, why: &str, now: Moment) {
        let farm = &mut self.farms[index];
        if switch == farm.switch {
            return;
        }
        let (from, to) = (farm.switch.to_string(), switch.to_string());
        let subject = Subject::Farm(farm.name().clone());
        farm.switch = switch;
        farm.switch_since = now;
        self.changes.push(Change { subject, axis: "switch", from, to, why: why.to_owned() });
        self.mark_dirty(index);
    }

    fn carry_out_backend(&mut self, update: &BackendUpdate, now: Moment) -> bool {
        let Some(index) = self.find_or_register(update, now, now) else { return false };
        let was_available = self.is_in_service(index);
        if let Some(admin) = update.admin {
            self.set_admin(index, admin, BY_AN_OPERATOR, now);
        }
        if let Some(change) = update.weight {
            let why = match change {
                WeightChange::Override(_) => BY_AN_OPERATOR,
                WeightChange::Configured => "back to the configuration",
            };
            self.set_weight(index, change, why);
        }
        if update.health.is_some() || update.mark.is_some() {
            self.set_health(index, update.health, update.mark, now);
        }
        let is_report = update.is_report();
        if is_report {
            self.take_report(index, update, Some(now), now);
        }
        if !was_available && self.is_in_service(index) {
            self.backends[index].rare.returned = Some(now);
        }
        is_report
    }

    /// On, up, and not out when we last looked: the opposite of what slow start waits for.
    pub(super) fn is_in_service(&self, index: usize) -> bool {
        let backend = &self.backends[index];
        backend.admin == Admin::On && backend.health().0 == Health::Up && backend.feed != Feed::Out
    }

    /// `alive`: when the report was a sign of life, if it was one.
    pub(super) fn take_report(
        &mut self,
        index: usize,
        update: &BackendUpdate,
        alive: Option<Moment>,
        now: Moment,
    ) {
        let backend = &mut self.backends[index];
        for (statistic, amount) in &update.statistics {
            backend.statistics.change(statistic, *amount);
        }
        if update.feed == Some(Feed::New) {
            backend.last_report = None;
            backend.known_since = alive.unwrap_or(now);
            backend.left = false;
        } else if let Some(at) = alive {
            // A list with decisions in it may have waited for a disk, and other reports have overtaken it.
            backend.last_report = backend.last_report.max(Some(at));
            backend.left = update.feed == Some(Feed::Out);
            backend.reports += 1;
            backend.answers_at_report = backend.tally.answers();
        }
        let was = backend.feed;
        self.note_feed(index, now);
        let (is, left) = (self.backends[index].feed, self.backends[index].left);
        for place in 0..self.backends[index].places.len() {
            let (farm, member) = self.backends[index].places.at(place);
            if !update.statistics.is_empty() {
                // Figures that the formula does not use say nothing new about the load.
                let formula = &self.farms[farm].plan.load;
                let fresh = update.statistics.iter().any(|(name, _)| formula.uses(name));
                if fresh {
                    self.work_out(farm, member);
                }
                self.teach(farm, member, update, fresh, now);
            }
            // Who was no candidate may be one now, and the other way round.
            if !self.farms[farm].members[member].candidate || left || is != was {
                self.mark_dirty_if_moved(farm, member, now);
            }
            self.watch(farm, member, now);
        }
    }

    fn mark_dirty_if_moved(&mut self, farm: usize, member: usize, now: Moment) {
        let truth = &self.farms[farm];
        let place = &truth.members[member];
        let backend = &self.backends[place.backend()];
        let available = backend.is_available(truth.plan.expect_update, place.factor, now).is_ok();
        let held = backend.holds(truth.plan.expect_update, now);
        if available != (place.candidate || place.suspended) || held != place.held {
            self.mark_dirty(farm);
        }
    }

    /// Works a farm's formula out for one member and moves its gauge and the farm's average.
    pub(super) fn work_out(&mut self, farm: usize, member: usize) {
        let truth = &mut self.farms[farm];
        let place = &mut truth.members[member];
        let backend = &self.backends[place.backend()];
        let load = match truth.plan.load.work_out(&backend.statistics, backend.weight()) {
            Worked::Load(load) => load,
            Worked::Missing(_) => f64::NAN,
            Worked::NotFinite => {
                truth.not_finite += 1;
                f64::INFINITY
            }
        };
        let before = place.board.reported();
        let was_broken = before.is_none() && !place.board.is_unknown();
        place.board.report(load, backend.tally.answers());
        if !place.candidate {
            return;
        }
        let after = place.board.reported();
        truth.sum += after.unwrap_or(0.0) - before.unwrap_or(0.0);
        truth.known = truth.known + usize::from(after.is_some()) - usize::from(before.is_some());
        truth.broken = truth.broken + usize::from(load.is_infinite()) - usize::from(was_broken);
        truth.round += 1;
        truth.settle_pool(&self.backends);
    }

    /// Shows a report to the farm's rule; `fresh`: it named a statistic of the formula.
    pub(super) fn teach(&self, farm: usize, member: usize, update: &BackendUpdate, fresh: bool, now: Moment) {
        let truth = &self.farms[farm];
        let place = &truth.members[member];
        let backend = &self.backends[place.backend()];
        let counts = || update.statistics.iter().any(|(name, _)| name.as_str() == "n");
        truth.algorithm.observe(&Observation {
            id: MemberId(member as u32),
            seed: place.seed,
            weight: backend.weight() * place.factor,
            load: place.board.reported().filter(|_| fresh),
            counter: backend.statistics.get("n").filter(|_| counts()),
            answers: backend.tally.answers(),
            board: &place.board,
            statistics: &backend.statistics,
            now,
        });
    }

    /// Puts the end of a member's patience on the agenda, unless it stands there already.
    pub(super) fn watch(&mut self, farm: usize, member: usize, now: Moment) {
        let Some(expect) = self.farms[farm].plan.expect_update else { return };
        let place = &mut self.farms[farm].members[member];
        let backend = &self.backends[place.backend()];
        if place.watched || backend.feed_for(Some(expect), now) == Feed::Out {
            return;
        }
        place.watched = true;
        self.agenda.push(Reverse((backend.due(expect) + TICK, Look::Silence(farm as u32, member as u32))));
    }

    /// Carries out what the agenda holds up to `now`.
    pub(super) fn look(&mut self, now: Moment) {
        while let Some(&Reverse((due, look))) = self.agenda.peek() {
            if due > now {
                break;
            }
            self.agenda.pop();
            match look {
                Look::SlowStart(farm) => {
                    let farm = farm as usize;
                    self.farms[farm].rising = false;
                    self.mark_dirty(farm);
                }
                Look::Suspicion(farm) => self.forgive(farm as usize, now),
                Look::Registration => self.look_at_registered(due, now),
                Look::Silence(farm, member) => {
                    let (farm, member) = (farm as usize, member as usize);
                    self.farms[farm].members[member].watched = false;
                    let index = self.farms[farm].members[member].backend();
                    self.note_feed(index, now);
                    self.mark_dirty_if_moved(farm, member, now);
                    self.watch(farm, member, now);
                }
            }
        }
    }

    /// Compares the feed with what it was and notes a change.
    fn note_feed(&mut self, index: usize, now: Moment) {
        let backend = &mut self.backends[index];
        let feed = backend.feed_for(backend.expect, now);
        if feed == backend.feed {
            return;
        }
        let why = if feed == Feed::In { "it reported".to_owned() } else { backend.feed_reason(now) };
        let subject = Subject::Backend(backend.name().clone());
        let (from, to) = (backend.feed.to_string(), feed.to_string());
        backend.feed = feed;
        backend.feed_since = now;
        self.changes.push(Change { subject, axis: "feed", from, to, why });
    }

    pub(super) fn set_admin(&mut self, index: usize, admin: Admin, why: &str, now: Moment) {
        let backend = &mut self.backends[index];
        if admin == backend.admin {
            return;
        }
        let subject = Subject::Backend(backend.name().clone());
        let (from, to) = (backend.admin.to_string(), admin.to_string());
        backend.admin = admin;
        backend.admin_since = now;
        self.changes.push(Change { subject, axis: "admin", from, to, why: why.to_owned() });
        self.mark_farms_of(index);
    }

    pub(super) fn set_weight(&mut self, index: usize, change: WeightChange, why: &str) {
        let backend = &mut self.backends[index];
        let before = backend.weight();
        backend.rare.override_weight = match change {
            WeightChange::Override(weight) => Some(weight),
            WeightChange::Configured => None,
        };
        let after = backend.weight();
        if after == before {
            return;
        }
        let subject = Subject::Backend(backend.name().clone());
        let (from, to) = (before.to_string(), after.to_string());
        self.changes.push(Change { subject, axis: "weight", from, to, why: why.to_owned() });
        self.mark_farms_of(index);
    }

    pub(super) fn set_health(
        &mut self,
        index: usize,
        reported: Option<Health>,
        mark: Option<Health>,
        now: Moment,
    ) {
        self.with_health(index, None, now, |backend| {
            backend.reported_health = reported.unwrap_or(backend.reported_health);
            if mark.is_some() {
                backend.rare.mark = mark;
            }
        });
    }

    /// Lets somebody speak of a backend's health and notes whether that changes it; `relief`: what to say if it is up now.
    pub(super) fn with_health(
        &mut self,
        index: usize,
        relief: Option<&str>,
        now: Moment,
        speak: impl FnOnce(&mut Backend),
    ) {
        let backend = &mut self.backends[index];
        let (before, _) = backend.health();
        speak(backend);
        let (after, origin) = backend.health();
        if after == before {
            return;
        }
        backend.health_since = now;
        let subject = Subject::Backend(backend.name().clone());
        let relief = relief.unwrap_or("nobody says down any more");
        let why = origin.map_or_else(|| relief.to_owned(), |origin| origin.to_string());
        let (from, to) = (before.to_string(), after.to_string());
        self.changes.push(Change { subject, axis: "health", from, to, why });
        self.mark_farms_of(index);
    }

    pub(super) fn set_addresses(&mut self, backend: &str, addresses: &[IpAddr]) {
        let Some(index) = self.backend_number(backend) else { return };
        let list = |addresses: &[IpAddr]| match addresses {
            [] => "none".to_owned(),
            _ => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
        };
        let backend = &mut self.backends[index];
        let from = list(&backend.machine.addresses);
        if !backend.move_to(addresses) {
            return;
        }
        let subject = Subject::Backend(backend.name().clone());
        let why = format!("{} was resolved", backend.rare.host.as_deref().unwrap_or("its host name"));
        self.changes.push(Change { subject, axis: "addresses", from, to: list(addresses), why });
        self.publish(index);
        self.mark_farms_of(index);
    }
}

/// Why a state changed that somebody changed here.
const BY_AN_OPERATOR: &str = "set by an operator";

/// Silence counts when it is longer than expected, not when it is as long.
pub(super) const TICK: Duration = Duration::from_nanos(1);
