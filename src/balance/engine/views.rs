//! Views made anew, and the status of a farm. Every method runs under the engine's lock.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::super::algorithm::{Belief, Candidate, Select};
use super::super::backend::Backend;
use super::super::crew::Crew;
use super::super::load::Worked;
use super::super::moment::Moment;
use super::super::plan::{Fallback, LastResort};
use super::super::status::{Change, FarmStatus, LoadState, MemberStatus, Source, Stated, Subject};
use super::super::suspicion::Ledgers;
use super::super::update::{Admin, Health, Switch};
use super::super::view::{Family, Machine, View, ViewSource};
use super::{FarmTruth, Look, Truth};

impl Truth {
    /// Makes every dirty view anew, those first that others fall back on.
    pub(super) fn refresh(&mut self, now: Moment) {
        self.heed(now);
        while let Some((_, farm)) = self.dirty.pop_first() {
            let had_members = self.has_members(farm);
            let view = self.view(farm, now);
            self.farms[farm].farm.replace_view(view);
            if self.has_members(farm) != had_members {
                for dependent in self.farms[farm].dependents.clone() {
                    self.mark_dirty(dependent);
                }
            }
        }
    }

    /// Whether others may fall back on it: its answers come from available members.
    fn has_members(&self, farm: usize) -> bool {
        self.farms[farm].source.value == Source::Members
    }

    fn view(&mut self, index: usize, now: Moment) -> View {
        let available = self.available(index, now);
        let (source, view_source, candidates, why) = self.source(index, available, now);
        self.note_source(index, source, why, now);
        self.enlist(index, &candidates);
        self.watch_slow_start(index, &candidates, now);
        let (standing, rendezvous) = (self.standing(index, now), self.rendezvous(index));

        let farm = &self.farms[index];
        let backends = || farm.members.iter().map(|place| &self.backends[place.backend()]);
        let crew = Crew::new(backends().map(|backend| (&*backend.machine, &backend.tally)));
        let members: Box<[Arc<Machine>]> = backends().map(|backend| Arc::clone(&backend.machine)).collect();
        let [v4, v6, any] = selectors(farm, &candidates, &members);
        let backup = farm.plan.fallback.iter().find_map(|fallback| match fallback {
            Fallback::Farm(name) => Some(Arc::clone(&self.farms[self.farm_index[name]].farm)),
            _ => None,
        });
        View {
            ttl: farm.plan.ttl,
            answers: farm.plan.answers.try_into().unwrap_or(u16::MAX),
            algorithm: farm.plan.algorithm,
            has_v4: crew.has_v4(),
            has_v6: members.iter().any(|machine| machine.v6().is_some()),
            crew,
            members,
            source: view_source,
            v4,
            v6,
            any,
            standing,
            by_name: Arc::clone(&farm.trust.by_name),
            rendezvous,
            ledgers: Arc::clone(&farm.trust.ledgers),
            salt: farm.trust.salt,
            backup,
        }
    }

    /// The members that are available, with their weights.
    fn available(&mut self, index: usize, now: Moment) -> Vec<Candidate> {
        let farm = &self.farms[index];
        let candidate = |(place, member): (usize, &super::Place)| {
            let backend = &self.backends[member.backend()];
            backend.is_available(farm.plan.expect_update, member.factor, now).ok()?;
            Some(farm.candidate(place, backend, farm.weight(backend, member.factor, now)))
        };
        let mut candidates: Vec<Candidate> = farm.members.iter().enumerate().filter_map(candidate).collect();
        self.part_with_suspects(index, &mut candidates);
        self.farms[index].available = candidates.len();
        candidates
    }

    /// "When nobody is left", in its order.
    fn source(
        &self,
        index: usize,
        available: Vec<Candidate>,
        now: Moment,
    ) -> (Source, ViewSource, Vec<Candidate>, String) {
        let farm = &self.farms[index];
        let off = farm.switch == Switch::Off;
        let share = self.available_share(index, &available);
        let sick = !available.is_empty() && share < farm.plan.min_available;
        if !off && !available.is_empty() && !sick {
            return (Source::Members, ViewSource::Members, available, String::new());
        }
        let why = if off {
            "the farm is switched off".to_owned()
        } else if sick {
            format!(
                "{:.0} % of the weight is available, at least {:.0} % should be",
                share * 100.0,
                farm.plan.min_available * 100.0
            )
        } else {
            "no member is available".to_owned()
        };
        let chain = match &farm.plan.fallback_off {
            Some(chain) if off => chain,
            _ => &farm.plan.fallback,
        };
        for fallback in chain {
            let view_source = match fallback {
                Fallback::Farm(name) => {
                    let other = self.farm_index[name];
                    if !self.has_members(other) {
                        continue;
                    }
                    ViewSource::Farm(Arc::clone(&self.farms[other].farm))
                }
                other => ViewSource::Elsewhere(Box::new(other.clone())),
            };
            return (Source::Fallback(fallback.to_string()), view_source, Vec::new(), why);
        }
        if off {
            return (Source::None, ViewSource::Nobody, Vec::new(), why);
        }
        if sick {
            let why = format!("{why}, but there is no fallback");
            return (Source::Members, ViewSource::Members, available, why);
        }
        let stale =
            if farm.plan.last_resort == LastResort::Stale { self.stale(index, now) } else { Vec::new() };
        if stale.is_empty() {
            return (Source::None, ViewSource::Nobody, Vec::new(), why);
        }
        (Source::Stale, ViewSource::Members, stale, format!("{why}; silent ones are given as a last resort"))
    }

    /// Members that are on and not down, whatever their silence.
    fn stale(&self, index: usize, now: Moment) -> Vec<Candidate> {
        let farm = &self.farms[index];
        let candidate = |(place, member): (usize, &super::Place)| {
            let backend = &self.backends[member.backend()];
            let fit = backend.admin == Admin::On && backend.health().0 == Health::Up && !backend.left;
            let weight = farm.weight(backend, member.factor, now);
            (fit && weight > 0.0 && !backend.machine.addresses.is_empty())
                .then(|| farm.candidate(place, backend, weight))
        };
        farm.members.iter().enumerate().filter_map(candidate).collect()
    }

    /// The part of the farm's whole weight that is available, 0 to 1.
    fn available_share(&self, index: usize, available: &[Candidate]) -> f64 {
        let farm = &self.farms[index];
        let weight = |place: &super::Place| self.backends[place.backend()].weight() * place.factor;
        let all: f64 = farm.members.iter().map(weight).sum();
        let have: f64 =
            available.iter().map(|candidate| weight(&farm.members[candidate.id.0 as usize])).sum();
        if all > 0.0 { have / all } else { 0.0 }
    }

    fn note_source(&mut self, index: usize, source: Source, why: String, now: Moment) {
        let farm = &mut self.farms[index];
        if farm.source.value == source {
            farm.source.reason = why;
            return;
        }
        let subject = Subject::Farm(farm.name().clone());
        let (from, to) = (farm.source.value.to_string(), source.to_string());
        let told = if source == Source::Members { "members are available".to_owned() } else { why.clone() };
        farm.source = Stated { value: source, since: now, reason: why };
        self.changes.push(Change { subject, axis: "source", from, to, why: told });
    }

    /// Notes who the candidates are, and adds up their loads.
    fn enlist(&mut self, index: usize, candidates: &[Candidate]) {
        let farm = &mut self.farms[index];
        farm.members.iter_mut().for_each(|place| place.candidate = false);
        for candidate in candidates {
            let place = &mut farm.members[candidate.id.0 as usize];
            place.candidate = true;
        }
        farm.broken = candidates
            .iter()
            .filter(|candidate| candidate.gauge.reported().is_none() && !candidate.gauge.board().is_unknown())
            .count();
        farm.add_up();
        farm.settle_pool(&self.backends);
    }

    fn watch_slow_start(&mut self, index: usize, candidates: &[Candidate], now: Moment) {
        let farm = &mut self.farms[index];
        let Some(slow) = farm.plan.slow_start else { return };
        let rises = |candidate: &Candidate| {
            let backend = &self.backends[farm.members[candidate.id.0 as usize].backend()];
            backend.rare.returned.is_some_and(|returned| now.since(returned) < slow.window)
        };
        if !farm.rising && candidates.iter().any(rises) {
            farm.rising = true;
            let step = (slow.window / SLOW_START_STEPS).max(Duration::from_millis(100));
            self.agenda.push(Reverse((now + step, Look::SlowStart(index as u32))));
        }
    }

    pub(super) fn farm_status(&self, index: usize, now: Moment) -> FarmStatus {
        let farm = &self.farms[index];
        let mut shares = vec![0.0; farm.members.len()];
        let view = farm.farm.view();
        for (id, share) in view.shares() {
            shares[id.0 as usize] = share;
        }
        let mut beliefs = vec![None; farm.members.len()];
        for (id, belief) in view.beliefs(now) {
            beliefs[id.0 as usize] = Some(belief);
        }
        let member = |(number, ((place, share), belief)): (usize, ((&super::Place, f64), Option<Belief>))| {
            let backend = &self.backends[place.backend()];
            let available = backend.is_available(farm.plan.expect_update, place.factor, now);
            let (available, reason) = farm.verdict(number, available);
            MemberStatus {
                backend: backend.name().clone(),
                weight: farm.weight(backend, place.factor, now),
                load: place.load_state(farm, backend),
                share,
                belief,
                available,
                reason,
            }
        };
        FarmStatus {
            name: farm.name().clone(),
            switch: Stated { value: farm.switch, since: farm.switch_since, reason: String::new() },
            algorithm: farm.plan.algorithm.name,
            load: farm.plan.load.to_string(),
            ttl: farm.plan.ttl,
            members: farm.members.iter().zip(shares).zip(beliefs).enumerate().map(member).collect(),
            available: farm.available,
            source: farm.source.clone(),
            answers: farm.farm.answers(),
            not_finite: farm.not_finite,
        }
    }
}

/// In how many steps a member rises in slow start.
const SLOW_START_STEPS: u32 = 20;

impl super::Place {
    /// The backend that it is.
    pub(super) fn backend(&self) -> usize {
        self.backend as usize
    }

    fn load_state(&self, farm: &FarmTruth, backend: &Backend) -> LoadState {
        let formula = &farm.plan.load;
        match self.board.reported() {
            Some(load) => LoadState::Known(load),
            None if self.board.is_unknown() => {
                let missing = match formula.work_out(&backend.statistics, backend.weight()) {
                    Worked::Missing(name) => Some(name.to_string()),
                    _ => formula.statistics().first().map(|name| name.to_string()),
                };
                LoadState::Missing(missing.unwrap_or_default())
            }
            None => LoadState::NotFinite,
        }
    }
}

impl FarmTruth {
    /// A member's weight here and now.
    pub(super) fn weight(&self, backend: &Backend, factor: f64, now: Moment) -> f64 {
        let part = match (self.plan.slow_start, backend.rare.returned) {
            (Some(slow), Some(returned)) => slow.part(now.since(returned)),
            _ => 1.0,
        };
        backend.weight() * factor * part
    }

    /// Adds the known loads of the candidates up from scratch.
    fn add_up(&mut self) {
        let loads =
            self.members.iter().filter(|place| place.candidate).filter_map(|place| place.board.reported());
        (self.known, self.sum) = loads.fold((0, 0.0), |(known, sum), load| (known + 1, sum + load));
    }

    /// Publishes average and highest load. Once a round, when about everybody has reported, the sum is added up anew
    /// (a running sum drifts), and members of unknown load start with nothing handed out like those that reported.
    pub(super) fn settle_pool(&mut self, backends: &[Backend]) {
        if self.round >= self.known.max(1) {
            self.round = 0;
            self.add_up();
            let unknown = self.members.iter().filter(|place| place.board.is_unknown());
            unknown.for_each(|place| place.board.count_on(0, backends[place.backend()].tally.answers()));
        }
        self.pool.average.set(if self.known < 2 { 0.0 } else { self.sum / self.known as f64 });
        if self.broken > 0 {
            let loads = self
                .members
                .iter()
                .filter(|place| place.candidate)
                .filter_map(|place| place.board.reported());
            self.pool.highest.set(loads.reduce(f64::max).unwrap_or(0.0));
        }
    }
}

/// A view of nothing, until the first real one is made: the same for all, for there may be many at a time.
pub(super) fn empty_view() -> Arc<View> {
    static NOTHING: LazyLock<Arc<View>> = LazyLock::new(|| {
        Arc::new(View {
            ttl: 0,
            answers: 1,
            algorithm: crate::balance::algorithm::DEFAULT,
            members: Box::default(),
            crew: Crew::default(),
            source: ViewSource::Nobody,
            v4: None,
            v6: None,
            any: None,
            has_v4: false,
            has_v6: false,
            standing: Box::default(),
            by_name: Arc::default(),
            rendezvous: Arc::default(),
            ledgers: Arc::new(Ledgers::none()),
            salt: 0,
            backup: None,
        })
    });
    Arc::clone(&NOTHING)
}

/// A selector for IPv4, for IPv6 and for any address; the same one where the candidates are the same.
fn selectors(
    farm: &FarmTruth,
    candidates: &[Candidate],
    members: &[Arc<Machine>],
) -> [Option<Arc<dyn Select>>; 3] {
    let of = |family: Option<Family>| -> Vec<Candidate> {
        let has = |candidate: &&Candidate| members[candidate.id.0 as usize].address(family).is_some();
        candidates.iter().filter(has).cloned().collect()
    };
    let prepare = |candidates: &[Candidate]| -> Option<Arc<dyn Select>> {
        (!candidates.is_empty()).then(|| Arc::from(farm.algorithm.prepare(candidates)))
    };
    let any = prepare(candidates);
    let for_family = |family| {
        let fit = of(Some(family));
        if fit.len() == candidates.len() { any.clone() } else { prepare(&fit) }
    };
    [for_family(Family::V4), for_family(Family::V6), any]
}

/// The order in which views are made: see [`Truth::refresh`].
pub(super) fn all_dirty(farms: &[FarmTruth]) -> BTreeSet<(usize, usize)> {
    farms.iter().enumerate().map(|(index, farm)| (farm.rank, index)).collect()
}
