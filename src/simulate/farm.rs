//! A user's own farm: what his configuration says of it, and what it does not say of its machines and requests.

use std::time::Duration;

use super::law::Law;
use super::setting::{Figure, Reports, Setting};
use crate::balance::Plan;
use crate::balance::plan::{BackendPlan, FarmPlan, MemberPlan};

/// What no configuration says.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// Requests a second.
    pub rate: f64,
    /// The mean time that a request takes on a member of weight 1; on one of weight 2 half of it.
    pub service: Duration,
    /// How service times differ.
    pub law: Law,
    /// Requests that a member serves at a time.
    pub workers: usize,
    /// Each member reports at a time of its own.
    pub staggered: bool,
    /// Members tell how many requests they have taken.
    pub counter: bool,
    /// The part of the reports that gets lost.
    pub lost: f64,
    /// Span over which members average their load; `None`: the farm's `load_smoothing`.
    pub smoothing: Option<Duration>,
    /// Requests that an answer brings.
    pub burst: usize,
    /// The time over which they come; `None`: the farm's `ttl`.
    pub ttl: Option<Duration>,
    /// Athenas that share the members.
    pub athenas: usize,
    /// Two members swap their speeds every so often.
    pub drift: Option<Duration>,
    /// A member is drained for so long, comes back, and so on.
    pub churn: Option<Duration>,
}

/// Why a farm cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSimulated {
    /// The configuration has no such farm.
    #[error("no farm {0:?} in the configuration")]
    Unknown(String),
    /// Nobody in it takes requests.
    #[error("farm {0} has no member with a weight greater than 0")]
    Nobody(String),
}

/// A farm, ready for any time between reports.
#[derive(Debug, Clone)]
pub struct Farm {
    /// What is simulated, with a report every second.
    setting: Setting,
    plan: FarmPlan,
}

impl Farm {
    /// Takes the farm of this name (in any letter case) under these circumstances. Members of weight 0 take no requests,
    /// so they are left out; fallbacks are not simulated.
    pub fn new(plan: &Plan, name: &str, given: &Circumstances) -> Result<Self, NotSimulated> {
        let farm = plan.farms.iter().find(|farm| farm.name.as_str() == name.to_ascii_lowercase());
        let farm = farm.ok_or_else(|| NotSimulated::Unknown(name.to_owned()))?;
        let backend = |member: &MemberPlan| plan.backends.iter().find(|one| one.name == member.backend);
        let all = farm.members.iter().filter_map(|member| Some((member.clone(), backend(member)?.clone())));
        let (members, backends): (Vec<MemberPlan>, Vec<BackendPlan>) =
            all.filter(|(member, backend)| member.weight * backend.weight > 0.0).unzip();
        if members.is_empty() {
            return Err(NotSimulated::Nobody(farm.name.to_string()));
        }
        let speed = given.workers as f64 / given.service.as_secs_f64();
        let capacities =
            members.iter().zip(&backends).map(|(member, backend)| member.weight * backend.weight * speed);
        let span = |given: Option<Duration>, configured| given.or(configured).map(|span| span.as_secs_f64());
        let setting = Setting {
            capacities: capacities.collect(),
            weights: Vec::new(),
            workers: given.workers,
            law: given.law,
            rate: given.rate,
            reports: Reports {
                staggered: given.staggered,
                lost: given.lost,
                smoothing: span(given.smoothing, farm.params.load_smoothing).filter(|&span| span > 0.0),
                counter: given.counter,
                ..Reports::every(1.0)
            },
            drift: span(given.drift, None),
            churn: span(given.churn, None),
            burst: given.burst,
            spread: span(given.ttl, Some(Duration::from_secs(farm.ttl.into()))).unwrap_or(0.0),
            athenas: given.athenas,
            clients: 1000,
            params: farm.params.clone(),
            plan: Some(Plan { backends, farms: vec![FarmPlan { members, ..farm.clone() }] }),
        };
        Ok(Self { setting, plan: farm.clone() })
    }

    /// What is simulated with a report every so many seconds.
    pub fn setting(&self, every: f64) -> Setting {
        let mut setting = self.setting.clone();
        setting.reports.every = every;
        setting
    }

    /// The farm's name.
    pub fn name(&self) -> &str {
        self.plan.name.as_str()
    }

    /// The rule that is configured.
    pub fn rule(&self) -> &'static str {
        self.plan.algorithm.name
    }

    /// How many members take requests.
    pub fn members(&self) -> usize {
        self.setting.capacities.len()
    }

    /// Requests that all of them can serve in a second.
    pub fn capacity(&self) -> f64 {
        self.setting.capacities.iter().sum()
    }

    /// The part of the capacity in use. 1 and more is too much.
    pub fn rho(&self) -> f64 {
        self.setting.rate / self.capacity()
    }

    /// Silence after which a member is out, in seconds.
    pub fn expect_update(&self) -> Option<f64> {
        self.plan.expect_update.map(|span| span.as_secs_f64())
    }

    /// What the members tell under each name that the farm's formula uses.
    pub fn told(&self) -> Vec<(&str, Figure)> {
        self.plan
            .load
            .statistics()
            .into_iter()
            .map(|name| (name.as_str(), Figure::of(name.as_str())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Name;
    use crate::balance::algorithm;
    use crate::balance::load::Formula;
    use crate::simulate::setting::Rule;
    use crate::simulate::world;

    fn given() -> Circumstances {
        Circumstances {
            rate: 100.0,
            service: Duration::from_millis(20),
            law: Law::Exponential,
            workers: 2,
            staggered: true,
            counter: false,
            lost: 0.0,
            smoothing: None,
            burst: 1,
            ttl: None,
            athenas: 1,
            drift: None,
            churn: None,
        }
    }

    fn plan(weights: &[f64]) -> Plan {
        let name = |text: &str| Name::parse(text).unwrap();
        let backend = |(place, &weight): (usize, &f64)| BackendPlan {
            weight,
            host: Some("somewhere.example".to_owned()),
            ..BackendPlan::new(name(&format!("web{place}")), vec![])
        };
        let backends: Vec<BackendPlan> = weights.iter().enumerate().map(backend).collect();
        let names: Vec<Name> = backends.iter().map(|backend| backend.name.clone()).collect();
        let mut shop = FarmPlan::new(name("shop"), names, algorithm::find("least-load").unwrap());
        shop.load = Formula::parse("0.7*u + 0.3*queue/50").unwrap();
        let other = FarmPlan::new(name("other"), [], algorithm::DEFAULT);
        Plan { backends, farms: vec![other, shop] }
    }

    #[test]
    fn the_machines_are_as_fast_as_their_weights_and_workers_say() {
        let farm = Farm::new(&plan(&[1.0, 0.0, 2.0]), "Shop", &given()).unwrap();
        assert_eq!(
            farm.setting(5.0).capacities,
            [100.0, 200.0],
            "2 workers of 50 a second; nobody of weight 0"
        );
        assert_eq!((farm.members(), farm.rule(), farm.capacity()), (2, "least-load", 300.0));
        assert!((farm.rho() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(farm.told(), [("queue", Figure::Load), ("u", Figure::Utilization)]);
        let rule = Rule::find("least-load").unwrap();
        let outcome = world::run(&farm.setting(1.0), rule, 2000, 1).unwrap();
        assert!(outcome.mean > 0.01 && outcome.mean < 0.04, "about 20 ms and 10 ms: {outcome:?}");
        assert!(!outcome.overloaded);
    }

    #[test]
    fn silent_members_are_out_and_with_nobody_left_requests_find_nobody() {
        let mut plan = plan(&[1.0, 1.0]);
        plan.farms[1].expect_update = Some(Duration::from_secs(2));
        plan.farms[1].last_resort = crate::balance::plan::LastResort::None;
        let farm = Farm::new(&plan, "shop", &given()).unwrap();
        let rule = Rule::find("round-robin").unwrap();
        assert_eq!(world::run(&farm.setting(1.0), rule, 5000, 1).unwrap().unanswered, 0.0);
        // Each member is in for 2 of 10 seconds: both are out for (8/10)² of the time, more or less as their reports lie.
        let seldom = world::run(&farm.setting(10.0), rule, 20_000, 1).unwrap();
        assert!((0.55..=0.85).contains(&seldom.unanswered), "{seldom:?}");
    }

    #[test]
    fn a_farm_that_is_not_there_or_has_nobody_is_refused() {
        let refused =
            |name, weights: &[f64]| Farm::new(&plan(weights), name, &given()).unwrap_err().to_string();
        assert_eq!(refused("shopp", &[1.0]), "no farm \"shopp\" in the configuration");
        assert_eq!(refused("shop", &[0.0]), "farm shop has no member with a weight greater than 0");
    }
}
