//! What the plan of a farm says beside its name and its members.
//!
//! Of ten thousand farms nearly all say the same, so those that do share it.

use std::sync::Arc;
use std::time::Duration;

use super::super::algorithm::{AlgorithmSpec, Params};
use super::super::load::Formula;
use super::super::name::Name;
use super::super::plan::{Fallback, FarmPlan, LastResort, MemberPlan, SlowStart};
use super::super::registration::{MemberPattern, admit};

/// See the module's head; the fields are those of [`FarmPlan`].
#[derive(Clone)]
pub(super) struct Terms {
    pub patterns: Vec<MemberPattern>,
    pub algorithm: &'static AlgorithmSpec,
    pub params: Params,
    pub load: Formula,
    pub ttl: u32,
    pub answers: usize,
    pub expect_update: Option<Duration>,
    pub fallback: Vec<Fallback>,
    pub fallback_off: Option<Vec<Fallback>>,
    pub last_resort: LastResort,
    pub min_available: f64,
    pub slow_start: Option<SlowStart>,
    pub suspicion: bool,
}

impl Terms {
    /// Takes a plan apart.
    fn of(plan: FarmPlan) -> (Name, Vec<MemberPlan>, Self) {
        let terms = Self {
            patterns: plan.patterns,
            algorithm: plan.algorithm,
            params: plan.params,
            load: plan.load,
            ttl: plan.ttl,
            answers: plan.answers,
            expect_update: plan.expect_update,
            fallback: plan.fallback,
            fallback_off: plan.fallback_off,
            last_resort: plan.last_resort,
            min_available: plan.min_available,
            slow_start: plan.slow_start,
            suspicion: plan.suspicion,
        };
        (plan.name, plan.members, terms)
    }

    /// Whether a plan says the same.
    pub fn are_of(&self, plan: &FarmPlan) -> bool {
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
        } = plan;
        self.algorithm.name == algorithm.name
            && self.params == *params
            && self.load == *load
            && (self.ttl, self.answers, self.expect_update) == (*ttl, *answers, *expect_update)
            && (&self.fallback, &self.fallback_off) == (fallback, fallback_off)
            && (self.last_resort, self.min_available) == (*last_resort, *min_available)
            && (self.slow_start, self.suspicion) == (*slow_start, *suspicion)
            && self.patterns == *patterns
    }

    /// Whether a backend of this name would be a member if it registered.
    pub fn admits(&self, name: &Name) -> bool {
        admit(&self.patterns, name)
    }

    /// The farms that are fallen back on, when the farm is sick or switched off.
    pub fn fallback_farms(&self) -> impl Iterator<Item = &Name> {
        Fallback::farms(&self.fallback, self.fallback_off.as_deref())
    }
}

/// So many terms are remembered to be shared.
const REMEMBERED: usize = 16;

/// Terms that were seen lately.
#[derive(Default)]
pub(super) struct Shared(Vec<Arc<Terms>>);

impl Shared {
    /// Takes a plan apart; what it says beside name and members is that of an earlier one or of `old`, if one of them says
    /// the same.
    pub fn part(&mut self, plan: FarmPlan, old: Option<&Arc<Terms>>) -> (Name, Vec<MemberPlan>, Arc<Terms>) {
        let same = self.0.iter().rev().chain(old).find(|terms| terms.are_of(&plan)).cloned();
        let (name, members, fresh) = Terms::of(plan);
        let Some(terms) = same else {
            let terms = Arc::new(fresh);
            self.0.truncate(self.0.len().min(REMEMBERED - 1));
            self.0.push(Arc::clone(&terms));
            return (name, members, terms);
        };
        if !self.0.iter().any(|other| Arc::ptr_eq(other, &terms)) && self.0.len() < REMEMBERED {
            self.0.push(Arc::clone(&terms));
        }
        (name, members, terms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::algorithm;
    use super::*;

    fn farm(name: &str, ttl: u32) -> FarmPlan {
        let name = Name::parse(name).unwrap();
        FarmPlan { ttl, ..FarmPlan::new(name.clone(), [name], algorithm::DEFAULT) }
    }

    #[test]
    fn farms_that_say_the_same_share_it_and_keep_name_and_members() {
        let mut shared = Shared::default();
        let (name, members, one) = shared.part(farm("one", 5), None);
        assert_eq!((name.as_str(), members[0].backend.as_str(), one.ttl), ("one", "one", 5));
        let (_, _, other) = shared.part(farm("two", 6), None);
        let (name, members, third) = shared.part(farm("three", 5), None);
        assert_eq!((name.as_str(), members[0].backend.as_str()), ("three", "three"));
        assert!(Arc::ptr_eq(&one, &third) && !Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn what_stays_the_same_over_a_reload_is_shared_with_what_was() {
        let (_, _, old) = Shared::default().part(farm("one", 5), None);
        let mut shared = Shared::default();
        let (_, _, new) = shared.part(farm("one", 5), Some(&old));
        let (_, _, next) = shared.part(farm("two", 5), None);
        assert!(Arc::ptr_eq(&old, &new) && Arc::ptr_eq(&old, &next));
    }

    #[test]
    fn of_many_that_differ_the_latest_is_remembered() {
        let mut shared = Shared::default();
        for ttl in 0..100 {
            let (_, _, one) = shared.part(farm("one", ttl), None);
            let (_, _, other) = shared.part(farm("two", ttl), None);
            assert!(Arc::ptr_eq(&one, &other), "{ttl}");
            assert!(shared.0.len() <= REMEMBERED);
        }
    }
}
