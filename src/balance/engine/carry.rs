//! From a plan to the truth: at the start from nothing, at a reload from what was true before.

use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use super::super::backend::Backend;
use super::super::board::Board;
use super::super::common::Common;
use super::super::farm::Farm;
use super::super::moment::Moment;
use super::super::name::Name;
use super::super::plan::{BackendPlan, FarmPlan, MemberPlan, Plan, PlanError};
use super::super::random::mix;
use super::super::registration::{admit, enlist};
use super::super::slot::Slot;
use super::super::status::{Source, Stated};
use super::super::update::Switch;
use super::directory::Directory;
use super::fresh::Fresh;
use super::registration::Registry;
use super::terms::{Shared, Terms};
use super::trust::Trust;
use super::{Engine, FarmTruth, Place, Truth, durable, fresh, views};

/// Gives the name of a backend by its number among those that there were.
pub(super) type Former<'a> = &'a dyn Fn(u32) -> &'a Name;

/// Builds the truth of a plan, taking from `old` whatever keeps its name. `old` is untouched if the plan is refused,
/// and to be thrown away if it is not.
pub(super) fn truth(
    plan: Plan,
    old: Option<&mut Truth>,
    common: &Arc<Common>,
    now: Moment,
) -> Result<Truth, Vec<PlanError>> {
    let problems = plan.problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    // What goes on, by the number that it had.
    let mut backends: Vec<Backend> = Vec::new();
    let mut old_farms: Vec<Option<FarmTruth>> = Vec::new();
    let mut former: Vec<Name> = Vec::new();
    let mut numbers: Vec<Option<usize>> = Vec::new();
    let mut farm_numbers: Vec<Option<usize>> = Vec::new();
    let common = Arc::clone(common);
    let (mut ledger, mut registry) = (durable::Ledger::default(), Registry::default());
    if let Some(old) = old {
        ledger = std::mem::take(&mut old.ledger);
        registry = Registry::after(&old.registry);
        numbers = plan.backends.iter().map(|backend| old.backend_number(backend.name.as_str())).collect();
        farm_numbers = plan.farms.iter().map(|farm| old.farm_index.get(&farm.name).copied()).collect();
        former = old.backends.iter().map(|backend| backend.name().clone()).collect();
        backends = std::mem::take(&mut old.backends);
        old_farms = std::mem::take(&mut old.farms).into_iter().map(Some).collect();
    }
    let former: Former<'_> = &|number| &former[number as usize];

    // Those of neighbours in the configuration are neighbours in memory.
    let is_new = |&(index, _): &(usize, &FarmPlan)| farm_numbers.get(index).copied().flatten().is_none();
    let new_farms: Vec<_> = plan.farms.iter().enumerate().filter(is_new).map(|(_, farm)| farm).collect();
    let new_backends = plan.backends.len() - numbers.iter().flatten().count();
    let new_farms = new_farms.iter().map(|farm| (&farm.name, farm.members.len()));
    let mut fresh = Fresh::prepare(new_farms, new_backends, &common);
    let follow = |known: &mut Backend, plan: BackendPlan| {
        known.replan(plan);
        // If it registered, the configuration is the one to say where it is from now on.
        if known.rare.registered.is_some() {
            known.rare.registered = None;
        }
    };
    let stay =
        numbers.len() == plan.backends.len() && numbers.iter().copied().eq((0..numbers.len()).map(Some));
    let others: Vec<Backend> = if stay {
        // All are where they were, as they mostly are: there may be many, so they are not moved.
        let others = backends.split_off(plan.backends.len());
        backends.iter_mut().zip(plan.backends).for_each(|(known, plan)| follow(known, plan));
        others
    } else {
        let mut old: Vec<Option<Backend>> = std::mem::take(&mut backends).into_iter().map(Some).collect();
        backends.reserve_exact(plan.backends.len());
        for (place, plan) in plan.backends.into_iter().enumerate() {
            let known = numbers.get(place).copied().flatten().and_then(|number| old[number].take());
            backends.push(match known {
                Some(mut known) => {
                    follow(&mut known, plan);
                    known
                }
                None => Backend::new(plan, fresh.gauges.tally(), now),
            });
        }
        old.into_iter().flatten().collect()
    };
    let directory = Arc::new(Directory::new(&backends));
    registry.configured = backends.len();
    registry.farms = (0..plan.farms.len()).filter(|&farm| !plan.farms[farm].patterns.is_empty()).collect();
    let mut gone = Vec::new();
    let mut registered: Vec<Backend> =
        others.into_iter().filter(|backend| backend.rare.registered.is_some()).collect();
    registered.sort_by(|one, other| one.name().cmp(other.name()));
    for mut backend in registered {
        if registry.farms.iter().any(|&farm| admit(&plan.farms[farm].patterns, backend.name())) {
            backend.replan(backend.plan());
            backends.push(backend);
        } else {
            registry.counts.left += 1;
            gone.push(backend);
        }
    }
    let later = backends.iter().enumerate().skip(registry.configured);
    let registered = later.map(|(index, backend)| (backend.name().clone(), index)).collect();
    let farm_index: HashMap<Name, usize> =
        plan.farms.iter().enumerate().map(|(index, farm)| (farm.name.clone(), index)).collect();
    let ranks = ranks(&plan.farms, &farm_index);

    let mut truth = Truth {
        backends,
        directory,
        registered,
        farms: Vec::with_capacity(plan.farms.len()),
        farm_index,
        agenda: BinaryHeap::new(),
        promised: None,
        dirty: BTreeSet::new(),
        changes: Vec::new(),
        common,
        ledger,
        registry,
    };
    let registered = truth.registered_names();
    let mut shared = Shared::default();
    for (index, (plan, rank)) in plan.farms.into_iter().zip(ranks).enumerate() {
        let old = farm_numbers.get(index).copied().flatten().and_then(|number| old_farms[number].take());
        let plan = shared.part(plan, old.as_ref().map(|old| &old.plan));
        let farm = truth.farm(plan, rank, old, (former, &mut fresh), &registered, now);
        truth.farms.push(farm);
    }
    for backend in gone {
        let from = backend.whereabouts().to_string();
        truth.note_registration(backend.name(), [&from, "absent"], "no farm names it by pattern any more");
    }
    truth.watch_all_registered();
    truth.common.enrol(truth.farms.iter().map(|farm| &farm.farm));
    truth.connect();
    truth.abide(now);
    truth.watch_suspicions();
    truth.settle(now);
    Ok(truth)
}

impl Engine {
    /// The farms of a plan in the order of names, without members: to find out whether they can be bound to names. Refuses a
    /// plan with problems.
    pub fn rehearse(plan: &Plan) -> Result<Vec<Arc<Farm>>, Vec<PlanError>> {
        let problems = plan.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        // Nobody asks them.
        let common = Arc::new(Common::new(0));
        let mut farms: Vec<_> = plan.farms.iter().map(|plan| fresh::bare(&plan.name, &common)).collect();
        farms.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(farms)
    }
}

/// A number that depends on a name alone, on every machine and in every release: FNV-1a.
pub(super) fn seed(name: &Name) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    mix(name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

impl Truth {
    /// A farm by this plan, which is its name, its named members and all else, with those of `registered` that a pattern of
    /// it fits; `old` is the same farm before, `former` names the backends that its members were.
    pub(super) fn farm(
        &self,
        (name, named, plan): (Name, Vec<MemberPlan>, Arc<Terms>),
        rank: usize,
        old: Option<FarmTruth>,
        (former, fresh): (Former<'_>, &mut Fresh),
        registered: &[Name],
        now: Moment,
    ) -> FarmTruth {
        let enlisted = (!plan.patterns.is_empty()).then(|| enlist(&named, &plan.patterns, registered));
        let same_load = old.as_ref().is_some_and(|old| old.plan.load == plan.load);
        let same_rule = old.as_ref().is_some_and(|old| {
            old.plan.algorithm.name == plan.algorithm.name && old.plan.params == plan.params
        });
        let (farm, pool) = match &old {
            Some(old) => (Arc::clone(&old.farm), Arc::clone(&old.pool)),
            None => fresh.farm(&name, &self.common),
        };
        // So that loads and what was handed out since go on.
        let kept: HashMap<&Name, &Slot<Board>> = match &old {
            Some(old) if same_load => {
                old.members.iter().map(|place| (former(place.backend), &place.board)).collect()
            }
            _ => HashMap::new(),
        };
        let place = |member: &MemberPlan| {
            let backend = self.backend_number(member.backend.as_str()).expect("the plan was checked");
            let tally = &self.backends[backend].tally;
            let board =
                kept.get(&member.backend).map_or_else(|| fresh.gauges.board(tally), |&kept| kept.clone());
            if !same_rule {
                board.forget_rule();
            }
            Place {
                backend: backend as u32,
                factor: member.weight,
                seed: seed(&member.backend),
                board,
                candidate: false,
                suspended: false,
                held: false,
                watched: false,
            }
        };
        let members: Box<[Place]> = enlisted.as_ref().unwrap_or(&named).iter().map(place).collect();
        let backends = members.iter().map(|place| &self.backends[place.backend()]);
        let trust = Trust::carry((&name, plan.suspicion), backends, old.as_ref(), former, now);
        let (algorithm, switch, switch_since, source, not_finite) = match old {
            Some(old) => {
                let algorithm = if same_rule { old.algorithm } else { (plan.algorithm.build)(&plan.params) };
                (algorithm, old.switch, old.switch_since, old.source, old.not_finite)
            }
            None => {
                let source = Stated { value: Source::Members, since: now, reason: String::new() };
                ((plan.algorithm.build)(&plan.params), Switch::On, now, source, 0)
            }
        };
        if same_rule {
            let seeds: HashSet<u64> = members.iter().filter(|_| same_load).map(|place| place.seed).collect();
            algorithm.part(&|seed| seeds.contains(&seed));
        }
        FarmTruth {
            named: (!plan.patterns.is_empty()).then_some(named),
            plan,
            farm,
            algorithm,
            pool,
            members,
            trust,
            switch,
            switch_since,
            source,
            available: 0,
            known: 0,
            sum: 0.0,
            round: 0,
            broken: 0,
            not_finite,
            dependents: Vec::new(),
            rank,
            rising: false,
        }
    }

    /// Tells backends of their places and farms of their dependents.
    fn connect(&mut self) {
        for index in 0..self.farms.len() {
            let expect = self.farms[index].plan.expect_update;
            for member in 0..self.farms[index].members.len() {
                let backend = &mut self.backends[self.farms[index].members[member].backend()];
                backend.places.push(index, member);
                backend.expect = match (backend.expect, expect) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            let fallbacks: Vec<usize> =
                self.farms[index].plan.fallback_farms().map(|name| self.farm_index[name]).collect();
            for fallback in fallbacks {
                self.farms[fallback].dependents.push(index);
            }
        }
    }

    /// Looks at everybody once: loads, feeds, agenda, views.
    pub(super) fn settle(&mut self, now: Moment) {
        for index in 0..self.backends.len() {
            let backend = &mut self.backends[index];
            let feed = backend.feed_for(backend.expect, now);
            if feed != backend.feed {
                (backend.feed, backend.feed_since) = (feed, now);
            }
            for place in 0..self.backends[index].places.len() {
                let (farm, member) = self.backends[index].places.at(place);
                if !self.backends[index].statistics.is_empty()
                    && self.farms[farm].members[member].board.is_unknown()
                {
                    self.work_out(farm, member);
                }
                self.watch(farm, member, now);
            }
        }
        self.dirty = views::all_dirty(&self.farms);
        self.refresh(now);
    }
}

impl FarmTruth {
    /// Its members that the plan names; `backends` are all that its members are of.
    pub(super) fn named(&self, backends: &[Backend]) -> Vec<MemberPlan> {
        let member = |place: &Place| MemberPlan {
            backend: backends[place.backend()].name().clone(),
            weight: place.factor,
        };
        self.named.clone().unwrap_or_else(|| self.members.iter().map(member).collect())
    }
}

/// 0 for farms that fall back on no farm, else one more than the highest of those. There are no circles.
fn ranks(farms: &[FarmPlan], index: &HashMap<Name, usize>) -> Vec<usize> {
    let mut ranks = vec![0; farms.len()];
    // As many rounds as the longest chain is long; nearly always one or two.
    loop {
        let mut moved = false;
        for (place, farm) in farms.iter().enumerate() {
            let rank = farm.fallback_farms().map(|name| ranks[index[name]] + 1).max().unwrap_or(0);
            moved |= rank != ranks[place];
            ranks[place] = rank;
        }
        if !moved {
            return ranks;
        }
    }
}

/// What a reload adds, changes and takes out, as sentences.
pub(super) fn summary(old: &Truth, plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |kind: &str, name: &Name, what: &str| lines.push(format!("{kind} {name}: {what}"));
    for backend in &plan.backends {
        match old.backend_number(backend.name.as_str()) {
            None => tell("backend", &backend.name, "added"),
            Some(index) if !old.backends[index].is_by(backend) => tell("backend", &backend.name, "changed"),
            Some(_) => {}
        }
    }
    for farm in &plan.farms {
        match old.farm_index.get(&farm.name) {
            None => tell("farm", &farm.name, "added"),
            Some(&index) if !is_by(&old.farms[index], &old.backends, farm) => {
                tell("farm", &farm.name, "changed")
            }
            Some(_) => {}
        }
    }
    let backends: std::collections::HashSet<&Name> =
        plan.backends.iter().map(|backend| &backend.name).collect();
    let farms: std::collections::HashSet<&Name> = plan.farms.iter().map(|farm| &farm.name).collect();
    let configured = &old.backends[..old.registry.configured];
    for backend in configured.iter().filter(|backend| !backends.contains(backend.name())) {
        tell("backend", backend.name(), "removed");
    }
    for farm in old.farms.iter().filter(|farm| !farms.contains(farm.name())) {
        tell("farm", farm.name(), "removed");
    }
    lines
}

/// Whether this is a farm's plan.
fn is_by(old: &FarmTruth, backends: &[Backend], new: &FarmPlan) -> bool {
    let same = |(place, member): (&Place, &MemberPlan)| {
        place.factor == member.weight && *backends[place.backend()].name() == member.backend
    };
    let same_members = match &old.named {
        Some(named) => *named == new.members,
        None => old.members.len() == new.members.len() && old.members.iter().zip(&new.members).all(same),
    };
    same_members && old.plan.are_of(new)
}
