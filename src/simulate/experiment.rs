//! The built-in experiment `stale`: every rule under load information that is old, in the cases in which rules differ.
//!
//! Members tell their queue every T service times, each at a time of its own, and beside it what some rules read: how busy
//! they are (`u`), requests a second (`q`), errors (`e`, none) and requests in flight (`r`). Nobody is told anything else,
//! with three exceptions: `weighted` has the machines' true capacities (as they are at the start) for weights, so that a
//! table shows what an operator reaches who knows his machines and does not look at loads; where loads are averaged before
//! they are told, every rule knows over which span (`load_smoothing`); and where answers are kept, it knows how long they
//! may be, for that is the farm's own `ttl`.

use std::time::Duration;

use super::law::Law;
use super::setting::{Rule, Setting};

/// A case of the experiment.
#[derive(Debug)]
pub struct Case {
    /// What people call it.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    build: fn(rho: f64, every: f64) -> Setting,
}

/// Members of a case that does not say otherwise.
const MEMBERS: usize = 10;

/// Every case.
pub static CASES: &[Case] = &[
    Case {
        name: "equal",
        summary: "10 equal members, one worker each, exponential service",
        build: |rho, every| Setting::equal(MEMBERS, rho, every),
    },
    Case {
        name: "unequal",
        summary: "10 members, half of them twice as fast",
        build: |rho, every| Setting::equal(MEMBERS, rho, every).unequal(),
    },
    Case {
        name: "members100",
        summary: "100 equal members",
        build: |rho, every| Setting::equal(100, rho, every),
    },
    Case {
        name: "heavy",
        summary: "10 equal members, heavy-tailed service (Pareto 1.5, bounded)",
        build: |rho, every| Setting { law: Law::heavy(), ..Setting::equal(MEMBERS, rho, every) },
    },
    Case {
        name: "smoothed",
        summary: "10 equal members that average their queue over 60 before they tell it",
        build: |rho, every| {
            let mut setting = Setting::equal(MEMBERS, rho, every);
            setting.reports.smoothing = Some(60.0);
            setting.params.load_smoothing = Some(Duration::from_secs(60));
            setting
        },
    },
    Case {
        name: "drift",
        summary: "10 members, half of them twice as fast; two swap their speeds every 200",
        build: |rho, every| Setting { drift: Some(200.0), ..Setting::equal(MEMBERS, rho, every).unequal() },
    },
    Case {
        name: "shared3",
        summary: "10 equal members that three Athenas share, each of which knows its own answers only",
        build: |rho, every| Setting { athenas: 3, ..Setting::equal(MEMBERS, rho, every) },
    },
    Case {
        name: "bursts",
        summary: "10 equal members, every answer brings 10 requests at once",
        build: |rho, every| Setting { burst: 10, ..Setting::equal(MEMBERS, rho, every) },
    },
    Case {
        name: "workers8",
        summary: "10 members with 8 workers each, half of them twice as fast",
        build: |rho, every| Setting { workers: 8, ..Setting::equal(MEMBERS, rho, every).unequal() },
    },
    Case {
        name: "unit",
        summary: "10 equal members that tell 0.013 × queue + 3",
        build: |rho, every| {
            let mut setting = Setting::equal(MEMBERS, rho, every);
            (setting.reports.slope, setting.reports.offset) = (0.013, 3.0);
            setting
        },
    },
    Case {
        name: "lossy",
        summary: "10 equal members, a tenth of the reports gets lost",
        build: |rho, every| {
            let mut setting = Setting::equal(MEMBERS, rho, every);
            setting.reports.lost = 0.1;
            setting
        },
    },
    Case {
        name: "churn",
        summary: "10 equal members, every 100 one is drained for 100; rho is that of the 9 that are left",
        build: |rho, every| {
            let setting = Setting::equal(MEMBERS, rho, every);
            Setting { churn: Some(100.0), rate: rho * (MEMBERS - 1) as f64, ..setting }
        },
    },
    Case {
        name: "ttl50",
        summary: "10 equal members, every answer brings 10 requests spread over 50",
        build: |rho, every| {
            let mut setting = Setting { burst: 10, spread: 50.0, ..Setting::equal(MEMBERS, rho, every) };
            setting.params.ttl = Duration::from_secs(50);
            setting
        },
    },
];

/// Loads of the experiment, as parts of the capacity.
pub const RHOS: [f64; 4] = [0.5, 0.7, 0.9, 0.95];
/// Times between two reports of a member, in service times.
pub const REPORT_EVERY: [f64; 5] = [0.1, 1.0, 5.0, 20.0, 50.0];

/// The rule that is told the capacities.
const TOLD: &str = "weighted";

impl Case {
    /// The case of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// What is simulated for `rule`, with `rho` of the capacity in use and a report every `every` service times.
    pub fn setting(&self, rule: Rule, rho: f64, every: f64) -> Setting {
        let mut setting = (self.build)(rho, every);
        if rule.name() == TOLD {
            setting.weights.clone_from(&setting.capacities);
        }
        setting
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        (self.build)(0.5, 1.0).capacities.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_uses_the_part_of_the_capacity_that_it_says() {
        let rule = Rule::find("round-robin").expect("it is in the table");
        for case in CASES {
            let setting = case.setting(rule, 0.9, 5.0);
            let away = if setting.churn.is_some() { 1.0 } else { 0.0 };
            let capacity = setting.capacities.iter().sum::<f64>() - away;
            assert!((setting.rate / capacity - 0.9).abs() < 1e-9, "{}", case.name);
            assert_eq!(setting.reports.every, 5.0, "{}", case.name);
            assert!(setting.weights.is_empty(), "{}: nobody else is told the capacities", case.name);
            assert_eq!(case.members(), setting.capacities.len());
        }
        let told =
            Case::find("unequal").map(|case| case.setting(Rule::find(TOLD).unwrap(), 0.9, 5.0)).unwrap();
        assert_eq!(told.weights, told.capacities);
    }
}
