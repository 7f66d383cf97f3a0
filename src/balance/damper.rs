//! Shares as whole steps that do not twitch, for those who keep a list of servers with weights of their own: SRV records
//! and HAProxy's agent-check.
//!
//! Each change costs such a proxy something (nginx replaces the peer, and its counters), and a share that is measured
//! never stands quite still.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::farm::Farm;
use super::name::Name;
use super::view::Machine;

/// A weight stays as it was told until it is off by this part of it.
const CALM: f64 = 1.0 / 8.0;
/// But at least by this many steps, so that no weight hovers between two of them.
const CALM_STEPS: f64 = 0.75;

/// Remembers what was told last. One for each audience: they need not agree on who is in the list.
#[derive(Debug)]
pub struct Damper {
    steps: f64,
    told: Mutex<HashMap<Name, HashMap<Name, f64>>>,
}

impl Damper {
    /// One that gives the largest share this many steps; at least 1.
    pub fn new(steps: u16) -> Self {
        Self { steps: f64::from(steps.max(1)), told: Mutex::default() }
    }

    /// Takes the true share of each member and gives the weights to tell, in steps from 1 on: the largest share has all
    /// of them, so ratios are kept, and what has hardly changed is told as before. Nobody who may be chosen gets 0.
    /// Takes the damper's own lock, which no choice does.
    pub fn steps(&self, farm: &Name, shares: &[(&Arc<Machine>, f64)]) -> Vec<u16> {
        let most = shares.iter().map(|(_, share)| *share).fold(f64::MIN_POSITIVE, f64::max);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.remove(farm).unwrap_or_default();
        let calm = |(machine, share): &(&Arc<Machine>, f64)| {
            let exact = (share / most * self.steps).clamp(1.0, self.steps);
            match before.get(&machine.name) {
                Some(&before) if (exact - before).abs() <= CALM_STEPS.max(before * CALM) => before,
                _ => exact.round(),
            }
        };
        let steps: Vec<f64> = shares.iter().map(calm).collect();
        let names = shares.iter().map(|(machine, _)| machine.name.clone());
        told.insert(farm.clone(), names.zip(steps.iter().copied()).collect());
        steps.into_iter().map(|steps| steps as u16).collect()
    }

    /// Forgets the farms that are no more.
    pub fn retain(&self, farms: &[Arc<Farm>]) {
        let names: HashSet<&Name> = farms.iter().map(|farm| farm.name()).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|farm, _| names.contains(farm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> Arc<Machine> {
        Arc::new(Machine { name: Name::parse(name).unwrap(), addresses: [][..].into(), port: None })
    }

    #[test]
    fn ratios_are_kept_and_what_hardly_moves_is_told_as_before() {
        let (damper, farm) = (Damper::new(100), Name::parse("farm").unwrap());
        let machines = [machine("a"), machine("b"), machine("c")];
        let told = |shares: [f64; 3]| {
            let shares: Vec<_> = machines.iter().zip(shares).collect();
            damper.steps(&farm, &shares)
        };
        assert_eq!(told([0.5, 0.25, 0.25]), [100, 50, 50]);
        assert_eq!(told([0.5, 0.23, 0.27]), [100, 50, 50], "within an eighth");
        assert_eq!(told([0.5, 0.2, 0.3]), [100, 40, 60]);
        assert_eq!(told([1.0, 0.0, 0.0]), [100, 1, 1], "whoever may be chosen is in the list");
        assert_eq!(told([1.0, 0.0165, 0.0]), [100, 1, 1], "no hovering between two steps");
        assert_eq!(told([0.0, 0.0, 0.0]), [1, 1, 1]);
        damper.retain(&[]);
        assert_eq!(told([0.5, 0.23, 0.27]), [100, 46, 54], "a farm that is new again starts afresh");
    }
}
