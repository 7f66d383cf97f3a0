//! From a plan to the truth: at the start from nothing, at a reload from what was true before.

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use super::super::backend::Backend;
use super::super::common::Common;
use super::super::crew::Crew;
use super::super::farm::Farm;
use super::super::gauge::{Gauge, Gauges, Pool};
use super::super::moment::Moment;
use super::super::name::Name;
use super::super::plan::{FarmPlan, MemberPlan, Plan, PlanError};
use super::super::random::mix;
use super::super::registration::enlist;
use super::super::status::{Source, Stated};
use super::super::suspicion::Ledgers;
use super::super::update::Switch;
use super::super::view::{Selectors, View, ViewSource};
use super::registration::Registry;
use super::trust::Trust;
use super::{Engine, FarmTruth, Place, Truth, durable, views};

/// Gauges by farm and backend, each with the statistic that the formula missed.
pub(super) type Kept = HashMap<(Name, Name), (Arc<Gauge>, Option<Box<str>>)>;

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
    let mut old_backends: HashMap<Name, Backend> = HashMap::new();
    let mut old_farms: HashMap<Name, FarmTruth> = HashMap::new();
    // So that loads and what was handed out since go on.
    let mut kept = Kept::new();
    let common = Arc::clone(common);
    let (mut ledger, mut registry) = (durable::Ledger::default(), Registry::default());
    if let Some(old) = old {
        ledger = std::mem::take(&mut old.ledger);
        registry = Registry::after(&old.registry);
        let backends = std::mem::take(&mut old.backends);
        for farm in std::mem::take(&mut old.farms) {
            for place in &farm.members {
                let key = (farm.plan.name.clone(), backends[place.backend()].name().clone());
                kept.insert(key, (Arc::clone(&place.gauge), place.missing.clone()));
            }
            old_farms.insert(farm.plan.name.clone(), farm);
        }
        old_backends = backends.into_iter().map(|backend| (backend.name().clone(), backend)).collect();
    }

    // Those of neighbours in the configuration are neighbours in memory.
    let mut gauges = Gauges::default();
    let mut backends: Vec<Backend> = plan
        .backends
        .into_iter()
        .map(|backend| match old_backends.remove(&backend.name) {
            Some(mut known) => {
                known.replan(backend);
                // If it registered, the configuration is the one to say where it is from now on.
                if known.rare.registered.is_some() {
                    known.rare.registered = None;
                }
                known
            }
            None => Backend::new(backend, gauges.tally(), now),
        })
        .collect();
    registry.configured = backends.len();
    registry.farms = (0..plan.farms.len()).filter(|&farm| !plan.farms[farm].patterns.is_empty()).collect();
    let mut gone = Vec::new();
    let mut registered: Vec<Backend> =
        old_backends.into_values().filter(|backend| backend.rare.registered.is_some()).collect();
    registered.sort_by(|one, other| one.name().cmp(other.name()));
    for mut backend in registered {
        if registry.farms.iter().any(|&farm| plan.farms[farm].admits(backend.name())) {
            backend.replan(backend.plan());
            backends.push(backend);
        } else {
            registry.counts.left += 1;
            gone.push(backend);
        }
    }
    let backend_index: HashMap<Name, usize> =
        backends.iter().enumerate().map(|(index, backend)| (backend.name().clone(), index)).collect();
    let farm_index: HashMap<Name, usize> =
        plan.farms.iter().enumerate().map(|(index, farm)| (farm.name.clone(), index)).collect();
    let ranks = ranks(&plan.farms, &farm_index);

    let mut truth = Truth {
        backends,
        backend_index,
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
    for (plan, rank) in plan.farms.into_iter().zip(ranks) {
        let old = old_farms.remove(&plan.name);
        let farm = truth.farm(plan, rank, old, (&kept, &mut gauges), &registered, now);
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
        let bare =
            |plan: &FarmPlan| Arc::new(Farm::new(plan.name.clone(), empty_view(), Arc::clone(&common)));
        let mut farms: Vec<_> = plan.farms.iter().map(bare).collect();
        farms.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(farms)
    }
}

/// A number that depends on a name alone, on every machine and in every release: FNV-1a.
fn seed(name: &Name) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    mix(name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

impl Truth {
    /// A farm by this plan, with those of `registered` that a pattern of it fits; `old` is the same farm before.
    pub(super) fn farm(
        &self,
        plan: FarmPlan,
        rank: usize,
        old: Option<FarmTruth>,
        (kept, gauges): (&Kept, &mut Gauges),
        registered: &[Name],
        now: Moment,
    ) -> FarmTruth {
        let named = (!plan.patterns.is_empty()).then(|| plan.members.clone());
        let plan = match &named {
            Some(named) => FarmPlan { members: enlist(named, &plan.patterns, registered), ..plan },
            None => plan,
        };
        let same_load = old.as_ref().is_some_and(|old| old.plan.load == plan.load);
        let same_rule = old.as_ref().is_some_and(|old| {
            old.plan.algorithm.name == plan.algorithm.name && old.plan.params == plan.params
        });
        let pool = old.as_ref().map_or_else(|| Arc::new(Pool::default()), |old| Arc::clone(&old.pool));
        let place = |member: &super::super::plan::MemberPlan| {
            let backend = self.backend_index[&member.backend];
            let kept = kept.get(&(plan.name.clone(), member.backend.clone())).filter(|_| same_load);
            let (gauge, missing) = kept
                .cloned()
                .unwrap_or_else(|| (Arc::new(gauges.gauge(&self.backends[backend].tally, &pool)), None));
            if !same_rule {
                gauge.forget_rule();
            }
            let seed = seed(&member.backend);
            Place {
                backend: backend as u32,
                factor: member.weight,
                seed,
                gauge,
                missing,
                candidate: false,
                suspended: false,
                held: false,
                watched: false,
            }
        };
        let members: Vec<Place> = plan.members.iter().map(place).collect();
        let trust = Trust::carry(&plan, &members, old.as_ref(), now);
        let (farm, algorithm, switch, switch_since, source, not_finite) = match old {
            Some(old) => {
                let algorithm = if same_rule { old.algorithm } else { (plan.algorithm.build)(&plan.params) };
                (old.farm, algorithm, old.switch, old.switch_since, old.source, old.not_finite)
            }
            None => {
                let farm = Arc::new(Farm::new(plan.name.clone(), empty_view(), Arc::clone(&self.common)));
                let source = Stated { value: Source::Members, since: now, reason: String::new() };
                (farm, (plan.algorithm.build)(&plan.params), Switch::On, now, source, 0)
            }
        };
        FarmTruth {
            plan,
            named,
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
                    && self.farms[farm].members[member].gauge.is_unknown()
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
    /// Its members that the plan names.
    pub(super) fn named(&self) -> &[MemberPlan] {
        self.named.as_ref().unwrap_or(&self.plan.members)
    }
}

/// A view of nothing, until the first real one is made.
fn empty_view() -> View {
    View {
        ttl: 0,
        answers: 1,
        algorithm: crate::balance::algorithm::DEFAULT,
        members: Box::default(),
        crew: Crew::default(),
        source: ViewSource::Nobody,
        selectors: Selectors::default(),
        has_v4: false,
        has_v6: false,
        standing: Box::default(),
        by_name: Arc::default(),
        rendezvous: Arc::default(),
        ledgers: Arc::new(Ledgers::none()),
        salt: 0,
        backup: None,
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
        match old.backend_index.get(&backend.name) {
            None => tell("backend", &backend.name, "added"),
            Some(&index) if !old.backends[index].is_by(backend) => tell("backend", &backend.name, "changed"),
            Some(_) => {}
        }
    }
    for farm in &plan.farms {
        match old.farm_index.get(&farm.name) {
            None => tell("farm", &farm.name, "added"),
            Some(&index) if !same_farm(&old.farms[index], farm) => tell("farm", &farm.name, "changed"),
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
    for farm in old.farms.iter().filter(|farm| !farms.contains(&farm.plan.name)) {
        tell("farm", &farm.plan.name, "removed");
    }
    lines
}

fn same_farm(old: &FarmTruth, new: &FarmPlan) -> bool {
    // A plan's parts compare; its rule does by name.
    let parts = |plan: &FarmPlan, members: &[MemberPlan]| {
        let FarmPlan {
            name: _,
            members: _,
            patterns,
            algorithm,
            params,
            load,
            ttl,
            answers,
            expect_update,
            fallback,
            fallback_off,
            last_resort,
            min_available,
            slow_start,
            suspicion,
        } = plan.clone();
        (
            (members.to_vec(), patterns, algorithm.name, params, load, ttl, answers),
            (expect_update, fallback, fallback_off, last_resort, min_available, slow_start, suspicion),
        )
    };
    parts(&old.plan, old.named()) == parts(new, &new.members)
}
